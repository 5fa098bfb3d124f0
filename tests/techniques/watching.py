"""Tiny runs watched from inside, by a technique that changes nothing and writes down what reaches it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import PrivateAttr
from safetensors.torch import load_file
from torch import Tensor, nn, optim

from finetune.recipe import Recipe, resolve
from finetune.records.schema import RunRecord
from finetune.records.store import RunFolder
from finetune.techniques import Budget, StepView, Technique, TrainStep, WeightNames
from finetune.training.prepare import Prepared, prepare
from finetune.training.runner import run_seed
from tests.running import weights


@dataclass(frozen=True)
class Seen:
    """One moment of an optimizer step; tensors are copies."""

    values: dict[str, Tensor]
    gradients: dict[str, Tensor]
    rate: float
    decay: dict[str, float]  # the optimizer's weight decay of each parameter
    head: frozenset[str]
    decayed: frozenset[str]


@dataclass(frozen=True)
class Losses:
    """One forward pass of training."""

    logits: Tensor
    labels: Tensor
    rows: Tensor
    objective: Tensor


class Spy(Technique):
    """Where it stands among the techniques decides what it sees of them."""

    family: ClassVar[str] = "test"
    source: ClassVar[str] = "test"

    _before: list[Seen] = PrivateAttr(default_factory=list)
    _after: list[Seen] = PrivateAttr(default_factory=list)
    _texts: list[str] = PrivateAttr(default_factory=list)
    _losses: list[Losses] = PrivateAttr(default_factory=list)

    @property
    def before(self) -> list[Seen]:
        """Before each optimizer step, gradients clipped."""
        return self._before

    @property
    def after(self) -> list[Seen]:
        """After each optimizer step."""
        return self._after

    @property
    def texts(self) -> list[str]:
        """Every text that was to be augmented."""
        return self._texts

    @property
    def losses(self) -> list[Losses]:
        return self._losses

    def train_loss(self, loss: Tensor, step: TrainStep) -> Tensor:
        rows = step.example_losses(step.logits)
        self._losses.append(Losses(step.logits.detach(), step.labels, rows.detach(), loss.detach()))
        return loss

    def before_optimizer_step(self, step: StepView) -> None:
        self._before.append(_look(step))

    def after_optimizer_step(self, step: StepView) -> None:
        self._after.append(_look(step))

    def augment(self, text: str, rng: random.Random) -> str:
        self._texts.append(text)
        return text


def _look(step: StepView) -> Seen:
    groups = [(id(member), group) for group in step.optimizer.param_groups for member in group["params"]]
    group_of = dict(groups)
    return Seen(
        values={name: value.detach().clone() for name, value in step.parameters.items()},
        gradients={
            name: value.grad.detach().clone() for name, value in step.parameters.items() if value.grad is not None
        },
        rate=float(step.optimizer.param_groups[0]["lr"]),
        decay={name: float(group_of[id(value)]["weight_decay"]) for name, value in step.parameters.items()},
        head=step.names.head,
        decayed=step.names.decayed,
    )


@dataclass(frozen=True)
class Watched:
    """A finished tiny run."""

    record: RunRecord
    prepared: Prepared
    weights: dict[str, Tensor]


def watch(recipe: Path, folder: Path, first: Spy | None = None, last: Spy | None = None, seed: int = 0) -> Watched:
    """Run a recipe with a spy before and a spy after its own techniques."""
    resolved: Recipe = resolve(str(recipe)).recipe
    techniques: dict[str, Any] = {"first": first, **resolved.techniques, "last": last}
    present = {name: technique for name, technique in techniques.items() if technique is not None}
    prepared = prepare(resolved.model_copy(update={"techniques": present}))
    record = run_seed(prepared, seed, RunFolder(folder))
    return Watched(record, prepared, weights(folder))


def pretrained_weights(folder: Path) -> dict[str, Tensor]:
    """The encoder's weights as they lie in a tiny BERT's folder, under the classifier's names."""
    tensors = load_file(folder / "model.safetensors")
    if "embeddings.word_embeddings.weight" in tensors:  # saved without a head
        return {f"bert.{name}": value for name, value in tensors.items()}
    return {name: value for name, value in tensors.items() if name.startswith("bert.")}


UNUSED_ROWS = slice(40, 64)  # of the word embeddings: no token of the tiny tokenizer has these ids
EMBEDDINGS = "bert.embeddings.word_embeddings.weight"


def is_penalised(name: str) -> bool:
    """Neither a bias nor a normalisation weight, told from a BERT's parameter names."""
    return not name.endswith(".bias") and "LayerNorm" not in name


BUDGET = Budget("single_label", epochs=1, learning_rate=0.1, steps_per_epoch=1, warmup=0.0)


def step_view(
    values: dict[str, Tensor],
    rate: float,
    head: set[str],
    decayed: set[str],
    pretrained: dict[str, Tensor],
    budget: Budget = BUDGET,
) -> StepView:
    """A step of plain SGD over parameters made for the occasion."""
    parameters = {name: nn.Parameter(value.clone()) for name, value in values.items()}
    optimizer = optim.SGD(list(parameters.values()), lr=rate)
    names = WeightNames(frozenset(values), frozenset(head), frozenset(decayed), frozenset(pretrained))
    return StepView(parameters, optimizer, pretrained, names, budget)
