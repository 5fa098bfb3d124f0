"""Every format of the registries: a small file of it is read for training, and again, whole, for prediction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pandas
import pytest

import finetune
from finetune.data.formats.exports import EXPORTS
from finetune.data.memory import store
from finetune.data.readers import READERS
from finetune.inference.predictions import Reading
from finetune.inference.tables import read_input
from finetune.recipe import DataSection
from tests.conftest import write_csv
from tests.data.formats import fuzzing
from tests.data.formats.making import loaded, names, texts, write_json, write_lines

ROWS = list(zip(texts(40), names(40), strict=True))
OBJECTS = [{"text": text, "label": label} for text, label in ROWS]
LEFT = [("nobody labelled this", "pos")]  # a row without a label: no row of training, and one that is predicted


def _table(folder: Path, suffix: str) -> Path:
    path = folder / f"d{suffix}"
    frame = pandas.DataFrame(OBJECTS)
    if suffix in (".csv", ".tsv"):
        frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    elif suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".feather":
        frame.to_feather(path)
    else:
        frame.to_excel(path, index=False)
    return path


def _text(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def _rasa(folder: Path) -> Path:
    intents = [
        {"intent": name, "examples": "\n".join(f"- {text}" for text, label in ROWS if label == name)}
        for name in ("pos", "neg")
    ]
    return write_json(folder / "nlu.yml", {"version": "3.1", "nlu": intents})  # JSON is YAML


def _arff(folder: Path) -> Path:
    pytest.importorskip("arff")
    rows = "\n".join(f"'{text}',{label}" for text, label in ROWS)
    head = "@relation d\n@attribute text string\n@attribute label {pos, neg}\n@data\n"
    return _text(folder / "d.arff", head + rows)


def _docbin(folder: Path) -> Path:
    spacy, tokens = pytest.importorskip("spacy"), pytest.importorskip("spacy.tokens")
    docs = list(spacy.blank("en").pipe(text for text, _ in ROWS))
    for doc, (_, label) in zip(docs, ROWS, strict=True):
        doc.cats = {name: float(name == label) for name in ("pos", "neg")}
    tokens.DocBin(docs=docs).to_disk(folder / "d.spacy")
    return folder / "d.spacy"


def _folders(folder: Path) -> Path:
    for number, (text, label) in enumerate(ROWS):
        (folder / "d" / label).mkdir(parents=True, exist_ok=True)
        _text(folder / "d" / label / f"{number}.txt", text)
    return folder / "d"


def _saved(folder: Path) -> Path:
    datasets.Dataset.from_list(OBJECTS).save_to_disk(str(folder / "d"))
    return folder / "d"


def _made(folder: Path, make: Callable[[Any, Any], tuple[str, str, Any]]) -> Path:
    name, content, _ = make(ROWS, LEFT)
    return _text(folder / name, content)


def _votes(folder: Path, header: list[str], cell: Callable[[str], Any], nothing: Any) -> Path:
    rows = [(text, cell(label), cell(label)) for text, label in ROWS]
    return write_csv(folder / "d.csv", ["text", *header], [*rows, (LEFT[0][0], nothing, nothing)])


def _argilla_1(folder: Path) -> Path:
    guess = {"prediction": [{"label": "neg", "score": 0.9}], "prediction_agent": "m", "annotation_agent": "a"}
    known = [{"text": text, "annotation": label, "status": "Validated", **guess} for text, label in ROWS]
    left = {"text": LEFT[0][0], "annotation": None, "status": "Default", **guess}
    return write_lines(folder / "d.jsonl", [*known, left])


FILES: dict[str, Callable[[Path], Any]] = {
    "CSV": lambda folder: _table(folder, ".csv"),
    "TSV": lambda folder: _table(folder, ".tsv"),
    "JSON": lambda folder: write_json(folder / "d.json", OBJECTS),
    "JSON lines": lambda folder: write_lines(folder / "d.jsonl", OBJECTS),
    "Parquet": lambda folder: _table(folder, ".parquet"),
    "Arrow": lambda folder: _table(folder, ".feather"),
    "Excel": lambda folder: _table(folder, ".xlsx"),
    "text table": lambda folder: _text(folder / "d.txt", "".join(f"{label}\t{text}\n" for text, label in ROWS)),
    "fastText": lambda folder: _text(folder / "d.txt", "".join(f"__label__{label} {text}\n" for text, label in ROWS)),
    "Rasa": _rasa,
    "ARFF": _arff,
    "DocBin": _docbin,
    "text folder": _folders,
    "saved set": _saved,
    "data from memory": lambda folder: store(OBJECTS),
    "Label Studio": lambda folder: _made(folder, fuzzing._label_studio),
    "Argilla": lambda folder: _made(folder, fuzzing._argilla),
    "Argilla (nested)": lambda folder: _made(folder, fuzzing._argilla_nested),
    "Argilla 1": _argilla_1,
    "Prodigy": lambda folder: _made(folder, fuzzing._prodigy),
    "Potato": lambda folder: _made(folder, fuzzing._potato),
    "doccano": lambda folder: _made(folder, fuzzing._doccano),
    "spaCy": lambda folder: _made(folder, fuzzing._cats),
    "Snorkel": lambda folder: _votes(folder, ["lf_1", "lf_2"], lambda name: int(name == "pos"), -1),
    "chat": lambda folder: _made(folder, fuzzing._chat),
    "annotators": lambda folder: _votes(folder, ["annotator_1", "annotator_2"], str, ""),
    "annotator rows": lambda folder: write_csv(
        folder / "d.csv",
        ["text", "worker_id", "label"],
        [(text, who, label) for text, label in [*ROWS, (LEFT[0][0], "")] for who in ("w1", "w2")],
    ),
}
ROWS_PER_TEXT = {"annotator rows": 2}  # of the file, each of which is predicted


def _format(name: str) -> str:
    return name.partition(" (")[0]


def test_every_format_has_a_file_here() -> None:
    assert {_format(name) for name in FILES} == {*READERS, *EXPORTS}


@pytest.mark.parametrize("name", FILES)
def test_a_format_is_read_for_training_and_for_prediction(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path / "cache"))
    path = FILES[name](tmp_path)
    data = loaded(path)
    classes = {"1": "pos", "0": "neg", "pos": "pos", "neg": "neg"}
    read = {
        text: classes[label]
        for rows in data.whole_splits().values()
        for text, label in zip(rows.texts, rows.labels, strict=True)
    }
    assert (data.task, read) == ("single_label", dict(ROWS))
    # What a model of this training says of its input, as `training/served.py` writes it.
    reading = Reading(data.task, data.labels, text=data.columns["text"])
    predicted = read_input(DataSection(source=str(path)), reading)
    texts_once = [*dict(ROWS), *(text for text, _ in LEFT if _format(name) in EXPORTS)]
    assert sorted(predicted.texts) == sorted(texts_once * ROWS_PER_TEXT.get(name, 1))


@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize("name", FILES)
def test_a_format_goes_through_check_run_and_predict(
    tmp_path: Path, name: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path / "cache"))
    path = str(FILES[name](tmp_path))
    settings = ["data.max_length=16", "training.precision=fp32"]
    checked = finetune.check(path, model=str(tiny_model), overrides=settings)
    assert sum(count for split, count in checked.facts.rows.items() if split != "train_probe") == len(ROWS)
    short = [*settings, "training.epochs=1", "training.batch_size=8"]
    finetune.run(data=path, model=str(tiny_model), preset="none", overrides=short, output=tmp_path / "run")
    predicted = finetune.predict(tmp_path / "run", data=path, output=tmp_path / "predictions.csv")
    assert predicted.empty == 0
    texts_once = len(ROWS) + (len(LEFT) if _format(name) in EXPORTS else 0)
    assert predicted.rows == texts_once * ROWS_PER_TEXT.get(name, 1)
