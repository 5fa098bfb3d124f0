"""How long a run will take, from a few real steps on this machine."""

from __future__ import annotations

import contextlib
import random
import time

import numpy as np
import torch

from finetune.data.tokens import Collator, MeasuredSet, TrainSet
from finetune.kernels import install_kernels
from finetune.models.load import load_config, load_model
from finetune.training.prepare import Prepared
from finetune.training.trainer import plain_losses

STEPS = 3  # timed, after one that is not
EVALUATED = 64  # rows


def estimate_seconds(prepared: Prepared, threads: int) -> float:
    """Seconds of a whole run without early stop and without what its techniques cost.

    Args:
        prepared: The run.
        threads: CPU threads that it will have.
    """
    before = torch.get_num_threads(), random.getstate(), np.random.get_state()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            return _estimate(prepared)
    finally:
        torch.set_num_threads(before[0])
        random.setstate(before[1])
        np.random.set_state(before[2])


def _estimate(prepared: Prepared) -> float:
    recipe, data, budget = prepared.recipe, prepared.data, prepared.budget
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # The plain model: what techniques cost is multiplied on afterwards.
    model = load_model(recipe.model, load_config(recipe.model, data.task, data.labels), 0)
    model.to(device)
    fast = recipe.training.kernels == "fast"
    if fast:
        install_kernels(model, is_read_elsewhere=False, bf16=prepared.bf16)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    collate = Collator(prepared.tokenizer)
    rows = TrainSet(data.train, prepared.encoder, {}, 0)
    chosen = [rows[index] for index in _of_all_lengths(rows.lengths, recipe.training.batch_size)]
    batch = {key: value.to(device) for key, value in collate(chosen).items()}
    labels = batch.pop("labels")
    seconds = []
    for _ in range(STEPS + 1):
        started = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16) if prepared.bf16 else contextlib.nullcontext():
            loss = plain_losses(data.task, model(**batch).logits.float(), labels).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        float(loss.detach())  # waits for a GPU
        seconds.append(time.perf_counter() - started)
    measured = prepared.measured["validation"]
    once = sum(len(prepared.measured[name]) for name in ("train_probe", "validation"))
    in_the_end = once + (len(prepared.measured["test"]) if "test" in prepared.measured else 0)

    def per_row(rounded: bool) -> float:
        return _evaluation_seconds(model, measured, collate, recipe.training.eval_batch_size, device, rounded)

    evaluating = recipe.training.epochs * once * per_row(fast and prepared.bf16) + in_the_end * per_row(False)
    # Of the recipe's epochs: what a technique adds to them is in its declared cost.
    steps = (budget.steps or 0) * recipe.training.epochs / budget.epochs
    return steps * sum(seconds[1:]) / STEPS + evaluating


def _evaluation_seconds(
    model: torch.nn.Module, rows: MeasuredSet, collate: Collator, batch_size: int, device: torch.device, rounded: bool
) -> float:
    """Of one row, in fp32 or, `rounded`, in bf16."""
    model.eval()
    spread = _of_all_lengths([len(rows[index]["input_ids"]) for index in range(len(rows))], EVALUATED)
    items = [rows[index] for index in spread]
    started = time.perf_counter()
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=rounded):
        for start in range(0, len(items), batch_size):
            batch = {key: value.to(device) for key, value in collate(items[start : start + batch_size]).items()}
            batch.pop("labels")
            model(**batch)
    return (time.perf_counter() - started) / len(items)


def _of_all_lengths(lengths: list[int], count: int) -> list[int]:
    """`count` positions, evenly spread over the lengths in ascending order."""
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    count = min(count, len(order))
    return [order[(2 * part + 1) * len(order) // (2 * count)] for part in range(count)]
