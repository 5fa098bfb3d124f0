"""Regenerate the report of finished runs from their records alone. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finetune.analysis.collect import APART, kind_of
from finetune.analysis.comparison import report_of
from finetune.analysis.quality_gates import Fields, parse_quality_gate
from finetune.errors import RecipeError
from finetune.listener import Listener
from finetune.records.report import Group
from finetune.records.store import check_no_file, lock_folder
from finetune.reports.files import write_report
from finetune.workflows.arguments import as_list
from finetune.workflows.default_listener import chosen_listener
from finetune.workflows.folders import RUNS
from finetune.workflows.publishing import again_tune, publish_curve, publish_sweep, tell_skipped
from finetune.workflows.results import CompareResult, CurveResult, SweepResult, TuneResult


def report(
    folders: str | Path | Sequence[str | Path],
    *,
    baseline: str | None = None,
    output: str | Path | None = None,
    fail_on: str | Sequence[str] | None = None,
    listener: Listener | None = None,
) -> CompareResult | CurveResult | SweepResult | TuneResult:
    """Analyse run records and write the report.

    Args:
        folders: Folders of a comparison, curve, sweep or tune, of runs, or that hold runs.
        baseline: The preset that others are compared with; by default that of the comparison, for single runs `none`.
        output: Folder of the report; by default the only given folder, else runs/report.
        fail_on: Quality gates, see `CompareResult.raise_failures`; a curve, a sweep and a tune have none.
        listener: As for `compare`.

    Raises:
        OutputError: There are no records, or they do not belong together.
        RecipeError: A gate is malformed.
    """
    listener = chosen_listener(listener)
    paths = [Path(folder) for folder in as_list(folders)]
    gates = as_list(fail_on)
    target = Path(output) if output is not None else paths[0] if len(paths) == 1 else RUNS / "report"
    kind = kind_of(paths[0]) if len(paths) == 1 else None
    if kind in APART:
        return _report_apart(paths[0], kind, target, baseline, gates, listener)
    found = report_of(paths, baseline)
    parsed = [[parse_quality_gate(text, _fields(group)) for text in gates] for group in found.groups]
    tell_skipped(found.skipped, listener)
    check_no_file(target)
    with lock_folder(target):
        return CompareResult(found, target, write_report(found, target), parsed)


def _fields(group: Group) -> Fields:
    names = [variant.name for variant in group.variants]
    return Fields(names, list(group.metrics), group.reported == "test", may_set=False)


def _report_apart(
    folder: Path, kind: str, target: Path, baseline: str | None, gates: Sequence[str], listener: Listener
) -> CurveResult | SweepResult | TuneResult:
    """A curve, a sweep and a tune have reports of their own.

    Raises:
        RecipeError: Quality gates were asked for, which are about presets on the same rows.
    """
    if gates:
        raise RecipeError(
            f"{folder} holds a {kind}, which has no quality gates. Leave it out.", argument="fail_on", found=gates[0]
        )
    check_no_file(target)
    if kind == "tune" and baseline is not None:
        raise RecipeError(
            "a tune compares with its default settings. Leave it out.", argument="baseline", found=baseline
        )
    with lock_folder(target):
        if kind == "tune":
            return TuneResult(*_in_place(target, again_tune(folder, target)))
        if kind == "sweep":
            return SweepResult(*_in_place(target, publish_sweep(folder, target, baseline, listener)))
        return CurveResult(*_in_place(target, publish_curve(folder, target, baseline, listener)))


def _in_place(target: Path, published: tuple[Any, list[Path]]) -> tuple[Any, Path, list[Path]]:
    found, written = published
    return found, target, written
