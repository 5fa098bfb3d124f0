"""Columns that look like labels of texts and are none: labels of parts of a text, and guesses of a model."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from finetune.data.label_cells import is_blank
from finetune.data.table import Table, UnusableColumn
from finetune.errors import Change, DataError

FIRST = 16  # bytes of a file that show whether it is a list
LONGEST = 1_000_000  # characters of a text
SAMPLED = 200  # rows in which the lists of two columns are compared
GUESSES = frozenset({"prediction", "predictions", "predicted", "suggestion", "suggestions"})  # objects of a model
PLACES = ("start", "end", "offset", "begin", "start_offset", "end_offset", "start_char", "startOffset")
PER_PART = (
    'import json, sys; file = open(sys.argv[1], encoding="utf-8"); rows = {rows}; '
    'print("\\n".join(json.dumps(part) for row in rows for part in row{path}))'
)


def why_no_label(name: str, columns: Mapping[str, Sequence[Any]]) -> str:
    """Why the path of a part of an object is no label of the text, such as `spans.label` beside `spans.start`; empty
    where nothing says so."""
    parent = name.rpartition(".")[0]
    if not parent:
        return ""
    places = (f"{parent}.{key}" for key in PLACES if f"{parent}.{key}" in columns)
    place = next((place for place in places if _holds_numbers(columns[place])), None)
    if place is not None:
        return f"'{name}' is of a part of the text, as '{place}' says"
    return f"'{name}' is a guess of a model" if parent.rpartition(".")[2].lower() in GUESSES else ""


def _holds_numbers(column: Sequence[Any]) -> bool:
    """Whether the first filled cell is a place in a text, or a list of such; a time stamp is a larger number."""
    try:
        cell = next((cell for cell in column if cell is not None and cell != []), None)
    except UnusableColumn:
        return False
    parts = cell if isinstance(cell, list) else [cell]
    return all(isinstance(part, int) and not isinstance(part, bool) and part < LONGEST for part in parts)


def refuse_parts(table: Table, text: str, label: str | list[str]) -> None:
    """Raises:
    DataError: Texts and labels are lists of the same lengths, so that each part of a text has a label of its own.
    """
    if isinstance(label, list) or text not in table.columns or label not in table.columns:
        return
    pairs = _lists(table, text, label)
    if not pairs or any(len(first) != len(second) for first, second in pairs) or max(len(p[0]) for p in pairs) < 2:
        return
    if all(len(first) == 2 for first, _ in pairs) or not all(isinstance(part, str) for p in pairs for part in p[0]):
        return  # pairs of texts may have two labels
    parent = text.rpartition(".")[0]
    same = parent and parent == label.rpartition(".")[0]
    raise DataError(
        f"{table.origin}: each cell of '{text}' is a list, and '{label}' has a label for each of its parts (as "
        f"{str(pairs[0][0])[:60]} and {str(pairs[0][1])[:60]}), and none for the whole. If the parts are the texts, "
        "save a row for each.",
        *(_one_row_each(table.origin, parent) if same else ()),
        Change(settings={"data.label": "COLUMN"}, note="a label of the whole"),
        key="data.label",
        found=label,
    )


def _lists(table: Table, text: str, label: str) -> list[tuple[list[Any], list[Any]]]:
    """The lists of both columns in the first filled rows; none where a cell is anything else."""
    try:
        cells = zip(table.columns[text], table.columns[label], strict=True)
        pairs = list(islice((p for p in cells if not is_blank(p[0]) and not is_blank(p[1])), SAMPLED))
    except UnusableColumn:
        return []
    return pairs if all(isinstance(cell, list) for pair in pairs for cell in pair) else []


def _one_row_each(origin: str, parent: str) -> list[Change]:
    """The command that makes a row of each part, for JSON whose rows are objects of a list or a line each."""
    path = Path(origin)
    by_line = path.suffix in (".jsonl", ".ndjson")
    if not path.is_file() or not (by_line or _is_list(path)):
        return []
    keys = "".join(f"[{json.dumps(key)}]" for key in parent.split("."))
    code = PER_PART.format(rows="map(json.loads, file)" if by_line else "json.load(file)", path=keys)
    made = path.with_name(f"{path.stem}-rows.jsonl")
    command = f"python -c {shlex.quote(code)} {shlex.quote(origin)} > {shlex.quote(str(made))}"
    return [Change(command=command, note=f"a row for each of '{parent}'")]


def _is_list(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(FIRST).lstrip()[:1] == b"["
