"""Runs that are cut off and taken up again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from finetune.records.schema import FinishedRecord
from tests.running import REPOSITORY, train

# A process for each case, forked when libraries are loaded.
_FORKED = """
    import json, os, signal, sys
    from tests.forks import fork

    for case in json.loads(sys.argv[1]):
        _, status = os.waitpid(fork(lambda case=case: die(*case)), 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            sys.exit(f"{case}: nobody killed it")
"""


def killed(definition: str, *cases: Iterable[object]) -> None:
    """Call `die(*case)` for each case, in a process of its own that must not survive it.

    Args:
        definition: Python that defines `die`, which kills its process with signal 9 somewhere.
        cases: Arguments of the calls; texts, in the end.
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(definition) + textwrap.dedent(_FORKED), _texts(cases)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _texts(cases: Iterable[Iterable[object]]) -> str:
    return json.dumps([[str(value) for value in case] for case in cases])


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
