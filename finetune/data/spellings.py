"""Names of classes that are spellings of one name, and names that stand for no class."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

from finetune.data.equal_cells import are_texts
from finetune.data.numbers import as_number, is_whole
from finetune.data.rows import Rows, names_of
from finetune.data.votes import renamed
from finetune.errors import Change, shorten
from finetune.recipe import DataSection

NAMED = 10  # labels in one message
TRUTH_VALUES = {"true": "1", "false": "0"}  # of which programs write either
BETWEEN_WORDS = re.compile(r"(?<=\w)[\s_-]+(?=\w)")
TRAILING = " .,;:"
QUOTES = "\"'“”‘’«»"
# What programs and people write where there is no label.
PLACEHOLDERS = frozenset(
    [
        *("-", "--", "---", "–", "—", "?", "??", "???", ".", "..", "...", "…", "*", "#", "/", "\\", "_", "[]", "{}"),
        *("null", "(null)", "nil", "nan", "<na>", "na", "n/a", "n.a.", "n.a", "not available", "missing"),
        *("#n/a", "#na", "#null!", "#value!", "#ref!", "#div/0!", "#name?"),
        *("no label", "unlabeled", "unlabelled", "not labeled", "not labelled", "no majority", "no consensus"),
        *("\\n", "<null>", "(blank)", "(empty)", "#n/d", "#nv", "#wert!", "#bezug!"),
        *("tbd", "todo", "to do"),
    ]
)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAY_OF_MONTH = re.compile(rf"([12]?\d|0\d|3[01])-({'|'.join(MONTHS)})")  # as spreadsheets show 1-2
# What is a class as often: stance none, language unknown.
MAYBE_PLACEHOLDERS = frozenset({"none", "unknown", "undefined", "unspecified", "unsure", "undecided", "empty", "blank"})


def spelling_key(name: str) -> object:
    """A key that spellings of one name share: it ignores case, Unicode form, spaces, `_` and `-` between words,
    surrounding quotes and a trailing full stop, how a number is written, and whether 1 or true."""
    visible = "".join(char for char in unicodedata.normalize("NFKC", name) if unicodedata.category(char) != "Cf")
    plain = BETWEEN_WORDS.sub(" ", " ".join(visible.casefold().split()))
    plain = plain.strip(QUOTES).rstrip(TRAILING).strip() or plain
    plain = TRUTH_VALUES.get(plain, plain)
    return plain if as_number(plain) is None else Decimal(plain)


def same_spellings(counts: Mapping[str, int]) -> list[list[str]]:
    """Groups of names that are spellings of one, each with the one to keep first; the most frequent group first.

    Args:
        counts: Name -> rows.
    """
    groups: dict[object, list[str]] = defaultdict(list)
    for name in counts:
        groups[spelling_key(name)].append(name)
    found = [sorted(names, key=lambda name: _rank(name, counts)) for names in groups.values() if len(names) > 1]
    return sorted(found, key=lambda names: (-sum(counts[name] for name in names), names[0]))


def _rank(name: str, counts: Mapping[str, int]) -> tuple[bool, int, str]:
    """Names of plain characters first, then the more frequent ones."""
    plain = unicodedata.normalize("NFC", " ".join(visible(name).split()))
    return (plain != name or name[-1:] in TRAILING, -counts[name], name)


def visible(name: str) -> str:
    """A name without invisible characters."""
    return "".join(char for char in name if unicodedata.category(char) != "Cf")


def shown(name: str) -> str:
    """A name in quotes, with escapes where it would look like another one: unusual spaces, parts of characters."""
    composed = unicodedata.normalize("NFC", name)
    return repr(name) if composed == name else ascii(name)


def one_spelling(section: DataSection, names: Iterable[str], groups: Iterable[list[str]]) -> Change:
    """The `data.label_map` that gives each group the name of its first member; it holds every label, as required.

    Args:
        section: Section whose own `label_map` and `drop_labels` keep their effect.
        names: All labels, as that map has renamed them.
        groups: Spellings of one name.
    """
    kept = {name: group[0] for group in groups for name in group}
    written = section.label_map or {name: name for name in sorted({*names, *section.drop_labels})}
    return Change(settings={"data.label_map": {name: kept.get(new, new) for name, new in written.items()}})


def before_spreadsheet(names: Collection[str]) -> dict[str, str]:
    """`2-Jan` -> `1-2`, the range that a spreadsheet has made a date of; empty unless other names are no dates."""
    dates = {name: match for name in names if (match := DAY_OF_MONTH.fullmatch(name.strip()))}
    if len(dates) == len(names):
        return {}
    parts = {name: sorted((int(match[1]), MONTHS.index(match[2]) + 1)) for name, match in dates.items()}
    return {name: f"{low}-{high}" for name, (low, high) in parts.items()}


def placeholders(names: Collection[str]) -> tuple[list[str], list[str]]:
    """Names that stand for no label, and names that may.

    -1 means no label if there are at least three classes 0, 1, 2, … or 1, 2, 3, … (as in `datasets`, Snorkel and
    others).
    """
    lowered = {name: name.strip().casefold() for name in names}
    sure = [name for name, low in lowered.items() if low in PLACEHOLDERS]
    maybe = [name for name, low in lowered.items() if low in MAYBE_PLACEHOLDERS]
    others = set(names) - {"-1"}
    codes = [{str(code + first) for code in range(len(others))} for first in (0, 1)]
    if "-1" in lowered and len(others) > 2 and others in codes:
        sure.append("-1")
    return sorted(sure), sorted(maybe)


def unite_numbers(tables: dict[str, Rows], named: Collection[str], notes: list[str]) -> dict[str, Rows]:
    """Give equal whole numbers one name over all tables: `1.0`, as pandas writes a column with a gap, is
    the class `1` of another file. A spelling that the recipe names wins, else the shortest.

    Args:
        tables: Name -> rows with parsed labels.
        named: Names in `data.label_map`, `data.labels` and `data.drop_labels`.
        notes: Extended with a message.
    """
    names: set[str] = set()
    for rows in tables.values():
        labels = rows.labels if are_texts(rows.labels) else [name for label in rows.labels for name in names_of(label)]
        names.update(labels, *(rows.votes or ()))
    by_value: dict[Decimal, list[str]] = defaultdict(list)
    for name in names:
        if is_whole(name):
            by_value[Decimal(name)].append(name)
    new: dict[str, str] = {}
    for spellings in by_value.values():
        kept = min(spellings, key=lambda name: (name not in named, len(name), name))
        new.update({name: kept for name in spellings if name != kept and name not in named})
    if not new:
        return tables
    shown_names = shorten([f"{old} is {kept}" for old, kept in sorted(new.items())], NAMED)
    notes.append(f"labels: equal whole numbers are one class: {shown_names}")
    return {
        name: renamed(replace(rows, labels=[_renamed(label, new) for label in rows.labels]), new)
        for name, rows in tables.items()
    }


def _renamed(label: str | list[str], new: Mapping[str, str]) -> str | list[str]:
    if isinstance(label, list):
        return list(dict.fromkeys(new.get(name, name) for name in label))
    return new.get(label, label)
