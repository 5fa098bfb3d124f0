"""`finetune explain`: contributions add up, name the words that decide, and are checked by removing them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetune
from finetune.data.located import locate_words
from finetune.errors import DataError, ModelError, RecipeError
from finetune.records.explanation import Explanation
from tests.cli.invoking import invoke
from tests.conftest import ARCHITECTURES, labelled_texts, name_pooling, save_tiny_model, write_csv
from tests.raising import refuses
from tests.running import train

Write = Callable[..., Path]
ERROR = 0.05  # of the difference that contributions add up to
CASES: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "single_label": ("bert", True, {"max_length": 12, "long_texts": "windows", "overlap": 3}),
    "multi_label": ("distilbert", False, {"max_length": 12, "long_texts": "head_tail"}),
    "regression": ("roberta", False, {"text_pair": "second", "max_length": 14}),
}
LABELS: dict[str, Callable[[str, int], Any]] = {
    "single_label": lambda label, index: label,
    "multi_label": lambda label, index: f"{label}|even" if index % 4 < 2 else label,
    "regression": lambda label, index: 30.5 if label == "good" else -10.25,
}
MADE: dict[str, Path] = {}


@pytest.fixture
def trained(write_recipe: Write, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a run of each task, trained once; its data is beside it."""

    def make(task: str) -> Path:
        if task not in MADE:
            folder = tmp_path_factory.mktemp(task)
            architecture, pools, data = CASES[task]
            model = save_tiny_model(folder / "tiny", architecture)
            rows = [(t, f"{label} film", LABELS[task](label, n)) for n, (t, label) in enumerate(labelled_texts(64))]
            source = write_csv(folder / "rows.csv", ["text", "second", "label"], rows)
            section = {"source": str(source), "text": "text", "task": task, "check": False, **data}
            train(write_recipe(model=name_pooling(model) if pools else model, data=section), folder / "run")
            MADE[task] = folder / "run"
        return MADE[task]

    return make


@pytest.mark.parametrize("task", CASES)
def test_contributions_add_up_to_what_the_words_change(trained: Any, task: str) -> None:
    classifier = finetune.load(trained(task))
    text, pair = "the plot was good, and the film", "bad film" if task == "regression" else None
    found = classifier.explain(text, pair)
    total = sum(word.contribution for word in found.words)
    assert total == pytest.approx(found.value - found.blank, abs=ERROR * abs(found.value - found.blank) + 1e-6)
    assert found.error == pytest.approx(found.value - found.blank - total, abs=1e-9)
    logits = classifier.predict([text], None if pair is None else [pair]).logits[0]
    names = classifier.reading.labels
    if task == "regression":
        assert (found.label, found.value) == (None, pytest.approx(float(logits[0]), rel=1e-4))
        assert {word.part for word in found.words} == {0, 1}
    elif task == "multi_label":
        assert found.value == pytest.approx(float(logits[names.index(found.label)]), rel=1e-4)
    else:
        margin = logits[names.index(found.label)] - logits[names.index(found.against)]
        assert found.value == pytest.approx(float(margin) / classifier.reading.temperature, rel=1e-4)
        # Two classes: the log-odds of the probability that is shown.
        assert found.probability == pytest.approx(1 / (1 + np.exp(-found.value)), abs=1e-5)
    assert [word.word for word in found.words if word.part == 0] == [
        "the",
        "plot",
        "was",
        "good",
        ",",
        "and",
        "the",
        "film",
    ]
    assert all((text, pair)[word.part][word.start : word.stop] == word.word for word in found.words)  # type: ignore[index]


def test_the_word_that_decides_is_named_and_matters_when_it_is_removed(trained: Any) -> None:
    """What a tiny model has learned: five words are good, and five are bad."""
    found = finetune.load(trained("single_label")).explain("the film was awful it is")
    best = max(found.words, key=lambda word: word.contribution)
    assert (found.label, best.word) == ("bad", "awful")
    check = found.deletion
    assert check is not None
    assert (check.words, check.before) == (["awful"], pytest.approx(found.probability, abs=1e-6))
    assert check.before - check.after > abs(check.before - check.random)
    assert check.random_low <= check.random <= check.random_high
    classifier = finetune.load(trained("single_label"))
    assert check.after == pytest.approx(classifier.predict(["the film was it is"]).probabilities[0, 0], abs=1e-5)
    other = classifier.explain("the film was awful it is", label="good")
    assert (other.label, other.against, other.value) == ("good", "bad", pytest.approx(-found.value, rel=1e-4))


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_a_long_text_is_explained_as_it_is_read(trained: Any, task: str) -> None:
    """Windows: every word is read, and contributions are means over windows; head_tail: the middle is not."""
    classifier = finetune.load(trained(task))
    text = "the film was very " * 10 + "awful"
    found = classifier.explain(text)
    assert found.value - found.blank == pytest.approx(sum(word.contribution for word in found.words), rel=ERROR)
    assert [word.word for word in found.words] == text.split()
    tokens = classifier.encoder.encode([text], None)
    words, pieces = locate_words(classifier.encoder, text, None)
    assert [piece.item["input_ids"] for piece in pieces] == [item["input_ids"] for item in tokens]
    assert len(words) == 41
    if task == "single_label":
        assert found.pieces > 1
        assert found.unread == 0
    else:
        assert found.pieces == 1
        assert found.unread > 100
        assert [word.contribution for word in found.words[10:20]] == [0.0] * 10


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_is_explained(architecture: str, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tiny, theirs = save_tiny_model(tmp_path / "tiny", architecture), tmp_path / "theirs"
    AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=3).save_pretrained(theirs)
    AutoTokenizer.from_pretrained(tiny).save_pretrained(theirs)
    (found,) = finetune.explain(theirs, "the plot was good").explanations
    assert len(found.words) == 4
    assert abs(found.error) <= ERROR * abs(found.value - found.blank) + 1e-6
    assert found.missing == ["the nearest training texts: run.json of the run that trained the model is not beside it"]


