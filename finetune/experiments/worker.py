"""A process that runs cells one after the other: torch is imported once, data and tokens are kept."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from finetune.errors import FinetuneError
from finetune.recipe import Recipe


@dataclass(frozen=True)
class Task:
    """A cell to run: its place in the matrix, what to run, and where."""

    index: int
    recipe: Recipe
    folder: Path


@dataclass(frozen=True)
class Event:
    """What a worker tells: started, step, evaluated, finished, failed or interrupted.

    Attributes:
        kind: One of the above.
        index: Of the task.
        step: Optimizer steps done.
        steps: Optimizer steps of the run.
        scores: After an evaluation: train_probe and validation.
        message: Why it failed.
    """

    kind: str
    index: int
    step: int = 0
    steps: int = 0
    scores: dict[str, dict[str, float]] | None = None
    message: str = ""


def serve(tasks: Connection, threads: int, gpu: int | None) -> None:
    """Run tasks until None comes. Ends at once when the parent is gone.

    Args:
        tasks: Receives `Task`, sends `Event`.
        threads: CPU threads of this worker.
        gpu: Number of the only GPU that this worker sees, among the visible ones; None for the CPU.
    """
    # Ctrl-C in a terminal reaches the whole process group; the parent alone decides and passes it on.
    os.setpgid(0, 0)
    _die_with(os.getppid())
    if gpu is not None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # of those that this program may use
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[gpu] if visible else str(gpu)
    # While libraries are loaded there is nothing to put away: Ctrl-C, held since the start, ends the process at once.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _load_libraries(threads)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        prepared_for = _Preparations()
        while (task := tasks.recv()) is not None:
            tasks.send(_run(task, prepared_for, tasks.send))
    except (KeyboardInterrupt, EOFError, BrokenPipeError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would only disturb the end


def _load_libraries(threads: int) -> None:
    from finetune.allocation import tune_allocator
    from finetune.quiet import quieten_libraries

    quieten_libraries()
    tune_allocator()
    import torch

    import finetune.training.runner  # noqa: F401 - what every cell needs, before the first is timed

    torch.set_num_threads(threads)
    # accelerate collects garbage in every run; what was imported is never garbage, and need not be walked through.
    gc.collect()
    gc.freeze()


class _Preparations:
    """What cells share: data, tokens and checks; seeds of a preset prepare once."""

    def __init__(self) -> None:
        self._data: tuple[str, Any] = ("", None)
        self._prepared: dict[str, Any] = {}

    def __call__(self, recipe: Recipe) -> Any:
        from finetune.data.load import load_data
        from finetune.training.prepare import prepare

        of_data = recipe.data.model_dump_json()
        if of_data != self._data[0]:  # folds come one after the other: keep one
            self._prepared.clear()
            self._data = (of_data, load_data(recipe.data))
        without_seed = recipe.training.model_copy(update={"seeds": [0]})
        key = recipe.model_copy(update={"training": without_seed}).model_dump_json()
        if key not in self._prepared:
            self._prepared[key] = prepare(recipe, self._data[1])
        return self._prepared[key]


def _run(task: Task, prepared_for: Callable[[Recipe], Any], send: Callable[[Event], None]) -> Event:
    from finetune.records.store import RunFolder
    from finetune.training.runner import run_seed

    send(Event("started", task.index))
    folder = RunFolder(task.folder)
    try:
        with folder.locked():
            prepared = prepared_for(task.recipe)
            seed = task.recipe.training.seeds[0]
            run_seed(prepared, seed, folder, [_reporter(task.index, send)], resume=True)
    except KeyboardInterrupt:
        send(Event("interrupted", task.index))
        raise
    except FinetuneError as error:
        return Event("failed", task.index, message=error.for_command_line())
    except Exception as error:  # a bug in one cell must not take the others with it; its record tells
        return Event("failed", task.index, message=f"{type(error).__name__}: {error}")
    return Event("finished", task.index)


def _reporter(index: int, send: Callable[[Event], None]) -> Any:
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        """Sends a step at most once a second, and every evaluation."""

        def __init__(self) -> None:
            self._sent = 0.0

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if time.monotonic() - self._sent > 1:
                self._sent = time.monotonic()
                send(Event("step", index, state.global_step, state.max_steps))

        def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            scores = {
                split: {
                    key.removeprefix(f"eval_{split}_"): value
                    for key, value in kwargs["metrics"].items()
                    if key.startswith(f"eval_{split}_")
                }
                for split in ("train_probe", "validation")
            }
            send(Event("evaluated", index, state.global_step, state.max_steps, scores))

    return Reporter()


def _die_with(parent: int) -> None:
    """End this process when its parent is gone, whatever it is doing: a killed comparison leaves nothing behind."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
