"""From the `data` section of a recipe to splits for training and measuring."""

from collections import Counter
from dataclasses import dataclass

from finetune.data.columns import Columns, choose_columns, look_at_unused
from finetune.data.copies import deduplicate, drop_leaks
from finetune.data.counts import lines_note, rows_in, rows_note
from finetune.data.digest import fingerprint
from finetune.data.end_rows import end_row_warnings
from finetune.data.extract import extract_rows, filled_labels
from finetune.data.inner_folds import take_inner_fold
from finetune.data.label_cells import LabelFormat, map_labels, parse_labels
from finetune.data.label_format import infer_format, separator_warnings
from finetune.data.labels import count_labels, drop_labelled, label_names
from finetune.data.row_names import name_warnings
from finetune.data.rows import Data, Rows
from finetune.data.sources import read_sources
from finetune.data.spellings import unite_numbers
from finetune.data.split_column import split_by_column
from finetune.data.split_file import read_split
from finetune.data.splits import make_splits, thin_out
from finetune.data.subset import probe_positions, take_subset
from finetune.data.table import BadRows, Table
from finetune.data.unlabelled import Pool, Unlabelled, choose_unlabelled, read_pool
from finetune.data.votes import leave_out_ties, votes_note, with_majorities
from finetune.data.without_labels import leave_out_unlabelled
from finetune.errors import Change, DataError, suggest
from finetune.recipe import DataSection
from finetune.tasks import Task


def load_data(section: DataSection) -> Data:
    """Read, clean and split. `loader.Loader` does the same for several sections, and does shared stages once.

    Raises:
        DataError: The data cannot be used; names file, row or column, what was found and what to type next.
    """
    return select_rows(section, split_source(section, read_source(section)))


@dataclass(frozen=True)
class Source:
    """Clean rows by table. The tables themselves are released, so that a million texts are in memory once.

    Attributes:
        task: What is predicted.
        columns: Which column is used for what.
        declared: Label names in the order in which recipe or source declare them, or None.
        rows: Table -> rows.
        tables: Table -> the table that its row numbers refer to: "all" for the parts cut by `data.split_column`.
        notes, warnings: Messages of reading and cleaning.
        dropped: Reason -> rows left out.
        read: Number of rows of all tables, including those left out.
        counts: Kinds of the lines of each table.
        pool: Unlabelled texts, if the recipe names any.
    """

    task: Task
    columns: dict[str, str]
    declared: list[str] | None
    rows: dict[str, Rows]
    tables: dict[str, str]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    dropped: Counter[str]
    read: int
    counts: tuple[str, ...]
    pool: Pool | None = None

    def __len__(self) -> int:
        """Rows of all tables, unlabelled ones included."""
        return sum(map(len, self.rows.values())) + (0 if self.pool is None else len(self.pool.rows))


@dataclass(frozen=True)
class Splits:
    """A source cut into splits, with all messages so far.

    Attributes:
        source: What was split.
        rows: Split -> rows; train is whole.
        tables: Split -> table that its rows came from.
        labels: Names in the order of the logits; None for regression.
        notes, warnings, dropped: Those of `Source`, and those added by splitting.
    """

    source: Source
    rows: dict[str, Rows]
    tables: dict[str, str]
    labels: list[str] | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    dropped: Counter[str]


