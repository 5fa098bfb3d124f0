"""The column names of a delimited file: from its first line, or from the recipe if that line is data."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from finetune.data.column_names import distinct_names
from finetune.data.dataset_sets import KNOWN_SPLITS
from finetune.data.encoding import TextFile
from finetune.data.numbers import as_number
from finetune.data.preface import ROLE_NAMES, Preface, late_header, names_both
from finetune.data.ragged import start_at
from finetune.data.readings import lines_from
from finetune.data.table import UNREADABLE
from finetune.errors import Change, DataError
from finetune.recipe import DataSection

ENOUGH = 5  # rows below the first, from which can be told whether it is one of them
SENTENCE = 4  # words of a cell, from which it is rather a text than a name
NAMED = 5  # rows that are named
QUALTRICS = 2  # rows below the header that describe the columns
IMPORT_ID = re.compile(r'\{"ImportId": ?"')  # of Qualtrics, in every column
CODE = re.compile(r"(?=\S*\d)\S+")  # a name of a row, such as doc_17, that is no beginning of a text
RESPONDENT = re.compile(r"respondent[ _]?id", re.IGNORECASE)  # first column of SurveyMonkey
ANSWER = re.compile(r"(?:Open-Ended )?Response")  # below the names of its questions
NAMELESS = re.compile(r"|Unnamed: \d+")  # none, and what pandas makes of none


@dataclass
class Header:
    """The names of the columns.

    Attributes:
        names: Names of all columns; empty for a column without a name in the file.
        is_line: Whether the first line is the header, not a row.
        notes, warnings: Messages about the header.
    """

    names: list[str]
    is_line: bool
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def find_header(
    path: object, section: DataSection, preface: Preface, line: int, first: list[str], below: Sequence[list[str]]
) -> Header:
    """Decide whether the first row is the header, and name the columns.

    Args:
        path: Path of the file, for messages.
        section: The data section of the recipe.
        preface: The lines above it.
        line: Line number of the first row.
        first: Its cells.
        below: Some of the rows that follow, as wide as the first.

    Raises:
        DataError: The first row looks like data and the recipe does not say what it is; or a name is missing, occurs
            twice, or cannot be read.
    """
    if preface.mark:
        first = [first[0].removeprefix(preface.mark).strip(), *first[1:]]
    evidence = None if names_columns(first, section) else _like_rows(first, below)
    where = f"{path} line {line}"
    if section.header == "auto":
        is_line = evidence is None
        if evidence is not None and section.columns is None:
            raise _looks_like_data(where, evidence, first, below)
    else:
        is_line = section.header is True
    header = Header(list(first), is_line)
    if preface.mark and is_line:
        header.notes.append(f"{where}: is the header, although it starts with '{preface.mark}' as comments do")
    if section.columns is not None:
        _rename(header, where, section.columns, first)
    elif not is_line:
        header.names = [f"column {number}" for number in range(1, len(first) + 1)]
        header.notes.append(f"{path}: has no header (data.header); its columns are called {', '.join(header.names)}")
    if is_line and evidence is not None:
        header.warnings.append(f"{where}: is used as the header (data.header), but {evidence}")
    if not is_line and names_columns(first, section):
        header.warnings.append(
            f"{where}: is used as a row (data.header), but holds typical names of columns: {', '.join(first)}"
        )
    _check_names(str(path), header.names, line)
    header.names = distinct_names(header.names, str(path), header.notes)
    return header


def refuse_late_header(
    file: TextFile, section: DataSection, last: int, first: list[str], below: Sequence[list[str]]
) -> None:
    """Raises:
    DataError: A row below the first names text and label, and the first names nothing, as a title with as many cells.

    Args:
        file: The file.
        section: The data section of the recipe.
        last: Last line of the first row.
        first: Its cells.
        below: Some of the rows that follow.
    """
    if len(first) < 2 or names_columns(first, section) or section.header != "auto" or section.columns is not None:
        return
    if not any(map(names_both, below)):  # a line of a text may name them, too
        return
    line = late_header(file)
    if line is not None and line > last:
        named = next(lines_from(file, line - 1)).strip()
        raise DataError(
            f"{file.path} line {line}: names columns ({named}), and other lines stand above it.",
            start_at(file.path, line),
            Change(settings={"data.header": False}, note="if that line is a row, and no line names the columns"),
        )


def completed(first: list[str], below: Sequence[list[str]], are_apart: bool) -> tuple[list[str], str]:
    """The first row, with an empty name for a column that it does not name, and why; unchanged if it has as many cells
    as the rows below, or a delimiter in the texts may be why it has not.

    R writes the numbers or names of rows without a name for their column; some programs end every row but the first
    with a delimiter.

    Args:
        first: The first row.
        below: Some of the rows that follow.
        are_apart: No text can hold the delimiter by mistake: it is a tab, or first cells are enclosed in quotes.
    """
    if len(first) < 2 or not below or len(below[0]) != len(first) + 1:
        return first, ""
    said = "names one column less than rows have cells"
    if all(not row[-1].strip() for row in below):
        return [*first, ""], f"{said}; the last cell of each row is empty"
    if all(row[0].isdecimal() for row in below):
        return ["", *first], f"{said}; the first cell of each row is its number, as R writes it"
    names = [row[0].strip() for row in below]
    if _are_different(names) and (are_apart or (len(names) >= ENOUGH and all(CODE.fullmatch(name) for name in names))):
        return ["", *first], f"{said}; the first cell of each row is its name, as R writes it"
    return first, ""


def _are_different(cells: Sequence[str]) -> bool:
    """Whether cells may be names of rows: no two are equal, and none is empty."""
    return len(cells) > 1 and all(cells) and len(set(cells)) == len(cells)


def described_below(first: list[str], below: Sequence[list[str]]) -> list[list[str]]:
    """The rows right below the header that are no data: the questions and the import ids of Qualtrics, the kinds of
    answers of SurveyMonkey."""
    number = next((n for n, row in enumerate(below[:QUALTRICS]) if all(IMPORT_ID.match(cell) for cell in row)), None)
    if number is not None:
        return list(below[: number + 1])
    of_survey = bool(below) and RESPONDENT.fullmatch(first[0].strip()) and not below[0][0].strip()
    return [below[0]] if of_survey and any(ANSWER.fullmatch(cell.strip()) for cell in below[0]) else []


def names_columns(first: list[str], section: DataSection) -> bool:
    """Whether the cells of a row include a usual name of a column, or one that the recipe names."""
    label = section.label if isinstance(section.label, list) else [section.label]
    asked = {section.text, section.text_pair, section.group, section.order_by, *label, *(section.columns or ())}
    numbered = [cell for cell in first if cell] == [str(number) for number in range(sum(map(bool, first)))]
    return numbered or any(cell.strip().lower() in ROLE_NAMES or cell in asked for cell in first)


def _like_rows(first: list[str], below: Sequence[list[str]]) -> str | None:
    """What the first row has in common with those below it, if it seems to be one of them."""
    if len(below) < ENOUGH:
        return None
    for cell, column in zip(first, zip(*below, strict=True), strict=True):
        counts = Counter(column)
        if cell.strip() and counts[cell] > 1 and 2 * len(counts) <= len(column):
            return f"its {cell!r} is also in {counts[cell]} of the next {len(column)} rows"
        if as_number(cell) is not None and all(as_number(other) is not None for other in column):
            return f"its {cell!r} is a number, as in the next {len(column)} rows"
    return None


def _looks_like_data(where: str, evidence: str, first: list[str], below: Sequence[list[str]]) -> DataError:
    names = _guess_names(first, below)
    return DataError(
        f"{where}: the first line looks like data and not like names of columns: {evidence}. If the file has no "
        "header, name its columns; else say that it has one.",
        Change(settings={"data.header": False, "data.columns": names}),
        Change(settings={"data.header": True}, note="and name the columns in use, data.text and data.label"),
        key="data.header",
        found="auto",
    )


def _guess_names(first: list[str], below: Sequence[list[str]]) -> list[str]:
    """The longest cells are the texts, and those that repeat the most the labels."""
    columns = list(zip(first, *below, strict=True))
    text = max(range(len(columns)), key=lambda index: statistics.fmean(map(len, columns[index])))
    split = next((index for index, cells in enumerate(columns) if index != text and _are_splits(cells)), None)
    others = [index for index in range(len(columns)) if index not in (text, split)]
    label = min(others, key=lambda index: (len(set(columns[index])) == 1, len(set(columns[index]))), default=None)
    return [
        {text: "text", label: "label", split: "split"}.get(index, f"column {index + 1}")
        for index in range(len(columns))
    ]


def _are_splits(cells: Sequence[str]) -> bool:
    """Whether all cells are names of splits, of which there are several."""
    names = {cell.strip().lower() for cell in cells}
    return len(names) > 1 and names <= KNOWN_SPLITS


def _rename(header: Header, where: str, names: list[str], first: list[str]) -> None:
    if len(names) != len(first):
        raise DataError(
            f"{where}: has {len(first)} cells ({', '.join(first)}), and data.columns names {len(names)} columns.",
            Change(settings={"data.columns": [*names, *(f"column {n + 1}" for n in range(len(names), len(first)))]})
            if len(names) < len(first)
            else Change(settings={"data.columns": names[: len(first)]}),
            key="data.columns",
            found=names,
        )
    header.names = list(names)
    if not header.is_line:
        header.notes.append(f"{where}: is the first row; the columns are called {', '.join(names)}")
    elif first != names:
        said = f"{where}: is the header ({', '.join(first)}), which data.columns replaces"
        as_row = Change(settings={"data.header": False}).for_command_line()
        if any(len(cell.split()) >= SENTENCE for cell in first):
            header.warnings.append(f"{said}. It reads like a row; if it is one: {as_row}")
        else:
            header.notes.append(f"{said}; if it is a row: {as_row}")


def _check_names(path: str, names: list[str], line: int) -> None:
    if any(UNREADABLE.search(name) for name in names):
        raise DataError(f"{path} line {line}: the header holds characters that cannot be read.")
    if "" in names and len(set(names)) < 3:  # not an index beside text and label
        number = names.index("") + 1
        raise DataError(
            f"{path}: column {number} has no name. Text and label need one in the first line.",
            Change(settings={"data.columns": [name or f"column {n}" for n, name in enumerate(names, start=1)]}),
        )


def _name_rows(cells: Sequence[str], columns: Mapping[str, Any], others: Sequence[str]) -> bool:
    """Whether cells are different in all rows, and shorter than those of another column, the texts."""
    longest = max((sum(map(len, columns[name])) for name in others), default=0)
    return sum(map(len, cells)) < longest and _are_different([cell.strip() for cell in cells])


def name_nameless(path: str, columns: dict[str, Any], positions: dict[str, int]) -> tuple[list[str], list[str]]:
    """Remove columns without a name that are an index or empty from `columns`, with a note; for one that holds text,
    warn in how many rows. Returns notes and warnings.

    Args:
        path: Path of the file.
        columns: Name -> cells; a nameless column is called `column N`, or as pandas calls it.
        positions: Nameless columns -> their positions, from 1.
    """
    notes: list[str] = []
    texts: dict[str, list[int]] = {}
    rows = 0
    for name, number in positions.items():
        cells = list(columns[name])
        rows = len(cells)
        filled = [row for row, cell in enumerate(cells, start=1) if cell.strip()]
        if any(as_number(cells[row - 1]) is None for row in filled):
            texts[name] = filled
            continue
        if name.startswith("Unnamed"):
            continue  # by that name it may be asked for
        del columns[name]
        what = "an index, as pandas saves it?" if filled else "it is empty"
        notes.append(f"{path}: column {number} has no name and is left out ({what})")
    rest = [name for name in columns if name not in positions]
    named_rows = [name for name in texts if positions[name] == 1 and _name_rows(columns[name], columns, rest)]
    for name in named_rows:
        del texts[name]
        as_id = Change(settings={"data.id": name}).for_command_line()
        notes.append(
            f"{path}: column 1 has no name and another text in each row, such as {columns[name][0]!r}: names of rows, "
            f"as R and pandas write them? It is not used. To display them: {as_id}"
        )
    if not texts:
        return notes, []
    held = sorted({row for filled in texts.values() for row in filled})
    named = ", ".join(map(str, held[:NAMED])) + (", …" if len(held) > NAMED else "")
    listed = ", ".join(f"'{name}'" for name in texts)
    others = [name for name in columns if name not in texts and not NAMELESS.fullmatch(name)]
    text = max(others, key=lambda name: sum(map(len, columns[name])), default="text")
    names = {name: f"column {positions[name]}" for name in texts}  # a template takes no name with a colon
    settings: dict[str, Any] = {"data.template": " ".join(f"{{{name}}}" for name in (text, *names.values()))}
    if list(names) != list(names.values()):
        settings["data.columns"] = [names.get(name, name) for name in columns]
    way = Change(settings=settings)
    return notes, [
        f"{path}: columns without a name hold text in {len(held)} of {rows} rows (rows {named}), as when a text "
        f"continues in the next cells. They are called {listed}; their content is not used unless you ask for it: "
        f"{way.for_command_line()}"
    ]
