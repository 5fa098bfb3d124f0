"""`finetune predict` and `finetune.load`: what a saved model says is what was measured in training."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

import finetune
from finetune.cli.app import app
from finetune.errors import DataError, ModelError, OutputError, RecipeError
from finetune.inference.abstaining import choose_threshold
from finetune.inference.answers import Answering
from finetune.inference.folders import model_folder
from finetune.inference.lines import answer_lines, bounded, together
from finetune.measurement.scores import softmax
from finetune.records.store import RunFolder
from finetune.training.served import confidences_of
from finetune.workflows.predict import data_section
from tests.cli.invoking import invoke
from tests.conftest import labelled_texts, save_tiny_model, write_csv
from tests.raising import refuses
from tests.running import train

Write = Callable[..., Path]
TEXTS = [text for text, _ in labelled_texts(24)]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def make_run(write_recipe: Write, folder: Path, source: Path | None = None, **data: Any) -> Path:
    """A run of two epochs on texts whose classes are easy to tell apart."""
    train(write_recipe(data={**({} if source is None else {"source": str(source)}), **data}), folder)
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts with columns of several kinds, and none with labels."""
    lines = [(number, text, "x" if number % 2 else "") for number, text in enumerate(TEXTS)]
    return write_csv(tmp_path_factory.mktemp("new") / "new.csv", ["number", "text", "note"], lines)


def test_it_says_what_was_measured_at_the_end_of_training(write_recipe: Write, tmp_path: Path) -> None:
    """Logits of the test rows, in their order, and calibrated probabilities."""
    run = RunFolder(make_run(write_recipe, tmp_path / "run"))
    record = run.read()
    assert record is not None
    classifier = finetune.load(run.path)
    saved = np.load(run.predictions)
    source = read(Path(record.recipe["data"]["source"]))
    texts = [source[int(number) - 1]["text"] for number in saved["test_rows"]]
    found = classifier.predict(texts, batch_size=3)
    np.testing.assert_allclose(found.logits, saved["selected_test_logits"], rtol=0, atol=1e-5)
    assert record.calibration is not None
    expected = softmax(saved["selected_test_logits"].astype(float) / record.calibration.temperature)
    np.testing.assert_allclose(found.probabilities, expected, rtol=0, atol=1e-5)
    assert list(found) == [(record.data.labels or [])[index] for index in expected.argmax(axis=1)]


def test_every_row_and_column_of_a_file_is_kept_in_order(write_recipe: Write, rows: Path, tmp_path: Path) -> None:
    run = make_run(write_recipe, tmp_path / "run")
    said = invoke("predict", run, "--data", rows, "--output", tmp_path / "out.csv", "--probabilities")
    assert said.exit_code == 0, said.stderr
    written, before = read(tmp_path / "out.csv"), read(rows)
    labels = finetune.load(run).reading.labels or []
    assert [{name: row[name] for name in ("number", "text", "note")} for row in written] == before
    assert list(written[0]) == [
        "number",
        "text",
        "note",
        "prediction",
        "probability",
        *(f"probability_{n}" for n in labels),
    ]
    alone = finetune.load(run).predict([row["text"] for row in before])
    assert [row["prediction"] for row in written] == list(alone)
    for row in written:
        assert sum(float(row[f"probability_{name}"]) for name in labels) == pytest.approx(1)
        assert float(row["probability"]) == max(float(row[f"probability_{name}"]) for name in labels)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".tsv"])
def test_other_formats_hold_the_same(write_recipe: Write, rows: Path, tmp_path: Path, suffix: str) -> None:
    run = make_run(write_recipe, tmp_path / "run")
    path = tmp_path / f"out{suffix}"
    finetune.predict(run, rows, output=path)
    if suffix == ".jsonl":
        written = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    elif suffix == ".parquet":
        written = pyarrow.parquet.read_table(path).to_pylist()
    else:
        written = list(csv.DictReader(path.open(encoding="utf-8", newline=""), delimiter="\t"))
    assert [row["text"] for row in written] == TEXTS
    assert [row["prediction"] for row in written] == list(finetune.load(run).predict(TEXTS))


