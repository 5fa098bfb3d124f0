"""Which models of an experiment are kept: a model takes a hundred megabytes, and most are never used."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from typing import Literal, get_args

from finetune.analysis.choice import validation_order
from finetune.errors import OutputError
from finetune.experiments.jobs import KINDS
from finetune.records.comparison import ComparisonFolder, JobEntry
from finetune.records.schema import FinishedRecord

Keep = Literal["all", "best", "none"]
KEEP: tuple[Keep, ...] = get_args(Keep)


def models_read(entry: JobEntry) -> list[str]:
    """Content keys of the jobs whose models a job starts from."""
    return entry.inputs if KINDS[entry.kind].reads_models else []


class KeptModels:
    """Removes models that are not needed. Each record is read once, however many runs there are.

    Args:
        folder: Folder of the experiment.
        keep: "all", the "best" of each variant by validation (a removed one could never be chosen later: the better one
            stays), or "none".
        entries: All jobs.
        unfinished: Keys of unfinished jobs: models that one of them reads are kept.
    """

    def __init__(
        self, folder: ComparisonFolder, keep: Keep, entries: Iterable[JobEntry], unfinished: Iterable[str]
    ) -> None:
        self._folder = folder
        self._keep = keep
        waiting = set(unfinished)
        self._readers: dict[str, set[str]] = {}  # job whose model is read -> unfinished jobs that read it
        self._before: dict[str, list[JobEntry]] = {}  # variant -> finished jobs that were not looked at yet
        self._there: dict[str, set[str]] = {}  # variant -> finished runs whose models may be there
        self._best: dict[str, tuple[tuple[float, float, int, int], str]] = {}  # variant -> how good, and which run
        self._entries: dict[str, JobEntry] = {}
        self._place: dict[str, int] = {}
        for entry in entries:
            self.add(entry, entry.key not in waiting)

    def add(self, entry: JobEntry, is_finished: bool) -> None:
        """Add one more job, after all existing ones."""
        self._place[entry.key] = len(self._place)
        self._entries[entry.key] = entry
        if is_finished:
            self._before.setdefault(entry.variant, []).append(entry)
            return
        for key in models_read(entry):
            self._readers.setdefault(key, set()).add(entry.key)

    def has_finished(self, entry: JobEntry) -> None:
        """Called when a job has finished: remove the models of its variant that are no longer needed."""
        if self._keep == "all":
            return
        for key in entry.inputs:
            self._readers.get(key, set()).discard(entry.key)
        self._look_at(entry)
        self._remove(entry.variant)

    def remove(self) -> None:
        """Remove the unneeded models of all variants."""
        if self._keep != "all":
            for variant in dict.fromkeys(entry.variant for entry in self._entries.values()):
                self._remove(variant)

    def _remove(self, variant: str) -> None:
        for entry in self._before.pop(variant, ()):
            self._look_at(entry)
        best = self._best[variant][1] if variant in self._best and self._keep == "best" else None
        there = self._there.get(variant, set())
        for key in [key for key in there if key != best and not self._readers.get(key)]:
            there.remove(key)
            shutil.rmtree(self._folder.run(self._entries[key]).model, ignore_errors=True)

    def _look_at(self, entry: JobEntry) -> None:
        """Remember how good a finished run is."""
        record = self._finished_record(entry) if entry.kind == "train" else None
        if record is None:
            return
        self._there.setdefault(entry.variant, set()).add(entry.key)
        found = (*validation_order(record), -self._place[entry.key]), entry.key
        known = self._best.get(entry.variant)
        if known is None or found[0] > known[0]:
            self._best[entry.variant] = found

    def _finished_record(self, entry: JobEntry) -> FinishedRecord | None:
        with contextlib.suppress(OutputError):
            record = self._folder.run(entry).read()
            return record if isinstance(record, FinishedRecord) else None
        return None
