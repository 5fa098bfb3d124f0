"""What a comparison ends with: the recommended model in a stable place, trained once more if that is asked for."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from finetune.errors import OutputError
from finetune.experiments.matrix import Cell
from finetune.records.comparison import ComparisonFolder
from finetune.records.report import Group, Recommendation, Report
from finetune.records.store import RunFolder


def ship_model(group: Group, folder: ComparisonFolder) -> str:
    """Copy the recommended model to where it is looked for; a kill leaves the old one or the new one.

    Returns:
        The folder of its run, below the comparison's.

    Raises:
        OutputError: Nothing is recommended, or the model was removed.
    """
    chosen = _recommended(group)
    source = RunFolder(Path(chosen.refit.run if chosen.refit is not None else chosen.run))
    if not source.model.is_dir():
        shutil.rmtree(folder.model, ignore_errors=True)  # of an earlier choice: not what this report recommends
        raise OutputError(f"{source.model}: is missing. Delete {source.path} and run the comparison again.")
    partial = folder.model.with_name(f".{folder.model.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source.model, partial)
    shutil.rmtree(folder.model, ignore_errors=True)
    partial.rename(folder.model)
    return str(source.path.relative_to(folder.path))


def with_shipped_model(report: Report, folder: ComparisonFolder) -> Report:
    """The report of a comparison after `ship_model`, which changes nothing in it but where the model lies."""
    group = report.groups[0]
    recommendation = _recommended(group).model_copy(update={"model": str(folder.model)})
    return report.model_copy(update={"groups": [group.model_copy(update={"recommendation": recommendation})]})


def refit(folder: ComparisonFolder, group: Group, cells: Sequence[Cell], callbacks: Callable[[str], Any]) -> str:
    """Train the recommended preset once more on train and validation, for the median of its selected steps.

    Args:
        folder: Of the comparison.
        group: Its analysis.
        cells: Its cells.
        callbacks: Title -> transformers callbacks, such as a progress bar.

    Returns:
        The run's folder, below the comparison's. Finished once, it is not trained again.

    Raises:
        OutputError: Nothing is recommended.
        RunFailed: Training could not go on.
    """
    from finetune.training.prepare import prepare
    from finetune.training.refit import refitted
    from finetune.training.runner import run_seed

    chosen = _recommended(group)
    place = (chosen.variant, chosen.seed, chosen.fold)
    cell = next(cell for cell in cells if (cell.entry.variant, cell.entry.seed, cell.entry.fold) == place)
    variant = next(variant for variant in group.variants if variant.name == chosen.variant)
    steps = round(statistics.median(run.selected_step for run in variant.runs if run.selected_step is not None))
    inside = f"refits/{Path(cell.entry.folder).name}-{steps}"
    run = RunFolder(folder.path / inside)
    record = run.read()
    if record is None or record.status != "finished":
        selected = folder.cell(cell.entry).read()
        share = None if selected is None or selected.selected is None else selected.selected.share
        prepared = refitted(prepare(cell.recipe), steps, share)
        with run.locked():
            run_seed(prepared, chosen.seed, run, callbacks(f"refit of {chosen.variant}"), resume=True)
    return inside


def _recommended(group: Group) -> Recommendation:
    if group.recommendation is None:
        raise OutputError("nothing is recommended, so there is no model to keep.")
    return group.recommendation
