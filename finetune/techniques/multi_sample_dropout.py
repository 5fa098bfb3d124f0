"""Multi-sample dropout."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from finetune.errors import Change, ModelError
from finetune.models.dropout import dropout_sites
from finetune.techniques.base import Technique
from finetune.techniques.hooks.losses import Losses, TrainStep
from finetune.techniques.hooks.model import ModelChanges

if TYPE_CHECKING:
    from torch import Tensor, nn


class MultiSampleDropout(Technique, ModelChanges, Losses):
    """Multi-sample dropout: average the loss over several dropout masks of the head.

        loss_i = (1/K) Σ_k loss(head(h_i ⊙ m_k), y_i)

    h_i: output of the encoder for row i, computed once; m_k: K independent dropout masks of the head, scaled by 1 / (1
    − p). The regular pass is the first of the K samples.

    Losses are averaged, not logits. Only the modules after the encoder are repeated: for BERT, whose pooler is part of
    the encoder, these are the last dropout and the linear map; RoBERTa-like heads have a dense layer of their own.

    Range: 1 sample is plain fine-tuning and is refused; beyond about 8 there is no further effect. It reduces noise and
    adds none: raise `dropout.classifier` as well (0.3 to 0.5).
    Cost: × 1.0: the head is a thousandth of the work; memory for K outputs of the head.
    Raises: ModelError if the head has no dropout above 0: all samples would be the same.
    Relations: `dropout` sets the probability. With `r_drop` each of its two passes is averaged over K masks; with
    `mixup` the samples share the mix. `confidence_penalty` sees the first sample.
    Evidence: +1.07 macro-F1 on 66,000 texts (BanglaCyberBench, 3 seeds); none found for encoders on few texts.
    Source: Inoue 2019, arXiv:1905.09788, §3. Departs from it in: one probability for all samples.
    """

    family: ClassVar[str] = "dropout"
    source: ClassVar[str] = "Inoue 2019, arXiv:1905.09788"

    samples: int = Field(5, ge=2, le=64, description="K, dropout masks of the head in each step.")

    def prepare_model(self, model: nn.Module) -> None:
        # deberta-v2 has a dropout in its pooler, which there is a part of the head.
        if not any(site.kind in ("classifier", "pooler") and site.probability > 0 for site in dropout_sites(model)):
            raise ModelError(
                "the head of this model has no dropout, so all samples would be the same.",
                Change(settings={"techniques.dropout.classifier": 0.3}),
                key="techniques.multi_sample_dropout",
            )

    def change_pass(self, step: TrainStep) -> TrainStep:
        samples = [step.logits, *(step.head_forward() for _ in range(self.samples - 1))]

        def losses_for(logits: Tensor, labels: Tensor) -> Tensor:
            if logits is not step.logits:  # not what this pass predicts, but logits derived from it
                return step.losses_for(logits, labels)
            first, *others = (step.losses_for(sample, labels) for sample in samples)
            return sum(others, first) / len(samples)

        return dataclasses.replace(step, losses_for=losses_for)
