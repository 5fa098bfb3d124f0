"""Numbers and logs whose truth is known, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import log_loss

from finetune import diagnose
from finetune.diagnosis.intervals import difference_interval
from finetune.diagnosis.look_alikes import look_alikes_of
from finetune.diagnosis.observations import Observed, Point
from finetune.diagnosis.trend import loss_of_even_confidence
from finetune.errors import OutputError, RecipeError
from finetune.measurement.intervals import proportion_interval
from tests.diagnosis.logs import NAN, closing, history, write
from tests.raising import refuses

SIZES = {"train_size": 1000, "validation_size": 200}


def verdict(source: Any = None, **numbers: Any) -> str:
    return diagnose(source, **numbers).diagnosis.verdict


@pytest.mark.parametrize(("hits", "rows"), [(0, 10), (3, 7), (150, 200), (200, 200), (1, 3000)])
def test_an_interval_of_an_accuracy_is_scipys(hits: int, rows: int) -> None:
    known = binomtest(hits, rows).proportion_ci(0.95, method="wilson")
    assert proportion_interval(hits / rows, rows, 0.95) == pytest.approx((known.low, known.high), abs=1e-12)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [((56, 70), (48, 80), (0.0524, 0.3339)), ((9, 10), (3, 10), (0.1705, 0.8090)), ((10, 10), (0, 20), (0.6791, 1.0))],
)
def test_an_interval_of_a_difference_is_that_of_the_paper(
    first: tuple[int, int], second: tuple[int, int], expected: tuple[float, float]
) -> None:
    """Table II of Newcombe 1998, method 10."""
    found = difference_interval(first[0] / first[1], first[1], second[0] / second[1], second[1], 0.95)
    assert found == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize(
    ("train", "validation", "further", "expected"),
    [
        (0.98, 0.75, {}, "overfits"),
        (0.98, 0.75, {"validation_size": 20}, "overfits"),
        (0.70, 0.69, {}, "underfits"),
        (0.70, 0.69, {"validation_size": 20}, "cannot tell"),
        (0.95, 0.93, {}, "no sign of overfitting"),
        (0.98, 0.93, {"train_size": 9000, "validation_size": 5000}, "overfits"),
        (0.999, 0.995, {"train_size": 9000, "validation_size": 5000}, "no sign of overfitting"),
        (0.90, 0.90, {"majority": 0.9}, "did not learn"),
        (0.52, 0.50, {"classes": 2}, "did not learn"),
        (0.98, 0.75, {"majority": 0.95}, "overfits"),  # one answer for all texts has no gap of 17 points or more
        (0.99, 0.50, {"classes": 2}, "overfits"),
        (0.80, 0.92, {}, "validation above training"),
        (0.95, 0.93, {"train_loss": 0.1, "validation_loss": 0.5}, "overconfident"),
        (0.95, 0.93, {"train_loss": 0.18, "validation_loss": 0.22}, "no sign of overfitting"),
        # The loss of a model that is right in 97 % of the rows and claims 97 % for each is 0.135.
        (1.0, 0.97, {"train_loss": 0.002, "validation_loss": 0.12}, "no sign of overfitting"),
        (1.0, 0.97, {"train_loss": 0.002, "validation_loss": 0.3}, "overconfident"),
        # With ten classes it is 0.20, as an error may be any of nine others.
        (1.0, 0.97, {"train_loss": 0.002, "validation_loss": 0.2, "classes": 10}, "no sign of overfitting"),
        (1.0, 0.97, {"train_loss": 0.002, "validation_loss": 0.2, "classes": 2}, "overconfident"),
    ],
)
def test_of_numbers(train: float, validation: float, further: dict[str, Any], expected: str) -> None:
    numbers = {"train_accuracy": train, "validation_accuracy": validation, **SIZES, **further}
    assert verdict(**numbers) == expected


def test_a_training_score_just_above_one_answer_is_not_said_to_be_below_it() -> None:
    numbers = {"train_accuracy": 0.54, "validation_accuracy": 0.50, "train_size": 20000, "validation_size": 200}
    found = diagnose(**numbers, classes=2).diagnosis
    assert found.verdict == "did not learn"
    assert found.text.endswith("beyond chance, and that of training (54.0 %) is hardly above it.")


@pytest.mark.parametrize(
    ("objective", "loss", "accuracy", "further", "expected"),
    [
        # The five runs and some of the cases of public tools that most of them miss.
        ([0.6, 0.2, 0.02], [0.50, 0.75, 1.1], [0.77, 0.77, 0.76], {}, "overfits"),
        ([0.4, 0.1, 0.02, 0.001], [0.62, 0.9, 1.3, 1.6], [0.62, 0.62, 0.61, 0.62], {}, "overfits"),
        ([0.1, 0.05, 0.02, 0.01], [0.87, 0.87, 0.88, 0.88], [0.70, 0.70, 0.70, 0.70], {}, "overfits"),
        ([0.6, 0.4, 0.3, 0.28], [0.5, 0.42, 0.4, 0.4], [0.75, 0.82, 0.83, 0.83], {}, "cannot tell"),
        ([0.69, 0.65, 0.63, 0.62], [0.68, 0.65, 0.64, 0.64], [0.66, 0.69, 0.68, 0.69], {}, "underfits"),
        (
            [0.6, 0.3, 0.1, 0.05],
            [0.5, 0.4, 0.38, 0.4],
            [0.80, 0.85, 0.80, 0.85],
            {"validation_size": 20},
            "cannot tell",
        ),
        ([0.1, 0.05, 0.02, 0.01], [0.87, 0.87, 0.88, 0.88], [0.70, 0.71, 0.70, 0.70], {}, "overfits"),
        ([0.7, 0.62, 0.6, 0.58], [0.6, 0.54, 0.51, 0.5], [0.7, 0.82, 0.84, 0.85], {}, "no sign of overfitting"),
        ([0.6, 0.4, 0.3, 0.28], [0.5, 0.42, 0.4, 0.4], [0.85, 0.90, 0.92, 0.92], {}, "no sign of overfitting"),
        ([0.6, 0.3, 0.1, 0.05], [0.4, 0.42, 0.5, 0.6], [0.70, 0.75, 0.80, 0.875], {}, "overconfident"),
        ([0.68, 0.66, 0.64, 0.63], [0.68, 0.66, 0.64, 0.62], [0.55, 0.60, 0.64, 0.70], {}, "still learning"),
        ([0.6, 0.3, 0.1, 0.02], [0.5, 0.45, 0.8, 1.2], [0.75, 0.80, 0.74, 0.68], {}, "overfits"),
        ([0.33, 0.32, 0.32, 0.32], [0.33, 0.33, 0.32, 0.32], [0.9, 0.9, 0.9, 0.9], {}, "did not learn"),
        ([0.6, 0.2, 0.4, 1.4], [0.5, 0.45, 0.8, 1.9], [0.75, 0.80, 0.7, 0.5], {}, "diverged"),
        ([2.4, 1.6, 1.2, 1.1], [0.5, 0.42, 0.4, 0.4], [0.85, 0.90, 0.92, 0.92], {}, "no sign of overfitting"),
        ([0.6, 0.2, 0.02], [0.50, 0.75, 1.1], None, {}, "overfits"),
        ([0.6, 0.5], [0.6, 0.55], [0.7, 0.72], {}, "cannot tell"),
        ([0.6, 0.5], [0.6, 0.55], [0.7, 0.72], {"train_accuracy": 0.98, "train_size": 640}, "overfits"),
    ],
)
def test_of_logs(
    tmp_path: Path, objective: list[float], loss: list[float], accuracy: list[float] | None, further: Any, expected: str
) -> None:
    assert verdict(write(tmp_path, history(objective, loss, accuracy)), **further) == expected


@pytest.mark.parametrize(
    ("objective", "loss", "accuracy", "further", "expected"),
    [
        # 90 % in one class: the training loss falls to the entropy of the classes, and nothing of texts is learned.
        ([0.69, 0.45, 0.34, 0.33], [0.5, 0.35, 0.33, 0.33], [0.9, 0.9, 0.9, 0.9], {}, "did not learn"),
        # A loss below that of one answer tells the rows apart, however constant the score of few rows is.
        ([0.30, 0.20, 0.15, 0.14], [0.25, 0.18, 0.15, 0.15], [0.95, 0.95, 0.95, 0.95], {}, "did not learn"),
        ([0.30, 0.15, 0.08, 0.05], [0.12, 0.10, 0.09, 0.09], [0.95, 0.95, 0.95, 0.95], {}, "no sign of overfitting"),
        ([0.30, 0.10, 0.01, 0.01], [0.05, 0.02, 0.01, 0.01], [1.0, 1.0, 1.0, 1.0], {}, "no sign of overfitting"),
        # Learned by heart: of six classes in equal numbers, validation is that of a guess.
        ([1.79, 1.5, 1.2, 1.0], [1.79, 1.79, 1.8, 1.8], [0.17, 0.19, 0.18, 0.20], {"classes": 6}, "overfits"),
        ([1.79, 1.78, 1.77, 1.77], [1.79, 1.79, 1.79, 1.79], [0.17, 0.19, 0.18, 0.17], {"classes": 6}, "did not learn"),
        # A training loss that still falls is of a run that has not ended, and one that does not of a poor fit.
        ([1.79, 1.70, 1.60], [1.79, 1.78, 1.78], [0.19, 0.20, 0.23], {"classes": 6}, "cannot tell"),
        ([0.69, 0.66, 0.65, 0.65], [0.68, 0.65, 0.64, 0.64], [0.66, 0.69, 0.68, 0.69], {}, "underfits"),
        # The training rows are not fitted and those of validation are: wrong labels or changed texts in training.
        ([0.66, 0.61, 0.60, 0.60], [0.43, 0.40, 0.39, 0.39], [0.95, 0.96, 0.96, 0.97], {}, "validation above training"),
        ([2.64, 2.44, 2.4, 2.4], [0.43, 0.40, 0.39, 0.39], [0.95, 0.96, 0.96, 0.97], {}, "validation above training"),
        (
            [0.66, 0.61, 0.60, 0.60],
            [0.43, 0.40, 0.39, 0.39],
            [0.95, 0.96, 0.96, 0.97],
            {"techniques": ["mixup"]},
            "no sign of overfitting",
        ),
        # Few errors make a loss that rises by their luck: 2 of 100 rows, and 20 of 100.
        (
            [0.13, 0.02, 0.01, 0.01],
            [0.055, 0.06, 0.08, 0.075],
            [0.99, 0.99, 0.97, 0.98],
            {"validation_size": 100},
            "no sign of overfitting",
        ),
        ([0.5, 0.4, 0.35, 0.3], [0.45, 0.5, 0.6, 0.7], [0.80, 0.81, 0.80, 0.79], {}, "overconfident"),
    ],
)
def test_of_logs_without_a_training_score(
    tmp_path: Path, objective: list[float], loss: list[float], accuracy: list[float], further: Any, expected: str
) -> None:
    assert verdict(write(tmp_path, history(objective, loss, accuracy)), **further) == expected


def test_a_training_loss_bounds_the_training_accuracy_whatever_its_scale(tmp_path: Path) -> None:
    """An error costs 2 ln 2 at least, so 0.02 nats leave room for 1.4 % of errors; four times 0.02 for 5.8 %."""
    for times, least in ((1, 0.9856), (4, 0.9423)):
        path = write(tmp_path / str(times), history([0.6, 0.3, 0.02 * times], [0.5, 0.5, 0.5], [0.7, 0.71, 0.7]))
        found = diagnose(path).diagnosis
        assert found.train is not None
        assert found.train.mean == pytest.approx(least, abs=1e-3)
        assert any("at least" in note for note in found.notes)


@pytest.mark.parametrize("score", ["f1", "f1_weighted", "weighted_f1", "balanced_accuracy", "macro_precision"])
def test_an_f1_is_judged_as_an_accuracy_is(tmp_path: Path, score: str) -> None:
    records = history([0.69, 0.65, 0.63, 0.62], [0.68, 0.65, 0.64, 0.64], [0.66, 0.69, 0.68, 0.69])
    renamed = [{key.replace("accuracy", score): value for key, value in record.items()} for record in records]
    assert verdict(write(tmp_path, renamed)) == "underfits"
    clean = {f"train_{score}": 0.70, "train_runtime": 1.0, "step": 160, "epoch": 4.0}
    assert verdict(write(tmp_path, [*renamed, clean])) == "underfits"


def test_losses_of_training_and_evaluation_are_never_compared(tmp_path: Path) -> None:
    """With accumulation the logged training loss is a multiple; the same run must give the same verdict."""
    plain = history([0.6, 0.5, 0.45, 0.44], [0.5, 0.45, 0.44, 0.44], [0.85, 0.90, 0.92, 0.92])
    scaled = [{**record, **({"loss": 4 * record["loss"]} if "loss" in record else {})} for record in plain]
    assert verdict(write(tmp_path / "a", plain)) == verdict(write(tmp_path / "b", scaled)) == "no sign of overfitting"


def test_a_test_evaluation_after_training_is_no_evaluation_of_validation(tmp_path: Path) -> None:
    records = history([0.6, 0.4, 0.3, 0.28], [0.5, 0.42, 0.4, 0.4], [0.85, 0.90, 0.92, 0.92])
    records.append({"eval_loss": 0.9, "eval_accuracy": 0.6, "step": 160, "epoch": 4.0})
    found = diagnose(write(tmp_path, records)).diagnosis
    assert found.verdict == "no sign of overfitting"
    assert any("1 evaluation after the end" in note for note in found.notes)


def test_a_clean_training_score_in_the_log_is_used(tmp_path: Path) -> None:
    records = history([0.6, 0.4, 0.3, 0.28], [0.5, 0.42, 0.4, 0.4], [0.85, 0.90, 0.92, 0.92])
    records.append({"train_accuracy": 0.99, "train_loss": 0.03, "train_runtime": 1.0, "step": 160, "epoch": 4.0})
    found = diagnose(write(tmp_path, records)).diagnosis
    assert found.verdict == "overfits"
    assert found.gap is not None
    assert found.gap.mean == pytest.approx(0.07)


@pytest.mark.parametrize("broken", [{"grad_norm": NAN}, {"loss": NAN}, {"loss": 0.0, "grad_norm": 0.0}])
def test_a_nan_is_a_divergence_whatever_the_loss_says(tmp_path: Path, broken: dict[str, float]) -> None:
    records = history([0.6, 0.4, 0.2, 0.1], [0.5, 0.42, 0.4, 0.4], [0.85, 0.90, 0.92, 0.92])
    records[4] |= broken
    found = diagnose(write(tmp_path, records)).diagnosis
    assert found.verdict == "diverged"
    assert "at step 120" in found.text


OVERFITTED = history([0.6, 0.3, 0.1, 0.05], [0.5, 0.40, 0.7, 0.9], [0.75, 0.85, 0.84, 0.84])
BEST = {"best_model_checkpoint": "/home/other/out/checkpoint-80"}
OF_BEST = {"train_accuracy": 0.87, "train_loss": 0.35, "train_runtime": 1.0, "step": 160, "epoch": 4.0}
AGAIN = {"eval_loss": 0.40, "eval_accuracy": 0.85, "eval_runtime": 0.7, "step": 160, "epoch": 4.0}


@pytest.mark.parametrize(
    ("further", "state", "verdict", "note"),
    [
        ([], {}, "overfits", ""),
        ([], BEST, "overfits", "the best checkpoint is that of step 80 (epoch 2); the run is judged at its end"),
        # The training score was measured after the best weights had been loaded: beside the validation score of these.
        ([OF_BEST], BEST, "underfits", "since the log names it as the best; 2 later evaluations left out"),
        ([AGAIN, OF_BEST], {}, "underfits", "since its evaluation is repeated after training"),
        ([AGAIN | {"eval_loss": 0.41}], {}, "overfits", "1 evaluation after the end of training left out"),
    ],
)
def test_of_which_checkpoint_scores_are(
    tmp_path: Path, further: list[dict[str, Any]], state: dict[str, Any], verdict: str, note: str
) -> None:
    found = diagnose(write(tmp_path, [*OVERFITTED, *further], **state)).diagnosis
    assert found.verdict == verdict
    assert any(note in each for each in found.notes)


def test_a_log_that_ends_at_its_best_checkpoint_rises_by_choice(tmp_path: Path) -> None:
    """With save_total_limit=1 the state of the best checkpoint is all that is left."""
    records = history([0.68, 0.5, 0.4], [0.6, 0.5, 0.45], [0.6, 0.7, 0.82])[:-1]
    of_best = {"best_model_checkpoint": "out/checkpoint-120", "max_steps": 400}
    assert verdict(write(tmp_path / "a", records, **of_best)) == "cannot tell"
    assert verdict(write(tmp_path / "b", records, max_steps=400)) == "still learning"


@pytest.mark.parametrize(
    ("further", "note"),
    [
        ({"eval_accuracy": 0.60, "eval_samples_per_second": 400}, "a shift"),  # under the name of validation
        ({"test_accuracy": 0.60, "test_samples_per_second": 400}, "more than chance explains"),
        ({"test_accuracy": 0.83, "test_samples_per_second": 400}, "no difference beyond chance"),
        ({"test_accuracy": 0.99, "test_samples_per_second": 400}, "test is easier than validation"),
    ],
)
def test_a_test_score_is_put_beside_validation(tmp_path: Path, further: dict[str, float], note: str) -> None:
    side = next(iter(further)).split("_")[0]
    record = {f"{side}_loss": 0.5, f"{side}_runtime": 0.5, "step": 160, "epoch": 4.0, **further}
    found = diagnose(write(tmp_path, [*OVERFITTED, record])).diagnosis
    assert found.validation is not None
    assert found.validation.mean == 0.84
    assert found.test_rows == 200
    assert any(note in each for each in found.notes)


def test_test_rows_without_a_test_score_are_refused(tmp_path: Path) -> None:
    good = {"train_accuracy": 0.98, "validation_accuracy": 0.75, **SIZES}
    with refuses(RecipeError, match="--test-size 100: applies to a test score"):
        diagnose(**good, test_size=100)
    with refuses(RecipeError, match="--test-size 100: applies to a test score"):
        diagnose(write(tmp_path, OVERFITTED), test_size=100)
    assert any("--test-size" in each for each in diagnose(**good, test_accuracy=0.7).diagnosis.missing)
    shifted = diagnose(**{**good, "train_accuracy": 0.80}, test_accuracy=0.5, test_size=300).diagnosis
    assert any("a shift" in note for note in shifted.notes)


@pytest.mark.parametrize(
    ("train", "scores", "status", "why"),
    [
        ([0.70, 0.85, 0.95], [0.50, 0.60, 0.65], "likely", "it was there before rows were memorized"),
        ([0.70, 0.85, 0.95], [0.69, 0.75, 0.75], "possible", "it has grown"),
    ],
)
def test_a_gap_from_the_start_is_of_rows_that_differ(
    train: list[float], scores: list[float], status: str, why: str
) -> None:
    curve = tuple(Point(n, float(n), score, 0.5, train[n - 1]) for n, score in enumerate(scores, 1))
    found = look_alikes_of("overfits", Observed(source="run", curve=curve, validation_rows=200))
    shift = next(each for each in found if "shift" in each.name)
    assert shift.status == status
    assert why in shift.why


def test_acc_is_the_accuracy(tmp_path: Path) -> None:
    short = [{key.replace("accuracy", "acc"): value for key, value in record.items()} for record in OVERFITTED]
    assert diagnose(write(tmp_path, short)).diagnosis.score == "accuracy"


def test_early_stopping_is_an_end_and_a_checkpoint_is_none(tmp_path: Path) -> None:
    records = history([0.6, 0.4, 0.3, 0.28], [0.5, 0.42, 0.4, 0.4], [0.85, 0.90, 0.92, 0.92])
    control = {"args": {"should_training_stop": True}, "attributes": {}}
    callbacks = {"EarlyStoppingCallback": {"args": {}, "attributes": {}}, "TrainerControl": control}
    stopped = diagnose(write(tmp_path / "a", records, max_steps=400, stateful_callbacks=callbacks)).diagnosis
    assert "early stopping ended the training at step 160 of 400" in stopped.notes
    cut = diagnose(write(tmp_path / "b", records[:-1], max_steps=400)).diagnosis
    assert any("most likely that of a checkpoint" in note for note in cut.notes)


def test_of_a_folder_the_longest_history_is_read(tmp_path: Path) -> None:
    whole = history([0.6, 0.2, 0.02], [0.50, 0.75, 1.1], [0.77, 0.77, 0.76])
    write(tmp_path / "checkpoint-40", whole[:2], max_steps=120)
    write(tmp_path / "checkpoint-120", whole[:-1], max_steps=120)
    found = diagnose(tmp_path).diagnosis
    assert found.source.endswith("checkpoint-120/trainer_state.json")
    assert found.validation_rows == 200  # by rate and time


def test_of_several_evaluation_sets_one_must_be_named(tmp_path: Path) -> None:
    records = [{"eval_a_loss": 0.5, "eval_a_accuracy": 0.7, "eval_b_loss": 0.9, "step": 40}, closing(40, 1.0)]
    path = write(tmp_path, records)
    with refuses(OutputError, match="has 2 evaluation sets"):
        diagnose(path)
    with refuses(OutputError, match="no evaluation set"):
        diagnose(path, evaluation="c")
    assert diagnose(path, evaluation="a").diagnosis.validation is not None


@pytest.mark.parametrize(
    ("records", "complaint"),
    [
        ([{"loss": 0.5, "step": 10}], "the log has no evaluation"),
        ([{"embedding_loss": 0.2, "step": 10}], "SetFit"),
        ([], "the log has no evaluation"),
    ],
)
def test_a_log_that_says_nothing_of_new_texts_is_refused(
    tmp_path: Path, records: list[dict[str, Any]], complaint: str
) -> None:
    with refuses(OutputError, match=complaint):
        diagnose(write(tmp_path, records))


def test_what_is_no_log_is_refused_with_what_is_known(tmp_path: Path) -> None:
    with refuses(OutputError, match="no such file"):
        diagnose(tmp_path / "nowhere")
    with refuses(OutputError, match="Known: a run folder of finetune"):
        diagnose(tmp_path)
    (tmp_path / "trainer_state.json").write_text('{"log_history": [', encoding="utf-8")
    with refuses(OutputError, match="cannot be read as JSON"):
        diagnose(tmp_path)
    (tmp_path / "trainer_state.json").write_text("[]", encoding="utf-8")
    with refuses(OutputError, match="not the state of a Trainer"):
        diagnose(tmp_path)
    good = write(tmp_path, history([0.6], [0.5], [0.7]))
    with refuses(OutputError, match="no score has this name"):
        diagnose(good, metric="f1")


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [
        ({"train_accuracy": "98%"}, "is not a number"),
        ({"validation_size": True}, "is not a number"),
        ({"train_accuracy": 98}, "looks like a percentage"),
        ({"validation_accuracy": -0.1}, "between 0 and 1"),
        ({"validation_size": 0}, "must be at least 1"),
        ({"epochs": 0}, "must be more than 0"),
        ({"classes": 1}, "must be at least 2"),
        ({"majority": 0.3, "classes": 2}, "the largest of 2 classes"),
        ({"train_loss": -1.0}, "at least 0"),
        ({"train_size": None}, "is missing: number of rows that were trained on"),
        ({"fail_on": "overfitting"}, "is not a verdict. Did you mean"),
    ],
)
def test_impossible_numbers_are_refused_by_name(numbers: dict[str, Any], complaint: str) -> None:
    good = {"train_accuracy": 0.98, "validation_accuracy": 0.75, **SIZES}
    with refuses(RecipeError, match=complaint):
        diagnose(**{**good, **numbers})


def test_losses_and_epochs_that_are_given_are_said() -> None:
    losses = {"train_loss": 0.05, "validation_loss": 0.9}
    found = diagnose(train_accuracy=0.98, validation_accuracy=0.75, **SIZES, **losses).diagnosis
    assert "The loss is 0.900 on validation and 0.050 on training rows." in found.text
    short = diagnose(train_accuracy=0.70, validation_accuracy=0.69, epochs=2, **SIZES).diagnosis
    assert "trained for 2 epochs only" in short.text


def test_every_missing_number_is_named_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        diagnose()
    missing = {problem.argument for problem in caught.value.problems}
    assert missing == {"train_accuracy", "validation_accuracy", *SIZES}


@pytest.mark.parametrize("classes", [2, 4])
def test_the_loss_of_even_confidence_is_that_of_such_predictions(classes: int) -> None:
    rows, wrong = 100, 10
    labels = np.zeros(rows, dtype=int)
    labels[:wrong] = np.arange(wrong) % (classes - 1) + 1
    probabilities = np.full((rows, classes), wrong / rows / (classes - 1))
    probabilities[:, 0] = 1 - wrong / rows
    expected = log_loss(labels, probabilities, labels=range(classes))
    assert loss_of_even_confidence(0.9, classes) == pytest.approx(expected)


@pytest.mark.parametrize(("score", "classes"), [(1.0, 3), (0.0, None)])
def test_the_loss_of_even_confidence_without_a_doubt_is_0(score: float, classes: int | None) -> None:
    assert loss_of_even_confidence(score, classes) == 0
