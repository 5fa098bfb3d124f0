"""The runs that a report is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from finetune.records.comparison import FinalName, Kind, VariantEntry
from finetune.records.explained import ExplainedRows
from finetune.records.predictions import Arrays
from finetune.records.schema import OWN, FinishedRecord, RunRecord
from finetune.records.store import RunFolder

DEFAULT_BASELINE = "none"


@dataclass(frozen=True)
class CollectedRun:
    """A run that belongs to a comparison, whatever became of it.

    Attributes:
        variant: Name of the variant that it is a run of.
        seed: Of the run.
        fold: The fold that was test, or None.
        folder: Where it lies.
        record: None if it never got that far.
        error: Why it failed.
    """

    variant: str
    seed: int
    fold: int | None
    folder: RunFolder
    record: RunRecord | None
    error: str | None


@dataclass(frozen=True)
class FinishedRun(CollectedRun):
    """A run that went to its end.

    Attributes:
        arrays: Logits, targets and row numbers, as `predictions.npz` names them.
    """

    record: FinishedRecord
    arrays: Arrays


def collected_run(
    variant: str,
    seed: int,
    fold: int | None,
    folder: RunFolder,
    record: RunRecord | None,
    error: str | None,
    arrays: Arrays,
) -> CollectedRun:
    """A `FinishedRun`, where the record says so."""
    if isinstance(record, FinishedRecord):
        return FinishedRun(variant, seed, fold, folder, record, error, arrays)
    return CollectedRun(variant, seed, fold, folder, record, error)


def recorded_run(folder: RunFolder, record: RunRecord, arrays: Arrays) -> CollectedRun:
    """A run of which the record is all that is known."""
    fold = record.recipe["data"].get("fold")
    return collected_run(record.preset or OWN, record.seed, fold, folder, record, record.error, arrays)


@dataclass(frozen=True)
class FinalJob:
    """What was made, or was to be made, from runs of a comparison.

    Attributes:
        kind: refit, soup or distil.
        inputs: Folders of the runs that it started from.
        run: What became of it.
    """

    kind: str
    inputs: frozenset[Path]
    run: CollectedRun


@dataclass(frozen=True)
class Collection:
    """Runs of one recipe on one data set: what becomes one group of the report.

    Attributes:
        name: Of the recipe, made distinct among several.
        kind: What was asked for; "runs" for runs that belong to no comparison.
        baseline: Name of the variant (of a curve, of the preset) that others are compared with.
        variants: The baseline first.
        runs: Of all variants, in the order of the manifest.
        command: What started it, or None where that is not known.
        texts: Fingerprint of the data -> row -> its text and pair; empty where they were not kept.
        explained: Answers of the final model to rows that presets disagree on; None where they were not explained.
        final_model: A run, and where a copy of its model is kept.
        final: What it was asked to end with.
        finals: What was made for that, now or by earlier commands.
    """

    name: str
    kind: Kind | Literal["runs"]
    baseline: str
    variants: list[VariantEntry]
    runs: list[CollectedRun]
    command: str | None
    texts: dict[str, Any]
    explained: ExplainedRows | None = None
    final_model: tuple[Path, Path] | None = None
    final: FinalName = "best"
    finals: Sequence[FinalJob] = ()

    @property
    def finished(self) -> list[FinishedRun]:
        """Runs that went to their end."""
        return [run for run in self.runs if isinstance(run, FinishedRun)]

    @property
    def records(self) -> list[RunRecord]:
        """Records of all runs that have one."""
        return [run.record for run in self.runs if run.record is not None]
