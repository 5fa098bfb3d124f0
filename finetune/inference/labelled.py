"""Labelled rows of any file that the trainer reads, to measure a saved model on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from finetune.data.columns import LABEL_NAMES, Columns, choose_columns, choose_text_columns, require_columns
from finetune.data.counts import rows_in
from finetune.data.extract import extract_rows, filled_labels
from finetune.data.label_cells import parse_labels
from finetune.data.label_format import infer_format
from finetune.data.labels import count_labels, drop_labelled
from finetune.data.row_names import name_warnings
from finetune.data.rows import Rows, names_of
from finetune.data.spellings import spelling_key, unite_numbers
from finetune.data.table import BadRows, Table
from finetune.errors import Change, DataError, shorten
from finetune.inference.predictions import Reading
from finetune.inference.tables import other_column_warnings, read_table, with_columns
from finetune.models.served import ServedLabels
from finetune.recipe import DataSection

UNKNOWN = "label unknown to the model"
NAMED = 8  # labels in one message


@dataclass(frozen=True)
class Labelled:
    """Rows to measure a model on.

    Attributes:
        rows: Rows whose labels the model knows; named by `data.id`, or by the column that named the training rows.
        read: Number of rows in the data.
        left_out: Reason -> rows that are not among `rows`.
        notes: What was recognised.
        warnings: What the user should look at.
    """

    rows: Rows
    read: int
    left_out: dict[str, int]
    notes: list[str]
    warnings: list[str]


def read_labelled(section: DataSection, reading: Reading, label: ServedLabels | None) -> Labelled:
    """Read texts and labels with the columns, separator and names of the training data.

    Args:
        section: The source, how it is read, and the differences from training.
        reading: What the model reads, and the meaning of its outputs.
        label: How training read labels; None if unknown.

    Raises:
        DataError: The data cannot be read, lacks a column, or has no row with a label that the model knows.
    """
    table = read_table(section, labelled=True)
    asked = section
    section, notes = with_columns(section, table, reading)
    if section.id is None and reading.id in table.columns:
        section = section.model_copy(update={"id": reading.id})
    section = _with_label(section, table, reading, label)
    columns = _columns(section, table)
    notes, warnings = [*table.notes, *notes, *columns.notes], [*table.warnings, *columns.warnings]
    warnings += other_column_warnings("data.text", reading.text, asked.text or asked.template, columns.text, table)
    if label is not None and isinstance(label.columns, str):
        _refuse_the_only_other(columns, label.columns, asked.label, table)
        warnings += other_column_warnings("data.label", label.columns, asked.label, columns.label, table)
    bad, dropped = BadRows(section.skip_bad_rows), Counter(table.dropped)
    cells = filled_labels(table, columns)
    if not cells and reading.task != "multi_label":
        predict = Change(text="To label them: finetune predict MODEL --data FILE.")
        raise DataError(f"{table.origin}: no row has a label in '{columns.label}'.", predict, key="data.label")
    form = infer_format(section, cells, notes, warnings)
    rows = parse_labels(extract_rows(section, table, columns, reading.task, bad, dropped), form, table.origin, bad)
    rows = _known_labels(rows, section, reading, dropped, notes, warnings)
    dropped.update(bad.dropped())
    left_out = {reason: count for reason, count in dropped.items() if count}
    warnings += [*bad.warnings(), *name_warnings(table.origin, rows, section.id or "")]
    return Labelled(rows.unpacked(), rows_in({"all": table}), left_out, notes, warnings)


def _with_label(section: DataSection, table: Table, reading: Reading, label: ServedLabels | None) -> DataSection:
    """Label column, separator and names as in training, unless others were named; the task is the model's."""
    changes: dict[str, Any] = {"task": reading.task}
    if label is not None:
        trained = [label.columns] if isinstance(label.columns, str) else label.columns or []
        if section.label is None and trained and (len(trained) > 1 or trained[0] in table.columns):
            changes["label"] = label.columns
        if "label_separator" not in section.model_fields_set:
            changes["label_separator"] = label.separator
        if not section.label_map:
            changes["label_map"] = label.names
    return section.model_copy(update=changes)


