"""Estimate of the time of a run from a few real steps on this machine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import torch

from finetune.data.sorted_sets import MeasuredSet
from finetune.data.train_set import Collator, TrainSet
from finetune.kernels.install import install_kernels
from finetune.models.load import load_config, load_model
from finetune.models.outputs import model_outputs
from finetune.recipe import DEFAULT_RATE, with_rate
from finetune.training.objective import plain_losses
from finetune.training.prepare import Prepared
from finetune.training.random_state import same_random_state
from finetune.training.rate_folds import row_passes

STEPS = 3  # timed, after one that is not
EVALUATED = 64  # rows


def estimate_seconds(prepared: Prepared, threads: int) -> float:
    """Seconds of a whole run without early stopping and without the cost of its techniques.

    Args:
        prepared: The prepared run.
        threads: CPU threads that it will have.
    """
    with _threads(threads), same_random_state():
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = _plain_model(prepared, device)
        recipe, budget = prepared.recipe, prepared.budget
        step = _step_seconds(prepared, model, device)
        # Of the recipe's epochs: what a technique adds to them is in its declared cost.
        steps = (budget.steps or 0) * recipe.training.epochs / budget.epochs
        own = steps * step + _evaluation_seconds(prepared, model, device)
        plain = with_rate(recipe, DEFAULT_RATE)
        return own * row_passes(recipe, prepared.data) / row_passes(plain, prepared.data)  # with the choice of a rate


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _plain_model(prepared: Prepared, device: torch.device) -> Any:
    """Without techniques: their cost is multiplied on afterwards."""
    recipe, data = prepared.recipe, prepared.data
    model = load_model(recipe.model, load_config(recipe.model, data.task, data.labels), 0)
    model.to(device)
    if recipe.training.kernels == "fast":
        install_kernels(model, is_read_elsewhere=False, bf16=prepared.bf16)
    return model


def _step_seconds(prepared: Prepared, model: Any, device: torch.device) -> float:
    """Of one optimizer step: forward, backward, update."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    rows = TrainSet(prepared.data.train, prepared.encoder, {}, 0)
    chosen = _evenly_by_length(rows.lengths, prepared.recipe.training.batch_size)
    items = Collator(prepared.tokenizer)([rows[index] for index in chosen])
    batch = {key: value.to(device) for key, value in items.items()}
    labels = batch.pop("labels")
    seconds = []
    for _ in range(STEPS + 1):
        started = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=prepared.bf16):
            loss = plain_losses(prepared.data.task, model(**batch).logits.float(), labels).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        float(loss.detach())  # waits for a GPU
        seconds.append(time.perf_counter() - started)
    return sum(seconds[1:]) / STEPS


def _evaluation_seconds(prepared: Prepared, model: Any, device: torch.device) -> float:
    """Of all evaluations of a run: of train sample and validation in each epoch, and of everything in the end."""
    training, measured = prepared.recipe.training, prepared.measured
    rows = len(measured["train_probe"]) + len(measured["validation"])
    final_rows = sum(len(split) for split in measured.values())
    spread = _evenly_by_length(_lengths(measured["validation"]), EVALUATED)
    items = [measured["validation"][index] for index in spread]

    def per_row(bf16: bool) -> float:
        started = time.perf_counter()
        model_outputs(
            model,
            items,
            Collator(prepared.tokenizer),
            batch_size=training.eval_batch_size,
            device=device,
            autocast=torch.bfloat16 if bf16 else None,
        )
        return (time.perf_counter() - started) / len(items)

    in_training = per_row(training.kernels == "fast" and prepared.bf16)
    return training.epochs * rows * in_training + final_rows * per_row(False)


def _lengths(split: MeasuredSet) -> list[int]:
    """Tokens of each item."""
    return [len(split[index]["input_ids"]) for index in range(len(split))]


def _evenly_by_length(lengths: list[int], count: int) -> list[int]:
    """`count` positions, evenly spread over the lengths in ascending order."""
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    count = min(count, len(order))
    return [order[(2 * part + 1) * len(order) // (2 * count)] for part in range(count)]
