"""Excel workbooks, by openpyxl (.xlsx) and xlrd (.xls): one sheet, or sheets named like splits."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from finetune.data.column_names import distinct_names
from finetune.data.compressed import OLD_OFFICE as OLD
from finetune.data.compressed import open_bytes
from finetune.data.dataset_sets import read_splits, refuse_split_names
from finetune.data.foreign_files import refuse_page
from finetune.data.formats.excel_layout import Layout, layouts_of, old_layout
from finetune.data.header import names_columns
from finetune.data.table import Column, Table, UnusableColumn
from finetune.errors import Change, DataError, first_line
from finetune.recipe import DataSection

SHOWN = 80  # characters of titles in a message
ENOUGH = 5  # rows below the first, from which can be told whether it is one of them
MOST_ABOVE = 20  # rows of titles above the header


@dataclass(frozen=True)
class _Sheet:
    """A sheet.

    Attributes:
        title: Its name.
        rows: Number of each row with anything in it -> its cells.
        layout: What is merged and hidden in it.
    """

    title: str
    rows: dict[int, list[Any]]
    layout: Layout


Sheets = dict[str, _Sheet]


@dataclass(frozen=True)
class _Fault:
    """What is wrong with a cell: an error of Excel, or a formula without result. It matters where the cell is used."""

    why: str


def read_excel(path: Path, section: DataSection) -> Table | dict[str, Table]:
    """The sheet with rows, or split -> sheet (`data.split_names` says which); its first filled row names the columns.

    Raises:
        DataError: openpyxl (for .xls: xlrd) is not installed, or the file is not an Excel workbook. A cell with an
            error of Excel, or with a formula whose result is not in the file, makes its column unusable.
    """
    with open_bytes(path) as file:
        content = file.read()
    sheets = _old_sheets(content, path) if content.startswith(OLD) else _sheets(content, path)
    filled = {name: sheet for name, sheet in sheets.items() if sheet.rows}
    if not filled:
        raise DataError(f"{path}: is empty.")
    if len(filled) == 1:
        refuse_split_names(str(path), section)
        return _table(str(path), next(iter(filled.values())), section)
    largest_first = sorted(filled, key=lambda name: -len(filled[name].rows))  # the first is the one that is suggested
    return read_splits(largest_first, str(path), section, lambda name, title: _table(title, filled[name], section))


def _sheets(content: bytes, path: Path) -> Sheets:
    """The sheets of a workbook since Excel 2007."""
    try:
        import openpyxl
    except ImportError as error:
        raise _missing(path, "openpyxl") from error
    try:
        values = openpyxl.load_workbook(BytesIO(content), read_only=True, data_only=True)
        formulas = openpyxl.load_workbook(BytesIO(content), read_only=True)
    except Exception as error:  # of zip and XML
        refuse_page(path, content)
        raise DataError(
            f"{path}: is not a workbook that openpyxl can read: {first_line(error)}. Save it as .xlsx or as CSV UTF-8.",
            Change(settings={"data.format": "tsv"}, note="if it is a text file, as websites export them"),
        ) from error
    try:
        layouts = layouts_of(content)
        return {
            sheet.title: _cells(sheet, formulas[sheet.title], path, layouts.get(sheet.title, Layout()))
            for sheet in values.worksheets
        }
    except Exception as error:  # XML that is cut or not what it should be
        raise DataError(f"{path}: is damaged: {type(error).__name__}: {first_line(error)}. Save it again.") from error
    finally:
        values.close()
        formulas.close()


def _old_sheets(content: bytes, path: Path) -> Sheets:
    """The sheets of a workbook of Excel 97 to 2003."""
    try:
        import xlrd
    except ImportError as error:
        raise _missing(path, "xlrd") from error
    try:
        book = xlrd.open_workbook(file_contents=content, logfile=StringIO(), on_demand=True, formatting_info=True)
        found = {sheet.name: [sheet.row(number) for number in range(sheet.nrows)] for sheet in book.sheets()}
        layouts = {sheet.name: old_layout(sheet) for sheet in book.sheets()}
    except Exception as error:  # whatever a damaged file makes of its reader
        raise DataError(
            f"{path}: is not a workbook that xlrd can read: {first_line(error)}. Save it as .xlsx or as CSV UTF-8."
        ) from error
    sheets: Sheets = {}
    for name, rows in found.items():
        values = {
            number: [
                _old_value(cell, book.datemode, f"{path} sheet {name}: cell {xlrd.colname(place)}{number}")
                for place, cell in enumerate(row)
            ]
            for number, row in enumerate(rows, start=1)
        }
        filled = {number: row for number, row in values.items() if any(value is not None for value in row)}
        layouts[name].fill(filled)
        sheets[name] = _Sheet(name, filled, layouts[name])
    return sheets


def _old_value(cell: Any, datemode: int, where: str) -> Any:
    """As `_value`; all numbers of the format are fractions, so those that are whole are taken for such."""
    import xlrd

    if cell.ctype == xlrd.XL_CELL_ERROR:
        name = xlrd.error_text_from_code.get(cell.value, "of Excel")
        return _Fault(f"{where} holds the error {name}. Correct or empty it.")
    if cell.ctype in (xlrd.XL_CELL_EMPTY, xlrd.XL_CELL_BLANK) or cell.value == "":
        return None
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return bool(cell.value)
    if cell.ctype == xlrd.XL_CELL_DATE:
        try:
            return _plain(xlrd.xldate.xldate_as_datetime(cell.value, datemode))
        except (ValueError, OverflowError, xlrd.xldate.XLDateError):
            return _Fault(f"{where} holds {cell.value}, which is not a date. Correct or empty it.")
    return int(cell.value) if cell.ctype == xlrd.XL_CELL_NUMBER and cell.value.is_integer() else cell.value


def _missing(path: Path, package: str) -> DataError:
    return DataError(
        f"{path}: this workbook of Excel is read by {package}, which is not installed.",
        Change(command='pip install "finetune[excel]"'),
        Change(text="save it as CSV UTF-8"),
    )


def _cells(sheet: Any, formulas: Any, path: Path, layout: Layout) -> _Sheet:
    """Rows with anything in them. A cell of a merged range has the value of the range."""
    rows: dict[int, list[Any]] = {}
    for number, (found, written) in enumerate(zip(sheet.iter_rows(), formulas.iter_rows(), strict=True), start=1):
        if any(cell.value is not None for cell in written):
            cells = zip(found, written, strict=True)
            rows[number] = [_value(cell, source, sheet.title, path) for cell, source in cells]
    layout.fill(rows)
    return _Sheet(sheet.title, rows, layout)


def _value(cell: Any, source: Any, sheet: str, path: Path) -> Any:
    """A text, number, truth value, or a date as ISO text; a _Fault for an error of Excel, or a formula without
    result."""
    value = cell.value
    if cell.data_type == "e":
        return _Fault(f"{path} sheet {sheet}: cell {cell.coordinate} holds the error {value}. Correct or empty it.")
    if value is None and source.data_type == "f":
        return _Fault(
            f"{path} sheet {sheet}: cell {source.coordinate} is a formula whose result is not in the file. Open it in "
            "Excel or LibreOffice and save it, or save it as CSV UTF-8."
        )
    return _plain(value)


def _plain(value: Any) -> Any:
    """A date or time as ISO text; everything else as it is."""
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else value


def _table(origin: str, sheet: _Sheet, section: DataSection) -> Table:
    rows = list(sheet.rows.values())
    above = _titles_above(rows, section)
    header, body = rows[above], rows[above + 1 :]
    fault = next((cell for cell in header if isinstance(cell, _Fault)), None)
    if fault is not None:
        raise DataError(fault.why)
    _refuse_data_as_header(origin, header, body, section)
    notes = [f"{origin}: read as a sheet of Excel: {len(body)} rows, none left out"]
    if above:
        said = ", ".join(dict.fromkeys(str(cell) for row in rows[:above] for cell in row if cell is not None))
        notes.append(f"{origin}: above the header, and not read as rows: {said[:SHOWN]}")
    if sheet.layout.merged:
        merged = len(sheet.layout.merged)
        notes.append(f"{origin}: cells are merged: {merged} cells have the value of the range that they are in")
    names = distinct_names(["" if cell is None else str(cell).strip() for cell in header], origin, notes)
    columns: dict[str, Sequence[Any]] = {
        name: _column([row[index] if index < len(row) else None for row in body])
        for index, name in enumerate(names)
        if name
    }
    # Columns beyond the header that are empty all the way down come from formatting.
    nameless = [
        index
        for index in range(max(map(len, rows)))
        if (index >= len(names) or not names[index])
        and any(index < len(row) and row[index] is not None for row in body)
    ]
    lone = len(columns) < 2  # text and label are two columns
    for index in nameless if lone else ():
        columns[f"column {index + 1}"] = _column([row[index] if index < len(row) else None for row in body])
    warnings = [
        f"{origin}: column {index + 1} has no name in the first row and is "
        + (f"called 'column {index + 1}'" if lone else "left out, with what it holds")
        for index in nameless
    ]
    warnings += _rows_apart(origin, list(sheet.rows)[above + 1 :])
    warnings += sheet.layout.hidden(origin, sheet.title, list(sheet.rows)[above + 1 :], names)
    return Table(origin, columns, notes=notes, warnings=warnings)


def _refuse_data_as_header(
    origin: str, header: Sequence[Any], body: Sequence[Sequence[Any]], section: DataSection
) -> None:
    """Raises:
    DataError: A cell of the first row is in many rows below it, and none is a usual or a named name of a column.
    """
    names = [str(cell) for cell in header if cell is not None]
    if names_columns(names, section) or len(body) < ENOUGH:
        return
    for index, cell in enumerate(header):
        cells = [row[index] for row in body if index < len(row)]
        if isinstance(cell, str) and cells.count(cell) > 1 and 2 * len(set(map(str, cells))) <= len(cells):
            raise DataError(
                f"{origin}: the first row looks like data and not like names of columns: its {cell!r} is also in "
                f"{cells.count(cell)} rows below it. Write names above it in the sheet; or name the columns, if it has "
                "their names.",
                Change(settings={"data.text": "COLUMN", "data.label": "COLUMN"}),
            )


def _rows_apart(origin: str, numbers: Sequence[int]) -> list[str]:
    """A warning about few rows at the end below an empty one, as of a second table or a sum."""
    gaps = [place for place in range(1, len(numbers)) if numbers[place] > numbers[place - 1] + 1]
    if not gaps or 4 * (len(numbers) - gaps[-1]) > len(numbers):
        return []
    first, last = numbers[gaps[-1]], numbers[-1]
    return [
        f"{origin}: rows {first} to {last} of the sheet are below an empty row; they are read as the others are. If "
        "they are another table or a sum, delete them in the sheet"
    ]


def _titles_above(rows: Sequence[Sequence[Any]], section: DataSection) -> int:
    """How many rows of one cell, or of one merged range, are above the first that names columns."""
    for number, row in enumerate(rows[:MOST_ABOVE]):
        cells = [str(cell) for cell in row if cell is not None]
        if len(set(cells)) > 1:
            return number if number and names_columns(cells, section) else 0
    return 0


def _column(cells: list[Any]) -> Column:
    """A column that cannot be used if a cell is a _Fault."""
    fault = next((cell for cell in cells if isinstance(cell, _Fault)), None)
    return Column([cells]) if fault is None else Column([cells], lambda _: _refuse(fault))


def _refuse(fault: _Fault) -> list[Any]:
    raise UnusableColumn(fault.why)
