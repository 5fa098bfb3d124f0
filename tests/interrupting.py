"""Runs that are cut off and taken up again."""

from __future__ import annotations

import signal
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from finetune.records.schema import FinishedRecord
from tests.running import finetune, train


def killed(definition: str, *cases: Iterable[object]) -> None:
    """Call `die(*case)` for each case, in a process of its own that must not survive it.

    Args:
        definition: Python that defines `die`, which kills its process with signal 9 somewhere.
        cases: Arguments of the calls; texts, in the end.
    """
    program = f"{textwrap.dedent(definition)}\nimport sys\ndie(*sys.argv[1:])"
    for case in cases:
        done = finetune(*case, launcher=("-c", program))
        assert done.returncode == -signal.SIGKILL, f"{case}: nobody killed it: {done.stderr}"


class AtStep(TrainerCallback):
    """Does something at the end of a step."""

    def __init__(self, step: int, act: Callable[[], Any]) -> None:
        self.step, self.act = step, act

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            self.act()


class InterruptAt(TrainerCallback):
    """Raises what Ctrl-C raises, at the end of a given step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


def interrupted_and_resumed(recipe: Path, folder: Path, step: int) -> FinishedRecord:
    """Train, press Ctrl-C after an optimizer step, and resume from the last checkpoint."""
    with pytest.raises(KeyboardInterrupt):
        train(recipe, folder, callbacks=[InterruptAt(step)])
    return train(recipe, folder, resume=True)


def timeless(record: FinishedRecord) -> dict[str, Any]:
    """What must not depend on when and how often a run was started."""
    return record.model_dump(exclude={"time"})
