"""Rows of any file that the trainer reads -> a file with the same rows and their predictions."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.atomic import replaced_file
from finetune.data.columns import TEXT_NAMES, choose_text_columns
from finetune.data.extract import texts_to_read
from finetune.data.sources import read_sources
from finetune.data.table import Column, Table, UnusableColumn, unreadable_rows
from finetune.errors import Change, DataError, OutputError
from finetune.inference.predictions import Reading
from finetune.recipe import DataSection

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
Row = list[Any]
Write = Callable[[Sequence[Row]], None]


@dataclass(frozen=True)
class Input:
    """Rows to predict.

    Attributes:
        table: All columns of the file.
        texts: First, or only, text of each row; an empty one has nothing to predict.
        pairs: Second text of each row, or None.
        notes: What was recognised.
        warnings: What the user should look at.
    """

    table: Table
    texts: Sequence[str]
    pairs: Sequence[str] | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def read_input(section: DataSection, reading: Reading) -> Input:
    """Read the rows of a file, with the columns that the model was trained on.

    Args:
        section: The source, how it is read, and columns whose names differ from training.
        reading: What the model reads, and the meaning of its outputs.

    Raises:
        DataError: It cannot be read, holds several splits, or lacks a column with texts.
    """
    table = read_table(section, labelled=False)
    named = section.text or section.template
    section, guessed = with_columns(section, table, reading)
    columns = choose_text_columns(section, table)
    instead = other_column_warnings("data.text", reading.text, named, columns.text, table)
    table, texts, pairs = texts_to_read(section, table, columns)
    warnings = (*table.warnings, *instead, *_damage_warnings(table))
    return Input(table, texts, pairs, (*table.notes, *guessed, *columns.notes), warnings)


def _damage_warnings(table: Table) -> list[str]:
    """Columns with bytes that are not text, and how they are written again."""
    found = {name: len(unreadable_rows(column)) for name, column in table.columns.items() if isinstance(column, Column)}
    counted = ", ".join(f"'{name}' ({count} rows)" for name, count in found.items() if count)
    if not counted:
        return []
    return [f"{table.origin}: bytes that are not text, in columns that are not read, are written as \ufffd: {counted}"]


def read_table(section: DataSection, labelled: bool) -> Table:
    """The only table of a source.

    Args:
        section: The source, and how it is read.
        labelled: Whether its labels are needed: several annotations of a text then become one.

    Raises:
        DataError: It cannot be read, or holds several splits.
    """
    tables = read_sources(section, labelled)
    if len(tables) > 1:
        why = f"{section.source}: holds several splits ({', '.join(tables)}), but one table is expected."
        raise DataError(why, Change(arguments={"data": "ONE_OF_ITS_FILES"}), argument="data", found=section.source)
    (table,) = tables.values()
    return table


def with_columns(section: DataSection, table: Table, reading: Reading) -> tuple[DataSection, list[str]]:
    """Columns as in training, unless others were named, or the file lacks them and has one with a usual name.

    Raises:
        DataError: A second text is named, but the model reads one.
    """
    named: dict[str, Any] = {}
    notes = []
    if section.text is None and section.template is None:
        if reading.template is not None:
            named["template"] = reading.template
        elif reading.text is not None and (reading.text in table.columns or reading.has_pairs):
            named["text"] = reading.text
        elif reading.text is not None and len(table.columns) == 1:
            (only,) = table.columns
            named["text"] = only
            notes.append(f"column '{only}' is used as the text: there is no other one")
        elif reading.text is not None and not any(name.lower() in TEXT_NAMES for name in table.columns):
            named["text"] = reading.text  # an error that names it
    if section.text_pair is None and reading.text_pair is not None:
        named["text_pair"] = reading.text_pair
    if section.text_pair is not None and reading.text_pair is None:
        why = "this model reads single texts. Leave it out."
        raise DataError(why, key="data.text_pair", found=section.text_pair)
    return section.model_copy(update=named), notes


def other_column_warnings(key: str, trained: str | None, named: Any, used: Any, table: Table) -> list[str]:
    """A warning, if a column was recognised by its name in place of the one that the model was trained on.

    Args:
        key: data.text or data.label.
        trained: Column in training; None if unknown, or if there were several.
        named: Column that the user named, if any.
        used: Column in use, or a list of them.
        table: The rows.
    """
    if trained is None or named is not None or trained in table.columns:
        return []
    if len(table.columns) == 1 or not isinstance(used, str) or trained.lower() == used.lower():
        return []
    role = key.removeprefix("data.")
    if table.roles.get(role) == used:  # as its format says
        return []
    way = Change(settings={key: "COLUMN"}).for_command_line()
    return [f"{table.origin} has no column '{trained}', the {role} in training, so '{used}' is used. If wrong: {way}"]


def usable_columns(table: Table) -> tuple[dict[str, Sequence[Any]], dict[str, str], list[str]]:
    """The columns that can be written again, the kinds of their cells (see `opened`), and notes on the others."""
    kept: dict[str, Sequence[Any]] = {}
    kinds: dict[str, str] = {}
    notes = []
    for name, values in table.columns.items():
        try:
            kinds[name] = _kind_of(values)
        except UnusableColumn as error:
            notes.append(f"column '{name}' is not written: {error.problems[0].why}")
        else:
            kept[name] = values
    return kept, kinds, notes


def _kind_of(values: Iterable[Any]) -> str:
    """One kind for all cells: text, boolean, integer, number; other, where they differ or are lists or objects."""
    types = {str if isinstance(value, str) else type(value) for value in values if value is not None}
    if types <= {str}:
        return "text"
    kinds: tuple[tuple[set[type], str], ...] = (({bool}, "boolean"), ({int}, "integer"), ({int, float}, "number"))
    return next((kind for known, kind in kinds if types <= known), "other")


def free_names(wanted: Sequence[str], taken: Sequence[str]) -> dict[str, str]:
    """Name -> the same, or with a number where the file has such a column already."""
    names = {}
    used = set(taken)
    for name in wanted:
        free, number = name, 2
        while free in used:
            free, number = f"{name}_{number}", number + 1
        names[name] = free
        used.add(free)
    return names


def check_output(path: Path) -> None:
    """
    Raises:
        OutputError: It is a folder, the suffix is not that of a format that can be written, or the file exists.
    """
    if path.is_dir():
        inside = Change(arguments={"output": str(path / f"predictions{SUFFIXES[0]}")})
        raise OutputError("is a folder; expected a file.", inside, argument="output", found=str(path))
    if path.suffix.lower() not in SUFFIXES:
        stem = path.stem.strip("-.") or "predictions"
        others = [Change(arguments={"output": str(path.with_name(f"{stem}{suffix}"))}) for suffix in SUFFIXES]
        raise OutputError(f"expected one of {', '.join(SUFFIXES)}.", *others, argument="output", found=str(path))
    if path.exists():
        other = Change(arguments={"output": str(path.with_name(f"{path.stem}-2{path.suffix}"))})
        raise OutputError("exists. Choose another name, or remove it.", other, argument="output", found=str(path))


@contextmanager
def opened(path: Path, header: Sequence[str], kinds: Mapping[str, str]) -> Iterator[Write]:
    """A file to which rows are added; it appears when all are written.

    Args:
        path: The file; its suffix, one of `SUFFIXES`, determines the format.
        header: Names of the columns.
        kinds: Column -> text, boolean, integer, number, list (of texts) or other (written as JSON).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(path) as partial:
        how = _parquet if path.suffix.lower() == ".parquet" else _lines
        with how(partial, path.suffix.lower(), header, kinds) as write:
            yield write


