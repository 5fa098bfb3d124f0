"""Before a run starts: which trackers are missing, and where the others write."""

from __future__ import annotations

from pathlib import Path

from finetune.errors import Change, Problem
from finetune.recipe import Recipe
from finetune.training.tracking.trackers import TRACKERS

KEY = "training.report_to"


def tracker_problems(recipe: Recipe) -> list[Problem]:
    """Trackers that are named and not installed."""
    return [
        Problem(
            f"{name} is not installed.",
            KEY,
            found=name,
            changes=(Change(command=f"pip install {TRACKERS[name].install}"),),
        )
        for name in recipe.training.report_to
        if not TRACKERS[name].is_installed()
    ]


def tracker_notes(recipe: Recipe, folder: Path, group: str | None) -> list[str]:
    """How to look at what each tracker is told.

    Args:
        recipe: Of the runs.
        folder: Of the run, or of all of them.
        group: Name of the comparison.
    """
    return [f"{KEY}: {name} ({TRACKERS[name].where(folder, group)})" for name in recipe.training.report_to]
