"""The end of a comparison: the recommended model in a stable place."""

from __future__ import annotations

import shutil
from pathlib import Path

from finetune.atomic import replaced_folder
from finetune.errors import OutputError
from finetune.records.comparison import ComparisonFolder
from finetune.records.report import Group, Recommendation, Report
from finetune.records.store import RunFolder


def export_model(group: Group, folder: ComparisonFolder) -> str:
    """Copy the recommended model to its fixed place; a kill leaves the old one or the new one.

    Returns:
        The folder of its run, relative to that of the comparison.

    Raises:
        OutputError: Nothing is recommended, or the model was removed.
    """
    chosen = _recommended(group)
    source = RunFolder(Path(chosen.run if chosen.final is None else chosen.final.run))
    if not source.model.is_dir():
        shutil.rmtree(folder.model, ignore_errors=True)  # of an earlier choice: not what this report recommends
        raise OutputError(f"{source.model}: is missing. Delete {source.path} and run the comparison again.")
    with replaced_folder(folder.model) as partial:
        shutil.copytree(source.model, partial)
    return str(source.path.relative_to(folder.path))


def with_exported_model(report: Report, folder: ComparisonFolder) -> Report:
    """The report of a comparison after `export_model`, which changes only the location of the model in it."""
    group = report.groups[0]
    recommendation = _recommended(group).model_copy(update={"model": str(folder.model)})
    return report.model_copy(update={"groups": [group.model_copy(update={"recommendation": recommendation})]})


def _recommended(group: Group) -> Recommendation:
    if group.recommendation is None:
        raise OutputError("nothing is recommended, so there is no model to keep.")
    return group.recommendation
