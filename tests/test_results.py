"""What scripts/reproduce_results draws, records and computes. No arm is run."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from finetune.data.load import load_data
from finetune.data.rows import Data
from finetune.recipe import DataSection
from scripts.results import arms, pairing, records, rivals, sets, tables

REFERENCE = arms.REFERENCE


def line(name: str, arm: str, score: float, seed: int = 0, **more: float) -> records.Line:
    """Of a finished run on the confirming half at n = 300."""
    found = {"half": "confirming", "set": name, "n": 300, "seed": seed, "arm": arm, "status": "finished"}
    return {**dict.fromkeys(records.COLUMNS), "task": "single_label", "test_score": score, **found, **more}


# --- rows -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Three classes, of which one has a single training row; no text is there twice, and one has a carriage return."""
    folder = tmp_path / "set"
    folder.mkdir()
    for split, size in (("train", 60), ("validation", 20), ("test", 20)):
        labels = ["rare" if split == "train" and row == 0 else ["often", "seldom"][row % 4 == 1] for row in range(size)]
        rows = [f'"{split} text\r{row}",{label}' for row, label in enumerate(labels)]
        (folder / f"{split}.csv").write_bytes("\n".join(["text,label", *rows, ""]).encode())
    return load_data(DataSection(source=str(folder)))


def test_the_rows_of_a_cell_are_drawn_by_class_and_none_is_in_test(data: Data, tmp_path: Path) -> None:
    place = sets.make_rows(tmp_path / "data", data, sets.Cell("set", 20, 1))
    drawn = load_data(DataSection(source=str(place)))
    assert drawn.test is not None
    assert drawn.test.texts == data.test.texts  # type: ignore[union-attr]
    assert not set(drawn.train.texts) & {*drawn.test.texts, *drawn.validation.texts}
    assert set(drawn.train.texts) <= set(data.train.texts)
    assert Counter(drawn.train.labels) == {"often": 14, "seldom": 5, "rare": 1}


def test_unlabelled_texts_are_those_that_were_not_drawn(data: Data, tmp_path: Path) -> None:
    place = sets.make_rows(tmp_path / "data", data, sets.Cell("set", 20, 1))
    header, *texts = (place / "unlabelled" / "texts.csv").read_bytes().decode().strip().split("\n")
    assert header == '"text"'
    drawn = load_data(DataSection(source=str(place))).train.texts
    assert {text.strip('"') for text in texts} == set(data.train.texts) - set(drawn)


def test_seeds_draw_other_rows_and_the_same_validation(data: Data, tmp_path: Path) -> None:
    first, again, other = (
        load_data(DataSection(source=str(sets.make_rows(tmp_path / folder, data, sets.Cell("set", 20, seed)))))
        for folder, seed in (("a", 0), ("b", 0), ("a", 1))
    )
    assert first.fingerprint == again.fingerprint
    assert first.train.texts != other.train.texts
    assert first.validation.texts == other.validation.texts


def test_rivals_read_the_rows_as_the_product_does(data: Data, tmp_path: Path) -> None:
    place = sets.make_rows(tmp_path / "data", data, sets.Cell("set", 20, 0))
    problem, drawn = rivals.read_problem(place), load_data(DataSection(source=str(place)))
    assert problem.train.texts == drawn.train.texts
    assert [problem.labels[target] for target in problem.train.targets] == drawn.train.labels  # type: ignore[index]
    assert problem.measured["train_probe"].texts == [drawn.train.texts[row] for row in drawn.probe]


def test_rows_of_train_and_validation_together(data: Data, tmp_path: Path) -> None:
    place = sets.make_rows(tmp_path / "data", data, sets.Cell("set", 20, 0))
    both = load_data(DataSection(source=str(sets.rows_with_validation(place))))
    drawn = load_data(DataSection(source=str(place)))
    assert both.train.texts == [*drawn.train.texts, *drawn.validation.texts]
    assert both.train.labels == [*drawn.train.labels, *drawn.validation.labels]
    assert both.test is not None
    assert drawn.test is not None
    assert both.test.texts == drawn.test.texts


