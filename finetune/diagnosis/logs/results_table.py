"""The table of results that transformers shows in a notebook and writes into a model card (README.md).

`Training Loss` is the last loss that was logged, in training mode; `Validation Loss` and names without a side, such as
`Accuracy`, are of the evaluation. Cards that Keras' callback writes name the side of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from finetune.diagnosis.logs.log import NAMES, Log, Reader, Record, as_float, canonical, number, one_file, place_of
from finetune.diagnosis.logs.table import header_of, read_table, tables_below
from finetune.errors import OutputError

CARD = ".md"
PLACES = ("step", "epoch")


def _finds(path: Path) -> Path | None:
    return place_of(path, _files(path))


def _files(path: Path) -> list[Path]:
    found = tables_below(path, ("*.csv", "README.md"))[:50] if path.is_dir() else [path]
    return [file for file in found if (_card_rows(file) if file.suffix == CARD else _is_header(header_of(file)))]


def _is_header(cells: Sequence[str]) -> bool:
    names = [cell.lower() for cell in cells]
    return "validation loss" in names and ("training loss" in names or "train loss" in names)


def _card_rows(file: Path) -> list[list[str]]:
    """Header and rows of the table in a card; empty where there is none."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    rows: list[list[str]] = []
    for line in lines:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.strip().startswith("|") else []
        if rows and len(cells) != len(rows[0]):
            break
        if rows or _is_header(cells):
            rows.append(cells)
    return [row for row in rows if any(cell.strip(":-") for cell in row)]  # without the line below the header


def _read(path: Path, run: str | None) -> Log:
    path = one_file(path, _files(path), run)
    notes: tuple[str, ...] = ()
    if path.suffix == CARD:
        header, *cells = _card_rows(path)
        rows = [{name: number(as_float(cell)) for name, cell in zip(header, row, strict=True)} for row in cells]
    else:
        table = read_table(path)
        rows, notes = list(table.rows), table.notes
    records = [_record(row, place) for place, row in enumerate(rows, 1)]
    if not records:
        raise OutputError(f"{path}: its table of results has no rows.")
    return Log(path, tuple(records), notes)


def _record(row: dict[str, float | None], place: int) -> Record:
    values = {_key(name): value for name, value in row.items() if value is not None}
    return {"step": place, **values}


def _key(column: str) -> str:
    key = canonical(column)
    if key != column.lower() or key in PLACES:
        return key
    plain = key.replace(" ", "_")
    return f"eval_{NAMES.get(plain, plain)}"


READER = Reader("table of results of transformers (model card, notebook)", _finds, _read, has_runs=True)
