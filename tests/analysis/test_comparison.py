"""Figures of a report against figures computed on paper, from records written by hand."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from finetune.analysis.comparison import report_of
from finetune.analysis.statistics import holm, nadeau_bengio, t_inference
from finetune.errors import OutputError
from finetune.measurement.scores import compute_scores, softmax
from finetune.records.comparison import ComparisonFolder
from finetune.records.schema import WeightGroup
from finetune.reports.blocks import Prose
from finetune.reports.comparison import comparison_summary
from finetune.reports.content import sections
from finetune.reports.palette import Palette
from tests.analysis.making import (
    ROWS,
    TRAIN,
    Run,
    alternating,
    cell_folder,
    group_of,
    two_class,
    variant_of,
    write_comparison,
    write_run,
)
from tests.raising import refuses

# Rows missed of 20 of train sample, validation, test; three seeds of two presets.
NONE = ((0, 4, 5), (0, 5, 6), (0, 6, 4))
STRONG = ((2, 4, 3), (3, 4, 2), (1, 5, 4))


def pair(none: Any = NONE, strong: Any = STRONG, **changes: Any) -> list[Run]:
    return [
        Run(variant=name, seed=seed, wrong=wrong, **changes)
        for name, rows in (("none", none), ("strong", strong))
        for seed, wrong in enumerate(rows)
    ]


def right(*missed: int) -> list[float]:
    """Accuracies."""
    return [1 - count / ROWS for count in missed]


# --- means, spreads, gaps --------------------------------------------------------------------------------------


def test_means_and_spreads_are_over_seeds(tmp_path: Path) -> None:
    strong = variant_of(group_of(tmp_path, pair()), "strong")
    for kind, values in (("train", right(2, 3, 1)), ("validation", right(4, 4, 5)), ("test", right(3, 2, 4))):
        summary = getattr(strong, kind)["accuracy"]
        assert summary.values == pytest.approx(values)
        assert summary.mean == pytest.approx(np.mean(values))
        assert summary.sd == pytest.approx(np.std(values, ddof=1))


def test_gaps_are_positive_where_validation_is_worse(tmp_path: Path) -> None:
    """Scores: train − validation. NLL: each missed row of 20 costs the margin, 2 nats, so 0.1 on average."""
    none = variant_of(group_of(tmp_path, pair()), "none")
    assert none.gap["accuracy"].values == pytest.approx([0.20, 0.25, 0.30])
    assert none.gap["nll"].values == pytest.approx([0.4, 0.5, 0.6])
    assert none.gap["nll"].mean == pytest.approx(0.5)


def test_the_gap_at_the_end_is_that_of_the_last_checkpoint(tmp_path: Path) -> None:
    runs = pair(last=(0, 8))
    none = variant_of(group_of(tmp_path, runs), "none")
    assert none.gap_last["accuracy"].values == pytest.approx([0.4, 0.4, 0.4])
    assert none.gap["accuracy"].values == pytest.approx([0.20, 0.25, 0.30])


def test_temperature_and_seconds_are_means_over_runs(tmp_path: Path) -> None:
    runs = [
        Run("none", 0, temperature=1.0, seconds=10),
        Run("none", 1, temperature=2.0, seconds=20),
        Run("strong", 0, temperature=0.5, seconds=45, cost=2.5),
        Run("strong", 1, temperature=0.7, seconds=45, cost=2.5),
    ]
    group = group_of(tmp_path, runs)
    none, strong = variant_of(group, "none"), variant_of(group, "strong")
    assert none.temperature is not None
    assert none.temperature.mean == pytest.approx(1.5)
    assert (none.seconds, strong.seconds, strong.seconds_ratio, strong.cost) == (15, 45, 3, 2.5)
    assert group.seconds == 120


# --- differences -----------------------------------------------------------------------------------------------


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    strong = variant_of(group_of(tmp_path, pair()), "strong")
    assert strong.pairs == [[0, None], [1, None], [2, None]]
    expected = {"train": [-0.1, -0.15, -0.05], "validation": [0, 0.05, 0.05], "test": [0.1, 0.2, 0]}
    for kind, values in expected.items():
        found = strong.differences[kind]["accuracy"]
        assert found.values == pytest.approx(values)
        assert found.mean == pytest.approx(np.mean(values))
    assert strong.differences["gap"]["accuracy"].values == pytest.approx([-0.1, -0.2, -0.1])


def test_pairs_do_not_depend_on_the_order_of_the_manifest(tmp_path: Path) -> None:
    there, back = (variant_of(group_of(tmp_path / n, r), "strong") for n, r in (("a", pair()), ("b", pair()[::-1])))
    assert there.differences == back.differences
    assert there.pairs == back.pairs


def test_a_seed_without_its_partner_is_in_the_mean_and_in_no_difference(tmp_path: Path) -> None:
    strong = variant_of(group_of(tmp_path, pair()[1:]), "strong")
    assert strong.pairs == [[1, None], [2, None]]
    assert len(strong.test["accuracy"].values) == 3
    assert strong.differences["test"]["accuracy"].values == pytest.approx([0.2, 0.0])


def test_the_interval_over_seeds_is_that_of_scipy(tmp_path: Path) -> None:
    found = variant_of(group_of(tmp_path, pair()), "strong").differences["test"]["accuracy"]
    interval = stats.ttest_1samp([0.1, 0.2, 0.0], 0).confidence_interval()
    assert (found.seeds_low, found.seeds_high) == pytest.approx((interval.low, interval.high))
    assert found.low is not None
    assert found.high is not None
    assert found.low <= interval.low
    assert found.high >= interval.high


def test_the_effect_of_rows_is_that_of_their_paired_differences(tmp_path: Path) -> None:
    """Every seed misses the same rows: R = R₁ = var(d_row)/rows, and the whole of it is added."""
    runs = pair([(0, 4, range(8))] * 3, [(0, 4, range(3))] * 3)
    found = variant_of(group_of(tmp_path, runs), "strong").differences["test"]["accuracy"]
    assert (found.seeds_low, found.seeds_high) == (None, None)
    error = math.sqrt(np.var([1.0] * 5 + [0.0] * 15) / ROWS)
    assert found.low == pytest.approx(0.25 - stats.norm.isf(0.025) * error, abs=0.01)
    assert found.high == pytest.approx(0.25 + stats.norm.isf(0.025) * error, abs=0.01)


def test_presets_that_miss_the_same_rows_have_no_interval(tmp_path: Path) -> None:
    found = variant_of(group_of(tmp_path, pair(NONE, NONE)), "strong")
    difference = found.differences["test"]["accuracy"]
    assert (difference.mean, difference.low, difference.p, difference.distinguishable) == (0, None, None, None)
    assert found.change == "no significant difference"


DECISIVE = (("test", "accuracy"), ("gap", "accuracy"), ("gap", "nll"))  # what verdicts are worded from


def test_holm_is_over_all_variants_and_the_figures_of_the_verdict(tmp_path: Path) -> None:
    runs = pair()
    for name, missed in (("light", (4, 5, 4)), ("medium", (3, 3, 2))):
        runs += [Run(name, seed, wrong=(1, 4, count)) for seed, count in enumerate(missed)]
    group = group_of(tmp_path, runs)
    found = [v.differences[kind][metric] for v in group.variants if v.baseline for kind, metric in DECISIVE]
    assert len(found) == 9
    assert [difference.p_holm for difference in found] == pytest.approx(holm([entry.p for entry in found]))
    assert [difference.distinguishable for difference in found] == [entry.p_holm < 0.05 for entry in found]
    assert any(entry.p_holm > entry.p for entry in found)
    others = [v.differences["validation"]["accuracy"] for v in group.variants if v.baseline]
    assert [entry.p_holm for entry in others] == pytest.approx(holm([entry.p for entry in others]))


def test_a_variant_without_a_p_does_not_count_for_holm(tmp_path: Path) -> None:
    """A preset that equals the baseline has no p, so the other one's is left as it is."""
    runs = pair() + [Run("same", seed, wrong=wrong) for seed, wrong in enumerate(NONE)]
    found = variant_of(group_of(tmp_path, runs), "strong").differences["validation"]["accuracy"]
    assert found.p_holm == pytest.approx(found.p)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "mcc", "nll", "brier", "ece"])