def read_source(section: DataSection) -> Source:
    """Read the tables, decide what their columns mean, and clean their rows.

    Raises:
        DataError: As `load_data`.
    """
    tables = read_sources(section)
    first = next(iter(tables.values()))
    columns = choose_columns(section, first)
    unused_notes, hints = look_at_unused(section, columns, first)
    notes = _messages(tables, "notes") + columns.notes + unused_notes
    warnings = _messages(tables, "warnings") + columns.warnings + hints
    dropped: Counter[str] = Counter()
    for table in tables.values():
        dropped.update(table.dropped)
    read, counts = rows_in(tables), tuple(lines_note(table) for table in tables.values())
    if section.split_column is not None:
        tables = split_by_column(section, tables, notes, warnings, dropped)
    cut = section.split_column is not None
    tables = leave_out_unlabelled(tables, columns, warnings, dropped)
    first = next(iter(tables.values()))
    cells = filled_labels(first, columns)
    declared = _declared_names(section, columns, first)
    form = infer_format(section, cells, notes, warnings, declared is not None)
    if section.annotations == "soft" and form.task != "single_label":
        raise _no_classes(form.task)
    warnings += separator_warnings(section, cells)
    rows = _clean(section, tables, columns, form, dropped, notes, warnings)
    for name, part in rows.items():
        warnings += name_warnings(tables[name].origin, part, section.id or "")
        warnings += end_row_warnings(tables[name].origin, part, form.task) if name in ("all", "train") else []
    return Source(
        form.task,
        columns.as_dict(),
        declared,
        rows,
        {name: "all" if cut else name for name in rows},
        tuple(notes),
        tuple(warnings),
        dropped,
        read,
        counts,
        read_pool(section, columns),
    )


def split_source(section: DataSection, source: Source) -> Splits:
    """Cut the rows of a source into splits, and fix the order of the labels.

    Raises:
        DataError: As `load_data`.
    """
    notes, warnings, dropped = list(source.notes), list(source.warnings), Counter(source.dropped)
    splits, tables = _split(section, source, notes, warnings)
    splits = leave_out_ties(splits, dropped)
    if section.drop_leaks:
        splits = drop_leaks(splits, dropped, notes)
    splits = {**splits, "train": thin_out(section, splits["train"], "train", source.task)}
    splits = {name: rows.unpacked() for name, rows in splits.items()}
    _refuse_empty(splits, dropped)
    labels = label_names(section, splits, source.task, source.declared, notes)
    if splits["train"].votes is not None and labels is not None:
        notes.append(votes_note(splits["train"], labels))
    notes += [*source.counts, rows_note(source.read, splits, dropped)]
    return Splits(source, splits, tables, labels, tuple(notes), tuple(warnings), dropped)


def select_rows(section: DataSection, splits: Splits) -> Data:
    """Select the subset of the training rows that is trained on, or a fold of them, and the train sample.

    Raises:
        DataError: The subset or the folds do not fit the training rows.
    """
    notes, warnings, task = list(splits.notes), list(splits.warnings), splits.source.task
    train = take_subset(section, splits.rows["train"], task, notes)
    unlabelled = _unlabelled(section, splits, train)
    rows, tables, dropped = {**splits.rows, "train": train}, splits.tables, Counter(splits.dropped)
    if section.folds_of is not None:
        rows = take_inner_fold(section, train, task, notes, dropped)
        tables = dict.fromkeys(rows, tables["train"])
    train, validation, test = rows["train"], rows["validation"], rows.get("test")
    if test is None and section.folds_of is None:
        warnings.append("there is no test split: the validation score is optimistic, as it was also used for selection")
    for reason in ("empty text", "empty label"):
        if dropped[reason]:
            warnings.append(f"{dropped[reason]} rows left out: {reason}")
    texts = {} if unlabelled is None else {"unlabelled": unlabelled.rows}
    dropped += Counter() if unlabelled is None else unlabelled.dropped
    return Data(
        task=task,
        labels=splits.labels,
        train=train,
        probe=probe_positions(section, train, validation, task),
        validation=validation,
        test=test,
        columns=splits.source.columns,
        fingerprint=fingerprint({**rows, **texts}),
        dropped={reason: count for reason, count in dropped.items() if count},
        notes=[*notes, *(() if unlabelled is None else unlabelled.notes)],
        warnings=[*warnings, *(() if unlabelled is None else unlabelled.warnings)],
        tables=tables,
        unlabelled=texts.get("unlabelled"),
    )


