"""Excel workbooks, by openpyxl (.xlsx) and xlrd (.xls): one sheet, or sheets named like splits."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from finetune.data.compressed import OLD_OFFICE as OLD
from finetune.data.compressed import open_bytes
from finetune.data.dataset_sets import read_splits, refuse_split_names
from finetune.data.table import Column, Table, refuse_repeated
from finetune.errors import Change, DataError, first_line
from finetune.recipe import DataSection

Sheets = dict[str, list[list[Any]]]  # name -> rows with anything in them


def read_excel(path: Path, section: DataSection) -> Table | dict[str, Table]:
    """The sheet with rows, or split -> sheet (`data.split_names` says which); its first filled row names the columns.

    Raises:
        DataError: openpyxl (for .xls: xlrd) is not installed, the file is not an Excel workbook, a cell holds an error
            of Excel, or a formula whose result is not in the file.
    """
    with open_bytes(path) as file:
        content = file.read()
    sheets = _old_sheets(content, path) if content.startswith(OLD) else _sheets(content, path)
    filled = {name: rows for name, rows in sheets.items() if rows}
    if not filled:
        raise DataError(f"{path}: is empty.")
    if len(filled) == 1:
        refuse_split_names(str(path), section)
        return _table(str(path), next(iter(filled.values())))
    return read_splits(list(filled), str(path), section, lambda name, title: _table(title, filled[name]))


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
        raise DataError(
            f"{path}: is not a workbook that openpyxl can read: {first_line(error)}. Save it as .xlsx or as CSV UTF-8.",
            Change(settings={"data.format": "tsv"}, note="if it is a text file, as websites export them"),
        ) from error
    try:
        return {sheet.title: _cells(sheet, formulas[sheet.title], path) for sheet in values.worksheets}
    except DataError:
        raise
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
        book = xlrd.open_workbook(file_contents=content, logfile=StringIO(), on_demand=True)
        found = {sheet.name: [sheet.row(number) for number in range(sheet.nrows)] for sheet in book.sheets()}
    except Exception as error:  # whatever a damaged file makes of its reader
        raise DataError(
            f"{path}: is not a workbook that xlrd can read: {first_line(error)}. Save it as .xlsx or as CSV UTF-8."
        ) from error
    sheets: Sheets = {}
    for name, rows in found.items():
        values = [
            [
                _old_value(cell, book.datemode, f"{path} sheet {name}: cell {xlrd.colname(place)}{number}")
                for place, cell in enumerate(row)
            ]
            for number, row in enumerate(rows, start=1)
        ]
        sheets[name] = [row for row in values if any(value is not None for value in row)]
    return sheets


def _old_value(cell: Any, datemode: int, where: str) -> Any:
    """As `_value`; all numbers of the format are fractions, so those that are whole are taken for such.

    Raises:
        DataError: An error of Excel.
    """
    import xlrd

    if cell.ctype == xlrd.XL_CELL_ERROR:
        name = xlrd.error_text_from_code.get(cell.value, "of Excel")
        raise DataError(f"{where} holds the error {name}. Correct or empty it.")
    if cell.ctype in (xlrd.XL_CELL_EMPTY, xlrd.XL_CELL_BLANK) or cell.value == "":
        return None
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return bool(cell.value)
    if cell.ctype == xlrd.XL_CELL_DATE:
        try:
            return _plain(xlrd.xldate.xldate_as_datetime(cell.value, datemode))
        except (ValueError, OverflowError, xlrd.xldate.XLDateError) as error:
            raise DataError(f"{where} holds {cell.value}, which is not a date. Correct or empty it.") from error
    return int(cell.value) if cell.ctype == xlrd.XL_CELL_NUMBER and cell.value.is_integer() else cell.value


def _missing(path: Path, package: str) -> DataError:
    return DataError(
        f"{path}: this workbook of Excel is read by {package}, which is not installed.",
        Change(command='pip install "finetune[excel]"'),
        Change(text="save it as CSV UTF-8"),
    )


def _cells(sheet: Any, formulas: Any, path: Path) -> list[list[Any]]:
    """Rows with anything in them."""
    rows = []
    for found, written in zip(sheet.iter_rows(), formulas.iter_rows(), strict=True):
        if any(cell.value is not None for cell in written):
            rows.append([_value(cell, source, sheet.title, path) for cell, source in zip(found, written, strict=True)])
    return rows


def _value(cell: Any, source: Any, sheet: str, path: Path) -> Any:
    """A text, number, truth value, or a date as ISO text.

    Raises:
        DataError: An error of Excel, or a formula without result.
    """
    value = cell.value
    if cell.data_type == "e":
        raise DataError(f"{path} sheet {sheet}: cell {cell.coordinate} holds the error {value}. Correct or empty it.")
    if value is None and source.data_type == "f":
        raise DataError(
            f"{path} sheet {sheet}: cell {source.coordinate} is a formula whose result is not in the file. Open it in "
            "Excel or LibreOffice and save it, or save it as CSV UTF-8."
        )
    return _plain(value)


def _plain(value: Any) -> Any:
    """A date or time as ISO text; everything else as it is."""
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else value


def _table(origin: str, rows: Sequence[Sequence[Any]]) -> Table:
    header = ["" if cell is None else str(cell).strip() for cell in rows[0]]
    refuse_repeated([name for name in header if name], origin)
    body = rows[1:]
    columns: dict[str, Sequence[Any]] = {
        name: Column([[row[index] if index < len(row) else None for row in body]])
        for index, name in enumerate(header)
        if name
    }
    # Columns beyond the header that are empty all the way down come from formatting.
    nameless = [
        index
        for index in range(max(map(len, rows)))
        if (index >= len(header) or not header[index])
        and any(index < len(row) and row[index] is not None for row in body)
    ]
    warnings = [
        f"{origin}: column {index + 1} has no name in the first row and is left out, with what it holds"
        for index in nameless
    ]
    note = f"{origin}: read as a sheet of Excel: {len(body)} rows, none left out"
    return Table(origin, columns, notes=[note], warnings=warnings)
