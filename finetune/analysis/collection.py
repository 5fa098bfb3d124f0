"""The runs of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from finetune.records.comparison import FinalName, Kind, SeedLook, VariantEntry
from finetune.records.explained import ExplainedRows
from finetune.records.predictions import Arrays
from finetune.records.schema import OWN, FinishedRecord, RunRecord
from finetune.records.store import RunFolder

DEFAULT_BASELINE = "none"


@dataclass(frozen=True)
class CollectedRun:
    """A run that belongs to a comparison, whatever its outcome.

    Attributes:
        variant: Name of its variant.
        seed: Seed of the run.
        fold: The fold that was test, or None.
        folder: Its folder.
        record: Its record; None if it has none.
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
    """A finished run.

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
    """A `FinishedRun` if the record says so."""
    if isinstance(record, FinishedRecord):
        return FinishedRun(variant, seed, fold, folder, record, error, arrays)
    return CollectedRun(variant, seed, fold, folder, record, error)


def recorded_run(folder: RunFolder, record: RunRecord, arrays: Arrays) -> CollectedRun:
    """A run known only from its record."""
    fold = record.recipe["data"].get("fold")
    return collected_run(record.preset or OWN, record.seed, fold, folder, record, record.error, arrays)


@dataclass(frozen=True)
class FinalJob:
    """A job that makes a model from runs of a comparison.

    Attributes:
        kind: refit, soup or distil.
        inputs: Folders of the runs that it starts from.
        run: Its outcome.
    """

    kind: str
    inputs: frozenset[Path]
    run: CollectedRun


@dataclass(frozen=True)
class Collection:
    """Runs of one recipe on one data set, which become one group of the report.

    Attributes:
        name: Name of the recipe, made distinct among several.
        kind: Kind of experiment; "runs" for runs that belong to none.
        baseline: Name of the variant (for a curve, of the preset) that others are compared with.
        variants: The baseline first.
        runs: Runs of all variants, in the order of the manifest.
        command: Command that started it, or None if unknown.
        texts: Fingerprint of the data -> row -> its text and pair; empty if they were not kept.
        explained: Explained predictions of the final model for rows on which presets disagree; None if there are none.
        final_model: A run, and the path of a copy of its model.
        final: Requested kind of final model.
        finals: Jobs for that, of this or earlier commands.
        most_seeds: The most seeds, if seeds were added by a rule.
        looks: The looks of that rule.
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
    most_seeds: int | None = None
    looks: Sequence[SeedLook] = ()

    @property
    def finished(self) -> list[FinishedRun]:
        """The finished runs."""
        return [run for run in self.runs if isinstance(run, FinishedRun)]

    @property
    def records(self) -> list[RunRecord]:
        """Records of all runs that have one."""
        return [run.record for run in self.runs if run.record is not None]
