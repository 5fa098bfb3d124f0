"""From the `data` section of a recipe to splits that can be trained and measured on."""

from collections import Counter
from dataclasses import dataclass

from finetune.data.columns import Columns, choose_columns
from finetune.data.copies import deduplicate, drop_leaks, drop_shared
from finetune.data.digest import fingerprint
from finetune.data.extract import extract_rows, filled_labels
from finetune.data.label_cells import LabelFormat, map_labels, parse_labels
from finetune.data.labels import count_labels, drop_labelled, infer_format, label_names, separator_warnings
from finetune.data.rows import Data, Rows
from finetune.data.sources import read_sources
from finetune.data.split_file import read_split
from finetune.data.splits import make_splits, thin_out
from finetune.data.subset import probe_positions, take_subset
from finetune.data.table import BadRows, Table
from finetune.errors import DataError, suggest
from finetune.recipe import DataSection

NAMED = 8  # columns named in one note


def load_data(section: DataSection) -> Data:
    """Read, clean and split.

    Raises:
        DataError: With file, row or column, what was found and what to type next.
    """
    notes: list[str] = []
    warnings: list[str] = []
    dropped: Counter[str] = Counter()
    source = _read(section, notes, warnings, dropped)
    task, rows = source.task, source.rows
    splits, origins = _split(section, rows, task, notes, warnings)
    if section.drop_leaks:
        splits = drop_leaks(splits, dropped, notes)
    splits["train"] = thin_out(section, splits["train"], "train", task)
    _refuse_empty(splits, dropped)
    labels = label_names(section, splits, task, source.declared, notes, warnings)
    splits["train"] = take_subset(section, splits["train"], task, notes)
    if "test" not in splits:
        warnings.append(
            "there is no test split: the reported validation score was also used to select, so it is optimistic"
        )
    for reason in ("empty text", "empty label"):
        if dropped[reason]:
            warnings.append(f"{dropped[reason]} rows left out: {reason}")
    return Data(
        task=task,
        labels=labels,
        train=splits["train"],
        probe=probe_positions(section, splits["train"], splits["validation"], task),
        validation=splits["validation"],
        test=splits.get("test"),
        columns=source.columns,
        fingerprint=fingerprint(splits),
        dropped={reason: count for reason, count in dropped.items() if count},
        notes=notes,
        warnings=warnings,
        tables=origins,
    )


@dataclass(frozen=True)
class _Source:
    """Rows by table, and what was told of them. The tables themselves are let go: a million texts are held once."""

    task: str
    columns: dict[str, str]
    declared: list[str] | None
    rows: dict[str, Rows]


def _read(section: DataSection, notes: list[str], warnings: list[str], dropped: Counter[str]) -> _Source:
    """Read the tables and what their columns mean.

    Raises:
        DataError: As `load_data`.
    """
    tables = read_sources(section)
    first = next(iter(tables.values()))
    columns = choose_columns(section, first)
    notes += _said(tables, "notes") + columns.notes + _unused(section, columns, first)
    warnings += _said(tables, "warnings")
    for table in tables.values():
        dropped.update(table.dropped)
    cells = filled_labels(first, columns)
    form = infer_format(section, cells, notes)
    warnings += separator_warnings(section, cells)
    rows = _clean(section, tables, columns, form, dropped, warnings)
    return _Source(form.task, columns.as_dict(), _declared_names(section, columns, first), rows)


def _unused(section: DataSection, columns: Columns, table: Table) -> list[str]:
    """Columns that say nothing to the model: the second text of a pair may be among them."""
    used = {name for _, name in columns.by_role()} | set(section.minimum)
    left = [name for name in table.columns if name not in used]
    more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
    return [f"columns that are not used: {', '.join(left[:NAMED])}{more}"] if left else []


def _said(tables: dict[str, Table], what: str) -> list[str]:
    """Notes or warnings of all tables, with their names where there are several."""
    named = [(table.origin, text) for table in tables.values() for text in getattr(table, what)]
    return [text if len(tables) == 1 or origin in text else f"{origin}: {text}" for origin, text in named]


def _declared_names(section: DataSection, columns: Columns, table: Table) -> list[str] | None:
    """Label names in the order in which the recipe lists their columns, or the source its classes."""
    if isinstance(columns.label, list):
        return columns.label
    names = table.label_names.get(columns.label)
    if names is None or not section.label_map:
        return names
    return list(dict.fromkeys(section.label_map.get(name, name) for name in names))


def _clean(
    section: DataSection,
    tables: dict[str, Table],
    columns: Columns,
    form: LabelFormat,
    dropped: Counter[str],
    warnings: list[str],
) -> dict[str, Rows]:
    """Rows that can be used, by table.

    Raises:
        DataError: A row cannot be read and is not to be skipped, or none is left.
    """
    bad = BadRows(section.skip_bad_rows)
    rows: dict[str, Rows] = {}
    for name, table in tables.items():
        cells = extract_rows(section, table, columns, form.task, bad, dropped)
        rows[name] = parse_labels(cells, form, table.origin, bad)
    warnings += bad.warnings()
    dropped.update(bad.dropped())
    if section.label_map:
        if form.task == "regression":
            raise DataError("data.label_map: has no meaning for regression. Try: --set 'data.label_map={}'")
        rows = map_labels(rows, section.label_map, warnings)
    warnings += _drop_warnings(section, rows)
    rows = {name: drop_labelled(found, section.drop_labels, dropped) for name, found in rows.items()}
    if section.deduplicate:
        rows = drop_shared({name: deduplicate(found, dropped) for name, found in rows.items()}, dropped)
    _refuse_empty(rows, dropped)
    return rows


def _split(
    section: DataSection, rows: dict[str, Rows], task: str, notes: list[str], warnings: list[str]
) -> tuple[dict[str, Rows], dict[str, str]]:
    """Split -> rows, and split -> table that they came from."""
    if section.split_file is not None:
        notes.append(f"splits are those of {section.split_file}")
        splits, origins = read_split(section.split_file, rows)
        unused = sum(map(len, rows.values())) - sum(map(len, splits.values()))
        if unused:
            notes.append(f"{unused} of {sum(map(len, rows.values()))} rows are in no split of {section.split_file}")
        return splits, origins
    splits = make_splits(section, rows, task, notes, warnings)
    pool = "all" if "all" in rows else "train"
    return splits, {name: name if name in rows else pool for name in splits}


def _refuse_empty(rows: dict[str, Rows], dropped: Counter[str]) -> None:
    for name, found in rows.items():
        if len(found) == 0:
            counted = ", ".join(f"{count} × {reason}" for reason, count in dropped.items() if count)
            raise DataError(f"data: no rows are left for {name} after cleaning ({counted or 'none was left out'}).")


def _drop_warnings(section: DataSection, parsed: dict[str, Rows]) -> list[str]:
    """Names in data.drop_labels that no row has: most likely misspelt."""
    if not section.drop_labels:
        return []
    found = {name for rows in parsed.values() for name in count_labels(rows)}
    return [
        f"data.drop_labels: no row is labelled '{name}'.{suggest(name, found)}"
        for name in section.drop_labels
        if name not in found
    ]


def class_counts(data: Data) -> dict[str, dict[str, int]]:
    """Split -> label -> rows; empty for regression."""
    if data.labels is None:
        return {}
    named = {"train": data.train, **data.splits()}
    counts = {name: count_labels(rows) for name, rows in named.items()}
    return {name: {label: count[label] for label in data.labels} for name, count in counts.items()}
