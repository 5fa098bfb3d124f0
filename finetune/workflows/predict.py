"""Predict the rows of a file with a saved model."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from finetune.errors import Change, OutputError, RecipeError
from finetune.inference.classifier import AT_ONCE, BATCH, Classifier, load
from finetune.inference.tables import Input, free_names, opened, read_input, usable_columns
from finetune.listener import Listener
from finetune.measurement.units import count_text, integer_text, time_text
from finetune.recipe import DataSection
from finetune.workflows.asking import Request
from finetune.workflows.default_listener import chosen_listener
from finetune.workflows.results import PredictResult

OUTPUT = "predictions.csv"
FOR_TEXTS = (  # keys of the data section that say how texts are read
    *("format", "annotations", "texts", "config", "revision", "split_names", "text", "template", "text_pair"),
    *("encoding", "delimiter", "quoting", "quote_char", "escape", "comment", "header", "columns", "skip_bad_rows"),
)
TOLD_EVERY = 10.0  # seconds between two lines about how far it is


def predict(
    model: str | PathLike[str],
    data: Any,
    *,
    output: str | PathLike[str] | None = None,
    probabilities: bool = False,
    overrides: Any = (),
    batch_size: int = BATCH,
    listener: Listener | None = None,
) -> PredictResult:
    """Write the rows of any file that the trainer reads, in their order, with a prediction each.

    Args:
        model: Folder of a run or comparison, a model folder, or a hub id.
        data: File, or data from memory as `finetune.run` takes it. Labels are not needed, and are not read.
        output: A new .csv, .tsv, .jsonl or .parquet file; predictions.csv by default.
        probabilities: A column for each label, too.
        overrides: How the data is read, where it is not as in training: `{"data.text": "Review"}`.
        batch_size: Texts in a forward pass.
        listener: As of `compare`.

    Raises:
        FinetuneError: The model or the data cannot be read, or the output exists.
    """
    listener = chosen_listener(listener)
    target = Path(OUTPUT if output is None else fspath(output))
    if target.exists():
        raise OutputError(
            "exists. Choose another name, or remove it.",
            Change(arguments={"output": f"{target.stem}-2{target.suffix}"}),
            argument="output",
            found=str(target),
        )
    section = data_section(data, overrides)
    classifier = load(fspath(model))
    found = read_input(section, classifier.reading)
    for note in (*classifier.notes, *found.notes):
        listener.notice(note)
    for warning in found.warnings:
        listener.notice(warning, "warning")
    started = time.monotonic()
    empty = _write(classifier, found, target, probabilities, batch_size, listener)
    if empty:
        listener.notice(f"{count_text(empty, 'row')} without a text: the prediction is empty there", "warning")
    return PredictResult(target, len(found.texts), empty, time.monotonic() - started)


def predict_texts(
    model: str | PathLike[str], texts: Sequence[str], *, probabilities: bool, batch_size: int, listener: Listener
) -> dict[str, list[Any]]:
    """New columns, as `predict` writes them, of a few texts.

    Raises:
        FinetuneError: The model cannot be read, or it reads pairs.
    """
    classifier = load(fspath(model))
    for note in classifier.notes:
        listener.notice(note)
    return classifier.predict(texts, batch_size=batch_size).columns(probabilities)


def data_section(data: Any, overrides: Any, keys: Collection[str] = FOR_TEXTS) -> DataSection:
    """What is read, and how.

    Args:
        data, overrides: As of `predict`.
        keys: Of the data section, that act here.

    Raises:
        RecipeError: An override would not act.
    """
    options = Request(None, None, data, overrides).options()
    for key in options.overridden_keys():
        section, _, name = key.partition(".")
        if section != "data" or name.partition(".")[0] not in keys:
            why = f"has no meaning here: what the model says is not changed. Known: {', '.join(sorted(keys))}."
            raise RecipeError(why, key=key)
    return options.resolve(None).data


def _write(classifier: Classifier, found: Input, target: Path, every: bool, batch_size: int, listener: Listener) -> int:
    """Write all rows; returns how many of them have no text."""
    kept, kinds, notes = usable_columns(found.table)
    for note in notes:
        listener.notice(note, "warning")
    new = classifier.predict([], [] if found.pairs is not None else None).columns(every)
    names = free_names(list(new), list(kept))
    for name, free in names.items():
        if free != name:
            listener.notice(f"the data has a column '{name}' already: predictions are in '{free}'", "warning")
    kind = {"single_label": "text", "multi_label": "list", "regression": "number"}[classifier.reading.task]
    kinds |= {free: kind if name == "prediction" else "number" for name, free in names.items()}
    progress = _Progress(len(found.texts), listener)
    empty = 0
    with opened(target, [*kept, *names.values()], kinds) as write:
        for start in range(0, len(found.texts), AT_ONCE):
            rows = range(start, min(start + AT_ONCE, len(found.texts)))
            answers = _answers(classifier, found, rows, every, batch_size)
            write([[*(column[row] for column in kept.values()), *answers[row]] for row in rows])
            empty += sum(found.is_empty(row) for row in rows)
            progress.tell(rows.stop)
    return empty


def _answers(
    classifier: Classifier, found: Input, rows: range, every: bool, batch_size: int
) -> dict[int, Sequence[Any]]:
    """Row -> its new cells; empty ones where there is no text."""
    filled = [row for row in rows if not found.is_empty(row)]
    pairs = None if found.pairs is None else [found.pairs[row] for row in filled]
    columns = classifier.predict([found.texts[row] for row in filled], pairs, batch_size=batch_size).columns(every)
    nothing: dict[int, Sequence[Any]] = dict.fromkeys(rows, [None] * len(columns))
    return {**nothing, **dict(zip(filled, zip(*columns.values(), strict=True), strict=True))}


class _Progress:
    """Says how far it is, every few seconds."""

    def __init__(self, rows: int, listener: Listener) -> None:
        self._rows = rows
        self._listener = listener
        self._started = self._told = time.monotonic()

    def tell(self, done: int) -> None:
        now = time.monotonic()
        if now - self._told < TOLD_EVERY or done == self._rows:
            return
        self._told = now
        rate = done / (now - self._started)
        self._listener.notice(
            f"{integer_text(done)} of {count_text(self._rows, 'row')}, {rate:.0f} a second, about "
            f"{time_text((self._rows - done) / rate)} left"
        )
