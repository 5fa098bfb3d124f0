"""WiSE-FT: the weights between pretrained and fine-tuned that do best on validation."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from finetune.techniques.base import Technique
from finetune.techniques.hooks.kept_weights import KeptWeights
from finetune.techniques.outcome import Outcome
from finetune.techniques.parameters import WeightNames


class WiSEFT(Technique, KeptWeights):
    """WiSE-FT: interpolate between the pretrained and the fine-tuned weights of the encoder.

        w = w₀ + α (w_tuned − w₀),   α ∈ shares, the best on validation

    w₀ are the encoder's weights as loaded. The head keeps its fine-tuned weights: it has no pretrained ones.

    Training is not changed. Afterwards the selected weights are measured on validation at every α; the best is chosen
    by the metric of the selection rule (without one: the task's), then the loss, then the larger α. At 1 the
    fine-tuned weights are exported bit for bit. The best of k measurements is optimistic: the validation score reported
    for the chosen α was used for selection, as with early stopping; only test was not.
    Range: each α: near 0 it is the pretrained encoder under a head that does not fit it, 1 is plain fine-tuning. A
    single α is used without a choice.
    Cost: 1 × plain fine-tuning, and one evaluation on validation for each α; one more copy of the encoder.
    Raises: ModelError if no weight of the encoder is trained.
    Relations: acts after `early_stopping`, on the selected weights, and after `ema` or `swa`, on their average. Layers
    that `reinit` starts anew were not trained from w₀: mutually exclusive. The w₀ of a pooler that the checkpoint lacks
    is its random start.
    Evidence: CLIP image models: far better under distribution shift, about equal without. Encoders on few examples:
    none found; with a random head a small α fails.
    Source: Wortsman et al. 2022, arXiv:2109.01903. Departs from it in: the head is not interpolated; α is chosen on
    validation instead of fixed at 0.5.
    """

    family: ClassVar[str] = "averaging"
    source: ClassVar[str] = "Wortsman et al. 2022, arXiv:2109.01903"
    owns: ClassVar[frozenset[str]] = frozenset({"the interpolation of the weights"})

    shares: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [0.5, 0.7, 0.85, 1.0], min_length=1, description="Values of α to choose from; 1 is the fine-tuned encoder."
    )

    @model_validator(mode="after")
    def _offers_something(self) -> Self:
        if len(set(self.shares)) < len(self.shares):
            raise ValueError("shares contains a value twice; give each once (for example [0.5, 1.0])")
        if min(self.shares) == 1:
            raise ValueError("shares has no value below 1, so nothing would change; add one (for example [0.5, 1.0])")
        return self

    def outcome(self, run: Outcome) -> str | None:
        if run.share is None:
            return None
        return f"encoder at {100 * run.share:.0f} % of the way from its pretrained to the fine-tuned weights"

    def acts_on(self, names: WeightNames) -> frozenset[str]:
        return names.trainable - names.head

    def interpolations(self) -> tuple[float, ...]:
        return tuple(self.shares)
