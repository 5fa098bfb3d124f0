"""Predict the rows of a file with a saved model."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from itertools import repeat
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TextIO

from finetune.errors import Change, RecipeError
from finetune.inference.abstaining import choose_threshold
from finetune.inference.answers import NO_TEXT, Answering, is_empty
from finetune.inference.classifier import AT_ONCE, BATCH, Classifier, Precision, load
from finetune.inference.lines import answer_lines, bounded, header_warning, together
from finetune.inference.parts import Parts, model_key, texts_key
from finetune.inference.predictions import typed_note
from finetune.inference.processes import Cells, predicted
from finetune.inference.tables import Input, check_output, free_names, opened, read_input, usable_columns
from finetune.listener import Listener
from finetune.measurement.units import count_text, integer_text, time_text
from finetune.recipe import DataSection
from finetune.workflows.asking import Request
from finetune.workflows.default_listener import chosen_listener
from finetune.workflows.model_results import PredictResult

OUTPUT = "predictions.csv"
STDIN = "-"
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
    accuracy: float | None = None,
    overrides: Any = (),
    batch_size: int = BATCH,
    precision: Precision = "fp32",
    processes: int = 1,
    listener: Listener | None = None,
) -> PredictResult:
    """Write the rows of any file that the trainer reads, in their order, each with a prediction.

    Args:
        model: Folder of a run or comparison, a model folder, or a hub id.
        data: File, or data from memory as `finetune.run` takes it. Labels are not needed, and are not read.
        output: A new .csv, .tsv, .jsonl or .parquet file; predictions.csv by default.
        probabilities: A column for each label, too.
        accuracy: Predict only rows that are confident enough for this accuracy on validation; the listener is told the
            threshold with its interval. Only for single-label models.
        overrides: How the data is read, where it differs from training: `{"data.text": "Review"}`.
        batch_size: Texts per forward pass.
        precision: As for `finetune.load`.
        processes: Processes that share the rows, 8,192 at a time. Each loads the model.
        listener: As for `compare`.

    Raises:
        FinetuneError: The model or the data cannot be read, or the output exists.
    """
    listener = chosen_listener(listener)
    target = Path(OUTPUT if output is None else fspath(output))
    check_output(target)
    section = data_section(data, overrides)
    classifier = load(fspath(model), precision=precision)
    found = read_input(section, classifier.reading)
    for note in (*classifier.notes, *found.notes):
        listener.notice(note)
    for warning in found.warnings:
        listener.notice(warning, "warning")
    started = time.monotonic()
    empty = sum(map(is_empty, found.texts, found.pairs or repeat(None)))
    answering = _answering(classifier, probabilities, accuracy, empty > 0, batch_size, listener)
    unsure = _write(answering, found, target, _useful(processes, len(found.texts), listener), listener)
    if empty:
        listener.notice(f"{count_text(empty, 'row')} without a text: the prediction is empty there", "warning")
    if unsure:
        listener.notice(f"{unsure} of {count_text(len(found.texts), 'row')} are too uncertain for a prediction")
    return PredictResult(target, len(found.texts), empty, time.monotonic() - started, unsure)


def predict_texts(
    model: str | PathLike[str],
    texts: Sequence[str],
    *,
    probabilities: bool,
    accuracy: float | None,
    batch_size: int,
    precision: Precision,
    listener: Listener,
) -> dict[str, list[Any]]:
    """The new columns that `predict` writes, for a few texts, with a `reason` where there is no prediction.

    Raises:
        FinetuneError: The model cannot be read, or it reads pairs.
    """
    classifier = load(fspath(model), precision=precision)
    reading = classifier.reading
    if reading.has_pairs:
        names = " and ".join(f"'{name}'" for name in (reading.text, reading.text_pair) if name)
        file = Change(arguments={"data": "FILE"}, note=f"with columns {names}" if reading.text_pair else "")
        raise RecipeError("this model reads pairs of texts, which cannot be typed here.", file)
    for note in classifier.notes:
        listener.notice(note)
    if reading.template is not None:
        listener.notice(typed_note(reading.template), "warning")
    answering = _answering(classifier, probabilities, accuracy, True, batch_size, listener)
    cells = answering.rows(texts, None)
    return dict(zip(answering.kinds(), map(list, zip(*cells, strict=True)), strict=True))


def predict_lines(
    model: str | PathLike[str],
    lines: TextIO,
    *,
    probabilities: bool,
    accuracy: float | None,
    overrides: Any,
    batch_size: int,
    precision: Precision,
    listener: Listener,
) -> Iterator[dict[str, Any]]:
    """Predictions for texts or JSON objects that come line by line, in their order, as soon as they are available.

    Args:
        lines: A text file that may never end; lines that have arrived are predicted together, in bounded memory.
        model, probabilities, accuracy, overrides, batch_size, precision, listener: As for `predict`.

    Yields:
        The fields of the object (for a text: `text`) with those of the prediction.

    Raises:
        FinetuneError: The model cannot be read; or a line has more than ten million characters, or is not text.
    """
    section = data_section(STDIN, overrides)
    classifier = load(fspath(model), precision=precision)
    for note in classifier.notes:
        listener.notice(note)
    answering = _answering(classifier, probabilities, accuracy, True, batch_size, listener)
    for number, batch in enumerate(together(bounded(lines), AT_ONCE)):
        if number == 0 and (warning := header_warning(batch[0], classifier.reading)):
            listener.notice(warning, "warning")
        yield from answer_lines(answering, section, batch)


def _answering(
    classifier: Classifier, every: bool, accuracy: float | None, reasons: bool, batch_size: int, listener: Listener
) -> Answering:
    """The model with a threshold, if an accuracy is requested; the listener is told."""
    if accuracy is None:
        return Answering(classifier, every, None, reasons, batch_size)
    served = classifier.served
    found = None if served is None else served.confidences
    threshold = choose_threshold(found, accuracy, classifier.reading.task)
    listener.notice(str(threshold))
    return Answering(classifier, every, threshold, True, batch_size)


def data_section(data: Any, overrides: Any, keys: Collection[str] = FOR_TEXTS) -> DataSection:
    """The data section: what is read, and how.

    Args:
        data, overrides: As for `predict`.
        keys: Keys of the data section that have an effect here.

    Raises:
        RecipeError: An override would have no effect.
    """
    if data is None or (isinstance(data, str) and not data):
        raise RecipeError("expected a file, a folder, or data from memory.", argument="data", found=data)
    options = Request(None, None, data, overrides).options()
    for key in options.overridden_keys():
        section, _, name = key.partition(".")
        if section != "data" or name.partition(".")[0] not in keys:
            why = (
                "has no effect here: only settings that read the data can be changed. Known: "
                f"{', '.join(sorted(keys))}."
            )
            raise RecipeError(why, key=key)
    return options.resolve(None).data


def _write(answering: Answering, found: Input, target: Path, processes: int, listener: Listener) -> int:
    """Write all rows; returns how many are too uncertain for a prediction.

    Predictions for a large file are kept beside the output until all are done: the same call continues from there.
    """
    kept, kinds, notes = usable_columns(found.table)
    for note in notes:
        listener.notice(note, "warning")
    new = answering.kinds()
    names = free_names(list(new), list(kept))
    for name, free in names.items():
        if free != name:
            listener.notice(f"the data has a column '{name}' already: predictions are in '{free}'", "warning")
    kinds |= {names[name]: kind for name, kind in new.items()}
    unsure = 0
    with opened(target, [*kept, *names.values()], kinds) as write:
        parts = _parts(answering, found, target, listener)
        progress = _Progress(len(found.texts), listener)
        for start, cells in _cells(answering, found, parts, processes):
            stop = start + len(cells)
            columns = [column[start:stop] for column in kept.values()]
            write([[*before, *after] for *before, after in zip(*columns, cells, strict=True)])
            unsure += sum(row[0] is None and row[-1] != NO_TEXT for row in cells)
            progress.tell(stop)
    if parts is not None:
        parts.remove()
    return unsure


def _cells(answering: Answering, found: Input, parts: Parts | None, processes: int) -> Iterator[tuple[int, Cells]]:
    """First row and cells of each window, in their order; those predicted before an interruption are read."""
    starts = range(0, len(found.texts), AT_ONCE)
    missing = {start for start in starts if parts is None or not parts.has(start)}
    new = predicted(answering, (_window(found, start) for start in sorted(missing)), processes)
    for start in starts:
        if start not in missing:
            assert parts is not None, "without parts every window is missing"
            yield start, parts.read(start)
            continue
        cells = next(new)
        if parts is not None:
            parts.write(start, cells)
        yield start, cells


def _window(found: Input, start: int) -> tuple[Sequence[str], Sequence[str] | None]:
    rows = slice(start, start + AT_ONCE)
    return found.texts[rows], None if found.pairs is None else found.pairs[rows]


def _useful(processes: int, rows: int, listener: Listener) -> int:
    """As many processes as there are windows of rows.

    Raises:
        RecipeError: It is not a positive number.
    """
    if processes < 1:
        raise RecipeError("expected 1 or more.", argument="processes", found=processes)
    windows = max(1, -(-rows // AT_ONCE))
    if processes > windows:
        listener.notice(
            f"processes: {windows} instead of {processes}, as {count_text(rows, 'row')} are predicted "
            f"{integer_text(AT_ONCE)} at a time"
        )
    return min(processes, windows)


def _parts(answering: Answering, found: Input, target: Path, listener: Listener) -> Parts | None:
    """The parts of a file with several windows of rows; None if there is nothing to continue from."""
    if len(found.texts) <= AT_ONCE:
        return None
    threshold = None if answering.threshold is None else answering.threshold.confidence
    settings = (answering.every, threshold, answering.reasons, answering.classifier.precision)
    about = {
        "model": model_key(answering.classifier.origin, *settings),
        "texts": texts_key(found.texts, found.pairs),
    }
    parts = Parts(target, about)
    if parts.open():
        listener.notice(f"continues from earlier predictions ({parts.folder})")
    return parts


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
