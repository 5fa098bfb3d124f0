"""spaCy (checked with 3.8): texts with `cats`, an object of label -> 0 or 1, in JSON or in a DocBin (.spacy).

The same object under `label` or `labels` is read in the same way. A value between 0 and 1 is a guess of a model, which
spaCy refuses as a label too.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from finetune.data.compressed import open_bytes
from finetune.data.formats.annotations import Item, annotated_table
from finetune.data.formats.base import Export, as_json, first_cells, lone, may_be_label, rows_of, text_columns
from finetune.data.table import Table
from finetune.errors import Change, DataError, first_line
from finetune.recipe import DataSection

COLUMNS = ("cats", "label", "labels", "categories")


def _recognises(table: Table, section: DataSection) -> bool:
    column = _column(table)
    return column is not None and may_be_label(section, column)


def _column(table: Table) -> str | None:
    return next((name for name in COLUMNS if _are_flags(table, name)), None)


def _are_flags(table: Table, name: str) -> bool:
    cells = [as_json(cell) for cell in first_cells(table, name)]
    return (
        bool(cells)
        and all(
            isinstance(cell, dict) and all(isinstance(flag, bool | int | float) for flag in cell.values())
            for cell in cells
        )
        and any(cells)
    )


def _read(table: Table, section: DataSection) -> Table:
    column = section.label if isinstance(section.label, str) else _column(table)
    if column is None or column not in table.columns:
        raise DataError(f"{table.origin}: no column holds objects of label -> 0 or 1 (cats).", key="data.label")
    rows = list(rows_of(table))
    items, sizes = [], Counter[int]()
    for number, row in enumerate(rows, start=1):
        flags = as_json(row[column])
        if flags is not None and not isinstance(flags, dict):
            raise DataError(f"{table.origin} row {number}: {column} is {flags!r}, not an object of label -> 0 or 1.")
        sizes[len(flags or {})] += 1
        cells = {name: cell for name, cell in row.items() if name != column}
        items.append(Item(cells, [_names(flags, f"{table.origin} row {number}", column)] if flags else []))
    texts = text_columns(table, [column])
    found = annotated_table(table, f"texts with {column} of spaCy", items, column, section, lone(texts))
    most = max(sizes)
    fewer = sum(count for size, count in sizes.items() if 0 < size < most)
    if not fewer:
        return found
    said = f"{table.origin}: {fewer} rows name fewer labels than others in {column}; missing labels are taken as 0."
    return replace(found, warnings=[*found.warnings, said])


def _names(flags: dict[str, Any], where: str, column: str) -> list[str]:
    """The labels whose value is 1.

    Raises:
        DataError: A value is neither 0 nor 1.
    """
    odd = next((name for name, flag in flags.items() if flag not in (0, 1)), None)
    if odd is not None:
        raise DataError(
            f"{where}: {column} gives '{odd}' the value {flags[odd]!r}. A label is 1 or 0; values in between are "
            "guesses of a model."
        )
    return [name for name, flag in flags.items() if flag]


def read_docbin(path: Path, _: DataSection) -> Table:
    """Texts and cats of a DocBin.

    Raises:
        DataError: spaCy is not installed, or cannot read the file.
    """
    try:
        import spacy
        from spacy.tokens import DocBin
    except ImportError as error:
        raise DataError(
            f"{path}: a DocBin is read by spaCy, which is not installed.",
            Change(command='pip install "finetune[spacy]"'),
            Change(text='save the texts as JSON lines: {"text": doc.text, "cats": doc.cats}'),
        ) from error
    try:
        with open_bytes(path) as file:
            docs = list(DocBin().from_bytes(file.read()).get_docs(spacy.blank("xx").vocab))
    except DataError:
        raise
    except Exception as error:  # whatever msgpack, zlib and spaCy raise of a damaged file
        raise DataError(f"{path}: is not a DocBin that spaCy can read: {first_line(error)}.") from error
    if not any(doc.cats for doc in docs):
        raise DataError(f"{path}: none of its {len(docs)} texts has cats, the labels of a text.")
    return Table(str(path), {"text": [doc.text for doc in docs], "cats": [dict(doc.cats) for doc in docs]})


SPACY = Export(_recognises, _read)
