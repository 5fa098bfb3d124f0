"""The model that a comparison ends with: scores beside the seeds' mean and their ensemble, and how it is chosen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune.analysis.comparison import report_of
from finetune.measurement.scores import compute_scores
from finetune.records.comparison import ComparisonFolder, FinalName, JobEntry
from finetune.records.report import FinalModel, ScoredModel
from tests.analysis.making import Run, alternating, two_class, write_comparison, write_run

SEEDS = ((0, 4, 5), (0, 3, 6), (0, 5, 4))  # rows that are wrong in train sample, validation and test
TEST = "test"


def final_of(
    folder: Path, final: FinalName | None, finals: dict[str, Run | str], seeds: Any = SEEDS, runs: Any = None
) -> FinalModel:
    """Of a comparison of one preset: kind -> what was made, or why nothing was."""
    runs = [Run("none", seed, wrong=wrong) for seed, wrong in enumerate(seeds)] if runs is None else runs
    place = ComparisonFolder(write_comparison(folder, runs))
    manifest = place.read()
    cells = [entry.model_copy(update={"key": f"k{number}"}) for number, entry in enumerate(manifest.cells)]
    best = {"refit": ["k1"]}
    jobs = []
    for kind, made in finals.items():
        inputs = best.get(kind, [entry.key for entry in cells])
        error = made if isinstance(made, str) else None
        jobs.append(
            JobEntry(
                kind=kind,
                variant="none",
                seed=0,
                fold=None,
                key=kind,
                folder=f"final/{kind}",
                inputs=inputs,
                error=error,
            )
        )
        if isinstance(made, Run):
            write_run(folder / "final" / kind, made)
    place.write(manifest.model_copy(update={"cells": cells, "jobs": jobs, "final": final}))
    chosen = report_of([folder]).groups[0].recommendation
    assert chosen is not None
    assert chosen.final is not None
    return chosen.final


def scored(final: FinalModel, kind: str) -> ScoredModel:
    return next(model for model in [*final.references, *final.candidates] if model.kind == kind)


def made(validation: int, test: int, margin: float = 2.0) -> Run:
    return Run("none", wrong=(0, validation, test), margin=margin)


def test_without_more_the_best_seed_stands_beside_mean_and_ensemble(tmp_path: Path) -> None:
    final = final_of(tmp_path, "best", {})
    assert (final.asked, final.kind, final.seeds) == ("best", "best", [0, 1, 2])
    assert final.run.endswith("none-seed1")
    accuracies = {kind: scored(final, kind).test["accuracy"].value for kind in ("members", "best", "ensemble")}
    # 5, 6 and 4 of 20 rows are wrong, always the first ones: the ensemble is wrong where two of three are.
    assert accuracies == pytest.approx({"members": 0.75, "best": 0.7, "ensemble": 0.75})
    assert scored(final, "best").validation["accuracy"].value == pytest.approx(0.85)
    assert scored(final, "best").difference["accuracy"].value == pytest.approx(-0.05)
    assert scored(final, "members").difference == {}


def test_the_ensemble_has_the_scores_of_the_mean_probabilities(tmp_path: Path) -> None:
    final = final_of(tmp_path, "best", {})
    probabilities = []
    for _, _, wrong in SEEDS:
        grown = np.exp(two_class(wrong))
        probabilities.append(grown / grown.sum(axis=1, keepdims=True))
    mean = np.mean(probabilities, axis=0)
    nll = -np.log(mean[np.arange(20), alternating()]).mean()
    assert scored(final, "ensemble").test["nll"].value == pytest.approx(nll)
    expected = compute_scores("single_label", np.log(mean), alternating())
    assert {name: each.value for name, each in scored(final, "ensemble").test.items()} == pytest.approx(expected)


def test_an_interval_is_over_rows_and_a_difference_is_paired(tmp_path: Path) -> None:
    final = final_of(tmp_path, "soup", {"soup": made(4, 4)})
    level = scored(final, "soup").test["accuracy"]
    # Binomial, 16 of 20 right: a standard deviation of 8.9 points.
    assert level.value == pytest.approx(0.8)
    assert (level.low, level.high) == pytest.approx((0.6, 0.95), abs=0.051)
    rng = np.random.default_rng(1)
    right = [(np.arange(20) >= wrong).astype(float) for wrong in (4, 5, 6, 4)]
    soup, *members = right
    apart = soup - np.mean(members, axis=0)
    drawn = apart[rng.integers(0, 20, (20000, 20))].mean(axis=1)
    difference = scored(final, "soup").difference["accuracy"]
    assert difference.value == pytest.approx(0.05)
    assert (difference.low, difference.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.02)


@pytest.mark.parametrize("kind", ["refit", "soup", "distil"])
def test_what_was_asked_for_and_made_is_taken(tmp_path: Path, kind: Any) -> None:
    final = final_of(tmp_path, kind, {kind: made(12, 12)})  # however bad
    assert final.kind == kind
    assert final.run.endswith(f"final/{kind}")
    assert scored(final, kind).test["accuracy"].value == pytest.approx(0.4)


def test_what_a_refit_scores_on_validation_is_not_shown(tmp_path: Path) -> None:
    final = final_of(tmp_path, "refit", {"refit": made(0, 3)})
    assert scored(final, "refit").validation == {}
    assert scored(final, "refit").about == "trained on 100 rows (train and validation) for 30 steps"


@pytest.mark.parametrize("asked", ["soup", "auto"])
def test_what_could_not_be_made_has_its_reason_and_the_best_seed_is_taken(tmp_path: Path, asked: Any) -> None:
    final = final_of(tmp_path, asked, {"soup": "heads start at random"})
    assert final.kind == "best"
    assert scored(final, "soup").problem == "heads start at random"
    assert scored(final, "soup").test == {}


def test_what_was_made_from_other_runs_is_not_shown(tmp_path: Path) -> None:
    final_of(tmp_path, "soup", {"soup": made(0, 0)})
    place = ComparisonFolder(tmp_path)
    manifest = place.read()
    older = manifest.jobs[0].model_copy(update={"inputs": ["k0", "k1"]})
    place.write(manifest.model_copy(update={"jobs": [older]}))
    chosen = report_of([tmp_path]).groups[0].recommendation
    assert chosen is not None
    assert chosen.final is not None
    assert ([model.kind for model in chosen.final.candidates], chosen.final.kind) == (["best", "soup"], "best")
    assert scored(chosen.final, "soup").problem == "not yet made; the command of the comparison makes it"


def test_of_two_refits_of_one_run_the_last_that_was_wanted_is_taken(tmp_path: Path) -> None:
    """With one more seed the same run may be the best, and the median of the selected steps another one."""
    final_of(tmp_path, "refit", {"refit": made(0, 9)})
    place = ComparisonFolder(tmp_path)
    manifest = place.read()
    first = manifest.jobs[0]
    second = first.model_copy(update={"key": "more", "folder": "final/more"})
    write_run(tmp_path / "final" / "more", made(0, 2))

    def taken(*wanted: JobEntry) -> tuple[str, int]:
        place.write(place.read().with_jobs(wanted))
        chosen = report_of([tmp_path]).groups[0].recommendation
        assert chosen is not None
        assert chosen.final is not None
        return Path(chosen.final.run).name, len(chosen.final.candidates)

    assert taken(second) == ("more", 2)
    assert taken(first) == ("refit", 2)


@pytest.mark.parametrize(
    ("soup", "student", "taken"),
    [
        (made(3, 9), made(2, 9), "distil"),  # the mean is wrong in 4 of 20
        (made(2, 9), made(3, 9), "soup"),
        (made(3, 9, margin=2.0), made(3, 9, margin=1.0), "soup"),  # right as often; the lower loss
        (made(4, 0), made(5, 0), "best"),  # not above the mean
        (made(6, 0), "failed", "best"),
        (made(3, 9, margin=0.1), made(4, 9), "best"),  # more often right, and hardly sure of anything
        ("no start", made(3, 9), "distil"),
    ],
)
def test_auto_takes_what_is_above_the_mean_of_the_seeds_on_validation(
    tmp_path: Path, soup: Run | str, student: Run | str, taken: str
) -> None:
    final = final_of(tmp_path, "auto", {"soup": soup, "distil": student})
    assert final.kind == taken, "test decides nothing"
    assert "mean validation score" in final.rule


def test_auto_never_takes_a_refit(tmp_path: Path) -> None:
    final = final_of(tmp_path, "auto", {"refit": made(0, 0)})
    assert final.kind == "best"
    assert "A refit is not a candidate" in final.rule


def test_a_single_seed_has_neither_mean_nor_ensemble_beside_it(tmp_path: Path) -> None:
    final = final_of(tmp_path, "best", {}, seeds=SEEDS[:1])
    assert final.references == []
    assert final.candidates[0].test["accuracy"].value == pytest.approx(0.75)


def test_without_a_test_split_validation_is_what_is_shown(tmp_path: Path) -> None:
    final = final_of(tmp_path, "best", {}, seeds=[(0, 4), (0, 3)])
    assert scored(final, "best").test == {}
    assert scored(final, "best").difference["accuracy"].value == pytest.approx(0.85 - 0.825)


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_all_tasks_have_an_ensemble(tmp_path: Path, task: str) -> None:
    rng = np.random.default_rng(0)
    shape = (20, 3) if task == "multi_label" else (20, 1)
    splits = ("train_probe", "validation", "test")
    truth = {name: (rng.normal(size=shape) > 0).astype(float) for name in splits}
    if task == "regression":
        truth = {name: rng.normal(size=20) for name in splits}
    runs = [
        Run(
            seed=seed,
            task=task,
            labels=("a", "b", "c") if task == "multi_label" else None,
            logits={name: rng.normal(size=shape) for name in splits},
            targets=truth,
        )
        for seed in (0, 1)
    ]
    logits = [run.logits["test"] for run in runs if run.logits is not None]
    if task == "regression":
        expected = ((np.mean(logits, axis=0)[:, 0] - truth[TEST]) ** 2).mean()
        name = "mse"
    else:
        probabilities = np.mean([1 / (1 + np.exp(-each)) for each in logits], axis=0)
        expected = -np.where(truth[TEST] == 1, np.log(probabilities), np.log(1 - probabilities)).mean()
        name = "nll"
    final = final_of(tmp_path, "best", {}, runs=runs)
    assert scored(final, "ensemble").test[name].value == pytest.approx(expected)


def test_folds_have_the_members_of_the_fold_that_was_test(tmp_path: Path) -> None:
    runs = [Run("none", seed, fold, wrong=(0, 3 + fold, 4 + seed)) for seed in (0, 1) for fold in (0, 1)]
    final = final_of(tmp_path, "best", {}, runs=runs)
    assert final.seeds == [0, 1]
    assert scored(final, "members").test["accuracy"].value == pytest.approx(0.775)


# --- older manifests -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_jobs", [True, False])
def test_a_comparison_of_an_older_version_still_ends_with_its_refit(tmp_path: Path, with_jobs: bool) -> None:
    final_of(tmp_path, "best", {})
    write_run(tmp_path / "refits" / "none-seed1-30", made(0, 3))
    path = ComparisonFolder(tmp_path).manifest_path
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["final"], content["checksum"]
    if with_jobs:
        entry = {**content["cells"][1], "kind": "refit", "key": "r", "folder": "refits/none-seed1-30", "inputs": ["k1"]}
        content["jobs"] = [entry]
    else:
        content["refit"] = "refits/none-seed1-30"
    path.write_text(json.dumps(content), encoding="utf-8")
    chosen = report_of([tmp_path]).groups[0].recommendation
    assert chosen is not None
    assert chosen.final is not None
    assert (chosen.final.asked, chosen.final.kind) == ("refit", "refit")
    assert chosen.final.run.endswith("refits/none-seed1-30")