def test_what_closed_the_gap_is_what_train_lost_and_validation_won(tmp_path: Path, metric: str) -> None:
    parts = variant_of(group_of(tmp_path, pair()), "strong").decomposition[metric]
    for values in zip(parts.closed.values, parts.train_fell.values, parts.validation_rose.values, strict=True):
        closed, fell, rose = values
        assert closed == pytest.approx(fell + rose, abs=1e-12)
    assert parts.closed.mean == pytest.approx(parts.train_fell.mean + parts.validation_rose.mean, abs=1e-12)


def test_both_parts_are_positive_when_they_closed_the_gap(tmp_path: Path) -> None:
    """Train from 20 right to 18, validation from 14 to 17: closed 5 rows, 2 by train and 3 by validation."""
    group = group_of(tmp_path, pair([(0, 6, 6)] * 2, [(2, 3, 3)] * 2))
    parts = variant_of(group, "strong").decomposition
    assert parts["accuracy"].closed.mean == pytest.approx(5 / 20)
    assert parts["accuracy"].train_fell.mean == pytest.approx(2 / 20)
    assert parts["accuracy"].validation_rose.mean == pytest.approx(3 / 20)
    assert parts["nll"].train_fell.mean == pytest.approx(2 * 2 / 20)
    assert parts["nll"].validation_rose.mean == pytest.approx(3 * 2 / 20)
    low, high = parts["accuracy"].train_fell.low, parts["accuracy"].train_fell.high
    assert low is not None
    assert high is not None
    assert low < 0.1 < high


