"""Initial values of the head, if a technique computes them from the training rows. Names no technique."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from finetune.checks.baselines import encode_targets
from finetune.data.sorted_sets import MeasuredSet
from finetune.data.train_set import Collator
from finetune.errors import ModelError, RunFailed
from finetune.kernels.head import output_map
from finetune.models.head import HeadStart as ModelHead
from finetune.models.outputs import model_outputs
from finetune.techniques import HeadValues, ModelChanges, Technique, TrainingRows, hook_of, overrides
from finetune.techniques.changes import turned_off
from finetune.training.distributed import agree
from finetune.training.random_state import same_random_state

if TYPE_CHECKING:
    from finetune.training.prepare import Prepared


def refuse_unknown_head(techniques: Mapping[str, Technique], model: Any) -> None:
    """Refuse a technique that starts the head if the head has no output map to start.

    Args:
        techniques: Techniques of the run.
        model: With or without weights.

    Raises:
        ModelError: The head has no such map; the error names technique and architecture.
    """
    name = _starting(techniques)
    if name is None:
        return
    output = output_map(model)
    if output is None or output.bias is None:
        raise ModelError(
            f"the head of architecture '{model.config.model_type}' does not end in a linear map with a bias, so there "
            "is nothing to start.",
            turned_off(name),
            key=f"techniques.{name}",
        )


def described_head(techniques: Mapping[str, Technique], head: ModelHead) -> ModelHead:
    """Start of the outputs, with a technique's replacement of them in its reason."""
    name = _starting(techniques)
    if name is None or head.kind == "new":
        return head
    return replace(head, reason=f"{head.reason}; techniques.{name} then replaces the outputs")


def start_head(prepared: Prepared, model: Any, class_weights: Tensor | None, device: torch.device) -> None:
    """Start the head by the technique that does so, if any. Every process of a run calls it.

    Args:
        prepared: Preparation of the run.
        model: With its weights, on `device`, not wrapped for several processes; changed in place.
        class_weights: As in `TrainingRows`.
        device: Device of the model.

    Raises:
        RunFailed: The features of a training text, or the values made from them, are not finite.
    """
    name = _starting(prepared.recipe.techniques)
    output = output_map(model)
    if name is None or output is None:
        return

    def features(rows: Sequence[int]) -> NDArray[Any]:
        return _features(prepared, model, rows, device)

    targets = encode_targets(prepared.data, prepared.data.train)
    if prepared.scale is not None:
        targets = prepared.scale.scaled(targets)
    rows = TrainingRows(
        task=prepared.data.task,
        targets=targets,
        outputs=output.out_features,
        class_weights=None if class_weights is None else class_weights.cpu().numpy(),
        features=features,
    )
    with same_random_state():
        # The main process's: another processor may round otherwise.
        values: HeadValues | None = agree(hook_of(prepared.recipe.techniques[name], ModelChanges.start_head)(rows))
    if values is None:
        return
    _refuse_infinite(*values)
    with torch.no_grad():
        output.weight.copy_(torch.as_tensor(values.weight))
        output.bias.copy_(torch.as_tensor(values.bias))


def _starting(techniques: Mapping[str, Technique]) -> str | None:
    """Name of the technique that starts the head; two of them are a conflict."""
    return next((name for name, each in techniques.items() if overrides(each, ModelChanges.start_head)), None)


def _features(prepared: Prepared, model: Any, rows: Sequence[int], device: torch.device) -> NDArray[Any]:
    """(len(rows), width) what the output map reads of training rows, clean and in fp32; of a text in windows the mean,
    which gives the mean logits."""
    split = MeasuredSet(prepared.data.train.take(rows), prepared.encoder)
    with _passed_through(output_map(model)):
        outputs = model_outputs(
            model,
            split,
            Collator(prepared.tokenizer),
            batch_size=prepared.recipe.training.eval_batch_size,
            device=device,
        )
    features = split.pooled(outputs.logits)
    _refuse_infinite(features)
    return features


@contextlib.contextmanager
def _passed_through(module: nn.Module | None) -> Iterator[None]:
    """The module returns what it is given, so that the model's logits are what its output map reads."""
    assert module is not None, "checked when the run was prepared"
    module.forward = lambda input: input
    try:
        yield
    finally:
        del module.forward


def _refuse_infinite(*values: NDArray[Any]) -> None:
    if not all(np.isfinite(value).all() for value in values):
        raise RunFailed("the features of the training texts, from which the head is to start, are not finite.")