def test_targets_of_several_labels_and_of_numbers() -> None:
    assert rivals._targets(["b|a", "b", ""], "multi_label", ["a", "b"]).tolist() == [[1, 1], [0, 1], [0, 0]]
    assert rivals._targets(["1.5", "2"], "regression", None).tolist() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("available", "n", "expected"),
    [
        ({"a": 70, "b": 30}, 10, {"a": 7, "b": 3}),
        ({"a": 98, "b": 2, "c": 1}, 10, {"a": 7, "b": 2, "c": 1}),
        ({"a": 5, "b": 5}, 10, {"a": 5, "b": 5}),
    ],
)
def test_each_class_gets_two_rows_and_then_its_proportion(
    available: dict[str, int], n: int, expected: dict[str, int]
) -> None:
    assert sets.share_out(available, n) == expected


def test_sizes_that_cannot_hold_two_rows_of_a_class_are_left_out() -> None:
    labels = [str(row % 7) for row in range(50)]
    assert sets.why_left_out(labels, "single_label", 13) == "7 classes of 2 rows"
    assert sets.why_left_out(labels, "single_label", 14) == ""
    assert sets.why_left_out([[label] for label in labels], "multi_label", 13) == ""
    assert sets.why_left_out(labels, "single_label", 51) == "50 training rows"


def test_the_halves_are_those_of_the_protocol() -> None:
    page = (Path(__file__).parent.parent / "docs" / "results-protocol.md").read_text(encoding="utf-8")
    for half, names in sets.HALVES.items():
        (row,) = (text for text in page.splitlines() if text.startswith(f"| {half} |"))
        assert [name for name in sets.SETS if f"`{name}`" in row] == list(names)
    assert len(set(sets.SETS)) == len(sets.SETS) == 18


# --- arms and records -------------------------------------------------------------------------------------------------


def test_a_floor_of_steps_becomes_epochs() -> None:
    assert [arms.epochs_of_steps(600, n, 16, 10) for n in (100, 300, 1000)] == [60, 32, 10]


def test_settings_that_a_build_does_not_know_are_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    arm = arms.Arm("x", "none", set={"data.max_length": 64, "x.y": "{rows}/z"}, where_known={"model.place": "cls"})
    settings = arm.overrides(100, Path("rows"), "regression")
    expected = {"training.min_steps": 0, "data.task": "regression", "data.max_length": 64, "x.y": "rows/z"}
    assert settings == expected
    monkeypatch.setattr(arms, "is_known", lambda key: True)
    assert arm.overrides(100, Path("rows"), "regression")["model.place"] == "cls"


def test_settings_of_a_task_are_for_that_task_only() -> None:
    strong = arms.read_arms()["strong"]
    numbers, classes = (strong.overrides(100, Path("rows"), task) for task in ("regression", "single_label"))
    assert numbers["techniques.label_smoothing"] == "off"
    assert "training.score" not in numbers
    assert classes["training.score"] == "accuracy"
    assert "techniques.label_smoothing" not in classes


def test_every_arm_and_target_of_the_file_can_be_read() -> None:
    found = arms.read_arms()
    assert REFERENCE in found
    assert all(bool(arm.preset) != bool(arm.rival) for arm in found.values())
    assert {arm.rival for arm in found.values()} - {None} == {*rivals.RIVALS, "tfidf_lr"}
    assert {target["of"] for target in arms.read_targets()} == set(tables._OF)
    assert {name for pair in arms.read_pairs() for name in pair.values()} <= set(found)


def test_pairs_of_arms_are_compared_on_the_same_rows_only() -> None:
    lines = [
        records.as_line(a_record(arms.Arm(name), set=rows, metrics={"test": {"score": score, "nll": score}}))
        for name, rows, score in (("x", "cr", 0.75), ("y", "cr", 0.5), ("y", "atis", 0.9), ("z", "atis", 0.9))
    ]
    pairs = [{"arm": "x", "against": "y"}, {"arm": "x", "against": "z"}]
    (found,) = tables.pairs_table(lines, pairs)
    assert found.splitlines()[2:] == ["| `x` | `y` | 1 (1) | +25.0 |  | `cr` +25.0 | 1 / 0 | +0.250 |"]
    assert tables.pairs_table(lines, pairs[1:]) == []