# --- one seed, no test split, folds ----------------------------------------------------------------------------


def numbers_below(value: Any, *names: str) -> list[Any]:
    """Values of these keys, anywhere."""
    if isinstance(value, dict):
        own = [content for key, content in value.items() if key in names]
        return own + [found for content in value.values() for found in numbers_below(content, *names)]
    return [found for content in value for found in numbers_below(content, *names)] if isinstance(value, list) else []


def test_one_seed_gives_no_interval_and_no_test_anywhere(tmp_path: Path) -> None:
    group = group_of(tmp_path, [Run("none"), Run("strong", wrong=(2, 4, 3))])
    whole = [variant.model_dump() for variant in group.variants]
    names = ("low", "high", "sd", "p", "p_holm", "distinguishable", "seeds_low", "seeds_high", "seeds_needed")
    assert set(numbers_below(whole, *names)) == {None}
    assert any("One seed" in text and "--seeds 5" in text for text in group.caveats)
    assert [variant.verdict for variant in group.variants] == ["not enough evidence"] * 2
    assert variant_of(group, "strong").change == "not enough evidence"


def test_few_seeds_are_a_caveat_with_the_number_that_would_do(tmp_path: Path) -> None:
    assert any(text.startswith("3 seeds give wide intervals") for text in group_of(tmp_path, pair()).caveats)


def test_without_a_test_split_validation_is_reported_and_said_to_be_optimistic(tmp_path: Path) -> None:
    group = group_of(tmp_path, pair([(0, 4), (0, 5)], [(1, 4), (2, 4)]))
    assert group.reported == "validation"
    assert any("no test split" in text and "optimistic" in text for text in group.caveats)
    assert all(variant.test == {} for variant in group.variants)
    assert "test" not in group.resolvable
    assert group.recommendation is not None


def folded() -> list[Run]:
    """Three folds, two seeds; the rows of each fold are others."""
    missed = {"none": ((4, 6, 5), (5, 7, 4)), "strong": ((3, 4, 4), (3, 3, 4))}
    return [
        Run(name, seed, fold, wrong=(0, 4, by_seed[seed][fold]), fingerprint=f"fold {fold}")
        for name, by_seed in missed.items()
        for seed in range(2)
        for fold in range(3)
    ]


def test_seeds_of_a_fold_are_averaged_and_folds_corrected_by_nadeau_and_bengio(tmp_path: Path) -> None:
    group = group_of(tmp_path, folded())
    found = variant_of(group, "strong").differences["test"]["accuracy"]
    of_folds = [(1 + 2) / 2 / ROWS, (2 + 4) / 2 / ROWS, (1 + 0) / 2 / ROWS]
    expected = nadeau_bengio(of_folds, ROWS, TRAIN)
    assert (found.low, found.high, found.p) == pytest.approx((expected.low, expected.high, expected.p))
    assert (found.seeds_low, found.seeds_high, found.seeds_needed) == (None, None, None)
    assert found.mean == pytest.approx(np.mean(of_folds))
    assert (group.folds, group.fingerprints) == (3, ["fold 0", "fold 1", "fold 2"])
    assert any("Nadeau–Bengio" in text for text in group.caveats)


def test_runs_of_folds_are_paired_fold_by_fold(tmp_path: Path) -> None:
    strong = variant_of(group_of(tmp_path, folded()), "strong")
    assert strong.pairs == [[seed, fold] for seed in range(2) for fold in range(3)]
    assert strong.differences["test"]["accuracy"].values == pytest.approx([0.05, 0.10, 0.05, 0.10, 0.20, 0.0])


