"""Unlabelled texts: none of them is measured or trained on already, and the counts add up."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest

from finetune.data.load import load_data
from finetune.data.loader import Loader
from finetune.data.memory import store
from finetune.data.rows import Data
from finetune.errors import DataError
from finetune.experiments.keys import run_key
from finetune.recipe import DataSection, resolve
from finetune.workflows.asking import Request
from tests.cli.invoking import invoke
from tests.conftest import labelled_texts, write_csv, write_jsonl
from tests.planting import generate_texts
from tests.raising import refusal

Write = Callable[..., Path]
LABELLED = [(f"some text number {row} with words", "ab"[row % 2]) for row in range(60)]
NEW = [f"a new text number {row}, of no label" for row in range(30)]


@pytest.fixture
def source(tmp_path: Path) -> str:
    return str(write_csv(tmp_path / "data.csv", ["text", "label"], LABELLED))


def texts_file(folder: Path, texts: list[str], name: str = "pool.csv") -> str:
    return str(write_csv(folder / name, ["text"], [[text] for text in texts]))


def load(source: str, unlabelled: str, **settings: Any) -> Data:
    return load_data(DataSection(source=source, unlabelled=unlabelled, **settings))


def texts_of(data: Data) -> list[str]:
    assert data.unlabelled is not None
    return data.unlabelled.texts


def all_texts(labelled: list[tuple[str, str]] = LABELLED) -> list[str]:
    return [text for text, _ in labelled]


def test_a_text_of_a_split_or_seen_before_or_empty_is_left_out_and_counted(source: str, tmp_path: Path) -> None:
    texts = [*all_texts(), *NEW, "", "  ", NEW[3].upper(), f"{NEW[4]} !"]
    data = load(source, texts_file(tmp_path, texts))
    assert data.test is not None
    assert texts_of(data) == NEW
    assert data.unlabelled is not None
    assert data.unlabelled.labels == [None] * len(NEW)
    assert data.unlabelled.ids == [str(row + 61) for row in range(30)], "row numbers of the file"
    measured = len(data.validation) + len(data.test)
    counted = {reason: count for reason, count in data.dropped.items() if reason.startswith("unlabelled: ")}
    assert counted == {
        "unlabelled: empty text": 2,
        "unlabelled: duplicate text": 2,
        "unlabelled: text of validation or test": measured,
        "unlabelled: text of train": len(data.train),
    }
    assert sum(counted.values()) + len(NEW) == len(texts)
    assert f"30 of the {len(texts)} rows of {tmp_path / 'pool.csv'} are used" in data.notes[-1]
    assert f"{measured} × text of validation or test" in data.notes[-1]


def test_the_labelled_data_is_what_it_is_without(source: str, tmp_path: Path) -> None:
    alone, beside = load_data(DataSection(source=source)), load(source, texts_file(tmp_path, NEW))
    assert (beside.train, beside.probe, beside.validation, beside.test) == (
        alone.train,
        alone.probe,
        alone.validation,
        alone.test,
    )
    assert alone.unlabelled is None
    assert beside.whole_splits() == alone.whole_splits()


def test_case_spacing_and_punctuation_make_no_other_text(source: str, tmp_path: Path) -> None:
    texts = [f"SOME text,  number {row} with words!" for row in range(60)]
    assert texts_of(load(source, texts_file(tmp_path, [*texts, *NEW]))) == NEW


def test_near_copies_of_measured_texts_go_with_drop_leaks(tmp_path: Path) -> None:
    rows = [(text, label) for text, label in generate_texts(60, random.Random(0)) if len(text) > 60]
    source = str(write_csv(tmp_path / "data.csv", ["text", "label"], rows))
    near = [f"{text} x" for text, _ in rows]
    pool = texts_file(tmp_path, [*near, *NEW])
    stays = load(source, pool)
    assert set(near) <= set(texts_of(stays))
    strict = load(source, pool, drop_leaks=True)
    assert strict.test is not None
    measured = {f"{text} x" for text in (*strict.validation.texts, *strict.test.texts)}
    assert not measured & set(texts_of(strict))
    assert strict.dropped["unlabelled: nearly a text of validation or test"] >= len(measured)


def test_a_subset_leaves_the_other_training_texts_to_be_unlabelled(source: str, tmp_path: Path) -> None:
    pool = texts_file(tmp_path, all_texts())
    small = load(source, pool, subset=10)
    assert not set(texts_of(small)) & {*small.train.texts, *small.validation.texts}
    whole = load_data(DataSection(source=source))
    assert set(texts_of(small)) == set(whole.train.texts) - set(small.train.texts)


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "saved", "memory", "frame"])
def test_any_format_gives_the_same_texts(source: str, tmp_path: Path, form: str) -> None:
    columns = {"id": list(range(30)), "text": NEW}
    path = tmp_path / f"pool.{form}"
    if form == "csv":
        write_csv(path, ["id", "text"], enumerate(NEW))
    elif form == "jsonl":
        write_jsonl(path, [{"id": row, "text": text} for row, text in enumerate(NEW)])
    elif form == "parquet":
        datasets.Dataset.from_dict(columns).to_parquet(path)
    elif form == "saved":
        datasets.DatasetDict({"unsupervised": datasets.Dataset.from_dict(columns)}).save_to_disk(path)
    reference = {"memory": lambda: store(columns), "frame": lambda: store(pd.DataFrame(columns))}
    unlabelled = reference.get(form, lambda: str(path))()
    data = load(source, unlabelled)
    assert texts_of(data) == NEW
    assert data.fingerprint == load(source, texts_file(tmp_path, NEW, "same.csv")).fingerprint


def test_labels_in_the_file_are_not_read_and_that_is_said(source: str, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "pool.csv", ["text", "label"], [(text, "a new class") for text in NEW])
    data = load(source, str(path))
    assert data.labels == ["a", "b"]
    assert texts_of(data) == NEW
    assert any("labels in 'label' are not read" in note for note in data.notes)


def test_template_and_pairs_are_those_of_the_labelled_data(tmp_path: Path) -> None:
    rows = [(f"title {row}", f"body {row}", "ab"[row % 2]) for row in range(60)]
    source = str(write_csv(tmp_path / "data.csv", ["title", "body", "label"], rows))
    new = str(write_csv(tmp_path / "pool.csv", ["body", "title"], [("b", "t"), ("", ""), ("body 1", "title 1")]))
    joined = load(source, new, template="{title}: {body}", label="label")
    assert texts_of(joined) == ["t: b"]
    pairs = load(source, new, text="title", text_pair="body", label="label")
    assert pairs.unlabelled is not None
    assert (pairs.unlabelled.texts, pairs.unlabelled.pairs) == (["t"], ["b"])


@pytest.mark.parametrize(
    ("header", "cells", "expected"),
    [
        (["text"], [], r"pool.csv: has columns but no rows"),
        (["texts", "id"], [("new", "1")], r"has no column 'text', where the labelled data has its texts. Did you mean"),
        (["text"], [("",), (" ",)], r"none of the 2 rows of \S+ can be used: 2 × empty text"),
        (
            ["text"],
            [(text,) for text in all_texts()],
            r"none of the 60 rows .* × text of validation or test, ",
        ),
        (["text"], [("1",), ("2",)], r"column 'text' holds numbers, not texts"),
    ],
)
def test_a_file_without_usable_texts_is_refused(
    source: str, tmp_path: Path, header: list[str], cells: list[tuple[str, ...]], expected: str
) -> None:
    said = refusal(DataError, load, source, str(write_csv(tmp_path / "pool.csv", header, cells)))
    assert said.startswith("data.unlabelled: ")
    assert re.search(expected, said), said
    assert "--set data.unlabelled=null (trains without them)" in said


def test_a_missing_or_empty_file_is_refused(source: str, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    assert "data.unlabelled: " in refusal(DataError, load, source, str(tmp_path / "empty.csv"))
    assert "Try: --set data.unlabelled=PATH" in refusal(DataError, load, source, str(tmp_path / "gone.csv"))
    assert "expected a file" in refusal(DataError, load, source, str(tmp_path))
    both = datasets.DatasetDict(dict.fromkeys(("train", "test"), datasets.Dataset.from_dict({"text": NEW})))
    both.save_to_disk(tmp_path / "both")
    assert "holds several splits (train, test)" in refusal(DataError, load, source, str(tmp_path / "both"))


def test_settings_of_the_format_act_on_the_file(tmp_path: Path) -> None:
    source = str(write_jsonl(tmp_path / "data.jsonl", [{"text": text, "label": label} for text, label in LABELLED]))
    path = tmp_path / "pool.csv"
    path.write_text("text;id\n" + "\n".join(f"{text};1" for text in NEW), encoding="utf-8")
    assert texts_of(load(source, str(path), delimiter=";")) == NEW
    assert "has no meaning" in refusal(DataError, load_data, DataSection(source=source, delimiter=";"))


def test_folds_and_sizes_read_the_file_once(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from finetune.data import unlabelled as module

    reads = []
    read = module.read_unlabelled
    monkeypatch.setattr(module, "read_unlabelled", lambda section: reads.append(section.fold) or read(section))
    pool, loader = texts_file(tmp_path, [*all_texts(), *NEW]), Loader()
    for fold in range(3):
        section = DataSection(source=source, unlabelled=pool, folds=3, fold=fold)
        loaded = loader.load(section)
        assert loaded == load_data(section)
        assert loaded.test is not None
        assert not set(texts_of(loaded)) & {*loaded.train.texts, *loaded.validation.texts, *loaded.test.texts}
    assert reads == [0, 0, 1, 2], "once by the loader, once each alone"


def test_the_texts_count_in_fingerprints_and_the_path_does_not(source: str, tmp_path: Path) -> None:
    first, other = texts_file(tmp_path, NEW), texts_file(tmp_path, NEW[1:], "other.csv")
    moved = texts_file(tmp_path, NEW, "moved.csv")
    prints = {path: load(source, path).fingerprint for path in (first, other, moved)}
    assert prints[first] == prints[moved] != prints[other]
    assert load_data(DataSection(source=source)).fingerprint not in prints.values()

    def key(path: str) -> str:
        recipe = resolve("your-data", data=source, overrides={"data.unlabelled": path}).recipe
        return run_key(recipe, 0, prints[path], "model")

    assert key(first) == key(moved) != key(other)


def test_the_run_that_ignores_them_says_so_and_counts_them(write_recipe: Write, tmp_path: Path) -> None:
    pool = texts_file(tmp_path, [*NEW, *(text for text, _ in labelled_texts(80))])
    recipe = write_recipe(data={"unlabelled": pool})
    for command in (["run", recipe, "--dry-run"], ["show", recipe]):
        shown = invoke(*command)
        assert shown.exit_code == 0, shown.output
        assert "data.unlabelled: does nothing: no technique of this run reads" in shown.output, command
        assert "--set data.unlabelled=null" in shown.output
        assert "unlabelled 30" in shown.output
    checked = json.loads(invoke("check", recipe, "--json").stdout)
    assert checked["rows"]["unlabelled"] == 30
    assert sum(count for reason, count in checked["dropped"].items() if reason.startswith("unlabelled")) == 80


def test_python_takes_them_from_memory(source: str) -> None:
    for data in (NEW, pd.DataFrame({"text": NEW}), {"text": NEW}):
        options = Request(data=source, overrides={"data.unlabelled": data}).options()
        recipe = resolve("your-data", data=options.data, overrides=options.overrides).recipe
        assert texts_of(load_data(recipe.data)) == NEW
