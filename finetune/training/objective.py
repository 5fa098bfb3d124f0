"""The training objective: the loss of a micro-batch, with the changes by techniques. Names no technique."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from finetune.tasks import Task
from finetune.techniques import Losses, Technique, TrainStep, implementations
from finetune.training.scale import TargetScale


def plain_losses(task: Task, logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """The task's loss of each row, (batch,): cross-entropy, mean binary cross-entropy over labels, or squared error.

    Args:
        task: What is predicted.
        logits: (batch, outputs).
        labels: As in `TrainStep`.
        weights: (K,) for classes, or (2, K) for absence and presence of each of several labels; None: all equal.
    """
    if task == "single_label":
        losses = F.cross_entropy(logits, labels, reduction="none")
        return losses if weights is None else losses * weights[labels]
    if task == "multi_label":
        losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        return (losses if weights is None else losses * torch.lerp(weights[0], weights[1], labels)).mean(dim=-1)
    return F.mse_loss(logits.squeeze(-1), labels, reduction="none")


class Objective:
    """The training objective of a run.

    Args:
        model: The classifier itself, not wrapped for several processes.
        task: What is predicted.
        techniques: Techniques of the run, in the order of the preset.
        class_weights: Mean 1 over the training rows, on the device of the labels, as in `plain_losses`; or None.
            Several labels have none if a technique replaces the losses of rows.
        scale: Scaling of numeric labels; None: none.
    """

    def __init__(
        self,
        model: Any,
        task: Task,
        techniques: Sequence[Technique],
        class_weights: Tensor | None = None,
        scale: TargetScale | None = None,
    ) -> None:
        self.model = model
        self.task = task
        self.techniques = list(techniques)
        self._class_weights = class_weights
        self._scale = scale

    def loss(self, model: Any, features: dict[str, Any], labels: Tensor) -> Tensor:
        """The mean loss of the rows of a micro-batch plus the terms of techniques; a scalar.

        Args:
            model: The model to call: the classifier, or its wrapper for several processes.
            features: Arguments of the forward pass, without labels.
            labels: As in `TrainStep`; numbers in units of the data.
        """
        step = self._forward(model, features, labels if self._scale is None else self._scale.scaled(labels))
        loss = step.example_losses(step.logits).mean()
        for train_loss in implementations(self.techniques, Losses.train_loss):
            loss = train_loss(loss, step)
        return loss

    def _forward(self, model: Any, features: dict[str, Any], labels: Tensor) -> TrainStep:
        """One forward pass over a micro-batch, as the techniques see it."""
        with _recorded_outputs(self.model.base_model) as encoded:
            logits: Tensor = model(**features).logits

        def head_forward() -> Tensor:
            with _fixed_output(self.model.base_model, encoded[0]):
                again: Tensor = self.model(**features).logits
            return again.float()

        step = TrainStep(
            logits=logits.float(),
            labels=labels,
            forward=lambda: self._forward(model, features, labels),
            head_forward=head_forward,
            losses_for=self._example_losses,
            row_weights=self._row_weights(labels),
            model=self.model,
            task=self.task,
        )
        for change_pass in implementations(self.techniques, Losses.change_pass):
            step = change_pass(step)
        return step

    def _example_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self._are_probabilities(labels):
            return self._expected_losses(logits, labels)
        replaced = (losses_of(logits, labels) for losses_of in implementations(self.techniques, Losses.example_losses))
        losses = next((losses for losses in replaced if losses is not None), None)
        if losses is None:
            return plain_losses(self.task, logits, labels, self._class_weights)
        return losses if self._class_weights is None else losses * self._class_weights[labels]

    def _are_probabilities(self, labels: Tensor) -> bool:
        return self.task == "single_label" and labels.dim() > 1

    def _expected_losses(self, logits: Tensor, probabilities: Tensor) -> Tensor:
        """Σ_k q_k loss(z, k), (batch,): the mean loss over labels drawn from q, whatever the loss of a label is.

        For the plain loss this is the cross-entropy with q; techniques and class weights need not know of it.
        """
        rows, classes = probabilities.shape
        labels = torch.arange(classes, device=logits.device).repeat(rows)
        losses = self._example_losses(logits.repeat_interleave(classes, dim=0), labels)
        return (probabilities * losses.view(rows, classes)).sum(dim=1)

    def _row_weights(self, labels: Tensor) -> Tensor:
        if self._class_weights is None or self.task == "multi_label":
            return torch.ones(len(labels), device=labels.device)
        return labels @ self._class_weights if self._are_probabilities(labels) else self._class_weights[labels]


@contextlib.contextmanager
def _recorded_outputs(module: torch.nn.Module) -> Iterator[list[Any]]:
    """The outputs of a module, call by call."""
    outputs: list[Any] = []
    hook = module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        hook.remove()


@contextlib.contextmanager
def _fixed_output(module: torch.nn.Module, output: Any) -> Iterator[None]:
    """The module returns `output` without computing anything."""
    module.forward = lambda *args, **kwargs: output
    try:
        yield
    finally:
        del module.forward
