"""split.json: which rows are in which split; every run writes it, and `data.split_file` reads it again."""

import json
from pathlib import Path
from typing import Any

from finetune.atomic import write_text
from finetune.data.digest import text_digest
from finetune.data.rows import Data, Rows
from finetune.errors import Change, DataError, suggest

SPLITS = ("train", "validation", "test")
KEYS = ("table", "rows", "digest")


def write_split(data: Data, path: Path) -> None:
    """Write split -> table it came from, row numbers in it (from 1), and the digest of their texts.

    Raises:
        OSError: The file cannot be written.
    """
    content = {
        name: {"table": data.tables[name], "digest": text_digest(rows), "rows": [int(number) for number in rows.ids]}
        for name, rows in data.whole_splits().items()
    }
    write_text(path, json.dumps(content) + "\n")


def read_split(reference: str, tables: dict[str, Rows]) -> tuple[dict[str, Rows], dict[str, str]]:
    """Assign the rows to splits as the file says.

    A split may also be a bare list of row numbers; without a table they refer to the only one, or to the one with its
    name.

    Returns:
        Split -> rows, in the order of their table; and split -> table.

    Raises:
        DataError: The file is not a split file, or does not fit the data.
    """
    path = Path(reference).expanduser()
    content = _read_json(path)
    splits: dict[str, Rows] = {}
    origins: dict[str, str] = {}
    owner: dict[tuple[str, int], str] = {}
    positions = {name: {row_id: row for row, row_id in enumerate(rows.ids)} for name, rows in tables.items()}
    for split in SPLITS:
        if split not in content:
            continue
        table, numbers, digest = _read_entry(path, split, content[split], tables)
        rows = []
        for number in numbers:
            first = owner.setdefault((table, number), split)
            if first != split:
                raise DataError(f"{path}: row {number} of '{table}' is in {first} and in {split}. Keep it in one.")
            row = positions[table].get(str(number))
            if row is None:
                raise DataError(
                    f"{path}: {split}: row {number} of '{table}' is not there, or was left out in cleaning; "
                    f"{len(tables[table])} rows are left. Has the data changed since, or a key such as "
                    "data.deduplicate or data.drop_labels?"
                )
            rows.append(row)
        if len(set(rows)) < len(rows):
            raise DataError(f"{path}: {split}: a row is given twice.")
        splits[split] = tables[table].take(sorted(rows))
        origins[split] = table
        if digest is not None and digest != text_digest(splits[split]):
            raise DataError(
                f"{path}: {split}: the data has changed: the rows with these numbers have other texts. If the row "
                "numbers are still right, remove the digests from the file.",
                Change(settings={"data.split_file": None}, note="draws a new split"),
            )
    return splits, origins


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        inside = [Change(settings={"data.split_file": str(path / "split.json")})] if path.is_dir() else []
        why = f"{path}: cannot be read: {error.strerror}."
        raise DataError(why, *inside, key="data.split_file", found=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not a split file: not JSON in UTF-8: {error}.") from error
    expected = 'expected {"train": …, "validation": …} with the row numbers of each, and perhaps "test"'
    if not isinstance(content, dict):
        raise DataError(f"{path}: is not a split file: {expected}.")
    unknown = [name for name in content if name not in SPLITS]
    if unknown:
        raise DataError(f"{path}: '{unknown[0]}' is not a split.{suggest(unknown[0], SPLITS)}")
    if "train" not in content or "validation" not in content:
        raise DataError(f"{path}: lacks {'train' if 'train' not in content else 'validation'}: {expected}.")
    return content


def _read_entry(path: Path, split: str, entry: Any, tables: dict[str, Rows]) -> tuple[str, list[int], str | None]:
    """Table, row numbers and digest of a split."""
    if isinstance(entry, list):
        entry = {"rows": entry}
    if not isinstance(entry, dict) or not isinstance(entry.get("rows"), list):
        raise DataError(f"{path}: {split}: expected a list of row numbers, or an object with rows, table and digest.")
    unknown = [key for key in entry if key not in KEYS]
    if unknown:
        raise DataError(f"{path}: {split}: '{unknown[0]}' is not a key.{suggest(unknown[0], KEYS)}")
    table = entry.get("table", next(iter(tables)) if len(tables) == 1 else split)
    if not isinstance(table, str) or table not in tables:
        raise DataError(f"{path}: {split}: the data has no table '{table}', but: {', '.join(tables)}.")
    numbers = entry["rows"]
    odd = [number for number in numbers if type(number) is not int]
    if odd:
        raise DataError(f"{path}: {split}: {odd[0]!r} is not a row number; rows count from 1.")
    if not numbers:
        raise DataError(f"{path}: {split}: names no rows.")
    return table, numbers, entry.get("digest")
