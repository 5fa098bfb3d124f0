"""What unnamed columns seem to hold: texts, official splits, an annotator's verdict, 0/1 labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from finetune.data.dataset_sets import KNOWN_SPLITS, SPLIT_NAMES
from finetune.data.flags import FLAGS, are_flags
from finetune.data.label_cells import is_blank
from finetune.data.table import Table
from finetune.data.text_parts import why_no_label
from finetune.errors import Change, DataError
from finetune.recipe import DataSection

SAMPLED = 200  # filled cells in which texts are recognised
WORDS = 4  # of letters, from which a cell is a text and no name or date
MOST_CLASSES = 50  # values of a column that is taken to be the label
SHOWN = 3  # likeliest columns that are named
FEW_VALUES = 12  # most different values of a column that says what a row is for
OF_SPLIT = "|".join(sorted(KNOWN_SPLITS, key=len, reverse=True))
SPLIT_WORD = re.compile(rf"(?:^|[\W_])(?:public|private)?[\W_]?({OF_SPLIT})(?:$|[\W_])")
ISO_DATE = re.compile(r"\d{4}-[01]\d-[0-3]\d(?:$|[T ])")
# is_valid of fastai, is_test, test_flag: 1 means this split.
# Columns whose whole numbers may stand for splits, or for folds.
CODED_SPLIT = re.compile(r"(?:^|[\W_])(?:split|splitset|partition|subset)(?:$|[\W_])")
CODED_FOLD = re.compile(r"(?:^|[\W_])(?:k|cv)?_?folds?(?:$|[\W_])")
FLAG_NAME = re.compile(rf"(?:is|in)?_?({OF_SPLIT})_?(?:set|flag|split)?")
ACCEPTED = frozenset({"accept", "accepted", "approve", "approved", "submitted", "completed", "done", "valid", "ok"})
REFUSED = frozenset(
    {
        *("reject", "rejected", "ignore", "ignored", "discard", "discarded", "skip", "skipped"),
        *("cancelled", "canceled", "draft", "pending", "flagged"),
    }
)
REFUSED_FLAG = re.compile(r"(?:is|was)?_?(?:rejected|ignored|discarded|skipped|cancelled|canceled|deleted|flagged)")


def filled_cells(table: Table, name: str) -> Iterator[Any]:
    """The cells of a column that are not empty; none for an unusable column."""
    try:
        yield from (cell for cell in table.columns[name] if not is_blank(cell))
    except DataError:
        return


def holds_texts(table: Table, name: str, words: int = WORDS) -> bool:
    """Whether at least half of the first filled cells are texts of several words, and most of them differ."""
    cells = list(islice(filled_cells(table, name), SAMPLED))
    texts = [cell for cell in cells if isinstance(cell, str) and sum(map(str.isalpha, _words(cell))) >= words]
    return bool(texts) and 2 * len(texts) >= len(cells) and 2 * len(set(texts)) > len(texts)


def _words(text: str) -> Iterator[str]:
    return (word.strip(".,;:!?\"'()") for word in text.split())


def few_values(table: Table, name: str) -> Counter[str] | None:
    """Value (lower case) -> rows of a column with at most twelve different ones; None for any other column."""
    counts: Counter[str] = Counter()
    for cell in filled_cells(table, name):
        if isinstance(cell, list | dict):
            return None
        counts[str(cell).strip().lower()] += 1
        if len(counts) > FEW_VALUES:
            return None
    return counts


class Likely(NamedTuple):
    """The likeliest column for a role.

    Attributes:
        column: Its name.
        about: The likeliest columns with the evidence for them: `'stars' (5 values), 'verified' (2 values)`.
    """

    column: str
    about: str


def likely_columns(
    table: Table, roles: Iterable[str], taken: Iterable[str], label_names: Iterable[str]
) -> dict[str, Likely]:
    """Role (text, label) -> the likeliest column without a role: the longest texts; 2 to 50 values that repeat.

    For labels, columns with a typical name come first, then those with more than two values, then the last in the file;
    a confidence in a label follows that label.
    """
    free = [name for name in table.columns if name not in set(taken) and not why_no_label(name, table.columns)]
    found: dict[str, Likely] = {}
    for role in roles:
        ranked = _by_length(table, free) if role == "text" else _by_values(table, free, tuple(label_names))
        if ranked:
            found[role] = Likely(ranked[0][0], ", ".join(f"'{name}' ({why})" for name, why in ranked[:SHOWN]))
            free.remove(ranked[0][0])
    return found


def _by_length(table: Table, names: Iterable[str]) -> list[tuple[str, str]]:
    """Columns of texts, the longest first."""
    lengths = {}
    for name in names:
        if holds_texts(table, name):
            texts = [cell for cell in islice(filled_cells(table, name), SAMPLED) if isinstance(cell, str)]
            lengths[name] = round(sum(map(len, texts)) / len(texts))
    return [(name, f"{lengths[name]} characters") for name in sorted(lengths, key=lambda name: -lengths[name])]


def _by_values(table: Table, names: list[str], label_names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Columns of few values that repeat, the likeliest label first."""
    found = {
        name: values
        for name in names
        if (values := _values_that_repeat(table, name)) is not None
        and not _speaks_of_splits(name, few_values(table, name) or Counter())
    }

    def rank(name: str) -> tuple[bool, bool, bool, int]:
        is_called = any(word in name.lower() for word in label_names if len(word) > 3)
        is_about_another = any(name.lower().startswith(other.lower()) for other in found if other != name)
        is_confidence = is_about_another or "confidence" in name.lower()
        return is_confidence, not is_called, len(found[name]) == 2, -names.index(name)

    return [(name, f"{len(found[name])} values") for name in sorted(found, key=rank)]


