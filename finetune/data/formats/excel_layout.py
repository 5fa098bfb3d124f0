"""What the layout of a sheet of Excel does to its cells: merged ranges, and rows and columns that are not displayed."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from finetune.errors import shorten

MERGED = re.compile(rb"<mergeCell\s[^>]*?\bref=[\"']([^\"']+)")
HIDDEN = re.compile(rb"<(?:row|col|sheet)\s[^>]*?(?:\bhidden=[\"'](?:1|true)|\bstate=[\"'](?:h|veryH)idden)")
MOST_MERGED = 2_000_000  # cells in merged ranges, each of which openpyxl makes: one column of a sheet is a million
NAMED = 5  # hidden rows and columns that are named
VISIBLE = "visible"

Place = tuple[int, int]  # row and column, from 1


@dataclass(frozen=True)
class Layout:
    """The layout of a sheet.

    Attributes:
        merged: Each cell below or beside the first of a merged range -> the first.
        hidden_rows: Numbers of the rows that are hidden, by hand or by a filter.
        hidden_columns: Numbers of the columns that are hidden.
        is_filtered: The sheet has a filter that is set.
        is_hidden: The whole sheet is hidden.
    """

    merged: Mapping[Place, Place] = field(default_factory=dict)
    hidden_rows: frozenset[int] = frozenset()
    hidden_columns: frozenset[int] = frozenset()
    is_filtered: bool = False
    is_hidden: bool = False

    def fill(self, rows: Mapping[int, list[Any]]) -> None:
        """Give the cells of merged ranges the value of their range.

        Args:
            rows: Number -> cells, for the rows of the sheet with anything in them.
        """
        for (row, column), (first_row, first_column) in self.merged.items():
            if column <= len(rows.get(row, ())):
                first = rows.get(first_row, ())
                rows[row][column - 1] = first[first_column - 1] if first_column <= len(first) else None

    def hidden(self, origin: str, title: str, rows: Sequence[int], names: Sequence[str]) -> list[str]:
        """Warnings that name what is read although Excel does not display it.

        Args:
            origin: Name of the table in messages.
            title: Name of the sheet.
            rows: Numbers of the rows that are read.
            names: Names of the columns, "" for one that is left out.
        """
        where, warnings = f"{origin}: in the sheet '{title}'", []
        if self.is_hidden:
            warnings.append(f"{origin}: the sheet '{title}' is hidden in Excel; it is read")
        hidden = [number for number in rows if number in self.hidden_rows]
        if hidden:
            why = "hidden or filtered out" if self.is_filtered else "hidden"
            warnings.append(
                f"{where}, {len(hidden)} of {len(rows)} rows are {why} ({_listed(hidden)}); they are read as the "
                "others are. To leave them out, delete them in the sheet"
            )
        columns = [name for number, name in enumerate(names, start=1) if name and number in self.hidden_columns]
        if columns:
            shown = shorten([f"'{name}'" for name in columns], NAMED)
            warnings.append(f"{where}, hidden columns are read as the others are: {shown}")
        return warnings


def _listed(numbers: Sequence[int]) -> str:
    return f"{'row' if len(numbers) == 1 else 'rows'} {shorten([str(number) for number in numbers], NAMED)}"


def layouts_of(content: bytes) -> dict[str, Layout]:
    """Name of a sheet -> its layout. Sheets in which nothing is merged or hidden may be missing.

    Raises:
        ValueError: Merged ranges have too many cells.
    """
    import openpyxl
    from openpyxl.worksheet.cell_range import CellRange

    with zipfile.ZipFile(BytesIO(content)) as archive:
        names = archive.namelist()
        parts = [archive.read(name) for name in names if re.fullmatch(r"xl/(?:worksheets/.*|workbook)\.xml", name)]
    areas = [CellRange(area.decode()) for part in parts for area in MERGED.findall(part)]
    if not areas and not any(HIDDEN.search(part) for part in parts):
        return {}
    _refuse_many(sum(area.size["rows"] * area.size["columns"] for area in areas))
    # Only a workbook that is read as a whole tells its layout.
    return {sheet.title: _layout(sheet) for sheet in openpyxl.load_workbook(BytesIO(content)).worksheets}


def _refuse_many(cells: int) -> None:
    if cells > MOST_MERGED:
        raise ValueError(f"its merged ranges have {cells:,} cells")


def _layout(sheet: Any) -> Layout:
    merged: dict[Place, Place] = {}
    for area in sheet.merged_cells.ranges:
        first = (area.min_row, area.min_col)
        merged.update({cell: first for row in area.rows for cell in row if cell != first})
    columns = [
        number
        for part in sheet.column_dimensions.values()
        if part.hidden
        for number in range(part.min or 0, min(part.max or 0, sheet.max_column) + 1)
    ]
    rows = [number for number, row in sheet.row_dimensions.items() if row.hidden]
    filtered = bool(sheet.auto_filter.filterColumn)
    return Layout(merged, frozenset(rows), frozenset(columns), filtered, sheet.sheet_state != VISIBLE)


def old_layout(sheet: Any) -> Layout:
    """The layout of a sheet that xlrd has read with its formats, which do not tell whether a filter is set."""
    _refuse_many(sum((below - top) * (beside - left) for top, below, left, beside in sheet.merged_cells))
    merged: dict[Place, Place] = {}
    for top, below, left, beside in sheet.merged_cells:
        places = [(row, column) for row in range(top + 1, below + 1) for column in range(left + 1, beside + 1)]
        merged.update(dict.fromkeys(places[1:], places[0]))
    rows = frozenset(number + 1 for number, row in sheet.rowinfo_map.items() if row.hidden)
    columns = frozenset(number + 1 for number, column in sheet.colinfo_map.items() if column.hidden)
    return Layout(merged, rows, columns, is_hidden=sheet.visibility != 0)
