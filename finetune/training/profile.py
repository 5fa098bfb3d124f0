"""`finetune run --profile`: profiles a few training steps and a few batches of the first evaluation of a run.

Profiling changes no number: it draws no random numbers and changes no computation or placement. It only takes time.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from transformers import TrainerCallback

from finetune.atomic import write_text
from finetune.data.train_set import TrainSet
from finetune.records.profile import Padding, Products, RunProfile, Watched
from finetune.records.schema import RunRecord
from finetune.training.batches import StepBatches
from finetune.training.building import step_batches
from finetune.training.operations import products_in, time_alone, time_by_kind, wait_for
from finetune.training.phases import PROFILING, Stopwatch
from finetune.training.prepare import Prepared

WARM_UP = 3  # steps and batches that pay once for what all others find ready
STEPS = 10
BATCHES = 20


class OperationProfile(TrainerCallback):
    """Profiles the first steps of an epoch, and the first evaluation batches.

    Args:
        prepared: Preparation of the run.
        stopwatch: Stopwatch of the run, so that profiling counts as such.
    """

    def __init__(self, prepared: Prepared, stopwatch: Stopwatch) -> None:
        self._prepared = prepared
        self._stopwatch = stopwatch
        steps = prepared.budget.steps_per_epoch
        assert steps is not None, "a prepared run knows its rows"
        # All in one epoch: an evaluation is no part of a step.
        self._training = _Look(min(WARM_UP, steps - 1), min(STEPS, max(1, steps - WARM_UP)))
        # Of two splits at least one batch each is measured: the first warms up, and has begun before this is called.
        self._evaluation = _Look(1, BATCHES, begun=1)
        self._evaluates_in_bf16 = False

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        with self._stopwatch.phase(PROFILING):
            self._training.begin(args.device)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        with self._stopwatch.phase(PROFILING):
            self._training.end()

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called after each evaluation batch; the next one begins where the last ends."""
        with self._stopwatch.phase(PROFILING):
            self._evaluation.end()
            self._evaluation.begin(args.device)
            if not self._evaluation.is_over:
                self._evaluates_in_bf16 = torch.is_autocast_enabled(args.device.type)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        with self._stopwatch.phase(PROFILING):
            self._evaluation.stop()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.close()

    def close(self) -> None:
        """Stop profiling, wherever the run has stopped."""
        with self._stopwatch.phase(PROFILING):
            self._training.stop()
            self._evaluation.stop()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was profiled: neither a step nor a batch."""
        return self._training.is_empty and self._evaluation.is_empty

    def write(self, record: RunRecord, folder: Path) -> RunProfile:
        """Evaluate the profile after the run, and write profile.json and a trace of each part.

        Args:
            record: Record of the finished run.
            folder: Created if needed.
        """
        measured = RunProfile(
            seed=record.seed,
            threads=torch.get_num_threads(),
            device="cuda" if torch.cuda.is_available() else "cpu",
            time=record.time,
            training=self._training.summary(self._prepared.bf16),
            evaluation=self._evaluation.summary(self._evaluates_in_bf16),
            padding=_padding(self._prepared, record.seed),
        )
        folder.mkdir(exist_ok=True)
        write_text(folder / "profile.json", measured.model_dump_json(indent=2) + "\n")
        self._training.write_trace(folder / "trace-training.json.gz")
        self._evaluation.write_trace(folder / "trace-evaluation.json.gz")
        return measured


def _padding(prepared: Prepared, seed: int) -> Padding:
    """Of this process, from the lengths of texts as they are."""
    training, train = prepared.recipe.training, prepared.data.train
    lengths = TrainSet(train, prepared.encoder, {}, seed).lengths

    def padding_of(batches: StepBatches) -> float:
        texts = [[lengths[row] for row in batch] for batch in batches]
        return 1 - sum(map(sum, texts)) / sum(len(batch) * max(batch) for batch in texts)

    grouped = step_batches(prepared, seed, lengths)
    present = grouped if training.group_by_length else step_batches(prepared, seed, None)
    return Padding(present=padding_of(present), grouped=padding_of(grouped))


class _Look:
    """One stretch of units (steps or batches) that is profiled, after some that are skipped."""

    def __init__(self, passes: int, count: int, begun: int = 0) -> None:
        self._passes = passes
        self._count = count
        self._begun = begun
        self._done = 0
        self._seconds = 0.0
        self._since: float | None = None
        self._device = torch.device("cpu")
        self._profiler: Any = None
        self._over = False

    def begin(self, device: torch.device) -> None:
        """A unit begins."""
        self._begun += 1
        if self._profiler is None and not self._over and self._begun > self._passes:
            self._device = device
            activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
            self._profiler = profile(activities=activities, record_shapes=True)
            wait_for(device)
            self._profiler.start()
            self._since = time.perf_counter()

    def end(self) -> None:
        """A unit ends."""
        if self._profiler is None or self._over:
            return
        assert self._since is not None, "a profiler that looks was started"
        wait_for(self._device)
        self._seconds = time.perf_counter() - self._since
        self._done += 1
        if self._done == self._count:
            self.stop()

    def stop(self) -> None:
        """Stop profiling; a unit that has begun but not ended does not count."""
        if self._profiler is not None and not self._over:
            self._profiler.stop()
        self._over = True

    @property
    def is_empty(self) -> bool:
        return not self._done

    @property
    def is_over(self) -> bool:
        return self._over

    def summary(self, bf16: bool) -> Watched | None:
        """Means per unit; None if none was profiled.

        Args:
            bf16: Whether matrix products were computed in bf16.
        """
        if self.is_empty:
            return None
        events = self._profiler.events()
        wall = 1000 * self._seconds / self._done
        spent = time_by_kind(events, self._device.type == "cuda")
        groups = {kind: milliseconds / self._done for kind, milliseconds in spent.items()}
        products = products_in(events)
        dtype = torch.bfloat16 if bf16 else torch.float32
        return Watched(
            precision="bf16" if bf16 else "fp32",
            first=self._passes + 1,
            count=self._done,
            milliseconds=wall,
            groups=groups,
            between=max(0.0, wall - sum(groups.values())),
            products=Products(
                multiply_adds=sum(product.multiply_adds * times for product, times in products.items()) / self._done,
                milliseconds=time_alone(products, dtype, self._device) / self._done,
            ),
        )

    def write_trace(self, path: Path) -> None:
        """Write a trace for chrome://tracing or ui.perfetto.dev; nothing if nothing was profiled."""
        if not self.is_empty:
            self._profiler.export_chrome_trace(str(path))