def _values_that_repeat(table: Table, name: str) -> set[str] | None:
    """The different values of a column, if they are 2 to 50 and at most half as many as its filled cells."""
    seen: set[str] = set()
    cells = 0
    for cell in filled_cells(table, name):
        if isinstance(cell, list) and len(cell) == 1:
            cell = cell[0]
        if isinstance(cell, list | dict):
            return None
        cells += 1
        seen.add(str(cell).strip().lower())
        if len(seen) > MOST_CLASSES:
            return None
    are_dates = all(ISO_DATE.match(value.upper()) for value in seen)
    return seen if len(seen) >= 2 and 2 * len(seen) <= cells and not are_dates else None


def flag_split(name: str) -> str | None:
    """The split that 1 means in a column of this name, if it flags a split: is_test -> test."""
    found = FLAG_NAME.fullmatch(name.strip().lower())
    return None if found is None else next(split for split, words in SPLIT_NAMES.items() if found[1] in words)


def flag_columns(table: Table, names: Iterable[str]) -> list[str]:
    """Columns of 0/1, true/false or yes/no in which both occur, or of a mark beside empty cells."""
    found = {name: values for name in names if (values := few_values(table, name))}
    return [name for name, values in found.items() if are_flags(values, values.total() < len(table))]


def hints(section: DataSection, table: Table, unused: list[str], text: str, pair: str | None) -> list[str]:
    """Warnings about unused columns that seem to be relevant.

    Args:
        section: The data section of the recipe.
        table: The table with the columns.
        unused: Names of columns without a role.
        text: The column with the text.
        pair: The column with the second text, or None.
    """
    warnings = []
    chosen = section.text is not None or section.template is not None  # who names the text knows the others
    for name in unused:
        values = few_values(table, name)
        if values and _speaks_of_splits(name, values) and section.split_file is None:
            use = Change(settings={"data.split_column": name}).for_command_line()
            warnings.append(
                f"column '{name}' holds {_counted(values)}: if these are the official splits, use them: {use}"
            )
        elif values and section.split_file is None and (advice := _coded_splits(name, values, section)):
            warnings.append(f"column '{name}' holds {_counted(values)}: {advice}")
        elif values and (kept := _kept_values(name, values)):
            keep = Change(settings={"data.keep": {name: kept}}).for_command_line()
            warnings.append(
                f"column '{name}' holds {_counted(values)}: all of these rows are used. To keep some: {keep}"
            )
        elif values is None and not chosen and holds_texts(table, name):
            ways = ", or ".join(change.for_command_line() for change in _text_changes(name, text, pair))
            warnings.append(f"column '{name}' holds texts too, which are not used: {ways}")
    return warnings


def _coded_splits(name: str, values: Counter[str], section: DataSection) -> str | None:
    """What to do with a column of whole numbers that is called like splits or folds."""
    if len(values) < 2 or not all(value.removesuffix(".0").isdecimal() for value in values):
        return None
    if CODED_FOLD.search(name.lower()) and section.group is None:
        whole = Change(settings={"data.group": name}).for_command_line()
        return f"if these are the official folds, keep each of them in one split: {whole}"
    if not CODED_SPLIT.search(name.lower()) or len(values) > len(SPLIT_NAMES):
        return None
    train, *others = (value.removesuffix(".0") for value, _ in values.most_common())
    splits = ["test"] if len(others) == 1 else ["validation", "test"]
    named = {"train": train, **dict(zip(splits, sorted(others), strict=True))}
    use = Change(settings={"data.split_column": name, "data.split_names": named}).for_command_line()
    return f"if these are the official splits, say which is which, such as: {use}"


def date_notes(section: DataSection, table: Table, unused: Iterable[str]) -> list[str]:
    """A note on the first column of dates, by which the latest rows could be held out, as new texts will be later,
    too."""
    held_out = section.order_by or section.group or section.split_column or section.split_file or section.folds
    if held_out or section.validation is not None or section.test is not None:
        return []
    for name in unused:
        cells = [str(cell).strip() for cell in islice(filled_cells(table, name), SAMPLED)]
        if cells and all(map(ISO_DATE.match, cells)) and len(set(cells)) > 2:
            use = Change(settings={"data.order_by": name}).for_command_line()
            return [f"column '{name}' holds dates: to measure on the latest rows, as a model meets them in use: {use}"]
    return []


def _text_changes(name: str, text: str, pair: str | None) -> list[Change]:
    """What may be done with a further column of texts."""
    if pair is not None:
        return [Change(settings={"data.text": text, "data.text_pair": pair}, note="these two")]
    return [
        Change(settings={"data.text_pair": name}, note="a pair"),
        Change(settings={"data.template": f"{{{text}}} {{{name}}}"}, note="one text"),
        Change(settings={"data.text": text}, note=f"'{text}' alone"),
    ]


def _counted(values: Counter[str]) -> str:
    return ", ".join(f"{value} ({count})" for value, count in values.most_common())


def _speaks_of_splits(name: str, values: Counter[str]) -> bool:
    if set(values) <= set(FLAGS):
        return len(values) > 1 and flag_split(name) is not None
    known = [found[1] for value in values if (found := SPLIT_WORD.search(value))]
    return len(values) > 1 and len(known) == len(values) and any(word.startswith("train") for word in known)


def _kept_values(name: str, values: Counter[str]) -> str | list[str] | None:
    """What an annotator accepted, where a column says so and something was refused."""
    if set(values) <= set(FLAGS):
        kept = [value for value in values if not FLAGS[value]] if REFUSED_FLAG.fullmatch(name.strip().lower()) else []
    else:
        kept = sorted(set(values) & ACCEPTED) if set(values) <= ACCEPTED | REFUSED else []
    if not kept or len(values) == len(kept):
        return None
    return kept[0] if len(kept) == 1 else kept
