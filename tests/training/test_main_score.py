"""Which score leads: chosen by the training rows or by the recipe, and the same in run, record and report."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from finetune.advice.learning import is_degenerate
from finetune.analysis.choice import validation_order
from finetune.analysis.comparison import report_of
from finetune.diagnosis.run_records import diagnose_run
from finetune.errors import RecipeError
from finetune.measurement.scores import MEASURES, main_score, measure_of
from finetune.recipe import resolve
from finetune.records.schema import RunRecord
from finetune.records.store import RunFolder
from finetune.reports.terminal import live_scores, run_table, seeds_table
from finetune.training.plan import describe_plan
from finetune.training.prepare import prepare
from finetune.training.runner import run_seed
from tests.conftest import labelled_texts, write_csv
from tests.raising import refuses

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("task", "share", "wanted", "expected"),
    [
        ("single_label", 0.6, "auto", "accuracy"),
        ("single_label", 0.61, "auto", "macro_f1"),
        ("single_label", 0.61, "accuracy", "accuracy"),
        ("single_label", 0.5, "mcc", "mcc"),
        ("multi_label", None, "auto", "micro_f1"),
        ("regression", None, "auto", "r2"),
    ],
)
def test_the_rule(task: str, share: float | None, wanted: str, expected: str) -> None:
    assert main_score(task, share, wanted) == expected


def test_a_score_that_leads_also_selects_and_comes_first() -> None:
    measure = measure_of("single_label", "macro_f1")
    assert (measure.score, measure.selects, measure.loss) == ("macro_f1", "macro_f1", "nll")
    assert measure.shown == ("macro_f1", "accuracy", "nll")
    assert measure_of("single_label", "mcc").shown == ("mcc", "accuracy", "macro_f1", "nll")


@pytest.mark.parametrize("task", MEASURES)
def test_the_tasks_own_score_changes_nothing(task: str) -> None:
    """Above all for multi-label, whose F1 leads while average precision selects."""
    assert measure_of(task, MEASURES[task].score) is MEASURES[task]
    if task != "regression":
        assert measure_of(task, None) is MEASURES[task]


def test_old_records_of_numbers_keep_the_score_that_they_have() -> None:
    """Until algorithm version 2 a correlation led, and R² was not measured."""
    for score in (None, "pearson"):
        assert (measure_of("regression", score).score, measure_of("regression", score).loss) == ("pearson", "mse")


@pytest.fixture
def imbalanced(tmp_path: Path, write_recipe: Write) -> Path:
    """Three of four texts are good."""
    texts = labelled_texts(160)
    good = [row for row in texts if row[1] == "good"][:60]
    bad = [row for row in texts if row[1] == "bad"][:20]
    source = write_csv(tmp_path / "imbalanced.csv", ["text", "label"], [*good, *bad])
    return write_recipe(
        "imbalanced",
        data={"source": str(source), "check": False},
        techniques={"early_stopping": {"metric": "score", "patience": 2}},
    )


def shown(table: object) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def run(recipe: Path, folder: Path, *overrides: str, seed: int = 0) -> RunRecord:
    return run_seed(prepare(resolve(str(recipe), overrides=overrides).recipe), seed, RunFolder(folder))


def test_macro_f1_leads_where_one_class_outweighs_the_others(imbalanced: Path, tmp_path: Path) -> None:
    prepared = prepare(resolve(str(imbalanced)).recipe)
    assert prepared.metric == "macro_f1", "early stopping watches what leads"
    (note,) = [note for note in prepared.data.notes if "macro-F1 is the main score" in note]
    assert "75 % of the training rows are 'good'" in note
    assert "--set training.score=accuracy" in note
    record = run_seed(prepared, 0, RunFolder(tmp_path / "run"))
    assert record.data.score == "macro_f1"
    assert note in record.data.notes
    assert record.selected is not None
    best = max(record.history, key=lambda e: (e.validation["macro_f1"], -(e.validation["nll"] or 0), -e.step))
    assert record.selected.step == best.step
    # What is shown leads with it …
    rows = shown(run_table(record))
    assert rows.index("Macro-F1") < rows.index("Accuracy")
    assert "Macro-F1" in shown(seeds_table([record, record]))
    measure = measure_of("single_label", record.data.score)
    assert live_scores(measure, best.train_probe, best.validation).startswith("macro-F1: train")
    # … and so does what is computed from the record.
    assert validation_order(record)[0] == record.selected.validation["macro_f1"]
    (group,) = report_of([tmp_path / "run"]).groups
    assert group.score == "macro_f1"
    assert group.variants[0].validation["macro_f1"].mean == record.selected.validation["macro_f1"]
    assert next(iter(group.variants[0].curves[0].validation)) == "macro_f1"
    assert "macro-F1" in group.headline


def test_the_plan_says_it_once(imbalanced: Path) -> None:
    resolved = resolve(str(imbalanced))
    for data in (None, prepare(resolved.recipe).data):
        facts = describe_plan(resolved, data)["data"]
        assert facts["score"] == "macro_f1"
        assert sum("macro-F1 is the main score" in note for note in facts["notes"]) == 1


@pytest.mark.parametrize("score", ["accuracy", "mcc"])
def test_the_recipe_has_the_last_word(imbalanced: Path, score: str) -> None:
    prepared = prepare(resolve(str(imbalanced), overrides=[f"training.score={score}"]).recipe)
    assert (prepared.metric, prepared.measure.score) == (score, score)
    assert not any("main score" in note for note in prepared.data.notes)


def test_balanced_data_are_measured_as_ever(write_recipe: Write) -> None:
    prepared = prepare(resolve(str(write_recipe(data={"check": False}))).recipe)
    assert prepared.measure is MEASURES["single_label"]
    assert not any("main score" in note for note in prepared.data.notes)


@pytest.mark.parametrize("task", ["regression", "multi_label"])
def test_a_score_of_classes_is_refused_for_other_tasks(write_recipe: Write, task: str) -> None:
    with refuses(RecipeError, match=rf"training\.score: mcc is a score of classes, and the task is {task}"):
        resolve(str(write_recipe()), overrides=[f"data.task={task}", "training.score=mcc"])


def test_one_answer_for_all_texts_is_degenerate_whatever_leads(imbalanced: Path, tmp_path: Path) -> None:
    """Too small a learning rate: macro-F1 of naming the larger class is far below its share of the rows."""
    record = run(imbalanced, tmp_path / "run", "training.learning_rate=1e-7", "training.epochs=3")
    assert record.selected is not None
    assert record.selected.validation["mcc"] == 0, "a constant predictor"
    assert record.data.score == "macro_f1"
    assert is_degenerate(record)
    assert diagnose_run(record).startswith("Did not learn: Validation accuracy")


def test_a_model_that_finds_the_rare_class_is_not_degenerate_at_the_majoritys_accuracy(
    imbalanced: Path, tmp_path: Path
) -> None:
    record = run(imbalanced, tmp_path / "run", "training.epochs=3")
    assert record.selected is not None
    found = {**record.selected.validation, "accuracy": 0.75, "mcc": 0.4, "macro_f1": 0.7}
    better = record.model_copy(update={"selected": record.selected.model_copy(update={"validation": found})})
    assert not is_degenerate(better)