def test_bf16_says_the_same_within_its_tolerance(write_recipe: Write, rows: Path, tmp_path: Path) -> None:
    run = make_run(write_recipe, tmp_path / "run")
    exact, rounded = finetune.load(run).predict(TEXTS), finetune.load(run, precision="bf16").predict(TEXTS)
    np.testing.assert_allclose(rounded.probabilities, exact.probabilities, rtol=0, atol=0.02)
    assert (rounded.logits != exact.logits).any()
    said = invoke("predict", run, "--data", rows, "--output", tmp_path / "out.csv", "--precision", "bf16")
    assert said.exit_code == 0, said.stderr
    assert [float(row["probability"]) for row in read(tmp_path / "out.csv")] == rounded.confidence


def test_bf16_that_is_emulated_is_said(write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(write_recipe, tmp_path / "run")
    monkeypatch.setattr("finetune.inference.classifier.has_fast_bf16", lambda: False)
    assert "slower than fp32" in " ".join(finetune.load(run, precision="bf16").notes)
    assert finetune.load(run).notes == ()


def test_a_precision_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with refuses(RecipeError, "--precision fp61: is not one of fp32, bf16"):
        finetune.load(tmp_path, precision="fp61")  # type: ignore[arg-type]


def test_rows_without_a_text_stay_and_have_no_prediction(write_recipe: Write, tmp_path: Path) -> None:
    run = make_run(write_recipe, tmp_path / "run")
    new = write_csv(tmp_path / "new.csv", ["text"], [(TEXTS[0],), ("  ",), (TEXTS[1],)])
    said = invoke("predict", run, "--data", new, "--output", tmp_path / "out.csv")
    assert [bool(row["prediction"]) for row in read(tmp_path / "out.csv")] == [True, False, True]
    assert [row["reason"] for row in read(tmp_path / "out.csv")] == ["", "no text", ""]
    assert "1 row without a text" in said.stderr


def test_a_column_that_is_there_already_is_not_replaced(write_recipe: Write, tmp_path: Path) -> None:
    run = make_run(write_recipe, tmp_path / "run")
    new = write_csv(tmp_path / "new.csv", ["text", "prediction"], [(TEXTS[0], "mine")])
    said = invoke("predict", run, "--data", new, "--output", tmp_path / "out.csv")
    (row,) = read(tmp_path / "out.csv")
    assert row["prediction"] == "mine"
    assert row["prediction_2"]
    assert "predictions are in 'prediction_2'" in said.stderr


def test_data_from_memory_and_texts_as_arguments(write_recipe: Write, tmp_path: Path) -> None:
    run = make_run(write_recipe, tmp_path / "run")
    result = finetune.predict(run, pandas.DataFrame({"text": TEXTS[:3], "n": [1, 2, 3]}), output=tmp_path / "o.parquet")
    assert result.rows == 3
    assert pyarrow.parquet.read_table(result.path)["n"].to_pylist() == [1, 2, 3]
    said = invoke("predict", run, TEXTS[0], TEXTS[1], "")
    *lines, last = said.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(finetune.load(run).predict(TEXTS[:2]))
    assert last.startswith("no text")


def test_what_is_no_list_of_texts_is_named(write_recipe: Write, tmp_path: Path) -> None:
    run = make_run(write_recipe, tmp_path / "run")
    classifier = finetune.load(run)
    column = pandas.Series(TEXTS[:4])
    kept = column[[3, 1]]  # by position, not by the index of the frame that it comes from
    assert classifier.predict(kept).logits.tolist() == classifier.predict([TEXTS[3], TEXTS[1]]).logits.tolist()
    for texts, found in ((pandas.Series(["good", None]), "position 1"), ([5], "5 .int. at position 0"), (None, "None")):
        with refuses(RecipeError, match=found):
            classifier.predict(texts)  # type: ignore[arg-type]
    for table in (pandas.DataFrame({"text": ["good"], "id": [1]}), {"text": ["good"]}):
        with refuses(RecipeError, match="expected a list of texts, found a table"):
            classifier.predict(table)  # type: ignore[arg-type]
    with refuses(RecipeError, match="texts good: expected a list of texts, found one"):
        classifier.predict("good")
    for nothing in (None, ""):
        with refuses(RecipeError, match="expected a file, a folder, or data from memory"):
            finetune.predict(run, nothing, output=tmp_path / "out.csv")
    with refuses(OutputError, match="is a folder; expected a file"):
        finetune.predict(run, "new.csv", output=tmp_path)


def test_options_that_would_not_act_on_typed_texts_are_refused(tmp_path: Path) -> None:
    for option, said in (("--output", "go to standard output"), ("--set", "--set: does not apply to typed texts")):
        refused = invoke("predict", tmp_path, "a text", option, "data.text=x")
        assert refused.exit_code == 2
        assert said in " ".join(refused.stderr.split())
    assert "give texts, or a file with --data" in invoke("predict", tmp_path).stderr


def test_typed_texts_are_pairs_or_made_by_no_template(write_recipe: Write, tmp_path: Path) -> None:
    lines = [(text, TEXTS[-number - 1], "ab"[number % 2]) for number, text in enumerate(TEXTS)]
    source = write_csv(tmp_path / "rows.csv", ["first", "second", "label"], lines * 2)
    pairs = make_run(write_recipe, tmp_path / "pairs", source, text="first", text_pair="second")
    said = " ".join(invoke("predict", pairs, TEXTS[0]).stderr.split())
    assert "reads pairs of texts, which cannot be typed here. Try: --data FILE (with columns 'first' and" in said
    joined = make_run(write_recipe, tmp_path / "joined", source, template="{first} . {second}")
    assert "of the form '{first} . {second}'" in invoke("predict", joined, TEXTS[0]).stderr


def test_several_labels_are_those_above_their_thresholds(write_recipe: Write, tmp_path: Path) -> None:
    lines = [(text, "a|b" if number % 3 == 0 else "b" if number % 3 == 1 else "") for number, text in enumerate(TEXTS)]
    source = write_csv(tmp_path / "rows.csv", ["text", "label"], lines * 2)
    run = make_run(write_recipe, tmp_path / "run", source, task="multi_label")
    path = run / "model" / "finetune.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "thresholds": {"a": 0.0, "b": 1.0}}), encoding="utf-8")
    assert list(finetune.load(run).predict(TEXTS[:2])) == [["a"], ["a"]]
    said = invoke("predict", run, "--data", source, "--output", tmp_path / "out.csv")
    assert said.exit_code == 0, said.stderr
    assert {row["prediction"] for row in read(tmp_path / "out.csv")} == {"a"}


def test_numbers_are_in_units_of_the_data(write_recipe: Write, tmp_path: Path) -> None:
    lines = [(text, 100 + 10 * (number % 5)) for number, text in enumerate(TEXTS)]
    source = write_csv(tmp_path / "rows.csv", ["text", "label"], lines * 2)
    run = make_run(write_recipe, tmp_path / "run", source, task="regression")
    found = finetune.load(run).predict(TEXTS[:4])
    assert found.probabilities is None
    assert list(found) == [pytest.approx(float(value)) for value in found.logits.reshape(4)]


def test_a_pair_is_read_as_a_pair(write_recipe: Write, tmp_path: Path) -> None:
    lines = [(text, TEXTS[-number - 1], "ab"[number % 2]) for number, text in enumerate(TEXTS)]
    source = write_csv(tmp_path / "rows.csv", ["first", "second", "label"], lines * 2)
    run = make_run(write_recipe, tmp_path / "run", source, text="first", text_pair="second")
    classifier = finetune.load(run)
    with refuses(RecipeError, match="reads pairs"):
        classifier.predict(TEXTS)
    result = finetune.predict(run, source, output=tmp_path / "out.csv")
    pairs = classifier.predict([line[0] for line in lines * 2], [line[1] for line in lines * 2])
    assert [row["prediction"] for row in read(result.path)] == list(pairs)
    with refuses(DataError, match="no column 'second'"):
        finetune.predict(run, write_csv(tmp_path / "one.csv", ["first"], [("x",)]), output=tmp_path / "two.csv")


def test_a_pair_in_one_cell_is_read_as_in_training(write_recipe: Write, tmp_path: Path) -> None:
    lines = [{"text": [text, TEXTS[-number - 1]], "label": "ab"[number % 2]} for number, text in enumerate(TEXTS)]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines * 2), encoding="utf-8")
    run = make_run(write_recipe, tmp_path / "run", source)
    result = finetune.predict(run, source, output=tmp_path / "out.jsonl")
    firsts, seconds = zip(*(line["text"] for line in lines * 2), strict=True)
    expected = finetune.load(run).predict(firsts, seconds)
    written = [json.loads(line) for line in result.path.read_text(encoding="utf-8").splitlines()]
    assert [row["prediction"] for row in written] == list(expected)


