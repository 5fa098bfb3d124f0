"""What the tests of commands that run experiments share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune.experiments.executors import EXECUTORS
from tests.experiments.inline import REFERENCE, RecordingExecutor


@pytest.fixture(scope="module")
def workers(place: Path) -> Iterator[type[RecordingExecutor]]:
    """Experiments of a module run in this process, and in its folder `place`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setitem(EXECUTORS, "local", REFERENCE)
        patch.setattr(RecordingExecutor, "folders", [])
        patch.setattr(RecordingExecutor, "stops_after", None)
        yield RecordingExecutor