def test_it_is_readable_and_has_the_nearest_training_texts(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run = trained("single_label")
    data = run.parent / "rows.csv"
    said = invoke("explain", run, "--data", data, "--rows", "3,4")
    assert said.exit_code == 0, said.stderr
    assert max(map(len, said.stdout.splitlines())) <= 80
    assert said.stdout.count("Deletion    ") == 2
    assert said.stdout.count("Training    row ") == 6
    told = json.loads(invoke("explain", run, "--data", data, "--rows", "3", "--json").stdout)
    found = Explanation.model_validate(told[0])
    assert (found.row, found.missing) == ("3", [])
    first = found.nearest[0]
    assert first.similarity == max(near.similarity for near in found.nearest)
    assert first.label in ("good", "bad")
    (strange,) = finetune.explain(run, "日本").explanations
    assert (strange.nearest, strange.missing) == (
        [],
        ["the nearest training texts: none shares a word, or part of a word, with this text"],
    )
    several = invoke("explain", trained("regression"), "plot good", "--pair", "film bad").stdout
    assert "1: plot" in several
    assert "2: film" in several


def test_what_cannot_be_explained_is_an_error(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained("single_label")
    classifier = finetune.load(run)
    for text in ("", " \n"):
        with refuses(RecipeError, match="no text to explain"):
            classifier.explain(text)
    with refuses(RecipeError, match="no such label.*good"):
        classifier.explain("plot", label="goo")
    with refuses(RecipeError, match="predicts numbers"):
        finetune.load(trained("regression")).explain("plot", "film", label="good")
    with refuses(RecipeError, match="reads pairs.*--pair TEXT"):
        finetune.explain(trained("regression"), "plot")
    with refuses(RecipeError, match="reads single texts"):
        finetune.explain(run, "plot", "film")
    with refuses(RecipeError, match="--rows: does not apply to typed texts"):
        finetune.explain(run, "plot", rows=[3])
    with refuses(RecipeError, match="--set: does not apply to typed texts"):
        finetune.explain(run, "plot", overrides={"data.text": "Review"})
    with refuses(RecipeError, match="--pair: does not apply to data"):
        finetune.explain(run, pair="film", data="new.csv", rows=[1])
    with refuses(RecipeError, match="expected 2 texts"):
        finetune.explain(trained("regression"), ["plot", "film"], ["one"])
    data = write_csv(tmp_path / "new.csv", ["text"], [("plot",), ("",), ("film",)])
    for rows, match in (
        ([9], "has 3 rows, and no row 9"),
        ([2], "row 2 of .* has no text"),
        ([], "1 to 100 row numbers"),
    ):
        with refuses(DataError, match=match):
            finetune.explain(run, data=data, rows=rows)
    with refuses(ModelError, match="holds no model"):
        finetune.explain(tmp_path, "plot")
    for arguments in ([run], [run, "x", "--data", data], [run, "--data", data, "--rows", "a"]):
        said = invoke("explain", *arguments)
        assert (said.exit_code, said.stdout) == (2, "")
        assert "Traceback" not in said.stderr
    monkeypatch.setitem(__import__("sys").modules, "captum.attr", None)
    with refuses(ModelError, match=r'captum, which is not installed.*pip install "finetune\[explain\]"'):
        classifier.explain("plot good")


def test_a_text_of_100_000_characters_is_explained_as_far_as_it_is_read(trained: Any) -> None:
    found = finetune.load(trained("multi_label")).explain("the film was very awful " * 4200)
    assert found.unread > 50_000
    assert sum(word.contribution != 0 for word in found.words) <= 12
    assert found.deletion is not None


def test_arguments_of_other_types_are_named(trained: Any) -> None:
    run = trained("single_label")
    source = run.parent / "rows.csv"
    assert finetune.explain(run, data=source, rows=3).explanations[0].row == "3"
    assert finetune.explain(run, data=source, rows=np.array([2])).explanations[0].row == "2"
    for arguments, name in (
        ({"data": source, "rows": "3"}, "rows"),
        ({"data": source, "rows": 2.5}, "rows"),
        ({"data": source, "rows": [None]}, "rows"),
        ({"text": 5}, "text"),
        ({"text": ["a", None]}, "text"),
        ({"text": "a", "pair": 5}, "pair"),
    ):
        with pytest.raises(RecipeError, match=f"{name}=.*expected"):
            finetune.explain(run, **arguments)  # type: ignore[arg-type]
