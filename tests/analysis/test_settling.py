"""Which presets need further seeds: written runs whose differences are known, and test scores that must not matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finetune.analysis.collect import collect
from finetune.analysis.comparison import report_of
from finetune.analysis.sequential import Looks
from finetune.analysis.settling import settled
from finetune.records.comparison import ComparisonFolder, SeedLook
from finetune.reports.comparison import comparison_summary
from finetune.reports.seed_rounds import seed_lines, seeds_blocks
from tests.analysis.making import Run, two_class, write_comparison

ROWS = 200
TARGETS = {split: np.arange(ROWS) % 2 for split in ("train_probe", "validation", "test")}
NONE = (40, 44, 38, 42, 41, 45)  # missed rows of validation, by seed


def run(variant: str, seed: int, validation: int, train: int = 10, test: int = 40, **changes: object) -> Run:
    """A run that misses so many of 200 rows."""
    missed = {"train_probe": train, "validation": validation, "test": test}
    logits = {split: two_class(wrong, rows=ROWS) for split, wrong in missed.items()}
    return replace(Run(variant, seed, logits=logits, targets=TARGETS), **changes)  # type: ignore[arg-type]


def of(variant: str, missed: Sequence[int], train: int = 10, **changes: object) -> list[Run]:
    return [run(variant, seed, wrong, train, **changes) for seed, wrong in enumerate(missed)]


def without_test(of: Run) -> dict[str, np.ndarray]:
    return {split: values for split, values in (of.logits or {}).items() if split != "test"}


def look(folder: Path, *variants: list[Run], most: int = 10) -> dict[str, str]:
    runs = [each for variant in variants for each in variant]
    collection = collect([write_comparison(folder, runs)])[0][0]
    names = [entry.name for entry in collection.variants if entry.baseline is not None]
    return settled(collection, Looks(most), names)


def test_a_much_better_preset_is_settled_and_a_slightly_better_one_is_not(tmp_path: Path) -> None:
    better = of("strong", (9, 12, 8, 11, 10))
    close = of("light", (38, 38, 37, 38, 36))
    found = look(tmp_path, of("none", NONE[:5]), better, close)
    assert list(found) == ["strong"]
    assert found["strong"].startswith("validation accuracy +15.5 points [")
    assert "(significant)" in found["strong"]


def test_what_will_hardly_become_significant_is_settled(tmp_path: Path) -> None:
    """Means of exactly zero."""
    found = look(tmp_path, of("none", (40, 44, 38, 42, 41)), of("light", (44, 40, 42, 38, 41)))
    assert "chance of becoming significant" in found["light"]


def test_a_preset_far_below_ends_early_and_a_slightly_lower_one_does_not(tmp_path: Path) -> None:
    found = look(
        tmp_path, of("none", NONE[:5]), of("strong", (79, 84, 80, 82, 79), train=60), of("light", (42, 47, 42, 45, 43))
    )
    assert list(found) == ["strong"]
    assert found["strong"].startswith("far below none: validation accuracy −19.")


def test_presets_that_did_not_learn_or_did_not_finish_end_early(tmp_path: Path) -> None:
    failed = of("broken", (40, 40, 40), status="failed", error="CUDA out of memory")
    constant = {split: np.tile([1.0, 0.0], (ROWS, 1)) for split in TARGETS}
    dead = of("dead", (40, 40, 40), logits=constant)
    found = look(tmp_path, of("none", NONE[:3]), failed, dead)
    assert found == {
        "broken": "no run of broken has finished (3 seeds)",
        "dead": "no run is better than the same prediction for every text",
    }


def test_without_a_finished_baseline_nothing_is_added(tmp_path: Path) -> None:
    failed = of("none", (40, 40, 40), status="failed", error="no")
    assert look(tmp_path, failed, of("light", (40, 41, 39))) == {"light": "no run of none has finished (3 seeds)"}
    assert look(tmp_path / "all", failed, of("light", (1, 2, 3), status="failed", error="no")) == {
        "light": "no run has finished"
    }


def test_too_few_pairs_need_further_seeds(tmp_path: Path) -> None:
    """One of three runs failed: two pairs say nothing about the spread."""
    runs = of("light", (9, 12, 8))
    runs[1] = replace(runs[1], status="failed", error="no")
    assert look(tmp_path, of("none", NONE[:3]), runs) == {}


def test_equal_runs_cannot_be_tested(tmp_path: Path) -> None:
    found = look(tmp_path, of("none", NONE[:3]), of("light", NONE[:3]))
    assert found["light"].startswith("validation accuracy cannot be tested")


@pytest.mark.parametrize("test", [0, 20, 199])
def test_test_scores_change_no_decision(tmp_path: Path, test: int) -> None:
    missed = {"none": NONE, "light": (38, 38, 37, 41, 36, 40), "strong": (31, 33, 30, 32, 31, 34)}
    variants = [of(name, wrong) for name, wrong in missed.items()]
    changed = [
        [run(name, seed, each, test=(test + 7 * seed) % ROWS) for seed, each in enumerate(wrong)]
        for name, wrong in missed.items()
    ]
    without = [[replace(each, logits=without_test(each)) for each in runs] for runs in variants]
    first = look(tmp_path / "first", *variants)
    assert look(tmp_path / "changed", *changed) == first
    assert look(tmp_path / "without", *without) == first
    assert first


# --- the report --------------------------------------------------------------------------------------------------


def test_the_report_states_rule_seeds_and_decisions_and_adjusts_what_was_looked_at(tmp_path: Path) -> None:
    runs = [*of("none", NONE), *of("light", (38, 38, 37, 41, 36, 40)), *of("strong", (9, 12, 8, 11))]
    folder = ComparisonFolder(write_comparison(tmp_path, runs))
    plain = report_of([tmp_path]).groups[0]
    looks = [
        SeedLook(seeds=3, settled={}, open=["light", "strong"]),
        SeedLook(seeds=4, settled={"strong": "far ahead"}, open=["light"]),
    ]
    folder.write(folder.read().model_copy(update={"most_seeds": 6, "looks": looks}))
    group = report_of([tmp_path]).groups[0]
    for ordinary, adjusted in zip(plain.variants[1:], group.variants[1:], strict=True):
        for kind in ("validation", "gap"):
            old, new = ordinary.differences[kind]["accuracy"], adjusted.differences[kind]["accuracy"]
            assert new.mean == old.mean
            assert (new.low or 0.0) < (old.low or 0.0)
            assert (new.p or 0.0) > (old.p or 0.0)
        assert adjusted.differences["test"]["accuracy"].low == ordinary.differences["test"]["accuracy"].low
    lines = comparison_summary(group)
    assert "strong 4 seeds: settled after 4 seeds: far ahead" in " ".join(lines.split())
    assert "light 6 seeds: the most seeds were reached" in " ".join(lines.split())
    assert group.seed_rule is not None
    text = str(seeds_blocks(group, group.seed_rule))
    assert "Test is never looked at." in text
    assert "16 runs instead of 18 with 6 seeds of each." in text
    assert "After 4 seeds: settled: strong; not settled: light." in text
    nothing = str(seeds_blocks(group, group.seed_rule.model_copy(update={"most": 4})))
    assert "16 runs, 4 seeds of each: the rule saved none." in nothing
    assert "instead of" not in nothing


def test_a_report_of_an_interrupted_comparison_says_that_it_goes_on(tmp_path: Path) -> None:
    folder = ComparisonFolder(write_comparison(tmp_path, [*of("none", NONE[:3]), *of("light", (38, 38, 37))]))
    for looks in ([], [SeedLook(seeds=3, settled={}, open=["light"])]):
        folder.write(folder.read().model_copy(update={"most_seeds": 6, "looks": looks}))
        lines = [" ".join(line.split()) for line in seed_lines(report_of([tmp_path]).groups[0])]
        assert lines == [
            "none 3 seeds: as many as the presets that are compared with it",
            "light 3 seeds: its verdict is not settled yet; the command of the comparison adds further seeds",
        ]