@contextmanager
def _lines(path: Path, suffix: str, header: Sequence[str], kinds: Mapping[str, str]) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        if suffix == ".jsonl":

            def write(rows: Sequence[Row]) -> None:
                for row in rows:
                    file.write(json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False, default=str) + "\n")

        else:
            writer = csv.writer(file, lineterminator="\n", delimiter="\t" if suffix == ".tsv" else ",")
            writer.writerow(header)

            def write(rows: Sequence[Row]) -> None:
                writer.writerows([_cell(value) for value in row] for row in rows)

        yield write


def _cell(value: Any) -> Any:
    """Lists of labels as training reads them; other lists and objects as JSON."""
    if isinstance(value, list) and all(isinstance(each, str) and "|" not in each for each in value):
        return "|".join(value)
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value


@contextmanager
def _parquet(path: Path, suffix: str, header: Sequence[str], kinds: Mapping[str, str]) -> Iterator[Write]:
    import pyarrow
    import pyarrow.parquet

    types = {
        "text": pyarrow.string(),
        "boolean": pyarrow.bool_(),
        "integer": pyarrow.int64(),
        "number": pyarrow.float64(),
        "list": pyarrow.list_(pyarrow.string()),
        "other": pyarrow.string(),
    }
    schema = pyarrow.schema([(name, types[kinds[name]]) for name in header])

    def prepared(name: str, value: Any) -> Any:
        is_other = kinds[name] == "other" and value is not None and not isinstance(value, str)
        return json.dumps(value, ensure_ascii=False, default=str) if is_other else value

    with pyarrow.parquet.ParquetWriter(path, schema) as writer:

        def write(rows: Sequence[Row]) -> None:
            columns = zip(header, zip(*rows, strict=True), strict=True)
            arrays = [
                pyarrow.array([prepared(name, value) for value in values], types[kinds[name]])
                for name, values in columns
            ]
            writer.write_table(pyarrow.table(arrays, schema=schema))

        yield write