# --- what a split can resolve, who dominates -------------------------------------------------------------------


def test_a_split_of_twenty_rows_resolves_what_the_binomial_says(tmp_path: Path) -> None:
    group = group_of(tmp_path, pair())
    share = np.mean(right(5, 6, 4))
    assert group.resolvable["test"] == pytest.approx(1.96 * math.sqrt(share * (1 - share) / ROWS))


def test_a_variant_with_a_lower_score_and_a_larger_gap_is_dominated(tmp_path: Path) -> None:
    runs = pair([(0, 6, 6)] * 2, [(2, 4, 4)] * 2) + [Run("light", s, wrong=(1, 5, 5)) for s in range(2)]
    group = group_of(tmp_path, runs)
    assert {variant.name: variant.dominated_by for variant in group.variants} == {
        "none": "strong",
        "strong": None,
        "light": "strong",
    }


def test_equal_scores_do_not_dominate(tmp_path: Path) -> None:
    group = group_of(tmp_path, pair([(0, 4, 4)] * 2, [(2, 4, 4)] * 2))
    assert [variant.dominated_by for variant in group.variants] == [None, None]


def test_the_majority_is_the_share_of_the_most_frequent_class_of_the_reported_split(tmp_path: Path) -> None:
    truth = {split: alternating() for split in ("train_probe", "validation")} | {"test": np.array([1] * 15 + [0] * 5)}
    logits = {split: np.eye(2)[value] * 2.0 for split, value in truth.items()}
    runs = [Run(name, seed, logits=logits, targets=truth) for name in ("none", "strong") for seed in range(2)]
    assert group_of(tmp_path, runs).majority == 0.75


# --- recommendation --------------------------------------------------------------------------------------------


def test_the_best_run_of_the_recommended_variant_is_that_of_the_best_validation_score(tmp_path: Path) -> None:
    group = group_of(tmp_path, pair([(0, 6, 1)] * 3, [(1, 4, 9), (1, 2, 9), (1, 3, 0)]))
    assert group.recommendation is not None
    assert (group.recommendation.variant, group.recommendation.seed) == ("strong", 1)


def test_of_equal_runs_the_one_with_the_lower_loss_then_the_lower_seed_is_recommended(tmp_path: Path) -> None:
    sure = [Run("none", seed, wrong=(0, 2, 2), margin=margin) for seed, margin in enumerate((4.0, 1.5, 1.5))]
    group = group_of(tmp_path, [*sure, *pair(strong=[(8, 9, 9)] * 3)[3:]])
    assert group.recommendation is not None
    losses = [compute_scores("single_label", two_class(2, margin=m), alternating())["nll"] for m in (4.0, 1.5)]
    assert losses[1] < losses[0]
    assert (group.recommendation.variant, group.recommendation.seed) == ("none", 1)


def test_an_ablation_recommends_nothing(tmp_path: Path) -> None:
    runs = [Run(name, seed) for name in ("none", "mine", "mine without l2", "l2 alone") for seed in range(2)]
    assert group_of(tmp_path, runs, {"mine without l2": "mine"}).recommendation is None


ABLATION = ("none", "mine", "mine without l2", "mine without dropout", "l2 alone", "dropout alone")


def ablation(folder: Path) -> Path:
    runs = [
        Run(name, seed, wrong=(0, 4, 4 + (seed + number) % 2))
        for number, name in enumerate(ABLATION)
        for seed in range(2)
    ]
    return write_comparison(folder, runs, {name: "mine" for name in ABLATION if "without" in name})


def test_an_ablation_names_the_preset_that_is_taken_apart(tmp_path: Path) -> None:
    assert report_of([ablation(tmp_path)]).groups[0].headline.startswith("`mine`")


def test_the_baseline_of_an_ablation_may_be_named_and_no_other(tmp_path: Path) -> None:
    folder = ablation(tmp_path)
    assert report_of([folder], "none") == report_of([folder])
    with refuses(OutputError, match="--baseline mine: .* is an ablation"):
        report_of([folder], "mine")


def test_an_ablation_of_one_seed_has_tested_nothing_and_says_so(tmp_path: Path) -> None:
    runs = [Run(name, wrong=(0, 4, 4 + number % 2)) for number, name in enumerate(ABLATION)]
    headline = group_of(tmp_path, runs, {name: "mine" for name in ABLATION if "without" in name}).headline
    assert "cannot test whether leaving out a single technique makes a difference to test accuracy" in headline
    assert "no significant difference" not in headline


