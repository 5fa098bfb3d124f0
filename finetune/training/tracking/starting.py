"""Before a run starts: missing trackers, and where the others write."""

from __future__ import annotations

from pathlib import Path

from finetune.errors import Change, Problem
from finetune.recipe import Recipe
from finetune.training.tracking.trackers import TRACKERS

KEY = "training.report_to"


def tracker_problems(recipe: Recipe) -> list[Problem]:
    """Trackers that the recipe names but that are not installed."""
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
    """How to view the logs of each tracker.

    Args:
        recipe: Recipe of the runs.
        folder: Folder of the run, or of all runs.
        group: Name of the comparison.
    """
    return [f"{KEY}: {name} ({TRACKERS[name].where(folder, group)})" for name in recipe.training.report_to]
