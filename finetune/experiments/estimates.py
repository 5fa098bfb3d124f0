"""What a comparison would run, and how long that would take."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from finetune.experiments.executor import Workforce
from finetune.experiments.matrix import Cell, DataSets
from finetune.experiments.scheduler import CellState, look_up
from finetune.records.comparison import ComparisonFolder


def describe_cells(
    folder: ComparisonFolder, cells: Sequence[Cell], workforce: Workforce, data: DataSets
) -> dict[str, Any]:
    """The matrix with the state of each cell, and the seconds it will take.

    Seconds come from the finished cells of this folder where there are any, else from a few steps that are taken
    now on this machine; costs of techniques are the declared ones, and no early stop is counted.
    """
    states = [look_up(folder, cell) for cell in cells]
    todo = [state for state in states if state.status == "waiting"]
    plain, source = _plain_seconds(folder, states, workforce.threads, data)
    return {
        "cells": [{**state.cell.entry.model_dump(), "state": state.status} for state in states],
        "to_run": len(todo),
        "jobs": workforce.jobs,
        "threads": workforce.threads,
        "seconds": plain * sum(state.weight for state in todo) / workforce.jobs,
        "source": source,
    }


def _plain_seconds(
    folder: ComparisonFolder, states: Sequence[CellState], threads: int, data: DataSets
) -> tuple[float, str]:
    """Seconds of a cell of weight 1, and where they are from."""
    finished = [state for state in states if state.status == "finished"]
    records = [(state, folder.cell(state.cell.entry).read()) for state in finished]
    known = [record.time.seconds / state.weight for state, record in records if record is not None]
    if known:
        return statistics.mean(known), f"from {len(known)} finished cells"
    if not any(state.status == "waiting" for state in states):
        return 0.0, "nothing is left"
    from finetune.training.estimate import estimate_seconds
    from finetune.training.prepare import prepare

    cell = max((state.cell for state in states), key=lambda cell: cell.work)
    prepared = prepare(cell.recipe, data.load(cell.recipe.data))
    return estimate_seconds(prepared, threads) / cell.work, "from a few steps taken now"
