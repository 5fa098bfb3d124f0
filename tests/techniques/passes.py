"""Forward passes watched from inside, and passes made for the occasion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import PrivateAttr
from torch import Tensor, nn

from finetune.models.load import load_config, load_model
from finetune.recipe import ModelSection
from finetune.techniques import TrainStep
from tests.techniques.watching import Spy

FREE = {"max_grad_norm": 1e9}  # clipping would change the gradients that are compared


class PassSpy(Spy):
    """Also keeps every forward pass as it was told to it, and puts hooks on the model in training."""

    _passes: list[TrainStep] = PrivateAttr(default_factory=list)
    _watchers: tuple[Callable[[Any], None], ...] = PrivateAttr(default=())

    @classmethod
    def on(cls, *watchers: Callable[[Any], None]) -> PassSpy:
        """A spy that shows the model to each of `watchers` when it is prepared."""
        spy = cls()
        spy._watchers = watchers
        return spy

    @property
    def passes(self) -> list[TrainStep]:
        return self._passes

    def change_pass(self, step: TrainStep) -> TrainStep:
        self._passes.append(step)
        return step

    def prepare_model(self, model: nn.Module) -> None:
        if next(model.parameters()).device.type != "meta":
            for watcher in self._watchers:
                watcher(model)


def plain(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each row, or the mean over labels, or the squared error."""
    if labels.dtype == torch.int64:
        return F.cross_entropy(logits, labels, reduction="none")
    if labels.dim() == 2:
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=-1)
    return (logits.squeeze(-1) - labels) ** 2


def made_pass(
    logits: Tensor,
    labels: Tensor,
    again: Tensor | None = None,
    heads: list[Tensor] | None = None,
    row_weights: Tensor | None = None,
) -> TrainStep:
    """A pass of given logits; `again` are those of the second pass, `heads` those of each further use of the head."""
    weights = torch.ones(len(logits), dtype=logits.dtype) if row_weights is None else row_weights
    task: Any = "single_label"
    if labels.dtype != torch.int64:
        task = "multi_label" if labels.dim() == 2 else "regression"
    rest = iter(heads or [])
    return TrainStep(
        logits=logits,
        labels=labels,
        forward=lambda: made_pass(logits if again is None else again, labels, row_weights=row_weights),
        head_forward=lambda: next(rest),
        losses_for=lambda of, targets: plain(of, targets) * weights,
        row_weights=weights,
        model=nn.Module(),
        task=task,
    )


def some_logits(rows: int = 6, outputs: int = 3, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(rows, outputs, generator=generator, dtype=torch.float64)


def fresh_model(folder: Path) -> Any:
    """The classifier that a run of seed 0 with the labels bad and good starts from, in training mode."""
    section = ModelSection(id=str(folder))
    return load_model(section, load_config(section, "single_label", ["bad", "good"]), seed=0).train()


def record_batches(batches: list[dict[str, Tensor]]) -> Callable[[Any], None]:
    """For `PassSpy.on`: keeps what enters the classifier in each pass of training."""

    def watch(model: Any) -> None:
        def keep(module: nn.Module, _args: tuple[Any, ...], kwargs: dict[str, Tensor]) -> None:
            if module.training:
                batches.append(dict(kwargs))

        model.register_forward_pre_hook(keep, with_kwargs=True)

    return watch