def _refuse_the_only_other(columns: Columns, trained: str, named: Any, table: Table) -> None:
    """The label column of training is absent, and the one in its place was not recognised by its name.

    Raises:
        DataError: It is so.
    """
    used = columns.label
    if named is not None or not isinstance(used, str) or used.lower() == trained.lower() or "label" in table.roles:
        return
    if used.lower().strip().rpartition(".")[2] not in LABEL_NAMES:
        require_columns(replace(columns, label=trained), table)


def _columns(section: DataSection, table: Table) -> Columns:
    """Text columns as `predict` chooses them, with those of the label."""
    texts = choose_text_columns(section, table)
    named = {} if section.template is not None else {"text": texts.text}
    chosen = choose_columns(section.model_copy(update=named), table)
    names = {key: name for key, name in chosen.others.items() if key == "id"}
    return replace(texts, label=chosen.label, others=names, notes=[*texts.notes, *chosen.notes])


def _known_labels(
    rows: Rows,
    section: DataSection,
    reading: Reading,
    dropped: Counter[str],
    notes: list[str],
    warnings: list[str],
) -> Rows:
    """The rows all of whose labels the model has; the others are counted and named.

    Raises:
        DataError: None is left.
    """
    if reading.labels is None:
        return rows
    names = section.label_map
    known = set(reading.labels)
    if not isinstance(section.label, list):
        rows = unite_numbers({"all": rows}, known, notes)["all"]
    # Two labels may get one name: a row has it once.
    labels = [list(dict.fromkeys(names.get(name, name) for name in names_of(label))) for label in rows.labels]
    mapped = [label if isinstance(old, list) else label[0] for label, old in zip(labels, rows.labels, strict=True)]
    rows = drop_labelled(replace(rows, labels=mapped), section.drop_labels, dropped)
    if not len(rows):
        why = "every row has one of these labels, so none is left to be measured."
        raise DataError(why, key="data.drop_labels", found=section.drop_labels)
    labels = [list(names_of(label)) for label in rows.labels]
    keep = [index for index, label in enumerate(labels) if known.issuperset(label)]
    if len(keep) == len(rows):
        return rows
    strangers = count_labels(rows.take([i for i, label in enumerate(labels) if not known.issuperset(label)]))
    unknown = Counter({name: count for name, count in strangers.items() if name not in known})
    dropped[UNKNOWN] += len(rows) - len(keep)
    counted = shorten([f"{name!r} ({count})" for name, count in unknown.most_common()], NAMED)
    known_names = shorten([repr(name) for name in reading.labels], NAMED)
    why = f"labels that the model does not know: {counted}. It knows {known_names}."
    ways = _respelt(unknown, reading.labels, names)
    if not keep:
        example = f"{{{next(iter(unknown))}: {reading.labels[0]}}}"
        named = Change(text=f"If they are the same classes under other names, set data.label_map, as in {example}.")
        raise DataError(
            f"no row has a label that can be measured; all have {why}", *(ways or [named]), key="data.label"
        )
    advice = f" Try: {ways[0].for_command_line()}" if ways else ""
    warnings.append(f"{len(rows) - len(keep)} of {len(rows)} rows are left out for {why}{advice}")
    return rows.take(keep)


def _respelt(unknown: Counter[str], labels: Sequence[str], names: dict[str, str]) -> list[Change]:
    """The setting that gives other spellings of the model's labels their names, beside those that have names."""
    by_key = {spelling_key(name): name for name in labels}
    found = {name: by_key[spelling_key(name)] for name in unknown if spelling_key(name) in by_key}
    return [Change(settings={"data.label_map": {**names, **found}})] if found else []
