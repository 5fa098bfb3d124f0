"""`--seeds auto`: which runs a comparison asks for next, seed by seed, until every verdict is settled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from finetune.analysis.collect import read_cell
from finetune.analysis.collection import CollectedRun, Collection
from finetune.analysis.sequential import FIRST, Looks
from finetune.analysis.settling import settled
from finetune.experiments.jobs import Job
from finetune.experiments.progress import look_up
from finetune.records.comparison import ComparisonFolder, Manifest, SeedLook


@dataclass
class SeedRounds:
    """Asks for the runs of a comparison in rounds: it is the `further` of `run_jobs`.

    The first round has `FIRST` seeds of every preset, and each further round one more seed of the presets that are not
    settled, and of their baselines. Decisions depend on finished records alone: a repeated command makes the same ones.

    Attributes:
        possible: Runs of all presets with the most seeds, seed by seed.
        manifest: The request: presets, and seeds in the order in which they are run.
        folder: Folder of the comparison.
        tell: Called with every look.
        publish: Called with all runs asked for when there are more, so that other machines may run them; set when
            the first one starts.
        looks: Looks so far.
        asked: Runs asked for so far.
    """

    possible: Sequence[Job]
    manifest: Manifest
    folder: ComparisonFolder
    tell: Callable[[SeedLook], None]
    publish: Callable[[Sequence[Job]], None] | None = None
    looks: list[SeedLook] = field(default_factory=list)
    asked: list[Job] = field(default_factory=list)
    _read: dict[str, CollectedRun] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Ask for what an earlier command has finished, and for the first round that it has not."""
        self.asked = self._runs({each.name for each in self.manifest.variants}, self.manifest.seeds[:FIRST])
        while self._has_ended({}) and self._next_round():
            pass

    @property
    def at_most(self) -> int:
        """Number of runs, if no further preset is settled."""
        return len(self.at_most_runs())

    def at_most_runs(self) -> list[Job]:
        """The runs of all seeds, if no further preset is settled."""
        return [*self.asked, *self._runs(self._needed(self._open()), self.manifest.seeds[self._seeds() :])]

    def noted(self, manifest: Manifest) -> Manifest:
        """The manifest with the rule's most seeds and its looks so far."""
        return manifest.model_copy(update={"most_seeds": len(self.manifest.seeds), "looks": list(self.looks)})

    def more(self, failures: Mapping[str, str]) -> Sequence[Job]:
        """The runs of the next round, if those of this one have ended."""
        new = self._next_round() if self._has_ended(failures) else []
        if new and self.publish is not None:
            self.publish(self.asked)
        return new

    def _seeds(self) -> int:
        """Seeds asked for so far."""
        return len({job.entry.seed for job in self.asked})

    def _open(self) -> list[str]:
        """Presets that are compared with a baseline and not settled."""
        compared = [each.name for each in self.manifest.variants if each.baseline is not None]
        return self.looks[-1].open if self.looks else compared

    def _needed(self, names: Sequence[str]) -> set[str]:
        """These presets and their baselines."""
        baselines = {each.baseline for each in self.manifest.variants if each.name in names}
        return {each.name for each in self.manifest.variants if each.name in names or each.name in baselines}

    def _runs(self, names: set[str], seeds: Sequence[int]) -> list[Job]:
        return [job for job in self.possible if job.entry.variant in names and job.entry.seed in seeds]

    def _has_ended(self, failures: Mapping[str, str]) -> bool:
        """Whether every run asked for has finished or failed."""
        ended = failures.keys() | self._read.keys()
        left = [job for job in self.asked if job.entry.key not in ended]
        return all(look_up(self.folder, job).status == "finished" for job in left)

    def _next_round(self) -> list[Job]:
        """Look at the runs so far, and ask for the next seed of the presets that are not settled."""
        if self._seeds() == len(self.manifest.seeds) or not self._open():
            return []
        looks = Looks(len(self.manifest.seeds))
        found = settled(self._collection(), looks, self._open())
        still = [name for name in self._open() if name not in found]
        look = SeedLook(seeds=self._seeds(), settled=found, open=still)
        new = self._runs(self._needed(still), [self.manifest.seeds[self._seeds()]])
        self.looks.append(look)
        self.asked += new
        self.tell(look)
        return new

    def _collection(self) -> Collection:
        """The runs so far; finished ones are read once."""
        runs = []
        for job in self.asked:
            run = self._read.get(job.entry.key) or read_cell(self.folder, job.entry, [])
            if look_up(self.folder, job).status == "finished":
                self._read[job.entry.key] = run
            runs.append(run)
        asked = self.manifest
        return Collection("", asked.kind, asked.baseline, asked.variants, runs, None, {})
