"""Train only the biases or the normalisation weights of the encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from finetune.errors import Change, ModelError
from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.model import ModelChanges
from finetune.techniques.hooks.plan import TrainingPlan
from finetune.techniques.outcome import Outcome, trained_part
from finetune.techniques.parameters import Part
from finetune.techniques.parts import freeze_encoder_except, is_in_encoder
from finetune.techniques.search import SearchRange

if TYPE_CHECKING:
    from torch import nn


def bias_names(model: nn.Module) -> set[str]:
    return {name for name, _ in model.named_parameters() if name.endswith(".bias")}


def norm_names(model: nn.Module) -> set[str]:
    """Weights and biases of normalisation layers: LayerNorm, RMSNorm and the architectures' own."""
    return {
        f"{path}.{name}"
        for path, module in model.named_modules()
        if "Norm" in type(module).__name__
        for name, _ in module.named_parameters(recurse=False)
    }


class TrainOnly(Technique, ModelChanges, TrainingPlan):
    """Train only the biases (BitFit) or the normalisation weights of the encoder, about 0.1 % of it, and the head.

        θ = {biases}  or  {γ, β of every LayerNorm};   all other weights of the encoder keep their pretrained values

    The head trains as a whole, and so does a pooler: checkpoints often lack it, and most architectures count the
    same map as part of their head. So few weights must move further, so all trained weights get a higher peak learning
    rate, with the recipe's schedule.

    Range: weights: biases, or norms (about as many weights). learning_rate: at 2e-5 nothing is learned, a common
    mistake; 3e-4 to 3e-3 are sensible.
    Cost: 0.7 ×: gradients pass through all layers but are not taken for their weights. Optimizer state nearly vanishes.
    Raises: ModelError if the encoder has no such weights (ModernBERT has no biases).
    Relations: `freeze` and `lora` also decide which weights train, and `head_first` sets the head's learning rate too:
    mutually exclusive. `mixout` would act on nothing. `llrd` multiplies the learning rate.
    Evidence: "with small-to-medium training data, competitive with (and sometimes better than)" full fine-tuning
    (Ben-Zaken et al. 2022).
    Source: Ben-Zaken et al. 2022, arXiv:2106.10199. Departs from it in: pooler and head train as a whole; the norms,
    which follow Zhao et al. 2023, arXiv:2312.11420.
    """

    family: ClassVar[str] = "constraint"
    source: ClassVar[str] = "Ben-Zaken et al. 2022, arXiv:2106.10199"
    cost: ClassVar[float] = 0.7
    owns: ClassVar[frozenset[str]] = frozenset({"which weights of the encoder train"})
    excludes: ClassVar[dict[str, str]] = {
        "head_first": "both set the learning rate of the head",
        "mixout": "the weights that it would mix are frozen at their pretrained values",
    }
    search: ClassVar[Mapping[str, SearchRange]] = {"learning_rate": SearchRange(0.0003, 0.003)}

    weights: Literal["biases", "norms"] = Field("biases", description="Which weights of the encoder train.")
    learning_rate: float = Field(1e-3, gt=0, lt=1, description="Peak learning rate of all trained weights.")

    def outcome(self, run: Outcome) -> str | None:
        return trained_part(run)

    def prepare_model(self, model: Any) -> None:
        trained = bias_names(model) if self.weights == "biases" else norm_names(model)
        if not any(is_in_encoder(model, name) and ".pooler." not in name for name in trained):
            other = "norms" if self.weights == "biases" else "biases"
            raise ModelError(
                f"the encoder of architecture '{model.config.model_type}' has no {self.weights}.",
                Change(settings={"techniques.train_only.weights": other}),
                key="techniques.train_only.weights",
                found=self.weights,
            )
        freeze_encoder_except(model, trained.__contains__)

    def rate_factor(self, part: Part, budget: Budget) -> float:
        return self.learning_rate / budget.learning_rate
