"""`finetune evaluate`: it agrees with the run's record, names what it leaves out, and sees drift."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import finetune
from finetune.analysis.evaluation import Measured
from finetune.data.table import Table
from finetune.errors import DataError, OutputError, RecipeError, RunFailed
from finetune.inference.tables import other_column_warnings
from finetune.records.evaluation import EvaluationReport
from finetune.records.schema import FinishedRecord
from finetune.workflows.model_results import EvaluateResult
from tests.cli.invoking import invoke
from tests.conftest import WORDS, labelled_texts, save_tiny_model, write_csv
from tests.raising import refuses
from tests.running import train

Write = Callable[..., Path]
TOLERANCE = 1e-4  # of scores: logits of other batches differ by about 1e-6
TASKS: dict[str, Callable[[str, int], Any]] = {
    "single_label": lambda label, index: label,
    "multi_label": lambda label, index: "|".join([label, *(["even"] if index % 4 < 2 else [])]),
    "regression": lambda label, index: (5 if label == "good" else -5) + index / 100,
}


def _rows(task: str, rows: int, start: int = 0) -> list[tuple[str, Any]]:
    return [(text, TASKS[task](label, index)) for index, (text, label) in enumerate(labelled_texts(rows, start))]


MADE: dict[str, tuple[Path, FinishedRecord, Path]] = {}


@pytest.fixture
def run(write_recipe: Write, tmp_path: Path) -> Callable[..., tuple[Path, FinishedRecord, Path]]:
    """A run of a task with a test split in a file of its own, trained once: folder, record, file."""

    def make(task: str = "single_label") -> tuple[Path, FinishedRecord, Path]:
        if task not in MADE:
            source = write_csv(tmp_path / "train.csv", ["text", "label"], _rows(task, 64))
            test = write_csv(tmp_path / "test.csv", ["text", "label"], _rows(task, 40, 500))
            section = {"source": str(source), "test": str(test), "test_size": None, "task": task, "check": False}
            MADE[task] = tmp_path / "run", train(write_recipe(data=section), tmp_path / "run"), test
        return MADE[task]

    return make


@pytest.mark.parametrize("task", TASKS)
def test_it_agrees_with_the_record_on_the_runs_own_test_rows(run: Any, task: str) -> None:
    folder, record, test = run(task)
    report = finetune.evaluate(folder, test).report
    assert (report.rows, report.read, report.left_out) == (40, 40, {})
    assert {name: score.value for name, score in report.scores.items()} == {
        name: pytest.approx(value, abs=TOLERANCE) for name, value in record.selected.test.items()
    }
    assert report.recorded is not None
    assert report.recorded.scores == record.selected.test
    if record.calibration is not None:
        assert report.served["nll"].value == pytest.approx(record.calibration.test_nll, abs=TOLERANCE)
        assert sum(map(sum, report.confusion or [])) == 40
    if record.thresholds is not None:
        assert {name: score.value for name, score in report.served.items()} == pytest.approx(record.thresholds.test)
    assert [each.level for each in report.drift if each.check != "label_shift"] == ["info", "info", "info"]
    assert report.missing == []
    (copied,) = finetune.evaluate(folder, folder.parent / "train.csv").report.warnings
    assert copied.startswith("48 of 64 rows have texts that the model was trained on; ")


def test_rows_that_cannot_be_measured_are_counted_and_named(run: Any, tmp_path: Path) -> None:
    folder, _, _ = run()
    rows = [("a", "plot good", "good"), ("b", "plot bad", ""), ("c", "", "bad"), ("", "plot sad", "Bad")]
    rows += [("e", "x", "new"), ("f", "scene good", "bad")]
    data = write_csv(tmp_path / "new.csv", ["id", "text", "label"], rows)
    said = invoke("evaluate", folder, "--data", data, "--id", "id", "--json")
    assert said.exit_code == 0, said.stderr
    report = EvaluationReport.model_validate_json(said.stdout)
    assert report.left_out == {"empty text": 1, "empty label": 1, "label unknown to the model": 2}
    assert report.rows + sum(report.left_out.values()) == report.read == 6
    assert {(mistake.row, mistake.id) for mistake in report.mistakes} <= {("1", "a"), ("6", "f")}
    assert "2 of 4 rows are left out for labels that the model does not know: 'Bad' (1), 'new' (1)" in said.stderr
    assert '--set \'data.label_map={"Bad": "bad"}\'' in said.stderr
    mapped = finetune.evaluate(folder, data, overrides={"data.label_map": {"Bad": "bad"}}, id="id")
    assert mapped.report.rows == 3
    assert any("Labels: fewer than 20 rows" in finding.text for finding in mapped.report.drift)


def test_mistakes_have_ids_and_the_nearest_training_text(run: Any, tmp_path: Path) -> None:
    folder, _, _ = run()
    texts = labelled_texts(30, 700)
    swapped = [(f"t{n}", text, "bad" if label == "good" else "good") for n, (text, label) in enumerate(texts)]
    data = write_csv(tmp_path / "swapped.csv", ["ticket", "text", "label"], swapped)
    report = finetune.evaluate(folder, data, id="ticket").report
    assert report.wrong is not None
    assert report.wrong > 0
    confidences = [mistake.confidence for mistake in report.mistakes]
    assert confidences == sorted(confidences, reverse=True)
    first = report.mistakes[0]
    assert first.id is not None
    assert {row[0]: row[1] for row in swapped}[first.id] == first.text
    assert first.nearest is not None
    with (folder.parent / "train.csv").open(encoding="utf-8", newline="") as file:
        trained = list(csv.DictReader(file))
    assert trained[int(first.nearest.row) - 1] == {"text": first.nearest.text, "label": first.nearest.label}


def test_other_labels_lengths_and_words_are_told_as_drift(run: Any, tmp_path: Path) -> None:
    folder, _, _ = run()
    texts = [f"{text} unheard words of another kind " * 2 for text, _ in labelled_texts(60)]
    strange = [(text, "good" if number % 20 else "bad") for number, text in enumerate(texts)]
    report = finetune.evaluate(folder, write_csv(tmp_path / "d.csv", ["text", "label"], strange)).report
    found = {finding.check: finding for finding in report.drift}
    assert {"label_shift", "length_shift", "tokens"} <= {n for n, each in found.items() if each.level == "warning"}
    assert re.search("'(good|bad)' against (50|48|52) % in training", found["label_shift"].text)


def test_gates_are_of_these_rows_or_of_the_difference_to_the_runs_own(run: Any, tmp_path: Path) -> None:
    folder, _, test = run()
    assert invoke("evaluate", folder, "-d", test, "--fail-on", "difference.test.accuracy < -0.05").exit_code == 0
    failed = invoke("evaluate", folder, "-d", test, "--fail-on", "test.accuracy <= 1 and test.nll > -1")
    assert failed.exit_code == 1
    assert "test.accuracy <= 1: " in failed.stderr
    for wrong, said in (
        ("gap.accuracy > 0.1", "'gap' is not a field. Known: test.METRIC, difference.KIND.METRIC."),
        ("test.f2 < 1", "'f2' is not measured"),
        ("accuracy < 1", "'accuracy' is not a field. Did you mean test.accuracy?"),
        ("accuracy", "Try: --fail-on 'test.accuracy < 0.5'"),
    ):
        refused = invoke("evaluate", folder, "-d", test, "--fail-on", wrong)
        assert (refused.exit_code, said in " ".join(refused.stderr.split())) == (2, True), refused.stderr
    shutil.copytree(folder / "model", tmp_path / "alone")
    with pytest.raises(RunFailed, match="there is no run beside the model"):
        finetune.evaluate(tmp_path / "alone", test, fail_on="difference.test.nll > 9").raise_failures()


def test_it_is_readable_at_80_columns_and_as_a_page(
    run: Any, tmp_path: Path, without_plots: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    folder, _, test = run()
    said = invoke("evaluate", folder, "--data", test, "--output", tmp_path / "out")
    assert said.exit_code == 0, said.stderr
    lines = [line for line in said.stdout.splitlines() if "/" not in line]  # paths are kept whole
    assert max(map(len, lines)) <= 80, max(lines, key=len)
    page = (tmp_path / "out" / "evaluation.html").read_text(encoding="utf-8")
    for text in ("Confusion matrix", "--shade:", "Below the diagonal", "Macro-F1", "Difference from the training rows"):
        assert text in page
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert EvaluationReport.model_validate(content).rows == 40
    assert "<style" in EvaluateResult(EvaluationReport.model_validate(content))._repr_html_()


def test_a_model_of_another_program_is_measured_with_what_it_has(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tiny = save_tiny_model(tmp_path / "tiny")
    model = AutoModelForSequenceClassification.from_pretrained(tiny, id2label={0: "bad", 1: "good"})
    model.save_pretrained(tmp_path / "theirs")
    AutoTokenizer.from_pretrained(tiny).save_pretrained(tmp_path / "theirs")
    data = write_csv(tmp_path / "d.csv", ["review", "label"], labelled_texts(24))
    report = finetune.evaluate(tmp_path / "theirs", data).report
    assert (report.rows, report.temperature, report.record, report.drift) == (24, None, None, [])
    assert [text.partition(":")[0] for text in report.missing] == [
        "the run that trained the model, and with it the scores on its own rows and the nearest training texts",
        "drift",
        "calibration",
    ]


def test_what_cannot_be_measured_is_an_error(run: Any, tmp_path: Path) -> None:
    folder, _, test = run()
    no_label = write_csv(tmp_path / "a.csv", ["text", "other", "more"], [(WORDS[0], "y", "z")])
    strange = write_csv(tmp_path / "b.csv", ["text", "label"], [(WORDS[0], "p"), (WORDS[1], "q")])
    spelt = write_csv(tmp_path / "f.csv", ["text", "label"], [(WORDS[0], "GOOD"), (WORDS[1], "BAD")])
    empty = write_csv(tmp_path / "c.csv", ["text", "label"], [(WORDS[0], ""), (WORDS[1], "")])
    no_text = write_csv(tmp_path / "d.csv", ["a", "b", "label"], [("x", "y", "good")])
    for data, match in (
        (strange, "does not know: 'p' .1., 'q' .1.. It knows 'bad', 'good'.*data.label_map, as in {p: bad}"),
        (empty, "no row has a label in 'label'.*finetune predict"),
        (spelt, r"Try: --set 'data.label_map=.*GOOD.*\}'$"),
        (no_text, "no column 'text'"),
    ):
        with refuses(DataError, match=match):
            finetune.evaluate(folder, data)
    with refuses(DataError, match="no column 'number'"):
        finetune.evaluate(folder, test, id="number")
    with refuses(RecipeError, match="data.max_length: has no effect here"):
        finetune.evaluate(folder, test, overrides={"data.max_length": 8})
    with refuses(DataError, match="recognised as the label.*--set data.label=COLUMN"):
        finetune.evaluate(folder, no_label)
    with refuses(DataError, match="no column 'label'"):  # and not: ticket, "the only other column"
        finetune.evaluate(folder, write_csv(tmp_path / "e.csv", ["ticket", "text"], [("t1", WORDS[0])]))


def test_the_output_is_a_folder_and_said_so_before_anything_is_read(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.touch()
    for output in (there, tmp_path / "results.json"):
        with refuses(OutputError, match="expected a folder"):
            finetune.evaluate(tmp_path, tmp_path / "absent.csv", output=output)


def test_columns_in_place_of_those_of_training_are_a_warning(run: Any, tmp_path: Path) -> None:
    folder, _, _ = run()
    named = write_csv(tmp_path / "named.csv", ["title", "rating"], _rows("single_label", 8, 500))
    found = finetune.evaluate(folder, named).report.warnings
    assert [f"no column '{name}'" in line for name, line in zip(("text", "label"), found, strict=True)] == [True, True]
    said = invoke("predict", folder, "--data", named, "--output", tmp_path / "out.csv", "--quiet")
    assert "no column 'text', the text in training, so 'title' is used" in " ".join(said.stderr.split())
    nested = Table("export.json", {"data.body": [], "id": []}, roles={"text": "data.body"})
    assert not other_column_warnings("data.text", "text", None, "data.body", nested)  # its format says so
    assert not finetune.evaluate(
        folder, named, overrides={"data.text": "title", "data.label": "rating"}
    ).report.warnings


def test_settings_of_labels_act_and_a_name_that_two_labels_get_is_there_once(run: Any, tmp_path: Path) -> None:
    folder, _, test = run("multi_label")
    rows = [("plot good", "good|Good"), ("plot sad", "bad;even"), *_rows("multi_label", 20, 900)]
    data = write_csv(tmp_path / "d.csv", ["text", "label"], rows)
    mapped = finetune.evaluate(folder, data, overrides={"data.label_map": {"Good": "good"}}).report
    assert mapped.left_out["label unknown to the model"] == 1  # 'bad;even' is one label with the separator of training
    assert mapped.rows == 21
    without = finetune.evaluate(folder, test, overrides={"data.drop_labels": ["bad"]}).report
    assert without.left_out == {"data.drop_labels": 20}
    assert without.rows == 20
    with refuses(DataError, match="data.drop_labels.*none is left"):
        finetune.evaluate(folder, test, overrides={"data.drop_labels": ["good", "bad"]})


@pytest.mark.parametrize("task", TASKS)
def test_what_is_measured_is_what_is_predicted(run: Any, task: str) -> None:
    folder, _, test = run(task)
    classifier = finetune.load(folder)
    with test.open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    found = classifier.predict(texts)
    served, names = classifier.served, classifier.reading.labels
    measured = Measured(task, names, found.logits, found.logits, served.temperature, served.thresholds)
    predicted = measured.predictions().tolist()
    if task == "single_label":
        predicted = [names[index] for index in predicted]
    elif task == "multi_label":
        predicted = [[name for name, is_on in zip(names, row, strict=True) if is_on] for row in predicted]
    assert predicted == found.labels