def test_a_long_text_is_cut_as_in_training(write_recipe: Write, tmp_path: Path) -> None:
    """Its tokens beyond data.max_length count for nothing; windows are averaged."""
    run = make_run(write_recipe, tmp_path / "run", max_length=8)
    classifier = finetune.load(run)
    long = " ".join([TEXTS[0]] * 10)
    other = " ".join([TEXTS[0]] * 10 + [TEXTS[1]] * 10)
    assert np.array_equal(classifier.predict([long]).logits, classifier.predict([other]).logits)
    windows = finetune.load(make_run(write_recipe, tmp_path / "w", max_length=8, long_texts="windows", overlap=1))
    assert not np.array_equal(windows.predict([long]).logits, windows.predict([other]).logits)


def test_a_model_of_another_program_is_read_by_its_own_files(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tiny = save_tiny_model(tmp_path / "tiny")
    model = AutoModelForSequenceClassification.from_pretrained(tiny, id2label={0: "no", 1: "yes"})
    model.save_pretrained(tmp_path / "theirs")
    AutoTokenizer.from_pretrained(tiny).save_pretrained(tmp_path / "theirs")
    said = invoke("predict", tmp_path / "theirs", TEXTS[0])
    assert said.exit_code == 0, said.stderr
    assert said.stdout.split()[0] in ("no", "yes")
    assert "has no finetune.json" in said.stderr
    refused = invoke("predict", tiny, TEXTS[0])
    assert refused.exit_code == 2
    assert "is not a trained classifier" in refused.stderr


def test_what_cannot_be_predicted_is_said(write_recipe: Write, rows: Path, tmp_path: Path) -> None:
    run = make_run(write_recipe, tmp_path / "run")
    with refuses(OutputError, match="expected one of .csv"):
        finetune.predict(run, rows, output=tmp_path / "out.xlsx")
    (tmp_path / "there.csv").touch()
    with refuses(OutputError, match="exists.*" + re.escape(str(tmp_path / "there-2.csv"))):
        finetune.predict(run, rows, output=tmp_path / "there.csv")
    with refuses(OutputError, match="expected one of .csv.*predictions.jsonl"):
        finetune.predict(run, rows, output="-")
    with refuses(DataError, match="no column 'text'"):
        finetune.predict(run, write_csv(tmp_path / "a.csv", ["a", "b"], [("x y z", "z")]), output=tmp_path / "o.csv")
    with refuses(RecipeError, match=r"data\.label"):
        finetune.predict(run, rows, overrides={"data.label": "x"}, output=tmp_path / "o.csv")
    with refuses(ModelError, match="no model"):
        (tmp_path / "nothing").mkdir()
        finetune.load(tmp_path / "nothing")
    assert "give either texts or a file" in invoke("predict", run, TEXTS[0], "--data", str(rows)).stderr
    assert not (tmp_path / "o.csv").exists()


def test_a_damaged_model_is_an_error(write_recipe: Write, tmp_path: Path) -> None:
    run = make_run(write_recipe, tmp_path / "run")
    shutil.copytree(run / "model", tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"no weights")
    with refuses(ModelError, match="cannot be loaded"):
        finetune.load(tmp_path / "model")
    about = run / "model" / "finetune.json"
    content = json.loads(about.read_text(encoding="utf-8"))
    about.write_text('{"schema_version": 1, "task":', encoding="utf-8")  # not as if it were absent
    with refuses(ModelError, match=r"finetune\.json of .* is not JSON"):
        finetune.load(run)
    about.write_text(json.dumps({**content, "labels": ["a", "b", "c"]}), encoding="utf-8")
    with refuses(ModelError, match="describes 3 outputs, and config.json 2, so they are of different models"):
        finetune.load(run)


def test_a_model_that_is_not_among_those_of_a_folder_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    (tmp_path / "runs" / "tweets-none-seed0" / "model").mkdir(parents=True)
    (tmp_path / "runs" / "tweets-none-seed0" / "model" / "config.json").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        with refuses(ModelError, match="'runs' has no such model. Did you mean tweets-none-seed0"):
            finetune.load("runs/tweets-none-seed")
    refused = invoke("predict", tmp_path / "runs" / "other", "a text").stderr
    assert "has no such model. Known: tweets-none-seed0" in " ".join(refused.split())


def test_a_file_and_a_misspelt_folder_are_refused_before_the_hub_is_asked(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_model, tmp_path / "reviews" / "model")
    (tmp_path / "notes.txt").write_text("x")
    with refuses(ModelError, match="'notes.txt' is a file, and a model is a folder"):
        model_folder("notes.txt")
    with refuses(ModelError, match="no folder 'review' here. Did you mean reviews"):
        model_folder("review")
    assert model_folder("gpt2") == "gpt2", "of the hub"


def test_unsure_rows_are_left_out_for_a_wanted_accuracy(write_recipe: Write, rows: Path, tmp_path: Path) -> None:
    run = make_run(write_recipe, tmp_path / "run")
    path = run / "model" / "finetune.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["confidences"]["answered"][-1] == content["confidences"]["rows"] == 16
    alone = finetune.load(run).predict(TEXTS)
    assert alone.confidence is not None
    least = sorted(alone.confidence)[8]
    sure = {"rows": 40, "confidence": [0.99, least, 0.1], "answered": [19, 30, 40], "right": [19, 27, 30]}
    path.write_text(json.dumps({**content, "confidences": sure}), encoding="utf-8")
    said = invoke("predict", run, "--data", rows, "--output", tmp_path / "out.csv", "--accuracy", 0.9)
    assert said.exit_code == 0, said.stderr
    written = read(tmp_path / "out.csv")
    for row, label, confidence in zip(written, alone, alone.confidence, strict=True):
        is_sure = confidence >= least
        assert (row["prediction"], float(row["probability"])) == (label if is_sure else "", pytest.approx(confidence))
        assert row["reason"].startswith("" if is_sure else f"unsure, perhaps {label}: confidence below ")
    assert "on validation 30 of 40 rows (75 %), of which 90.0 % were right [74.4 %, 96.5 %]" in said.stderr
    assert f"{sum(c < least for c in alone.confidence)} of 24 rows are too uncertain" in said.stderr
    with refuses(RecipeError, match="its 30 most confident rows reach 90.0 %. Try: --accuracy 0.9"):
        finetune.predict(run, rows, output=tmp_path / "o.csv", accuracy=0.99)  # 19 rows are too few to go by
    with refuses(RecipeError, match="expected a fraction"):
        finetune.predict(run, rows, output=tmp_path / "o.csv", accuracy=95)
    path.write_text(json.dumps({**content, "confidences": None}), encoding="utf-8")
    with refuses(RecipeError, match="has no record of its confidence"):
        finetune.predict(run, rows, output=tmp_path / "o.csv", accuracy=0.9)
    for task, what in (("regression", "numbers"), ("multi_label", "any number of labels")):
        with refuses(RecipeError, match=f"one class for a text; this one predicts {what}"):
            choose_threshold(None, 0.9, task)  # type: ignore[arg-type]


def test_confidences_count_what_was_right_from_the_surest_on() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.2, 0.8], [0.8, 0.2], [0.4, 0.6]]))
    found = confidences_of(logits, np.array([0, 0, 0, 1]), 1.0)
    assert found.confidence == pytest.approx([0.9, 0.8, 0.6])
    assert (found.answered, found.right) == ([1, 3, 4], [1, 2, 3])


