"""Freezing the embeddings and the lowest layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import Field, model_validator

from finetune.errors import Change, ModelError, Problem
from finetune.models.layers import depth_of, encoder_layers
from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.model import ModelChanges
from finetune.techniques.hooks.plan import TrainingPlan
from finetune.techniques.outcome import Outcome, trained_part
from finetune.techniques.parameters import Part
from finetune.techniques.parts import is_in_encoder, refused_by
from finetune.techniques.search import SearchRange

if TYPE_CHECKING:
    from torch import nn

USUAL_LAYERS = 12  # to turn a number of layers into a fraction while the model is not known
SMALL_RATE = 2e-4  # a head that trains alone hardly moves below it


def frozen_layers(setting: int | float, layers: int) -> int:
    """Number of `layers` to freeze: a number as it is; a fraction rounded, at least one and below 1.0 never all."""
    if isinstance(setting, int):
        return setting
    return layers if setting == 1.0 else min(max(1, round(setting * layers)), max(1, layers - 1))


class Freeze(Technique, ModelChanges, TrainingPlan):
    """Freeze the embeddings and the lowest layers at their pretrained values.

        ∂L/∂θ_l = 0   for the embeddings (l = 0) and the layers l ≤ k of L

    Frozen weights get no gradient, no decay and no optimizer state. Weights that all layers share (relative positions,
    DeBERTa's convolution) are frozen with the embeddings. Modules after the layers (pooler, final norm) train with the
    head, unless embeddings and all layers are frozen: then the head alone trains, a linear probe, and a pooler that the
    checkpoint lacks stays at random values. Frozen modules keep their dropout.

    Range: layers: a fraction of them (0.33; 1.0 is all) or a number (4; 0 is none). The more, the lower the train
    score.
    Cost: the frozen part needs no backward pass: (1 + 2 (1 − k/L)) / 3, so 0.78 × for a third, 0.33 × for all.
    Unless the embeddings are frozen, the gradient must go down to them, and a sixth is saved at most.
    Raises: ModelError if there are fewer layers, if they share their weights (albert), or if `learning_rate` is set
    while more than the head trains.
    Relations: `train_only` and `lora` also decide which weights train: mutually exclusive. `head_first` acts on the
    rest of the encoder. `reinit` of a frozen layer is refused.
    Evidence: BERT-large, mean of four GLUE tasks, tuning the top layers only: 78.65 vs 79.15 (quoted in Yuan et al.
    2023, Table 5). A quarter of the layers is enough for 90 % of the quality (Lee et al. 2019).
    Source: Lee et al. 2019, arXiv:1911.03090. Departs from it in: embeddings are a switch of their own.
    """

    family: ClassVar[str] = "constraint"
    source: ClassVar[str] = "Lee et al. 2019, arXiv:1911.03090"
    cost: ClassVar[float] = 0.78
    owns: ClassVar[frozenset[str]] = frozenset({"which weights of the encoder train"})
    search: ClassVar[Mapping[str, SearchRange]] = {"learning_rate": SearchRange(1e-4, 1e-2)}

    embeddings: bool = Field(True, description="Whether the embeddings are frozen.")
    layers: Annotated[int, Field(ge=0)] | Annotated[float, Field(gt=0, le=1)] = Field(
        1 / 3, description="Lowest layers frozen: a whole number of them, or a fraction (1.0 is all)."
    )
    learning_rate: float | None = Field(
        None, gt=0, lt=1, description="Peak learning rate of the head where it trains alone; null keeps the recipe's."
    )

    @model_validator(mode="after")
    def _freezes_something(self) -> Self:
        if not self.embeddings and self.layers == 0:
            raise ValueError(
                "embeddings is false and layers is 0, so nothing would be frozen; leave freeze out instead"
            )
        return self

    def training_cost(self, budget: Budget) -> float:
        fraction = min(1.0, self.layers / USUAL_LAYERS) if isinstance(self.layers, int) else self.layers
        return (1 + 2 * (1 - fraction)) / 3 if self.embeddings else (3 - fraction) / 3

    def warnings(self, budget: Budget) -> list[Problem]:
        is_probe = self.embeddings and isinstance(self.layers, float) and self.layers == 1.0
        if is_probe and self.learning_rate is None and budget.learning_rate < SMALL_RATE:
            why = f"only the head trains, and a learning rate of {budget.learning_rate:g} hardly moves it."
            return [Problem(why, ".learning_rate", changes=(Change(settings={".learning_rate": 1e-3}),))]
        return []

    def outcome(self, run: Outcome) -> str | None:
        return trained_part(run)

    def prepare_model(self, model: nn.Module) -> None:
        with refused_by("freeze"):
            layers = encoder_layers(model)
        count = frozen_layers(self.layers, len(layers))
        if count > len(layers):
            raise ModelError(
                f"{count} layers to freeze, but this model has {len(layers)}.",
                Change(settings={"techniques.freeze.layers": len(layers)}, note="or fewer"),
                key="techniques.freeze.layers",
                found=self.layers,
            )
        head_alone = self.embeddings and count == len(layers)
        if self.learning_rate is not None and not head_alone:
            raise ModelError(
                "is for a head that trains alone, but here other weights train too.",
                Change(settings={"techniques.freeze.learning_rate": None}, note="and set training.learning_rate"),
                Change(settings={"techniques.freeze.layers": 1.0}, note="freezes all layers"),
                key="techniques.freeze.learning_rate",
                found=self.learning_rate,
            )
        lowest = 0 if self.embeddings else 1
        highest = len(layers) + 1 if head_alone else count
        prefix = str(model.base_model_prefix)
        for name, parameter in model.named_parameters():
            if is_in_encoder(model, name) and lowest <= depth_of(name, layers, prefix) <= highest:
                parameter.requires_grad_(False)

    def rate_factor(self, part: Part, budget: Budget) -> float:
        return 1.0 if self.learning_rate is None else self.learning_rate / budget.learning_rate
