"""Unlabelled texts in training: those of each step, their targets, and their loss. Names no technique."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from finetune.data.tokens import Item
from finetune.data.views import TextViews
from finetune.errors import Problem
from finetune.techniques import Technique, Unlabelled, UnlabelledStep, UnlabelledTargets, hook_of, overrides
from finetune.training.batches import share
from finetune.training.distributed import is_main
from finetune.training.draws import STREAMS, Draws

logger = logging.getLogger(__name__)

FEW = 0.01  # share of the texts with any weight below which a run is told that they did nothing


class CleanModel(Protocol):
    """Items -> (items, outputs) float32: predictions of the model in eval mode, the same in every process."""

    def __call__(self, items: Sequence[Item]) -> Tensor: ...


def learns_unlabelled(techniques: Mapping[str, Technique]) -> tuple[str, Technique] | None:
    """The technique that trains on unlabelled texts, with its name; two of them are a conflict."""
    return next((item for item in techniques.items() if overrides(item[1], Unlabelled.unlabelled_targets)), None)


class UnlabelledTexts:
    """The unlabelled part of a run's steps.

    Args:
        name: Name of the technique that requests them.
        technique: That technique.
        texts: Views of the unlabelled texts.
        rows: Views of the training rows, of which only the unaltered ones are used.
        collate: Pads items to a batch.
        labels: (rows, …), targets of the training rows.
        frequencies: (outputs,), share of each class in the training rows.
        batch_size: Rows of a labelled step.
        start: First step that has unlabelled texts.
        steps: Optimizer steps of the schedule.
        seed: Seed of the run.
        rank: Rank of this process.
        world: Number of processes.
    """

    def __init__(
        self,
        name: str,
        technique: Technique,
        texts: TextViews,
        rows: TextViews,
        collate: Callable[[Sequence[Item]], dict[str, Tensor]],
        labels: Tensor,
        frequencies: Tensor,
        batch_size: int,
        start: int,
        steps: int,
        seed: int,
        rank: int,
        world: int,
    ) -> None:
        self._name = name
        self._technique = technique
        self._views = {"texts": texts, "rows": rows}
        self._draws = {kind: Draws(len(views), seed, STREAMS[kind]) for kind, views in self._views.items()}
        self._counts = {"texts": hook_of(technique, Unlabelled.unlabelled_texts)() * batch_size, "rows": batch_size}
        self._collate = collate
        self._labels = labels
        self._frequencies = frequencies
        self._start = start
        self._steps = steps
        self._rank = rank
        self._world = world
        self._memory: dict[str, Tensor] = {}
        self._seen = 0  # texts until now
        self._used = 0  # of them, those that had a weight

    def add_to(self, batches: Sequence[dict[str, Any]], step: int, predict: CleanModel) -> None:
        """Give each micro-batch of this process its part of the unlabelled texts of a step, with targets.

        Args:
            batches: Micro-batches of this process; each gets an entry "unlabelled", unless texts come later.
            step: Optimizer steps before this one.
            predict: The current model.
        """
        if step < self._start:
            return
        draws = {kind: self._draws[kind].part(step * count, count) for kind, count in self._counts.items()}
        made = self._targets(draws, step, predict)
        count, parts = len(draws["texts"]), len(batches) * self._world
        for index, batch in enumerate(batches):
            chosen = share(count, index * self._world + self._rank, parts)
            items = self._views["texts"].altered(draws["texts"][chosen])
            features = self._collate([{**item, "labels": 0} for item in items])
            del features["labels"]
            # Each part is divided by the number of parts once more: by Trainer and by the exchange of gradients.
            weights = made.weights[chosen] * parts / count
            batch["unlabelled"] = {**features, "targets": made.targets[chosen], "weights": weights}

    def _targets(self, draws: Mapping[str, list[tuple[int, int]]], step: int, predict: CleanModel) -> UnlabelledTargets:
        items = [item for kind, drawn in draws.items() for item in self._views[kind].as_written(drawn)]
        texts, labelled = predict(items).split([len(drawn) for drawn in draws.values()])
        labels = self._labels[[row for _, row in draws["rows"]]]
        with torch.no_grad():
            made: UnlabelledTargets = hook_of(self._technique, Unlabelled.unlabelled_targets)(
                UnlabelledStep(texts, labelled, labels, self._frequencies, self._memory, step, self._steps)
            )
        self._seen += len(texts)
        self._used += int((made.weights > 0).sum())
        return made

    def loss(self, model: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of the losses of the altered texts of a micro-batch; a scalar."""
        features = {name: value for name, value in batch.items() if name not in ("targets", "weights")}
        logits = model(**features).logits.float()
        losses: Tensor = hook_of(self._technique, Unlabelled.unlabelled_losses)(logits, batch["targets"])
        return (batch["weights"] * losses).sum()

    def to_dict(self) -> dict[str, Any]:
        """State that a checkpoint keeps."""
        memory = {name: value.double().tolist() for name, value in self._memory.items()}
        return {"memory": memory, "seen": self._seen, "used": self._used}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Restore the state from `to_dict`."""
        self._memory = {name: torch.tensor(value, dtype=torch.float64) for name, value in saved["memory"].items()}
        self._seen, self._used = saved["seen"], saved["used"]

    def warn_if_unused(self) -> None:
        """Warn if the texts changed nothing, or almost nothing."""
        if is_main() and self._used < FEW * self._seen:
            why = (
                f"of {self._seen:,} unlabelled texts in {self._steps} steps {self._used:,} had a weight: they had "
                "almost no effect in this run."
            )
            logger.warning(Problem(why, f"techniques.{self._name}").for_command_line())