def test_the_same_call_goes_on_where_it_was_interrupted(
    write_recipe: Write, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of 10 rows; the third is interrupted. The rows of the first two are not predicted again."""
    run = make_run(write_recipe, tmp_path / "run")
    finetune.predict(run, rows, output=tmp_path / "whole.csv")
    monkeypatch.setattr("finetune.workflows.predict.AT_ONCE", 10)
    asked: list[int] = []
    answer = Answering.rows

    def counting(self: Answering, texts: Any, pairs: Any) -> Any:
        asked.append(len(texts))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return answer(self, texts, pairs)

    monkeypatch.setattr(Answering, "rows", counting)
    with pytest.raises(KeyboardInterrupt):
        finetune.predict(run, rows, output=tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
    said = invoke("predict", run, "--data", rows, "--output", tmp_path / "out.csv")
    assert "continues from earlier predictions" in said.stderr
    assert asked == [10, 10, 4, 4]
    whole, out = read(tmp_path / "whole.csv"), read(tmp_path / "out.csv")
    assert [row["prediction"] for row in out] == [row["prediction"] for row in whole]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".parts-")]


def interrupted_at_the_third(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose third call is interrupted."""
    calls = count(1)

    def call(*arguments: Any) -> Any:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return function(*arguments)

    return call


def test_several_processes_predict_the_same_in_the_same_order(
    write_recipe: Write, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of 5 rows, of which one process predicted the first two before it was interrupted."""
    run = make_run(write_recipe, tmp_path / "run")
    finetune.predict(run, rows, output=tmp_path / "one.csv", probabilities=True)
    monkeypatch.setattr("finetune.workflows.predict.AT_ONCE", 5)
    with monkeypatch.context() as patch:
        patch.setattr(Answering, "rows", interrupted_at_the_third(Answering.rows))
        with pytest.raises(KeyboardInterrupt):
            finetune.predict(run, rows, output=tmp_path / "two.csv", probabilities=True)
    assert len(list((tmp_path / ".parts-two.csv").glob("[0-9]*.json"))) == 2
    finetune.predict(run, rows, output=tmp_path / "two.csv", probabilities=True, processes=2)
    one, two = read(tmp_path / "one.csv"), read(tmp_path / "two.csv")
    assert [row["text"] for row in two] == [row["text"] for row in one]
    assert [row["prediction"] for row in two] == [row["prediction"] for row in one]
    assert [float(row["probability"]) for row in two] == pytest.approx([float(row["probability"]) for row in one])


def test_a_process_that_dies_is_an_error_that_says_what_to_type(
    write_recipe: Write, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: Any) -> None:
        os._exit(1)

    monkeypatch.setattr("finetune.inference.processes._rows", dies)
    monkeypatch.setattr("finetune.workflows.predict.AT_ONCE", 10)
    run = make_run(write_recipe, tmp_path / "run")
    with refuses(ModelError, match="(?s)a process ended before its rows were predicted.*--processes 1"):
        finetune.predict(run, rows, output=tmp_path / "out.csv", processes=2)
    assert not (tmp_path / "out.csv").exists()


def test_processes_that_would_have_nothing_to_do_are_refused_or_not_started(
    write_recipe: Write, rows: Path, tmp_path: Path
) -> None:
    run = make_run(write_recipe, tmp_path / "run")
    said = invoke("predict", run, "--data", rows, "--output", tmp_path / "out.csv", "--processes", 2)
    assert "processes: 1 instead of 2, as 24 rows are predicted 8,192 at a time" in said.stderr
    said = invoke("predict", run, "a text", "--processes", 2)
    assert said.exit_code == 2
    assert "several processes share the rows of a file (--data FILE)" in said.stderr
    with refuses(RecipeError, match="expected 1 or more"):
        finetune.predict(run, rows, output=tmp_path / "o.csv", processes=0)


def test_lines_of_standard_input_are_answered_one_by_one(write_recipe: Write, tmp_path: Path) -> None:
    run = make_run(write_recipe, tmp_path / "run")
    lines = [
        TEXTS[0],
        json.dumps({"id": 7, "text": TEXTS[1]}),
        "",
        json.dumps({"body": TEXTS[2]}),
        json.dumps({"text": ["a", 1]}),
        "{ no object",
        "good " * 20_000,
        '{"text": "cut o',
    ]
    said = CliRunner().invoke(app, ["predict", str(run), "--data", "-"], input="\n".join(lines), prog_name="finetune")
    assert said.exit_code == 0, said.stderr
    answers = [json.loads(line) for line in said.stdout.splitlines()]
    expected = finetune.load(run).predict([*TEXTS[:2], lines[5], lines[6]])
    assert [answers[index]["prediction"] for index in (0, 1, 5, 6)] == list(expected)
    assert (answers[0]["text"], answers[1]["id"]) == (TEXTS[0], 7)
    assert [answers[index]["prediction"] for index in (2, 3, 4)] == [None] * 3
    assert [answers[index]["reason"] for index in (2, 3)] == ["no text", "no field 'text'"]
    assert answers[4]["reason"]
    assert (answers[7]["prediction"], answers[7]["reason"]) == (None, "starts like a JSON object, and is none")
    assert "header" not in said.stderr
    table = CliRunner().invoke(app, ["predict", str(run), "--data", "-"], input="id,text\n1,good\n")
    assert "looks like the header of a table: 'id,text'" in " ".join(table.stderr.split())
    refused = invoke("predict", run, "--data", "-", "--output", tmp_path / "o.csv")
    assert "standard output" in refused.stderr


def test_an_answer_does_not_depend_on_the_lines_that_came_together(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering = Answering(finetune.load(make_run(write_recipe, tmp_path / "run")), False, None, True, 8)
    section = data_section("-", ())
    lines = ["42", json.dumps({"text": ["a", 1]}), TEXTS[0]]
    calls: list[int] = []
    rows = Answering.rows
    monkeypatch.setattr(
        Answering, "rows", lambda self, texts, pairs: calls.append(len(texts)) or rows(self, texts, pairs)
    )
    together = answer_lines(answering, section, lines)
    assert calls == [2]
    assert [answer["prediction"] is None for answer in together] == [False, True, False]
    for line, answer in zip(lines, together, strict=True):
        (alone,) = answer_lines(answering, section, [line])
        assert (alone["prediction"], alone["reason"]) == (answer["prediction"], answer["reason"])


def test_lines_are_answered_before_the_last_one_has_come() -> None:
    """A reader that waits for an answer before it gives the next line would hang otherwise."""
    answered = threading.Event()

    def lines() -> Iterator[str]:
        yield "first"
        assert answered.wait(60)
        yield "second"

    batches = together(lines(), 10)
    assert next(batches) == ["first"]
    answered.set()
    assert list(batches) == [["second"]]


def test_no_line_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.inference.lines.LONGEST", 6)
    assert list(bounded(io.StringIO("12345\n1234\n12345"))) == ["12345\n", "1234\n", "12345"]
    read = bounded(io.StringIO("1234\n1234567"))
    assert next(read) == "1234\n"
    with refuses(DataError, match="more than 6 characters"):
        next(read)
    with refuses(DataError, match="standard input is not utf-8.*PYTHONIOENCODING"):
        list(bounded(io.TextIOWrapper(io.BytesIO(b"caf\xe9\n"), encoding="utf-8")))


def test_a_key_that_would_not_act_is_refused(write_recipe: Write, rows: Path, tmp_path: Path) -> None:
    run = make_run(write_recipe, tmp_path / "run")
    for key, value in (("data.max_length", 8), ("data.deduplicate", True), ("training.epochs", 3)):
        with refuses(RecipeError, match=f"{key}: has no effect here"):
            finetune.predict(run, rows, overrides={key: value}, output=tmp_path / "o.csv")