# --- details ---------------------------------------------------------------------------------------------------


def three_classes(seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Random logits; targets are the same for every seed."""
    targets = {split: np.random.default_rng(9).integers(0, 3, 60) for split in ("train_probe", "validation", "test")}
    rng = np.random.default_rng(seed)
    return {split: rng.normal(0, 1, (60, 3)) + 1.5 * np.eye(3)[targets[split]] for split in targets}, targets


def three_class_runs() -> list[Run]:
    runs = []
    for number, name in enumerate(("none", "strong")):
        for seed in range(2):
            logits, targets = three_classes(10 * number + seed)
            runs.append(Run(name, seed, logits=logits, targets=targets, labels=("a", "b", "c")))
    return runs


def test_f1_of_each_class_is_that_of_scikit_learn(tmp_path: Path) -> None:
    runs = three_class_runs()
    strong = variant_of(group_of(tmp_path, runs), "strong")
    expected = {
        name: np.array(
            [
                f1_score(run.truth("test"), run.selected()["test"].argmax(axis=1), average=None)
                for run in runs
                if run.variant == name
            ]
        )
        for name in ("none", "strong")
    }
    assert [score.f1.mean for score in strong.classes] == sorted(score.f1.mean or 0 for score in strong.classes)
    for score in strong.classes:
        number = "abc".index(score.label)
        values = expected["strong"][:, number]
        changes = values - expected["none"][:, number]
        assert score.f1.values == pytest.approx(values)
        assert score.support == int((runs[0].truth("test") == number).sum())
        assert score.difference is not None
        assert score.difference.values == pytest.approx(changes)
        interval = t_inference(changes)
        assert (score.difference.seeds_low, score.difference.seeds_high) == pytest.approx((interval.low, interval.high))


def test_a_class_that_is_neither_there_nor_predicted_has_no_f1(tmp_path: Path) -> None:
    logits = np.pad(two_class(3), ((0, 0), (0, 1)), constant_values=-9.0)
    wide = dict.fromkeys(("train_probe", "validation", "test"), logits)
    truth = dict.fromkeys(wide, alternating())
    runs = [
        Run(name, seed, logits=wide, targets=truth, labels=("bad", "good", "rare"))
        for name in ("none", "strong")
        for seed in range(2)
    ]
    rare = variant_of(group_of(tmp_path, runs), "strong").classes[-1]
    assert (rare.label, rare.support, rare.f1.mean, rare.f1.values) == ("rare", 0, None, [None, None])


def test_fewer_rows_than_a_bin_needs_have_no_reliability_diagram(tmp_path: Path) -> None:
    group = group_of(tmp_path, [Run("none", seed=seed) for seed in range(3)])  # 60 predictions of 20 rows
    assert variant_of(group, "none").reliability == []
    assert group.rows["test"] == 20
    shown = " ".join(block.text for block in sections(group, Palette(["none"]))[7].blocks if isinstance(block, Prose))
    assert "a bin needs at least 30 rows, and test has 20" in shown


def test_reliability_bins_hold_all_runs_in_the_order_of_their_confidence(tmp_path: Path) -> None:
    runs = three_class_runs()
    bins = variant_of(group_of(tmp_path, runs), "none").reliability
    confidence = np.concatenate([softmax(run.selected()["test"]).max(axis=1) for run in runs[:2]])
    hit = np.concatenate([run.selected()["test"].argmax(axis=1) == run.truth("test") for run in runs[:2]])
    assert sum(entry.rows for entry in bins) == 120
    assert [entry.confidence for entry in bins] == sorted(entry.confidence for entry in bins)
    assert [entry.rows for entry in bins] == [60, 60]  # 30 rows each, which two seeds predict
    lowest = np.argsort(confidence)[:60]
    assert bins[0].confidence == pytest.approx(confidence[lowest].mean())
    assert bins[0].accuracy == pytest.approx(hit[lowest].mean())


def test_disagreements_are_the_rows_that_one_preset_gets_right_and_the_other_wrong(tmp_path: Path) -> None:
    """none always misses rows 1 to 4; strong never misses 1 and 2, misses 3 with one seed of two, and 4 always."""
    runs = [Run("none", seed, wrong=(0, 4, range(4))) for seed in range(2)]
    runs += [Run("strong", 0, wrong=(0, 4, [3])), Run("strong", 1, wrong=(0, 4, [2, 3]))]
    folder = write_comparison(tmp_path, runs)
    texts = {"data": {"1": ["<b>first</b> 🙂", None], "2": ["x" * 10_000, "its pair"]}}
    ComparisonFolder(folder).texts.write_text(json.dumps(texts), encoding="utf-8")
    found = report_of([folder]).groups[0].disagreements
    assert [entry.row for entry in found] == ["1", "2", "3"]
    assert found[0].right == {"none": 0.0, "strong": 1.0}
    assert found[2].right == {"none": 0.0, "strong": 0.5}
    assert (found[0].target, found[0].answers) == ("bad", {"none": "good", "strong": "bad"})
    assert found[0].text == "<b>first</b> 🙂"
    assert found[1].text == "x" * 299 + "…"
    assert found[1].pair == "its pair"
    assert found[2].text is None


def test_labels_survive_whatever_they_are_made_of(tmp_path: Path) -> None:
    labels = ("<script>alert('x')</script>", "🙂" * 10_000)
    runs = [Run(name, seed, labels=labels) for name in ("none", "strong") for seed in range(2)]
    report = report_of([write_comparison(tmp_path, runs)])
    again = json.loads(report.model_dump_json())
    assert {entry["label"] for entry in again["groups"][0]["variants"][0]["classes"]} == set(labels)


def test_weights_are_means_over_runs_and_shares_of_parameters(tmp_path: Path) -> None:
    groups = [
        WeightGroup(
            parameters=8, norm=norm, distance=norm / 2, zeros=zeros, unmoved=0, magnitudes=[8 - zeros] + [0] * 39
        )
        for norm, zeros in ((2.0, 0), (4.0, 4))
    ]
    runs = [Run("none", seed, weights={"encoder": group}) for seed, group in enumerate(groups)] + [Run("strong")]
    summary = variant_of(group_of(tmp_path, runs), "none").weights["encoder"]
    assert (summary.norm, summary.distance, summary.zero_share) == (3.0, 1.5, 0.25)
    assert summary.magnitudes[0] == 0.75
    assert sum(summary.magnitudes) + summary.zero_share == 1


# --- other tasks -----------------------------------------------------------------------------------------------


def multi_label(name: str, seed: int, missed: int) -> Run:
    truth = np.column_stack([alternating(), 1 - alternating()]).astype(float)
    logits = {}
    for split, count in (("train_probe", 0), ("validation", missed), ("test", missed)):
        signs = 2 * truth - 1
        signs[:count, 0] *= -1
        logits[split] = signs
    return Run(
        name, seed, task="multi_label", labels=("one", "two"), logits=logits, targets=dict.fromkeys(logits, truth)
    )


def test_multi_label_runs_are_reported_by_their_own_scores(tmp_path: Path) -> None:
    runs = [multi_label("none", s, 6 + s) for s in range(2)] + [multi_label("strong", s, 2) for s in range(2)]
    group = group_of(tmp_path, runs)
    assert (group.score, group.loss, group.majority) == ("micro_f1", "nll", None)
    strong = variant_of(group, "strong")
    truth = runs[2].truth("test")
    expected = f1_score(truth, runs[2].selected()["test"] > 0, average=None)
    assert {score.label: score.f1.mean for score in strong.classes} == pytest.approx(
        dict(zip(("one", "two"), expected, strict=True))
    )
    assert strong.reliability == []
    assert strong.temperature is None
    assert strong.test["exact_match"].mean == pytest.approx(0.9)
    row = group.disagreements[0]
    assert (row.row, row.target, row.answers) == ("3", "two", {"none": "one | two", "strong": "two"})


def regression(name: str, seed: int, noise: float, constant: bool = False) -> Run:
    truth = np.linspace(-1, 1, ROWS)
    rng = np.random.default_rng(seed)
    logits = {
        split: (np.zeros(ROWS) if constant else truth + scale * rng.normal(0, 1, ROWS)).reshape(-1, 1)
        for split, scale in (("train_probe", 0.1), ("validation", noise), ("test", noise))
    }
    return Run(name, seed, task="regression", labels=None, logits=logits, targets=dict.fromkeys(logits, truth))


def test_regression_runs_are_reported_by_correlation_and_squared_error(tmp_path: Path) -> None:
    runs = [regression("none", s, 0.8) for s in range(3)] + [regression("strong", s, 0.3) for s in range(3)]
    group = group_of(tmp_path, runs)
    assert (group.score, group.loss) == ("pearson", "mse")
    strong = variant_of(group, "strong")
    truth, given = runs[3].truth("test"), runs[3].selected()["test"][:, 0]
    assert strong.test["pearson"].values[0] == pytest.approx(np.corrcoef(given, truth)[0, 1])
    assert strong.differences["test"]["mse"].mean is not None
    assert strong.differences["test"]["mse"].mean < 0
    assert (strong.classes, strong.reliability, group.classes) == ([], [], {})
    row = group.disagreements[0]
    position = int(row.row) - 1
    errors = [abs(run.selected()["test"][position, 0] - truth[position]) for run in runs[3:]]
    assert row.right["strong"] == pytest.approx(np.mean(errors))


def test_a_collapsed_regression_is_not_left_out_of_the_mean(tmp_path: Path) -> None:
    runs = [regression("none", s, 0.3) for s in range(3)]
    runs += [regression("strong", s, 0.2, constant=s > 0) for s in range(3)]
    group = group_of(tmp_path, runs)
    strong = variant_of(group, "strong")
    assert strong.validation["pearson"].values[1:] == [None, None]
    assert (strong.degenerate, strong.verdict) == (2, "did not learn")


# --- failures --------------------------------------------------------------------------------------------------


def test_a_failed_run_is_in_the_report_with_its_reason(tmp_path: Path) -> None:
    runs = [*pair(), Run("strong", 3, status="failed", error="the loss is nan at step 3"), Run("none", 3)]
    group = group_of(tmp_path, runs)
    strong = variant_of(group, "strong")
    assert (strong.failed, len(strong.runs), len(strong.test["accuracy"].values)) == (1, 4, 3)
    assert (strong.runs[3].status, strong.runs[3].error) == ("failed", "the loss is nan at step 3")
    assert any(text.startswith("1 of 8 runs did not finish") for text in group.caveats)


def test_seeds_that_no_preset_has_finished_are_no_difference_between_presets(tmp_path: Path) -> None:
    runs = [*pair(), *(Run(name, 3, status="failed", error="out of memory") for name in ("none", "strong"))]
    caveats = group_of(tmp_path, runs).caveats
    assert not any("not all finished the same seeds" in text for text in caveats)
    assert "2 of 8 runs did not finish." in caveats


def test_the_terminal_shows_no_backticks(tmp_path: Path) -> None:
    group = group_of(tmp_path, pair())
    assert "`none`" in group.headline
    told = comparison_summary(group)
    assert "Compared with none: " in told
    assert "`" not in told


def test_a_variant_that_never_finished_keeps_its_row(tmp_path: Path) -> None:
    runs = [*pair()[:3], *(Run("strong", seed, status="failed", error="out of memory") for seed in range(3))]
    group = group_of(tmp_path, runs)
    strong = variant_of(group, "strong")
    assert (strong.verdict, strong.change, strong.failed, strong.train, strong.curves) == (
        "failed",
        "failed",
        3,
        {},
        [],
    )
    assert "`strong` cannot be compared, because no run has finished" in group.headline
    assert group.recommendation is not None
    assert group.recommendation.variant == "none"


def test_when_all_others_failed_the_choice_says_so(tmp_path: Path) -> None:
    runs = [*pair()[:3], *(Run("strong", seed, status="failed", error="out of memory") for seed in range(3))]
    recommendation = group_of(tmp_path, runs).recommendation
    assert recommendation is not None
    assert "failed" in recommendation.reason


def test_when_the_baseline_failed_the_headline_blames_the_baseline(tmp_path: Path) -> None:
    runs = [*(Run("none", seed, status="failed", error="out of memory") for seed in range(3)), *pair()[3:]]
    group = group_of(tmp_path, runs)
    assert variant_of(group, "strong").change == "failed"
    assert "cannot be compared" in group.headline
    assert "gap could be" not in group.headline


def test_a_cell_that_was_never_started_is_missing(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path, pair())
    (folder / cell_folder(pair()[4]) / "run.json").unlink()
    run = variant_of(report_of([folder]).groups[0], "strong").runs[1]
    assert (run.status, run.error) == ("missing", None)


def test_no_finished_run_at_all_is_an_error_with_the_reasons(tmp_path: Path) -> None:
    runs = [Run(name, status="failed", error=f"{name} broke") for name in ("none", "strong")]
    with pytest.raises(OutputError, match=r"no run has finished\.\nnone seed 0: none broke\nstrong seed 0: strong"):
        group_of(tmp_path, runs)


def test_degenerate_runs_are_counted_and_named(tmp_path: Path) -> None:
    always = {split: np.tile([2.0, 0.0], (ROWS, 1)) for split in ("train_probe", "validation", "test")}
    runs = [*pair(), *(Run("flat", seed, logits=always) for seed in range(3))]
    group = group_of(tmp_path, runs)
    assert (variant_of(group, "flat").degenerate, variant_of(group, "flat").verdict) == (3, "did not learn")
    told = "Runs that did not learn (no better than the same prediction for every text): flat (3)."
    assert told in group.caveats
    assert group.recommendation is not None
    assert group.recommendation.variant != "flat"


def test_runs_of_different_versions_are_a_caveat(tmp_path: Path) -> None:
    runs = [Run("none", 0), Run("none", 1), Run("strong", 0), Run("strong", 1, versions={"torch": "3"})]
    assert any("different versions of torch: 2, 3" in text for text in group_of(tmp_path, runs).caveats)


def test_a_report_of_the_same_folder_is_the_same_report(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path, pair())
    assert report_of([folder]).model_dump_json() == report_of([folder]).model_dump_json()


def test_loose_runs_make_the_same_figures_as_a_comparison(tmp_path: Path) -> None:
    for number, run in enumerate(pair()):
        write_run(tmp_path / "loose" / str(number), run)
    loose = report_of([tmp_path / "loose"]).groups[0]
    compared = group_of(tmp_path / "compared", pair())
    for one, other in zip(loose.variants, compared.variants, strict=True):
        assert one.differences == other.differences
        assert one.gap == other.gap
    assert (loose.kind, loose.name) == ("runs", "made")


# --- unequal seeds ---------------------------------------------------------------------------------------------


def test_a_preset_does_not_gain_from_the_seeds_that_it_failed(tmp_path: Path) -> None:
    """none is better on every seed that both have; its mean over all seeds is worse, for seed 2 is a hard one."""
    runs = [Run("none", seed, wrong=(0, missed, 4)) for seed, missed in enumerate((4, 5, 12))]
    runs += [Run("strong", seed, wrong=(2, missed, 4)) for seed, missed in enumerate((6, 6))]
    runs += [Run("strong", 2, status="failed", error="out of memory")]
    group = group_of(tmp_path, runs)
    assert (
        variant_of(group, "none").validation["accuracy"].mean < variant_of(group, "strong").validation["accuracy"].mean
    )
    assert group.recommendation is not None
    assert "from the best (none: 77.5 %; strong: 70.0 %)" in group.recommendation.reason  # on seeds 0 and 1
    assert variant_of(group, "none").dominated_by is None
    assert any("not all finished the same seeds" in text for text in group.caveats)


def test_with_folds_the_mean_is_that_of_the_folds(tmp_path: Path) -> None:
    """Fold 0 has three seeds, the others one: its interval and its mean count it once."""
    runs = [Run("none", seed, fold, wrong=(0, 4, 4)) for fold in range(3) for seed in range(3 if fold == 0 else 1)]
    missed = {0: 10, 1: 5, 2: 4}
    runs += [Run("strong", run.seed, run.fold, wrong=(0, 4, missed[run.fold or 0])) for run in runs]
    found = variant_of(group_of(tmp_path, runs), "strong").differences["test"]["accuracy"]
    assert found.mean == pytest.approx(np.mean([-6, -1, 0]) / 20)
    assert found.low is not None
    assert found.mean == pytest.approx((found.low + found.high) / 2)


def test_two_seeds_that_differ_by_the_same_row_do_not_make_a_preset_the_best(tmp_path: Path) -> None:
    """One row of validation in both seeds, each time another: no spread was seen, and yet nothing is certain."""
    none = [(0, [0, 1, 2], 6), (0, [3, 4, 5], 6)]
    strong = [(2, [6, 7, 8, 9], 6), (2, [10, 11, 12, 13], 6)]
    group = group_of(tmp_path, pair(none, strong))
    found = variant_of(group, "strong").differences["validation"]["accuracy"]
    assert found.values == pytest.approx([-0.05, -0.05])
    assert (found.low, found.p) == (None, None)  # two seeds, and an interval of ±60 points: too few for one
    assert group.recommendation is not None
    assert "significantly the best" not in group.recommendation.reason
