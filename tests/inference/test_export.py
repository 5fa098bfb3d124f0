"""`finetune export`: what is written says the same as the model, and whoever finds it otherwise keeps nothing."""

from __future__ import annotations

import builtins
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import finetune
from finetune.cli.completion import complete_format
from finetune.errors import DataError, ModelError, OutputError, RecipeError, RunFailed
from finetune.exports.base import Format
from finetune.exports.graph import write_graph
from finetune.exports.registry import FORMATS, find_format
from finetune.inference.agreement import agreement
from finetune.inference.folders import model_folder
from finetune.inference.predictions import Predictions, Reading
from finetune.records.export import ExportReport
from finetune.reports.export import TITLES
from finetune.workflows.export import _above, _target
from tests.cli.invoking import invoke
from tests.conftest import labelled_texts, name_pooling, save_tiny_model, write_csv
from tests.raising import refuses
from tests.running import train

Write = Callable[..., Path]
EXACT = 1e-4  # of a probability or a number: rounding
LONG = " the film was very" * 12
# task -> architecture, whether it pools, settings of its data, format, precision
CASES: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "single_label": ("bert", True, {"max_length": 12, "long_texts": "windows", "overlap": 3}),
    "multi_label": ("deberta-v2", False, {"max_length": 12, "long_texts": "head_tail"}),
    "regression": ("roberta", False, {"text_pair": "second"}),
}
LABELS: dict[str, Callable[[str, int], Any]] = {
    "single_label": lambda label, index: label,
    "multi_label": lambda label, index: f"{label}|even" if index % 4 < 2 else label,
    "regression": lambda label, index: 300.5 if label == "good" else -100.25 - index,
}
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None or importlib.util.find_spec("nncf") is None,
    reason='OpenVINO (59 MB) is not part of the extra test: pip install "finetune[openvino]"',
)
MADE: dict[str, Path] = {}
GRAPHS: dict[str, Path] = {}


@pytest.fixture
def trained(write_recipe: Write, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a run of each task, trained once and not changed; its data is beside it."""

    def make(task: str) -> Path:
        if task not in MADE:
            folder = tmp_path_factory.mktemp(task)
            architecture, pools, data = CASES[task]
            model = save_tiny_model(folder / "tiny", architecture)
            rows = [
                (text + LONG * (index % 3 == 0), f"{label} film", LABELS[task](label, index))
                for index, (text, label) in enumerate(labelled_texts(60))
            ]
            source = write_csv(folder / "rows.csv", ["text", "second", "label"], rows)
            section = {"source": str(source), "text": "text", "task": task, "check": False, **data}
            recipe = write_recipe(model=name_pooling(model) if pools else model, data=section)
            train(recipe, folder / "run")
            MADE[task] = folder / "run"
        return MADE[task]

    return make


@pytest.fixture(autouse=True)
def _graphs(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The graph of a model is written once: it takes torch seconds, whatever is then made of it."""

    def write_once(model: Any, batch: Any, path: Path) -> None:
        origin = str(model.config.name_or_path)
        if origin not in GRAPHS:
            GRAPHS[origin] = tmp_path_factory.mktemp("graph") / "model.onnx"
            write_graph(model, batch, GRAPHS[origin])
        shutil.copyfile(GRAPHS[origin], path)

    monkeypatch.setattr("finetune.workflows.export.write_graph", write_once)
    monkeypatch.setattr("finetune.inference.agreement.CALLS", 1)  # no test asserts a time


def texts_of(run: Path) -> tuple[list[str], list[str] | None]:
    texts = [text + LONG * (index % 2) for index, (text, _) in enumerate(labelled_texts(9, 900))]
    return texts, [f"{text} film" for text in texts] if run is MADE.get("regression") else None


@pytest.mark.parametrize("task", CASES)
def test_the_exported_model_says_the_same_in_predict_and_evaluate(trained: Any, task: str, tmp_path: Path) -> None:
    run = trained(task)
    result = finetune.export(run)
    try:
        assert result.path == run / "model-onnx"
        assert sorted(path.name for path in result.path.iterdir()) == [
            "config.json",
            "export.json",
            "finetune.json",
            "model.onnx",
            "tokenizer.json",
            "tokenizer_config.json",
        ]
        report = ExportReport.model_validate_json((result.path / "export.json").read_text(encoding="utf-8"))
        assert report == result.report
        assert (report.rows, report.changed, report.changes) == (16, None if task == "regression" else 0, None)
        assert report.scores_before == pytest.approx(report.scores_after, abs=1e-3)
        assert [each.texts for each in report.timings] == [1, 32]
        before, after = finetune.load(run), finetune.load(result.path)
        assert after.format is FORMATS["onnx"]
        texts, pairs = texts_of(run)
        first, second = before.predict(texts, pairs), after.predict(texts, pairs, batch_size=2)
        np.testing.assert_allclose(second.logits, first.logits, rtol=1e-4, atol=EXACT)
        assert second.labels == (pytest.approx(first.labels, rel=1e-4) if task == "regression" else first.labels)
        measured = [finetune.evaluate(folder, run.parent / "rows.csv").report for folder in (run, result.path)]
        scores = [{name: score.value for name, score in each.scores.items()} for each in measured]
        assert scores[1] == pytest.approx(scores[0], rel=1e-3, abs=1e-3)
        assert measured[1].recorded is not None  # the run is beside it
        said = invoke("predict", result.path, "--data", run.parent / "rows.csv", "--output", tmp_path / "o.csv")
        assert said.exit_code == 0, said.stderr
    finally:
        shutil.rmtree(result.path, ignore_errors=True)


@pytest.mark.parametrize("architecture", ["modernbert"])
def test_a_classifier_of_another_program_needs_rows_and_takes_unlabelled_ones(
    architecture: str, tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tiny, theirs = save_tiny_model(tmp_path / "tiny", architecture), tmp_path / "theirs"
    AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=3).save_pretrained(theirs)
    AutoTokenizer.from_pretrained(tiny).save_pretrained(theirs)
    with refuses(DataError, match="no rows to compare.*run.json.*--data FILE"):
        finetune.export(theirs, output=tmp_path / "out")
    data = write_csv(tmp_path / "new.csv", ["text"], [(text,) for text, _ in labelled_texts(8)] + [("",)])
    report = finetune.export(theirs, data=data, output=tmp_path / "out").report
    assert (report.rows, report.score, report.changed) == (8, None, 0)
    assert report.difference < EXACT
    texts = [text for text, _ in labelled_texts(5)]
    np.testing.assert_allclose(
        finetune.load(tmp_path / "out").predict(texts).logits, finetune.load(theirs).predict(texts).logits, atol=EXACT
    )


@pytest.mark.parametrize(
    ("named", "written"), [(".", "../model-onnx"), ("model", "model-onnx"), ("../run", "../run/model-onnx")]
)
def test_a_folder_is_written_beside_the_model_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, written: str
) -> None:
    """The target alone: what is written there is looked at above."""
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "model" / "config.json").write_text("{}", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "run" / "model" if named == "." else tmp_path / "run")
    classifier = SimpleNamespace(origin=model_folder(named))
    assert _target(classifier, FORMATS["onnx"], None, None) == Path(written)  # type: ignore[arg-type]