def a_record(arm: arms.Arm, **changes: object) -> dict[str, object]:
    facts = {"half": "choosing", "set": "cr", "n": 100, "seed": 0, "arm": arm.name, "task": "single_label"}
    measured = {"metrics": {"test": {"score": 0.5, "nll": None}}, "bf16": False, "commit": "abc", "cpu_seconds": 2.0}
    return {**facts, "definition": arm.definition, "status": "finished", **measured, "steps": 70, **changes}


def test_what_is_recorded_is_not_run_again(tmp_path: Path) -> None:
    arm, cell = arms.Arm("x", "none", min_steps=600), sets.Cell("cr", 100, 0)
    path = records.record_path(tmp_path, cell, "x")
    assert not records.is_done(records.read_record(path), arm)
    records.write_record(tmp_path, a_record(arm))
    assert [file.name for file in tmp_path.iterdir()] == ["cr-n100-s0-x.json"]
    assert records.is_done(records.read_record(path), arm)
    assert not records.is_done(records.read_record(path), arms.Arm("x", "none", min_steps=500))
    path.write_text(path.read_text(encoding="utf-8")[:50], encoding="utf-8")
    assert not records.is_done(records.read_record(path), arm)


def test_failures_are_kept_unless_they_are_to_be_repeated(tmp_path: Path) -> None:
    arm = arms.Arm("x", "none")
    failed = json.loads(json.dumps(a_record(arm, status="failed", error="it broke")))
    assert records.is_done(failed, arm)
    assert not records.is_done(failed, arm, retry_failed=True)
    assert records.is_done({**failed, "status": "not applicable"}, arm, retry_failed=True)


def test_the_csv_gives_the_lines_of_the_records_back(tmp_path: Path) -> None:
    records.write_record(tmp_path / "records", a_record(arms.Arm("x", "none")))
    lines = records.read_lines(tmp_path / "records")
    records.write_csv(tmp_path / "records.csv", lines)
    assert records.read_csv(tmp_path / "records.csv") == lines
    assert lines[0]["test_score"] == 0.5
    assert lines[0]["test_nll"] is None
    assert (lines[0]["steps"], lines[0]["cpu_seconds"], lines[0]["bf16"]) == (70, 2.0, "no")


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_only_runs_on_the_same_rows_are_paired() -> None:
    lines = [line("a", "x", 0.8, 0), line("a", "x", 0.7, 1), line("a", REFERENCE, 0.6, 1), line("b", REFERENCE, 0.5)]
    assert {name: rows.tolist() for name, rows in pairing.paired(lines, "x", REFERENCE, "test_score").items()} == {
        "a": [[0.7, 0.6]]
    }
    failed = [*lines, line("b", "x", 0.9, 0) | {"status": "failed"}]
    assert "b" not in pairing.paired(failed, "x", REFERENCE, "test_score")


def test_a_summary_counts_each_set_once() -> None:
    pairs = {"a": np.array([[0.7, 0.6], [0.8, 0.6], [0.9, 0.6]]), "b": np.array([[0.50, 0.51]])}
    summary = pairing.summarise(pairs)
    assert summary is not None
    assert summary.mean == pytest.approx((20 - 1) / 2)
    assert summary.worst == ("b", pytest.approx(-1))
    assert (summary.better, summary.worse, summary.sets, summary.pairs) == (1, 1, 2, 4)


def test_the_interval_has_the_spread_of_both_levels() -> None:
    rng = np.random.default_rng(0)
    of_sets, of_seeds = rng.normal(0, 2, (40, 1)), rng.normal(0, 1, (40, 3))
    values = {str(number): row[:, None] for number, row in enumerate(of_sets + of_seeds)}
    drawn = pairing.two_level_draws(values, draws=4000)[:, 0]
    means = (of_sets + of_seeds).mean(axis=1)
    within = (of_sets + of_seeds).var(axis=1).mean() / 3  # of a set's mean, when its seeds are drawn anew
    assert drawn.mean() == pytest.approx(means.mean(), abs=0.03)
    assert drawn.var() == pytest.approx((means.var() + within) / 40, rel=0.1)


