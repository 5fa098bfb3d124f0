"""Explain the predictions of a saved model: the words that moved them, and the nearest training texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from os import PathLike, fspath
from typing import Any

from finetune.analysis.disagreements import in_words, shortened
from finetune.checks.base import full_texts
from finetune.checks.nearest import NearestTexts
from finetune.data.rows import Data, Rows
from finetune.errors import Change, DataError, Problem, RecipeError
from finetune.inference.answers import is_empty
from finetune.inference.classifier import Classifier, load
from finetune.inference.predictions import typed_note
from finetune.inference.tables import read_input
from finetune.listener import Listener
from finetune.measurement.units import count_text
from finetune.records.evaluation import Neighbour
from finetune.records.explanation import Explanation
from finetune.workflows.default_listener import chosen_listener
from finetune.workflows.model_results import ExplainResult
from finetune.workflows.origins import find_run, find_training_data
from finetune.workflows.predict import data_section

NEAREST = 3
MOST_ROWS = 100  # of a file
Asked = tuple[str | None, str, str | None]  # row, text, second text


def explain(
    model: str | PathLike[str],
    text: str | Sequence[str] = (),
    pair: str | Sequence[str] | None = None,
    *,
    data: Any = None,
    rows: int | Sequence[int] = (),
    label: str | None = None,
    overrides: Any = (),
    listener: Listener | None = None,
) -> ExplainResult:
    """Find the words of a text that moved the model's answer, and the nearest training texts.

    Args:
        model: Folder of a run or comparison, a model folder, or a hub id; not an exported one.
        text: One text, or several.
        pair: The second text of each, where the model reads pairs.
        data: File, or data from memory, instead of texts.
        rows: One or several rows of `data`, by number from 1.
        label: Label to explain; by default the predicted one, or for multi-label the most confident one.
        overrides: How the data is read, where it differs from training.
        listener: As for `compare`.

    Raises:
        FinetuneError: The model or the data cannot be read, a text is empty, or captum is not installed.
    """
    listener = chosen_listener(listener)
    rows = _numbers(rows)
    _check_texts("text", text)
    if pair is not None:
        _check_texts("pair", pair)
    if (data is None) == (not text):
        why = "give either texts or data with rows, not both."
        raise RecipeError(why if text else "give texts, or data with rows.", argument="data", found=data)
    _refuse_idle({"rows": rows, "set": overrides} if data is None else {"pair": pair})
    classifier = load(fspath(model))
    for note in classifier.notes:
        listener.notice(note)
    asked = _typed(classifier, text, pair) if data is None else _of_data(classifier, data, rows, overrides)
    if data is None and classifier.reading.template is not None:
        listener.notice(typed_note(classifier.reading.template), "warning")
    found = []
    for row, first, second in asked:
        explanation = classifier.explain(first, second, label)
        found.append(explanation.model_copy(update={"row": row}))
    return ExplainResult(_with_nearest(classifier, found))


def _numbers(rows: Any) -> list[int]:
    """
    Raises:
        RecipeError: It is neither a number nor a sequence of numbers.
    """
    listed = list(rows) if isinstance(rows, Iterable) and not isinstance(rows, str) else [rows]
    numbers = [int(row) for row in listed if isinstance(row, Integral)]
    if len(numbers) < len(listed):
        why = "expected row numbers."
        raise RecipeError(why, Change(arguments={"rows": [3, 17]}), argument="rows", found=rows)
    return numbers


def _check_texts(argument: str, found: Any) -> None:
    """
    Raises:
        RecipeError: It is neither a text nor a sequence of texts.
    """
    listed = [found] if isinstance(found, str) else list(found) if isinstance(found, Iterable) else [found]
    if not all(isinstance(each, str) for each in listed):
        raise RecipeError("expected a text, or a list of texts.", argument=argument, found=found)


def _refuse_idle(idle: dict[str, Any]) -> None:
    """
    Raises:
        RecipeError: One of these arguments was given, and cannot act.
    """
    named = [name for name, value in idle.items() if value is not None and len(value)]
    in_python = {"set": "overrides"}
    problems = [
        Problem(
            "does not apply to typed texts. Leave it out."
            if name != "pair"
            else "does not apply to data, which has its own.",
            where=f"--{name}",
            where_in_python=in_python.get(name, name),
        )
        for name in named
    ]
    if problems:
        raise RecipeError(problems)


def _typed(classifier: Classifier, text: str | Sequence[str], pair: str | Sequence[str] | None) -> list[Asked]:
    """
    Raises:
        RecipeError: A second text is missing, or the model reads none.
    """
    texts = [text] if isinstance(text, str) else list(text)
    pairs = [pair] if isinstance(pair, str) else pair
    if pairs is None and classifier.reading.has_pairs:
        raise RecipeError("this model reads pairs: give a second text, too.", Change(arguments={"pair": "TEXT"}))
    if pairs is not None and not classifier.reading.has_pairs:
        raise RecipeError("this model reads single texts. Leave it out.", argument="pair", found=pairs[0])
    if pairs is not None and len(pairs) != len(texts):
        raise RecipeError(f"expected {count_text(len(texts), 'text')}.", argument="pair", found=len(pairs))
    return [(None, each, None if pairs is None else pairs[index]) for index, each in enumerate(texts)]


def _of_data(classifier: Classifier, data: Any, rows: Sequence[int], overrides: Any) -> list[Asked]:
    """
    Raises:
        DataError: There is no such row, or it has no text.
    """
    section = data_section(data, overrides)
    if not 0 < len(rows) <= MOST_ROWS:
        way = Change(arguments={"rows": [1, 2]})
        raise DataError(f"give 1 to {MOST_ROWS} row numbers.", way, argument="rows", found=list(rows))
    found = read_input(section, classifier.reading)
    position = {found.table.number(index): index for index in range(len(found.texts))}
    asked: list[Asked] = []
    for row in rows:
        if row not in position:
            known = f"{section.source} has {count_text(len(position), 'row')}"
            raise DataError(f"{known}, and no row {row}.", argument="rows", found=list(rows))
        text = found.texts[position[row]]
        pair = None if found.pairs is None else found.pairs[position[row]]
        if is_empty(text, pair):
            raise DataError(f"row {row} of {section.source} has no text.", argument="rows", found=list(rows))
        asked.append((str(row), text, pair))
    return asked


def _with_nearest(classifier: Classifier, found: list[Explanation]) -> list[Explanation]:
    """With the nearest training texts, or the reason why they are not known."""
    training = _training_data(classifier)
    if isinstance(training, str):
        missing = [f"the nearest training texts: {training}"]
        return [each.model_copy(update={"missing": missing}) for each in found]
    train, texts, reading = training.train, full_texts(training.train), classifier.reading
    pairs = None if train.pairs is None else [each.pair or "" for each in found]
    empty: list[Any] = [None] * len(found)
    asked = Rows([each.text for each in found], pairs, empty, [""] * len(found))

    def neighbour(position: int, similarity: float) -> Neighbour:
        target = classifier.encoder.target(train.labels[position])
        return Neighbour(
            row=train.ids[position],
            text=shortened(texts[position]) or "",
            label=in_words(reading.task, target, reading.labels),
            similarity=similarity,
        )

    completed = []
    for each, near in zip(found, NearestTexts(train).to(asked, NEAREST), strict=True):
        like = [neighbour(*one) for one in near if one[1] > 0]
        missing = [] if like else ["the nearest training texts: none shares a word, or part of a word, with this text"]
        completed.append(each.model_copy(update={"nearest": like, "missing": missing}))
    return completed


def _training_data(classifier: Classifier) -> Data | str:
    record = find_run(classifier.origin, classifier.served)
    if record is None:
        return "run.json of the run that trained the model is not beside it"
    return find_training_data(record)
