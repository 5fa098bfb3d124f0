"""L2-SP: decoupled decay towards the pretrained weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from finetune.errors import Change, Problem
from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.steps import OptimizerSteps, StepView
from finetune.techniques.outcome import Outcome
from finetune.techniques.parameters import WeightNames
from finetune.techniques.search import SearchRange
from finetune.techniques.weight_decay import cumulative_decay, strength_for

if TYPE_CHECKING:
    from torch import Tensor

ENOUGH = Change(settings={".strength": None, ".total_pull": 0.2})
NEGLIGIBLE = 0.01  # of the way back, over a whole run: below it no published experiment saw any effect


def pulled(weights: Tensor, anchor: Tensor, fraction: float) -> Tensor:
    """w − fraction · (w − w₀), element-wise; any shape. 1 gives the anchor, and more does not go past it."""
    return weights.lerp(anchor, min(fraction, 1.0))


@cache
def _strength_for(total_pull: float, budget: Budget) -> float:
    """Cached, because it is needed in every step and found by search."""
    return strength_for(total_pull, budget.learning_rates())


class L2SP(Technique, OptimizerSteps):
    """L2-SP: decay the weights of the encoder towards their pretrained values instead of 0.

        w ← w − η_t λ (w − w₀)          after each step, w₀ the pretrained value, η_t the learning rate of this step

    All parameters of the encoder that train are pulled: biases and normalisation weights too, because their pretrained
    values are as much a starting point as those of the others. The head has no pretrained value and is left alone; use
    `weight_decay` for it. Instead of λ, `total_pull` sets the fraction Φ of the way back that the pull alone would move
    a weight over the run, Φ = 1 − Π_t (1 − η_t λ).

    Range: near 0 it is plain fine-tuning; as Φ nears 1 the encoder stays frozen. 0.05 to 0.6 are sensible.
    Cost: 1.05 ×, one pass over the weights per step; memory for one copy of the encoder, which every run holds anyway.
    Raises: RecipeError if η λ ≥ 1, which would move weights beyond their pretrained values.
    Relations: adds to `weight_decay`, which decays to 0. The pull follows the learning rate of each parameter;
    `total_pull` holds for the top layer, whatever changes its learning rate (`head_first`, `train_only`), and with
    `llrd` the lower layers are pulled less, as they move less. With `lora` and `reinit` there are no pretrained values
    to return to. A pooler that the checkpoint lacks is pulled to the random values it started from.
    Evidence: none at the strengths that were published, λ ≤ 1, which pull weights 0.2 to 0.6 % of the way back:
    BERT-large RTE 69.6 vs 69.5, CoLA 63.4 vs 63.0 (Zhang et al. 2021, arXiv:2006.05987, Table 2).
    Source: Li et al. 2018, arXiv:1802.01483. Departs from it in: decoupled from Adam's moments as AdamW does with
    decay; `total_pull`; no decay of the head.
    """

    family: ClassVar[str] = "penalty"
    source: ClassVar[str] = "Li et al. 2018, arXiv:1802.01483"
    cost: ClassVar[float] = 1.05
    search: ClassVar[Mapping[str, SearchRange]] = {"strength": SearchRange(1, 60), "total_pull": SearchRange(0.05, 0.6)}

    strength: float | None = Field(
        None, gt=0, le=1e5, description="λ, in units of 1/learning rate, instead of a total pull."
    )
    total_pull: float | None = Field(
        0.2, gt=0, lt=1, description="Fraction of the way back to the pretrained value, over the whole run."
    )

    @model_validator(mode="before")
    @classmethod
    def _strength_replaces_the_default(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("strength") is not None:
            return {"total_pull": None, **values}
        return values

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.strength is None) == (self.total_pull is None):
            raise ValueError("give either strength or total_pull, the other null (for example total_pull: 0.2)")
        return self

    def _strength_in(self, budget: Budget) -> float:
        """λ in a run whose number of steps is known."""
        if self.strength is not None:
            return self.strength
        assert self.total_pull is not None, "the validator lets exactly one of the two through"
        return _strength_for(self.total_pull, budget)

    def problems(self, budget: Budget) -> list[Problem]:
        if self.strength is not None and self.strength * budget.peak >= 1:
            why = f"{self.strength:g} × learning rate {budget.peak:g} ≥ 1 moves weights past their pretrained values."
            return [Problem(why, ".strength", found=self.strength, changes=(ENOUGH,))]
        return []

    def warnings(self, budget: Budget) -> list[Problem]:
        if not budget.steps:
            return []
        key = "total_pull" if self.strength is None else "strength"
        pull = self.total_pull if self.strength is None else cumulative_decay(self.strength, budget.learning_rates())
        if pull is None or pull >= NEGLIGIBLE:
            return []
        why = (
            f"pulls weights {100 * pull:.2f} % of the way back over these {budget.steps} steps: too little to "
            "regularize anything."
        )
        return [Problem(why, f".{key}", found=getattr(self, key), changes=(ENOUGH,))]

    def effect(self, budget: Budget) -> str | None:
        if not budget.steps:
            return None
        strength = self._strength_in(budget)
        pull = cumulative_decay(strength, budget.learning_rates())
        return f"λ = {strength:.4g}: total pull {100 * pull:.2f} %"

    def outcome(self, run: Outcome) -> str | None:
        names = run.names.pretrained & run.names.trainable
        before, distance = run.norm_before(names), run.distance(names)
        share = f", {100 * distance / before:.2g} % of their norm" if before else ""
        return f"encoder ended {distance:.4g} from its pretrained weights{share}"

    def acts_on(self, names: WeightNames) -> frozenset[str]:
        return names.pretrained

    def after_optimizer_step(self, step: StepView) -> None:
        strength = self._strength_in(step.budget)
        for name in sorted(step.names.pretrained & step.names.trainable):
            parameter = step.parameters[name]
            anchor = step.pretrained[name].to(parameter.device)
            parameter.data.copy_(pulled(parameter.data, anchor, step.learning_rate_of(parameter) * strength))