def test_int8_says_what_it_changed_and_is_smaller(trained: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run, out = trained("single_label"), tmp_path / "int8"
    said = invoke("export", run, "--quantize", "int8", "--tolerance", "1", "--output", out)
    assert said.exit_code == 0, said.stderr
    assert "matrix products have 8-bit integer weights" in " ".join(said.stdout.split())
    assert "ONNX int8" in said.stdout
    assert max(len(line) for line in said.stdout.splitlines() if "/" not in line) <= 80
    report = ExportReport.model_validate_json((out / "export.json").read_text(encoding="utf-8"))
    assert (report.quantize, report.measured, report.allowed) == ("int8", "changed", 1)
    assert len(finetune.load(out).predict(["plot good"])) == 1


@needs_openvino
@pytest.mark.parametrize(("task", "quantize"), [("multi_label", None), ("single_label", "int8"), ("regression", None)])
def test_openvino(trained: Any, task: str, quantize: str | None, tmp_path: Path) -> None:
    run, out = trained(task), tmp_path / "openvino"
    report = finetune.export(run, "openvino", quantize=quantize, output=out, tolerance=quantize and 1.0).report
    assert (out / "openvino_model.xml").is_file()
    assert not any("onnx" in path.name for path in out.iterdir())
    texts, pairs = texts_of(run)
    first, second = finetune.load(run).predict(texts, pairs), finetune.load(out).predict(texts, pairs)
    if quantize is None:
        np.testing.assert_allclose(second.logits, first.logits, rtol=1e-4, atol=EXACT)
    else:
        assert "8-bit integers" in (report.changes or "")


def test_a_model_that_differs_is_not_kept(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, out = trained("single_label"), tmp_path / "out"
    monkeypatch.setattr("finetune.workflows.export.write_graph", lambda *_: None)
    monkeypatch.setitem(FORMATS, "onnx", _contrary())
    with pytest.raises(RunFailed, match=r"differs too much: predictions differ by up to 0\.\d+, and 0.001 is allowed"):
        finetune.export(run, output=out)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []
    said = invoke("export", run, "--output", out)
    assert said.exit_code == 1
    assert "Nothing was kept. Try: --tolerance 0." in said.stderr


def test_a_model_that_predicts_nan_is_not_kept(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.workflows.export.write_graph", lambda *_: None)
    monkeypatch.setitem(FORMATS, "onnx", _contrary(np.nan))
    with pytest.raises(RunFailed, match=r"one of the two models predicts nan .* Nothing was kept"):
        finetune.export(trained("single_label"), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _contrary(high: float = 9.0) -> Format:
    """A format whose model says the opposite."""

    def write(graph: Path, folder: Path) -> None:
        (folder / "model.onnx").write_bytes(b"")

    def run(inputs: Any) -> Any:
        rows = len(inputs["input_ids"])
        return np.tile(np.array([[-9.0, high]], dtype=np.float32), (rows, 1))

    real = FORMATS["onnx"]
    return Format("onnx", "ONNX", real.file, real.to_write, real.to_open, "onnx", write, real.quantize, lambda *_: run)


def test_an_interruption_leaves_nothing(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("finetune.workflows.export.write_graph", interrupt)
    said = invoke("export", trained("single_label"), "--output", tmp_path / "out")
    assert said.exit_code == 130
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_what_cannot_be_exported_is_an_error(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained("single_label")
    with refuses(RecipeError, match="not a known format.*openvino"):
        finetune.export(run, "openvin")
    with refuses(RecipeError, match="not a known precision.*int8"):
        finetune.export(run, quantize="int4")
    with refuses(RecipeError, match="expected a fraction"):
        finetune.export(run, tolerance=0)
    with refuses(ModelError, match="holds no model"):
        finetune.export(tmp_path)
    with refuses(OutputError, match="exists.*--output .*-2"):
        finetune.export(run, output=run)
    (tmp_path / "encoder").mkdir()
    with refuses(ModelError, match="not a trained classifier"):
        finetune.export(save_tiny_model(tmp_path / "encoder"))

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("step 1/3") from NotImplementedError("operator odd")

    with monkeypatch.context() as patch:
        patch.setattr("torch.onnx.export", refuse)
        patch.setattr("finetune.workflows.export.write_graph", write_graph)
        with refuses(ModelError, match="architecture 'bert' cannot be exported by torch.onnx: operator odd"):
            finetune.export(run, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name, *_: None)
        with refuses(ModelError, match=r'ONNX needs packages.*onnxscript.*pip install "finetune\[onnx\]"'):
            finetune.export(run)


def test_a_damaged_or_exported_folder_is_an_error(trained: Any, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    shutil.copytree(trained("single_label") / "model", folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "model.onnx").write_bytes(b"no graph")
    with refuses(ModelError, match="--precision bf16: .* is exported .* has the precision of its file"):
        finetune.load(folder, precision="bf16")
    with refuses(ModelError, match="model.onnx cannot be opened.*Export it again"):
        finetune.load(folder)
    assert find_format(folder) is FORMATS["onnx"]
    assert find_format(trained("single_label") / "model") is None
    said = invoke("predict", folder, "x")
    assert said.exit_code == 2
    assert "Traceback" not in said.stderr


def test_the_tolerance_that_is_suggested_is_enough() -> None:
    for found in (3e-7, 0.00123, 0.099, 0.5, 0.0100001):
        assert found <= _above(found) < 1.11 * found


def test_every_format_has_a_name_on_pages_and_is_completed() -> None:
    assert {name: form.title for name, form in FORMATS.items()} == TITLES
    assert complete_format("o") == ["onnx", "openvino"]
    assert complete_format("op") == ["openvino"]


def test_agreement_counts_decisions() -> None:
    """By hand: one of three classes changes; one of four marks; numbers by their spread."""

    def of(task: str, labels: list[str] | None, logits: list[list[float]]) -> Predictions:
        return Predictions.of(Reading(task, labels), [np.array(logits, dtype=np.float32)])  # type: ignore[arg-type]

    classes = [of("single_label", ["a", "b"], rows) for rows in ([[1, 0], [0, 1], [3, 0]], [[1, 0], [1, 0], [3, 0]])]
    found = agreement(*classes)
    assert (found.decisions, found.changed) == (3, 1)
    assert found.difference == pytest.approx(1 / (1 + np.exp(-1)) - 1 / (1 + np.exp(1)), abs=1e-6)
    marks = [of("multi_label", ["a", "b"], rows) for rows in ([[1, -1], [1, 1]], [[1, -1], [1, -1]])]
    assert (agreement(*marks).decisions, agreement(*marks).changed) == (4, 1)
    numbers = [of("regression", None, rows) for rows in ([[0], [2]], [[0], [2.5]])]
    found = agreement(*numbers)
    assert (found.difference, found.relative, found.changed) == (0.5, pytest.approx(np.sqrt(0.125)), None)


def test_openvino_is_imported_without_its_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing it sends a message to its makers otherwise."""
    import sys

    from finetune.exports import openvino

    asked = []
    real = builtins.__import__

    def watch(name: str, *arguments: Any) -> Any:
        if name == "openvino":
            asked.append(sys.modules.get("openvino_telemetry", "not blocked"))
            return None
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", watch)
    openvino._openvino()
    assert asked == [None]


def test_json_is_json(trained: Any, tmp_path: Path) -> None:
    said = invoke("export", trained("regression"), "--json", "--output", tmp_path / "out")
    assert json.loads(said.stdout)["path"] == str(tmp_path / "out")