def _unlabelled(section: DataSection, splits: Splits, train: Rows) -> Unlabelled | None:
    """The unlabelled texts that are in no split."""
    if splits.source.pool is None:
        return None
    held_out = [rows for name, rows in splits.rows.items() if name != "train"]
    return choose_unlabelled(splits.source.pool, train, held_out, section.drop_leaks)


def _messages(tables: dict[str, Table], kind: str) -> list[str]:
    """Notes or warnings of all tables, with their names where there are several."""
    named = [(table.origin, text) for table in tables.values() for text in getattr(table, kind)]
    return [text if len(tables) == 1 or origin in text else f"{origin}: {text}" for origin, text in named]


def _declared_names(section: DataSection, columns: Columns, table: Table) -> list[str] | None:
    """Label names in the order in which the recipe lists their columns, or the source its classes."""
    if isinstance(columns.label, list):
        return columns.label
    names = table.label_names.get(columns.label)
    if names is None or not section.label_map:
        return names
    return list(dict.fromkeys(section.label_map.get(name, name) for name in names))


def _no_classes(task: Task) -> DataError:
    return DataError(
        f"learns a distribution over classes, and the task is {task}.",
        Change(settings={"data.annotations": "majority"}),
        Change(settings={"data.task": "single_label"}, note="if the labels are classes"),
        key="data.annotations",
        found="soft",
    )


def _clean(
    section: DataSection,
    tables: dict[str, Table],
    columns: Columns,
    form: LabelFormat,
    dropped: Counter[str],
    notes: list[str],
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
    if form.task != "regression" and not form.columns:
        named = {*section.label_map, *section.drop_labels, *(section.labels or ())}
        rows = unite_numbers(rows, named, notes)
    if section.label_map:
        rows = map_labels(rows, section.label_map, warnings)
    rows = {name: with_majorities(part) for name, part in rows.items()}
    warnings += _drop_warnings(section, rows)
    rows = {name: drop_labelled(part, section.drop_labels, dropped) for name, part in rows.items()}
    if section.deduplicate:
        rows = deduplicate(rows, dropped)
    _refuse_empty(rows, dropped)
    return rows


def _split(
    section: DataSection, source: Source, notes: list[str], warnings: list[str]
) -> tuple[dict[str, Rows], dict[str, str]]:
    """Split -> rows, and split -> table that they came from."""
    rows = source.rows
    if section.split_file is not None:
        notes.append(f"splits are read from {section.split_file}")
        splits, origins = read_split(section.split_file, rows)
        unused = sum(map(len, rows.values())) - sum(map(len, splits.values()))
        if unused:
            notes.append(f"{unused} of {sum(map(len, rows.values()))} rows are in no split of {section.split_file}")
        return splits, origins
    splits = make_splits(section, rows, source.task, notes, warnings)
    pool = "all" if "all" in rows else "train"
    return splits, {name: source.tables[name if name in rows else pool] for name in splits}


def _refuse_empty(rows: dict[str, Rows], dropped: Counter[str]) -> None:
    for name, part in rows.items():
        if len(part) == 0:
            counted = ", ".join(f"{count} × {reason}" for reason, count in dropped.items() if count)
            reasons = counted or "none was left out"
            raise DataError(f"no rows are left for {name} after cleaning ({reasons}).", key="data")


def _drop_warnings(section: DataSection, parsed: dict[str, Rows]) -> list[str]:
    """Names in data.drop_labels that no row has: most likely typos."""
    if not section.drop_labels:
        return []
    names = {name for rows in parsed.values() for name in count_labels(rows)}
    return [
        f"data.drop_labels: no row has the label '{name}'.{suggest(name, names)}"
        for name in section.drop_labels
        if name not in names
    ]


def class_counts(data: Data) -> dict[str, dict[str, int]]:
    """Split -> label -> rows; empty for regression."""
    if data.labels is None:
        return {}
    named = {"train": data.train, **data.measured_splits()}
    counts = {name: count_labels(rows) for name, rows in named.items()}
    return {name: {label: count[label] for label in data.labels} for name, count in counts.items()}
