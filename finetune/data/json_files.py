"""JSON and JSON lines -> table, by Python's own json: numbers keep their digits, and dates stay texts."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from finetune.data.dataset_sets import read_splits, refuse_split_names
from finetune.data.encoding import TextFile
from finetune.data.formats.json_shapes import EXPECTED, entries_of, intent_keys, one_by_one, splits_of
from finetune.data.readings import DELIMITERS
from finetune.data.table import CHUNK, UNREADABLE, BadRows, Column, Table, Unreadable, pack
from finetune.errors import Change, DataError, Problem
from finetune.recipe import DataSection

BETWEEN = re.compile(r"[\s,]*")
PYTHON = re.compile(r"\s*\[?\s*\{\s*'")
AS_PYTHON = " It is written as Python prints it; json.dumps writes JSON."
AS_TABLE = Change(settings={"data.format": "csv"}, note="if it is a table")
AS_DOCUMENT = Change(settings={"data.format": "json"}, note="the file is one JSON document")


def read_json_lines(file: TextFile, section: DataSection) -> Table:
    """One object per line.

    Raises:
        DataError: A line is not an object; names the line.
    """
    bad = BadRows(section.skip_bad_rows)
    lines: Counter[str] = Counter()
    rows = _objects_of_lines(file, bad, lines)
    first = next(rows, None)
    objects: Iterable[dict[str, Any]] = [] if first is None else itertools.chain([first], rows)
    notes: list[str] = []
    if first is not None and intent_keys(first) is not None:
        objects = one_by_one(list(objects), str(file.path), section, notes)
    table = _collect(file, objects, bad)
    if notes:  # several rows a line
        return replace(table, notes=[*table.notes, *notes])
    lines.update({"row": len(table), "left out": bad.count})
    return replace(table, lines=lines)


def read_json(file: TextFile, section: DataSection) -> Table | dict[str, Table]:
    """A list of objects, another shape that `json_shapes` knows, or split -> any of these; JSON lines are recognised.

    Raises:
        DataError: It is something else, or an entry is not an object.
    """
    text = "".join(file.lines(newline=None))
    where = str(file.path)
    damage = UNREADABLE.search(text)
    if damage is not None:
        line = text.count("\n", 0, damage.start()) + 1
        only = "Only rows of CSV and JSON lines can be left out."
        raise DataError(f"{where} line {line}: holds characters that are not text. {only}")
    try:
        content = _parse(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and _is_object(text.lstrip().partition("\n")[0]):
            file.notes.append(f"{where}: read as JSON lines, one object per line")
            return read_json_lines(file, section)
        objects = _one_after_another(text) if error.msg == "Extra data" else None
        if objects is None:
            as_python = AS_PYTHON if PYTHON.match(text) else _trailing_comma(text, error.pos)
            why = f"{where} line {error.lineno}: not JSON: {error.msg} at column {error.colno}.{as_python}"
            raise DataError(why, *([AS_TABLE] if error.pos == 0 and _is_of_table(text) else [])) from error
        file.notes.append(f"{where}: the rows are {len(objects)} documents one after another")
        content = objects
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON: {error}.") from error
    return table_of(file, content, section)


def table_of(file: TextFile, content: Any, section: DataSection) -> Table | dict[str, Table]:
    """The rows of a document, or split -> rows.

    Raises:
        DataError: It holds no rows in a shape that is known.
    """
    where = str(file.path)
    splits = splits_of(content, section)
    if splits is None:
        refuse_split_names(where, section)
        return _read_entries(file, content, where, section)
    return read_splits(
        list(splits), where, section, lambda name, title: _read_entries(file, splits[name], title, section)
    )


def _trailing_comma(text: str, position: int) -> str:
    """What to delete, where a comma is the last thing before a closing bracket."""
    before, after = text[:position].rstrip(), text[position:].lstrip()
    is_last = (before.endswith(",") and after[:1] in ("]", "}")) or (after[:1] == "," and after[1:].lstrip()[:1] == "]")
    return " Delete the comma before the closing bracket." if is_last else ""


def _read_entries(file: TextFile, content: Any, origin: str, section: DataSection) -> Table:
    """The rows of a document, or of one of its splits."""
    bad = BadRows(section.skip_bad_rows)
    notes: list[str] = []
    entries = entries_of(content, origin, section, notes)
    if not entries:
        raise DataError(f"{origin}: holds no objects with keys. {EXPECTED}")
    table = _collect(file, _objects_of_entries(origin, entries, bad), bad)
    return replace(table, origin=origin, notes=[*table.notes, *notes])


def _objects_of_lines(file: TextFile, bad: BadRows, lines: Counter[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file.lines(newline=None), start=1):
        if not line.strip():
            lines["blank"] += 1
            continue
        try:
            row = _as_object(_parse(line))
            if file.damaged and UNREADABLE.search(line):
                row = _marked(row, f"{file.path} line {number}", f"holds bytes that are not {file.encoding} text")
        except json.JSONDecodeError as error:
            as_python = AS_PYTHON if PYTHON.match(line) else ""
            why = f"{file.path} line {number}: not JSON: {error.msg} at column {error.colno}.{as_python}"
            bad.add(Problem(why, changes=_ways(line, error) if number == lines["blank"] + 1 else ()))
        except RecursionError:
            bad.add(f"{file.path} line {number}: not JSON: it is nested too deep.")
        except ValueError as error:
            is_list = number == lines["blank"] + 1 and line.lstrip().startswith("[")
            bad.add(Problem(f"{file.path} line {number}: {error}.", changes=(AS_DOCUMENT,) if is_list else ()))
        else:
            yield row


def _ways(line: str, error: json.JSONDecodeError) -> tuple[Change, ...]:
    """How a file is read whose first line is no JSON by itself."""
    if line.strip() in ("[", "{") or (error.msg == "Extra data" and line[error.pos :].strip() == ","):
        return (AS_DOCUMENT,)
    return (AS_TABLE,) if error.pos == 0 and _is_of_table(line) else ()


def _is_of_table(text: str) -> bool:
    """Whether the first line may be the header of a delimited file."""
    first = text.lstrip("\ufeff").partition("\n")[0]
    return first[:1] not in ("{", "[", "<") and any(mark in first for mark in DELIMITERS)


def _marked(row: dict[str, Any], where: str, why: str) -> dict[str, Any]:
    """The object of a damaged line, whose texts that hold bytes that are not text are Unreadable.

    Raises:
        ValueError: Such bytes are in a key or inside another value.
    """
    marked = {
        key: Unreadable.of(value, f"{where}: {why}.") if isinstance(value, str) and UNREADABLE.search(value) else value
        for key, value in row.items()
    }
    inside = {key: value for key, value in marked.items() if not isinstance(value, Unreadable)}
    if any(map(UNREADABLE.search, row)) or UNREADABLE.search(json.dumps(inside, ensure_ascii=False)):
        raise ValueError(why)
    return marked


def _objects_of_entries(origin: str, entries: list[Any], bad: BadRows) -> Iterator[dict[str, Any]]:
    for number, entry in enumerate(entries, start=1):
        try:
            row = _as_object(entry)
        except ValueError as error:
            bad.add(f"{origin} entry {number}: {error}.")
        else:
            yield row


def _collect(file: TextFile, rows: Iterable[dict[str, Any]], bad: BadRows) -> Table:
    """Columns of all keys. A key that a row lacks is None there; who uses a column looks at the kinds of its cells."""
    keys: dict[str, None] = {}
    packed: dict[str, list[Any]] = {}
    waiting: list[dict[str, Any]] = []
    done = 0
    for row in rows:
        keys.update(dict.fromkeys(row))
        waiting.append(row)
        if len(waiting) == CHUNK:
            done = _pack_rows(waiting, done, keys, packed)
            waiting = []
    _pack_rows(waiting, done, keys, packed)
    if not keys and not bad.count:
        raise DataError(f"{file.path}: holds no objects with keys. {EXPECTED}")
    return Table(
        str(file.path),
        {key: Column(chunks) for key, chunks in packed.items()},
        notes=file.notes,
        warnings=file.warnings + bad.warnings(),
        dropped=bad.dropped(),
    )


def _pack_rows(rows: list[dict[str, Any]], done: int, keys: Iterable[str], packed: dict[str, list[Any]]) -> int:
    """Add the values of these rows to the columns; returns the rows that are done."""
    for key in keys:
        # Rows before the first that has the key hold nothing.
        chunks = packed.setdefault(key, [pack([None] * done)] if done else [])
        chunks.append(pack([row.get(key) for row in rows]))
    return done + len(rows)


def _parse(text: str) -> Any:
    """JSON. NaN, as Python and pandas write a missing number, is an empty cell.

    Raises:
        ValueError: A key is given twice, a number has thousands of digits, half a character; or json.JSONDecodeError.
        RecursionError: It is nested too deep.
    """
    return _whole_characters(json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_constant), text)


def _whole_characters(content: Any, text: str) -> Any:
    """What was read from the text.

    Raises:
        ValueError: It holds half a character.
    """
    if "\\u" in text:
        try:
            json.dumps(content, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError("holds half of a two-part character (a lone surrogate)") from error
    return content


def _one_after_another(text: str) -> list[Any] | None:
    """The documents of a text that holds several, with space or commas between them; None if it holds anything else."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_constant)
    documents: list[Any] = []
    position = 0
    try:
        while (start := BETWEEN.match(text, position).end()) < len(text):  # type: ignore[union-attr]
            document, position = decoder.raw_decode(text, start)
            documents.append(_whole_characters(document, text[start:position]))
    except (ValueError, RecursionError):
        return None
    return documents


def _is_object(line: str) -> bool:
    try:
        return isinstance(_parse(line), dict)
    except (ValueError, RecursionError):
        return False


def _as_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"expected an object {{…}}, found a {type(value).__name__}")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        repeated = next(key for key, _ in pairs if sum(other == key for other, _ in pairs) > 1)
        raise ValueError(f"key '{repeated}' is given twice")
    return content


def _constant(name: str) -> float | None:
    """NaN as nothing; an infinite number is one, and is no target where it is used."""
    return None if name == "NaN" else float(name)
