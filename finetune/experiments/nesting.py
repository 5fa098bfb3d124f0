"""Refuses an experiment inside another one, which would share its seeds, locks and cores."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar

from finetune.errors import Change, RecipeError

_RUNNING: ContextVar[str | None] = ContextVar("finetune_running", default=None)


@contextlib.contextmanager
def inside_experiment(folder: str) -> Iterator[None]:
    """Mark calls inside as part of the experiment in `folder`."""
    token = _RUNNING.set(folder)
    try:
        yield
    finally:
        _RUNNING.reset(token)


def refuse_nested(what: str) -> None:
    """Refuse to start `what` while something else is running.

    Raises:
        RecipeError: The call comes from a run or an experiment, or a launcher has started this process as one of
            several.
    """
    running = _RUNNING.get()
    if running is not None:
        raise RecipeError(
            f"finetune.{what} was called while {running} is running, from a metric, a technique or a listener of it.",
            Change(text="Call it after that has ended."),
        )
    if what != "run" and os.environ.get("WORLD_SIZE", "1") not in ("", "1"):
        raise RecipeError(
            f"finetune {what} starts its own processes.",
            Change(arguments={"jobs": os.environ["WORLD_SIZE"]}, note="without a launcher"),
        )
