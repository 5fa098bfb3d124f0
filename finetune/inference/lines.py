"""Texts that come line by line, without end: predicted as they arrive, in bounded memory."""

from __future__ import annotations

import json
import queue
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

from finetune.data.columns import Columns
from finetune.data.extract import texts_as_written
from finetune.data.table import Table
from finetune.errors import Change, DataError, FinetuneError
from finetune.inference.answers import Answering
from finetune.inference.predictions import Reading
from finetune.recipe import DataSection
from finetune.recipe.template import template_parts

WAITING = 20_000  # lines that are read ahead
LONGEST = 10_000_000  # characters of a line
_OBJECT = re.compile(r'\s*\{\s*"')


def bounded(file: TextIO) -> Iterator[str]:
    """The lines of a file, limited in length so that none can fill the memory.

    Raises:
        DataError: A line has more than `LONGEST` characters, or its bytes are not text.
    """
    try:
        while line := file.readline(LONGEST):
            if len(line) == LONGEST and not line.endswith("\n"):
                raise DataError(f"a line has more than {LONGEST:,} characters.", argument="data", found="-")
            yield line
    except UnicodeDecodeError as error:
        other = Change(command="PYTHONIOENCODING=latin-1", note="before the command, where that is the encoding")
        why = f"standard input is not {error.encoding}: {error.reason}."
        raise DataError(why, other, argument="data", found="-") from error


def together(lines: Iterable[str], most: int) -> Iterator[list[str]]:
    """The lines that have arrived, at least one and at most `most`; a thread reads ahead, `WAITING` lines at most.

    Raises:
        BaseException: The exception that reading raises, after all lines before it.
    """
    waiting: queue.Queue[str | BaseException | None] = queue.Queue(WAITING)

    def read() -> None:
        try:
            for line in lines:
                waiting.put(line)
        except BaseException as error:
            waiting.put(error)
        else:
            waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    end: str | BaseException | None = ""
    while isinstance(end, str):
        batch = []
        end = waiting.get()
        while isinstance(end, str):
            batch.append(end)
            if len(batch) == most or waiting.empty():
                break
            end = waiting.get()
        if batch:
            yield batch
    if end is not None:
        raise end


def header_warning(line: str, reading: Reading) -> str:
    """What to say of a first line that looks like the header of a table; empty otherwise."""
    names = [name.strip().strip('"') for name in re.split(r"[,;\t]", line.strip().lstrip("\ufeff"))]
    if reading.text is None or reading.text not in names or line.lstrip().startswith("{"):
        return ""
    return (
        f"the first line looks like the header of a table: {line.strip()!r}. Every line of standard input, this one "
        "included, is read as a whole text, or as a JSON object; a table: --data FILE"
    )


def answer_lines(answering: Answering, section: DataSection, lines: Sequence[str]) -> list[dict[str, Any]]:
    """The fields of each line with its prediction. A line that cannot be read has a reason instead.

    Args:
        answering: The model, which gives reasons.
        section: Names of the columns, where they differ from training.
        lines: JSON objects, or texts for a model that reads one text and no template.
    """
    reading = answering.classifier.reading
    template = section.template or (reading.template if section.text is None else None)
    text = template or section.text or reading.text or "text"
    parts = (text,) if template is None else tuple(name for _, name in template_parts(template) if name is not None)
    pair = section.text_pair or reading.text_pair
    needed = [*dict.fromkeys(parts), *([] if pair is None else [pair])]
    takes_texts = len(needed) == 1 and template is None and not reading.has_pairs
    fields, problems = [], []
    for line in lines:
        row, problem = _read(line, needed, takes_texts)
        fields.append(row)
        problems.append(problem)
    columns = Columns(text, parts, [], pair, {}, [], shape="pair" if reading.has_pairs and pair is None else "text")
    named = section.model_copy(update={"template": template})
    cells = _answers(answering, named, columns, [row for row, why in zip(fields, problems, strict=True) if not why])
    names, empty = list(answering.kinds()), [None] * (len(answering.kinds()) - 1)
    answers = iter(cells)
    return [
        {**row, **dict(zip(names, [*empty, why] if why else next(answers), strict=True))}
        for row, why in zip(fields, problems, strict=True)
    ]


def _read(line: str, needed: Sequence[str], takes_texts: bool) -> tuple[dict[str, Any], str]:
    """The fields of a line, and why it cannot be predicted; empty where it can."""
    line = line.rstrip("\r\n")
    try:
        content = json.loads(line) if line.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict):
        missing = [name for name in needed if name not in content]
        return content, f"no field '{missing[0]}'" if missing else ""
    if takes_texts and _OBJECT.match(line):
        return {"line": line}, "starts like a JSON object, and is none"
    if takes_texts:
        return {needed[0]: line}, ""
    return {"line": line}, f"no JSON object with {', '.join(needed)}"


def _answers(
    answering: Answering, section: DataSection, columns: Columns, rows: Sequence[dict[str, Any]]
) -> list[list[Any]]:
    """The cells of each row. What a row is answered does not depend on those that came together with it."""
    read = [_text_of(section, columns, row) for row in rows]
    texts = [each for each in read if not isinstance(each, str)]
    pairs = [second for _, second in texts if second is not None] or None
    cells = iter(answering.rows([first for first, _ in texts], pairs) if texts else [])
    empty = [None] * (len(answering.kinds()) - 1)
    return [[*empty, each] if isinstance(each, str) else next(cells) for each in read]


def _text_of(section: DataSection, columns: Columns, row: dict[str, Any]) -> tuple[str, str | None] | str:
    """The text of a row, and the second one; or why it has none."""
    table = Table("standard input", {name: [row[name]] for _, name in columns.by_role()})
    try:
        (first,), second = texts_as_written(section, table, columns)
    except FinetuneError as error:
        return error.problems[0].why
    return first, None if second is None else second[0]
