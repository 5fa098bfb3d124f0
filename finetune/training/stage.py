"""Stages before fine-tuning of techniques that have one: their optimizer steps, in one or several processes."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from finetune.checks.baselines import encode_targets
from finetune.data.train_set import Collator, TrainSet
from finetune.errors import Change, RunFailed
from finetune.kernels.head import output_map
from finetune.models.pooling_layer import HEADS
from finetune.techniques import FirstStage, Stage, hook_of, overrides
from finetune.training.distributed import rank, world_size
from finetune.training.random_state import same_random_state

if TYPE_CHECKING:
    from finetune.training.prepare import Prepared


def run_stages(prepared: Prepared, model: Any, seed: int, device: torch.device) -> None:
    """Let each technique that has a stage before fine-tuning train the model in place. Every process calls it.

    Args:
        prepared: Preparation of the run.
        model: With its weights, on `device`, not wrapped for several processes.
        seed: Seed of the run.
        device: Device of the model.

    Raises:
        RunFailed: A loss is not finite.
    """
    staged = {name: each for name, each in prepared.recipe.techniques.items() if _has_stage(each)}
    if not staged:
        return
    rows = TrainSet(prepared.data.train, prepared.encoder, {}, seed)
    collate = Collator(prepared.tokenizer)

    def inputs(chosen: Sequence[int]) -> dict[str, Tensor]:
        batch = collate([rows[index] for index in chosen])
        return {name: value.to(device) for name, value in batch.items() if name != "labels"}

    for name, technique in staged.items():
        trainer = _StageTrainer(prepared, model, name, device)
        stage = Stage(
            technique=name,
            task=prepared.data.task,
            targets=encode_targets(prepared.data, prepared.data.train),
            seed=seed,
            model=model,
            inputs=inputs,
            embed=lambda chosen: embeddings(model, inputs(chosen)),
            train=trainer,
        )
        with same_random_state(), _without_hooks(model):
            hook_of(technique, FirstStage.before_training)(stage)
        share_weights(model)


@contextlib.contextmanager
def _without_hooks(model: nn.Module) -> Iterator[None]:
    """Forward hooks of techniques change passes of the run's own objective (mixtures, noise): they rest inside."""
    before = [(module, module._forward_pre_hooks, module._forward_hooks) for module in model.modules()]
    for module, _, _ in before:
        module._forward_pre_hooks, module._forward_hooks = OrderedDict(), OrderedDict()
    try:
        yield
    finally:
        for module, ahead, behind in before:
            module._forward_pre_hooks, module._forward_hooks = ahead, behind


def _has_stage(technique: Any) -> bool:
    return overrides(technique, FirstStage.before_training)


def embeddings(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """(rows, width) embeddings that the head reads for each text, with a gradient: the input of the first map of a head
    of a known architecture (the pooled token), else of its output map.
    """
    caught: list[Tensor] = []
    with _caught_by(_reader(model), caught):
        model(**inputs)
    return caught[0].float()


def _reader(model: Any) -> nn.Module:
    head = HEADS.get(model.config.model_type)
    if head is not None:
        module: nn.Module = model.get_submodule(head.dense)
        return module
    output = output_map(model)
    if output is None:
        raise RunFailed(
            f"the head of architecture '{model.config.model_type}' has no linear map that reads embeddings."
        )
    return output


@contextlib.contextmanager
def _caught_by(module: nn.Module, caught: list[Tensor]) -> Iterator[None]:
    """What the module is given inside."""
    handle = module.register_forward_pre_hook(lambda _, arguments: caught.append(arguments[0]))
    try:
        yield
    finally:
        handle.remove()


class _StageTrainer:
    """`StageTraining` for one technique."""

    def __init__(self, prepared: Prepared, model: Any, technique: str, device: torch.device) -> None:
        self._prepared = prepared
        self._model = model
        self._technique = technique
        self._device = device

    def __call__(
        self,
        batches: Sequence[Sequence[Any]],
        loss: Callable[[Sequence[Any]], Tensor],
        learning_rate: float,
        warmup: float = 0.1,
    ) -> None:
        parameters = [parameter for parameter in self._model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0)
        most = self._prepared.recipe.training.max_grad_norm
        was_training = self._model.training
        self._model.train()
        for step, batch in enumerate(batches):
            value = self._backward(batch, loss)
            self._refuse_infinite(value, step)
            _add_up(parameters)
            if most:
                torch.nn.utils.clip_grad_norm_(parameters, most)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * rate_at(step, len(batches), warmup)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self._model.train(was_training)

    def _backward(self, batch: Sequence[Any], loss: Callable[[Sequence[Any]], Tensor]) -> float:
        """This process's part of the mean loss over a batch, its gradient added to those of the parameters."""
        own = batch[rank() :: world_size()]
        if not own:
            return 0.0
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._prepared.bf16):
            part = loss(own) * (len(own) / len(batch))
        part.backward()
        return float(part.detach())

    def _refuse_infinite(self, value: float, step: int) -> None:
        if not np.isfinite(value):
            raise RunFailed(
                f"the loss of the stage before fine-tuning is {value} in its step {step + 1}.",
                Change(text=f"Lower techniques.{self._technique}.learning_rate."),
                key=f"techniques.{self._technique}",
            )


def rate_at(step: int, steps: int, warmup: float) -> float:
    """Learning rate in step 0 … `steps` − 1 as a fraction of the peak; never 0."""
    rising = round(warmup * steps)
    return (step + 1) / (rising + 1) if step < rising else (steps - step) / (steps - rising)


def _add_up(parameters: Sequence[nn.Parameter]) -> None:
    """The sum of the gradients of all processes, in each; a parameter without one in any process stays without."""
    if world_size() == 1:
        return
    import torch.distributed as distributed

    has = torch.tensor([float(each.grad is not None) for each in parameters], device=parameters[0].device)
    distributed.all_reduce(has)
    for parameter, count in zip(parameters, has.tolist(), strict=True):
        if count:
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            distributed.all_reduce(parameter.grad)


def share_weights(model: Any) -> None:
    """Copy the weights of the main process to all processes, since another processor may round differently."""
    if world_size() == 1:
        return
    import torch.distributed as distributed

    for parameter in model.parameters():
        if parameter.requires_grad:
            distributed.broadcast(parameter.data, src=0)
