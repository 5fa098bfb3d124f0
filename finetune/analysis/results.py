"""The results of each variant of a collection: its runs, their measurements, and summaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from finetune.advice.learning import is_degenerate
from finetune.analysis.collection import CollectedRun, Collection, FinishedRun
from finetune.analysis.measurements import GAPS, KINDS, Measurement, Measurements, RowDraws, measurements_of
from finetune.analysis.replicates import Key, Replicate, replicate_of, summarise
from finetune.analysis.sequential import Looks
from finetune.errors import OutputError
from finetune.measurement.scores import Measure, measure_of
from finetune.measurement.units import possible_range
from finetune.records.comparison import VariantEntry
from finetune.records.report import RunEntry, Summary
from finetune.records.schema import FinishedRecord
from finetune.tasks import Task

SHOWN_REASONS = 10  # why no run has finished


@dataclass(frozen=True)
class VariantResults:
    """The runs of one variant, in the order of seeds and folds.

    Attributes:
        entry: The variant.
        all_runs: All runs, including unfinished ones.
        runs: Finished runs.
        replicates: Replicates of the finished runs, in the same order.
        measurements: Kind -> metric -> measurement, per finished run.
    """

    entry: VariantEntry
    all_runs: list[CollectedRun]
    runs: list[FinishedRun]
    replicates: list[Replicate]
    measurements: list[Measurements]
    _summaries: dict[tuple[str, str], Summary] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def keys(self) -> list[Key]:
        """Seed and fold of each finished run."""
        return [replicate.key for replicate in self.replicates]

    @cached_property
    def known(self) -> frozenset[Key]:
        """The same as a set for lookups: with thousands of seeds a list takes minutes."""
        return frozenset(self.keys)

    @property
    def records(self) -> list[FinishedRecord]:
        """Records of the finished runs."""
        return [run.record for run in self.runs]

    @property
    def failed(self) -> int:
        """Runs that have not finished."""
        return len(self.all_runs) - len(self.runs)

    def column(self, kind: str, metric: str) -> list[Measurement]:
        """One measurement per finished run."""
        return [measurements[kind].get(metric, Measurement(None)) for measurements in self.measurements]

    def by_key(self, kind: str, metric: str) -> dict[Key, Measurement]:
        """Seed and fold -> measurement."""
        return dict(zip(self.keys, self.column(kind, metric), strict=True))

    def summary(self, kind: str, metric: str) -> Summary:
        """Summary over the finished runs."""
        if (kind, metric) not in self._summaries:
            self._summaries[kind, metric] = summarise(
                self.column(kind, metric), self.replicates, possible_range(metric, int(kind in GAPS))
            )
        return self._summaries[kind, metric]


class Results:
    """Measurements of all variants of one collection.

    Attributes:
        collection: The runs.
        first: The record of one finished run, from which common facts are read.
        task: What is predicted.
        measure: Main score and loss.
        reported: The split that scores are compared on.
        metrics: Names of all metrics.
        variants: Name -> results, in the order of the collection.

    Raises:
        OutputError: No run has finished.
    """

    def __init__(self, collection: Collection) -> None:
        finished = collection.finished
        if not finished:
            reasons = sorted({f"{run.variant} seed {run.seed}: {run.error or 'not run'}" for run in collection.runs})
            raise OutputError("\n".join([f"{collection.name}: no run has finished.", *reasons[:SHOWN_REASONS]]))
        self.collection = collection
        self.first = finished[0].record
        self.task: Task = self.first.data.task
        self.measure: Measure = measure_of(self.task, self.first.data.score)
        self.reported: Literal["test", "validation"] = "test" if "test" in self.first.data.rows else "validation"
        self.metrics = list(self.first.selected.validation)
        draws = RowDraws(finished, self.task)
        self.variants = {entry.name: self._results_of(entry, draws) for entry in collection.variants}

    def looks_at(self, kind: str) -> Looks | None:
        """The looks by which seeds were added, if this kind of number was looked at: everything but test."""
        most = self.collection.most_seeds
        return None if most is None or kind == "test" else Looks(most)

    def _results_of(self, entry: VariantEntry, draws: RowDraws) -> VariantResults:
        all_runs = [run for run in self.collection.runs if run.variant == entry.name]
        all_runs.sort(key=lambda run: (run.seed, -1 if run.fold is None else run.fold))
        runs = [run for run in all_runs if isinstance(run, FinishedRun)]
        replicates = [replicate_of(run) for run in runs]
        return VariantResults(entry, all_runs, runs, replicates, [measurements_of(run, draws) for run in runs])

    def baseline_of(self, variant: VariantResults) -> VariantResults | None:
        """The variant that a variant is compared with; None for a baseline."""
        return self.variants.get(variant.entry.baseline or "")

    def metrics_of(self, variant: VariantResults, kind: str) -> list[str]:
        """The metrics that a variant's runs have of this kind."""
        return [name for name in self.metrics if any(name in run[kind] for run in variant.measurements)]

    def summaries(self, variant: VariantResults) -> dict[str, dict[str, Summary]]:
        """Kind -> metric -> summary over the finished runs."""
        return {kind: {name: variant.summary(kind, name) for name in self.metrics_of(variant, kind)} for kind in KINDS}

    def mean_score(self, variant: VariantResults, kind: str) -> float | None:
        """Mean of the main score over the finished runs."""
        return variant.summary(kind, self.measure.score).mean


def shared_keys(variants: Sequence[VariantResults]) -> list[Key]:
    """The replicates that all of these variants have finished."""
    return [key for key in variants[0].keys if all(key in other.known for other in variants[1:])]


def run_entry(run: CollectedRun) -> RunEntry:
    """The line of a run in the report."""
    record = run.record
    if record is None:
        status = "failed" if run.error else "missing"
        return RunEntry(seed=run.seed, fold=run.fold, status=status, error=run.error, folder=str(run.folder.path))
    return RunEntry(
        seed=run.seed,
        fold=run.fold,
        status=record.status,
        error=run.error,
        folder=str(run.folder.path),
        selected_step=record.selected.step if record.selected else None,
        last_step=record.last.step if record.last else None,
        planned_steps=record.budget.steps,
        seconds=record.time.seconds,
        learning_rate=record.budget.learning_rate,
        choice_seconds=record.time.phases.get("learning_rate"),
        degenerate=isinstance(run, FinishedRun) and is_degenerate(run.record),
    )