def test_gaps_are_positive_where_train_is_better() -> None:
    run = line("a", "x", 0.5, train_probe_score=1.0, validation_score=0.8, train_probe_nll=0.1, validation_nll=0.4)
    assert pairing.value_of(run, "gap_score") == pytest.approx(0.2)
    assert pairing.value_of(run, "gap_nll") == pytest.approx(0.3)


def test_targets_are_judged_by_mean_and_interval() -> None:
    lines = [line(name, REFERENCE, 0.6, seed) for name in "ab" for seed in (0, 1)]
    lines += [line("a", "x", 0.66, seed) for seed in (0, 1)] + [line("b", "x", 0.61, seed) for seed in (0, 1)]
    target = {"arm": "x", "against": REFERENCE, "n": 300, "of": "score"}
    met, missed = (pairing.judge(lines, {**target, "least": least}) for least in (3.0, 4.0))
    assert met is not None
    assert missed is not None
    assert (round(met.value, 6), met.is_met, met.is_shown, missed.is_met) == (3.5, True, False, False)
    worst = pairing.judge(lines, {**target, "of": "worst_set", "least": -0.5})
    assert worst is not None
    assert worst.value == pytest.approx(1.0)
    assert pairing.judge(lines, {**target, "arm": "y", "least": 0}) is None


def test_the_share_of_the_loss_gap_and_the_ratio_of_deviations() -> None:
    def run(arm: str, seed: int, score: float, gap: float) -> records.Line:
        return line("a", arm, score, seed, train_probe_nll=0.1, validation_nll=0.1 + gap)

    lines = [run("x", 0, 0.5, 0.1), run("x", 1, 0.6, 0.1), run(REFERENCE, 0, 0.5, 0.4), run(REFERENCE, 1, 0.7, 0.4)]
    target = {"arm": "x", "against": REFERENCE, "n": 300}
    share = pairing.judge(lines, {**target, "of": "gap_nll", "least": 60})
    ratio = pairing.judge(lines, {**target, "of": "seed_sd", "most": 40})
    assert share is not None
    assert ratio is not None
    assert (round(share.value, 6), share.is_met) == (75.0, True)
    assert (round(ratio.value, 6), ratio.is_met) == (50.0, False)


def test_the_tables_name_arms_sets_and_failures() -> None:
    lines = [line(name, REFERENCE, 0.6, seed) for name in "ab" for seed in (0, 1)]
    lines += [line("a", "x", 0.65, seed) for seed in (0, 1)]
    lines += [line("b", "x", 0.0, 0) | {"status": "failed", "test_score": None}]
    page = tables.render(lines, [REFERENCE], [])
    assert "### Confirming half, n = 300" in page
    assert f"| `{REFERENCE}` | 60.0 | 60.0 | 60.0 |" in page
    assert "| `x` | 65.0 |  |  |" in page
    assert "| `x` | 1 (2) | +5.0 |  | `a` +5.0 | 1 / 0 |" in page
    assert "Failed runs: b n=300 seed 0 x" in page


# --- rivals -----------------------------------------------------------------------------------------------------------


def test_masked_tokens_do_not_count() -> None:
    hidden = np.array([[[3.0, 0.0], [0.0, 3.0], [9.0, 9.0]]])
    assert rivals.mean_of_tokens(hidden, np.array([[1, 1, 0]])) == pytest.approx(np.full((1, 2), 0.5**0.5))


def test_a_class_without_a_row_has_no_probability() -> None:
    logits = rivals._log_of_classes(np.array([[0.25, 0.75]]), np.array([0, 2]), 3)
    assert np.exp(logits) == pytest.approx(np.array([[0.25, 0.0, 0.75]]), abs=1e-9)


def test_the_rarest_class_limits_the_folds() -> None:
    assert [rivals.number_of_folds(np.repeat([0, 1], [9, rare])) for rare in (1, 3, 8)] == [2, 3, 5]
