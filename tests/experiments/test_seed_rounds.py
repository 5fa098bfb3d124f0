"""Rounds of `--seeds auto`: which runs are asked for, after which look; failures; a repeated command."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from finetune.analysis.collection import Collection
from finetune.experiments import seed_rounds
from finetune.experiments.jobs import Job
from finetune.experiments.seed_rounds import SeedRounds
from finetune.records.comparison import JobEntry, Manifest, SeedLook, VariantEntry

MOST = 6
Ends = dict[str, int]  # preset -> seeds after which it is settled


class Bench:
    """Stands for running and judging: a preset is settled once a given number of its seeds has ended.

    Attributes:
        done: Keys of finished runs.
        failures: Keys of failed runs -> why.
        told: Looks, of the last planning.
        published: Keys of the runs that other machines may run.
    """

    def __init__(self, patch: pytest.MonkeyPatch, ends: Ends) -> None:
        self.ends = ends
        self.done: set[str] = set()
        self.failures: dict[str, str] = {}
        self.told: list[SeedLook] = []
        self.published: list[str] = []
        patch.setattr(seed_rounds, "look_up", lambda _, job: self._state(job))
        patch.setattr(seed_rounds, "read_cell", lambda _, entry, skipped: SimpleNamespace(entry=entry))
        patch.setattr(seed_rounds, "settled", self._settled)

    def _state(self, job: Job) -> Any:
        return SimpleNamespace(status="finished" if job.entry.key in self.done else "waiting")

    def _settled(self, collection: Collection, looks: Any, names: list[str]) -> dict[str, str]:
        runs: list[Any] = collection.runs
        assert looks.most == MOST
        counts = {name: sum(run.entry.variant == name for run in runs) for name in names}
        return {name: "known" for name in names if counts[name] >= self.ends[name]}

    def rounds(self) -> SeedRounds:
        """Planned anew, as by a repeated command."""
        names = ["none", *self.ends]
        variants = [
            VariantEntry(name=name, baseline=None if name == "none" else "none", techniques={}) for name in names
        ]
        jobs = [
            Job(JobEntry(variant=name, seed=seed, fold=None, key=f"{name}{seed}", folder=f"{name}{seed}"), None)  # type: ignore[arg-type]
            for seed in range(MOST)
            for name in names
        ]
        seeds = list(range(MOST))
        manifest = Manifest(
            kind="compare", command="", baseline="none", variants=variants, seeds=seeds, folds=None, cells=[]
        )
        self.told = []
        made = SeedRounds(jobs, manifest, SimpleNamespace(), self.told.append)  # type: ignore[arg-type]
        made.publish = lambda runs: setattr(self, "published", keys(runs))
        return made

    def finish(self, rounds: SeedRounds, fails: Callable[[str], bool] = lambda key: False) -> SeedRounds:
        """Run everything, round by round."""
        new = [job for job in rounds.asked if job.entry.key not in self.done]
        while new:
            for job in new:
                if fails(job.entry.key):
                    self.failures[job.entry.key] = "no memory"
                else:
                    self.done.add(job.entry.key)
            new = list(rounds.more(self.failures))
        return rounds


def keys(jobs: Any) -> list[str]:
    return [job.entry.key for job in jobs]


def test_settled_presets_get_no_further_seeds_and_the_baseline_as_many_as_any(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"light": 5, "strong": 3})
    rounds = bench.rounds()
    assert keys(rounds.asked) == [f"{name}{seed}" for seed in range(3) for name in ("none", "light", "strong")]
    assert rounds.at_most == 3 * MOST
    bench.finish(rounds)
    assert keys(rounds.asked)[9:] == ["none3", "light3", "none4", "light4"]
    assert [(look.seeds, list(look.settled), look.open) for look in bench.told] == [
        (3, ["strong"], ["light"]),
        (4, [], ["light"]),
        (5, ["light"], []),
    ]
    assert rounds.at_most == len(rounds.asked) == 13
    assert bench.published == keys(rounds.asked)
    assert rounds.more({}) == []


def test_the_most_seeds_end_what_is_never_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"light": 99})
    rounds = bench.finish(bench.rounds())
    assert len(rounds.asked) == 2 * MOST
    assert [look.open for look in rounds.looks] == [["light"]] * 3  # there is nothing to decide after the last seed


def test_nothing_is_asked_for_while_runs_of_the_round_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"light": 99})
    rounds = bench.rounds()
    bench.done = set(keys(rounds.asked)[:-1])
    assert rounds.more({}) == []
    assert bench.told == []
    assert keys(rounds.more({"light2": "no memory"})) == ["none3", "light3"]


@pytest.mark.parametrize("stopped_after", range(14))
def test_a_repeated_command_asks_for_the_same_runs(monkeypatch: pytest.MonkeyPatch, stopped_after: int) -> None:
    bench = Bench(monkeypatch, {"light": 5, "strong": 4})
    whole = keys(bench.finish(bench.rounds()).asked)
    looks = bench.told
    bench.done = set(whole[:stopped_after])
    again = bench.rounds()
    assert set(whole[:stopped_after]) <= set(keys(again.asked))
    assert keys(bench.finish(again).asked) == whole
    assert bench.told == looks


def test_a_failed_run_ends_its_round_and_is_tried_again_by_the_next_command(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"light": 5})
    whole = keys(bench.finish(bench.rounds(), lambda key: key == "light1").asked)
    assert whole[-1] == "light4"
    bench.failures = {}
    again = bench.rounds()
    assert keys(again.asked) == whole[:6]
    assert keys(bench.finish(again).asked) == whole


def test_the_manifest_has_the_most_seeds_and_the_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"light": 3})
    rounds = bench.finish(bench.rounds())
    noted = rounds.noted(rounds.manifest)
    assert noted.most_seeds == MOST
    assert noted.looks == bench.told == [SeedLook(seeds=3, settled={"light": "known"}, open=[])]
