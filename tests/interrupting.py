"""Runs that are cut off and taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from finetune.records.schema import RunRecord
from tests.running import train


class InterruptAt(TrainerCallback):
    """Raises what Ctrl-C raises, at the end of a given step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


def interrupted_and_resumed(recipe: Path, folder: Path, step: int) -> RunRecord:
    """Train, press Ctrl-C after an optimizer step, and resume from the last checkpoint."""
    with pytest.raises(KeyboardInterrupt):
        train(recipe, folder, callbacks=[InterruptAt(step)])
    return train(recipe, folder, resume=True)


def timeless(record: RunRecord) -> dict[str, Any]:
    """What must not depend on when and how often a run was started."""
    return record.model_dump(exclude={"time"})
