"""Classes that are not real classes: spellings of one name, placeholders for no label, whole lists or JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from finetune.checks.base import EXAMPLES, NAMED, FoundRow, LocatedFinding, percent, shown_rows, verb
from finetune.data.label_cells import BOXES
from finetune.data.labels import can_drop, count_labels, drop_change
from finetune.data.rows import Data, names_of
from finetune.data.spellings import before_spreadsheet, one_spelling, placeholders, same_spellings, shown
from finetune.errors import shorten
from finetune.recipe import DataSection
from finetune.records.schema import Finding

INSIDE = ",:'\""  # what a list or an object has between its brackets, and a name such as [POS] has not


def check_label_variants(data: Data, section: DataSection) -> list[Finding]:
    """Warnings about the names of classes; numbers have none.

    Args:
        data: All splits are counted together.
        section: The data section of the recipe, whose own `label_map` and `drop_labels` the advice keeps.
    """
    if data.labels is None:
        return []
    counts: Counter[str] = Counter()
    for rows in data.whole_splits().values():
        counts.update(count_labels(rows))
    return [
        *_spellings(data, section, counts),
        *_placeholders(data, section, counts),
        *_dates(data, section, counts),
        *_written_values(data, counts),
        *_standing_alone(data, section, counts),
    ]


def _spellings(data: Data, section: DataSection, counts: Counter[str]) -> list[Finding]:
    """Case, Unicode form, spaces, trailing full stop, quotes, spelling of a number: `spelling_key` says what counts."""
    groups = same_spellings(counts)
    if not groups:
        return []
    names = [name for group in groups for name in group]
    listed = ["/".join(f"{shown(name)} ({counts[name]})" for name in group) for group in groups]
    return [
        LocatedFinding(
            check="label_variants",
            level="warning",
            text=f"{len(names)} of {len(counts)} classes are spellings of {len(groups)}: {shorten(listed, NAMED)}.",
            figures={"names": len(names), "groups": len(groups), "classes": len(counts)},
            **_rows_of(data, names),
            advice=f"If they mean the same: {one_spelling(section, counts, groups).for_command_line()}",
        )
    ]


def _placeholders(data: Data, section: DataSection, counts: Counter[str]) -> list[Finding]:
    """A certain one is a warning; what may be a class (`none`, `unknown`) is information."""
    sure, maybe = placeholders(counts)
    if data.task == "multi_label":  # beside other labels `none` is another case, see `_standing_alone`
        maybe = [name for name in maybe if not _is_alone(data, name)]
    findings: list[Finding] = []
    for names, warn in ((sure, True), (maybe, False)):
        if not names:
            continue
        rows = sum(counts[name] for name in names)
        listed = shorten([f"{shown(name)} ({counts[name]})" for name in names], NAMED)
        stand = verb(len(names), "stands", "stand") if warn else "may stand"
        findings.append(
            LocatedFinding(
                check="label_variants",
                level="warning" if warn else "info",
                text=f"{verb(len(names), 'Class', 'Classes')} {listed} {stand} for no label "
                f"({percent(rows / sum(counts.values()))} of the labels).",
                figures={"names": len(names), "rows": rows},
                **_rows_of(data, names),
                advice=_drop(data, section, names),
            )
        )
    return findings


def _drop(data: Data, section: DataSection, names: Sequence[str]) -> str:
    splits = data.whole_splits()
    left = {name for name in count_labels(splits["train"]) if name not in names}
    if not can_drop(names, splits.values()) or len(left) < (2 if data.task == "single_label" else 1):
        return "Label these rows: without them a split or all but one of the classes would be empty"
    drop = drop_change([*section.drop_labels, *names]).for_command_line()
    return f"To leave these rows out: {drop}. If it is a class of its own, there is nothing to do"


def _dates(data: Data, section: DataSection, counts: Counter[str]) -> list[Finding]:
    """Ranges such as 1-2 that a spreadsheet has made dates."""
    before = before_spreadsheet(counts)
    if not before:
        return []
    rows = sum(counts[name] for name in before)
    change = one_spelling(section, counts, [[range_, name] for name, range_ in before.items()])
    return [
        LocatedFinding(
            check="label_variants",
            level="warning",
            text=f"{verb(len(before), 'Class', 'Classes')} "
            f"{shorten([f'{shown(name)} ({counts[name]})' for name in before], NAMED)} "
            f"{verb(len(before), 'is a date', 'are dates')}, and other classes are none. Has a spreadsheet changed "
            f"{verb(len(before), 'a range', 'ranges')} such as {next(iter(before.values()))}?",
            figures={"names": len(before), "rows": rows},
            **_rows_of(data, list(before)),
            advice=f"If so: {change.for_command_line()}",
        )
    ]


def _written_values(data: Data, counts: Counter[str]) -> list[Finding]:
    """Classes whose name is a list or an object written as text."""
    names = [name for name in counts if name[:1] + name[-1:] in BOXES and set(name) & set(INSIDE)]
    if not names:
        return []
    rows = sum(counts[name] for name in names)
    return [
        LocatedFinding(
            check="label_variants",
            level="warning",
            text=f"{len(names)} of {len(counts)} classes are lists or JSON written as text, in {rows} rows: "
            f"{shorten([shown(name) for name in names], NAMED)}.",
            figures={"names": len(names), "rows": rows, "classes": len(counts)},
            **_rows_of(data, names),
            advice="Each whole text is one class. Write one label per cell, or several joined by '|', or make every "
            "cell a list",
        )
    ]


def _standing_alone(data: Data, section: DataSection, counts: Counter[str]) -> list[Finding]:
    """In data with several labels a row: a name for no label that never stands with another."""
    if data.task != "multi_label":
        return []
    names = [name for name in placeholders(counts)[1] if _is_alone(data, name)]
    if not names:
        return []
    rows = sum(counts[name] for name in names)
    advice = _drop(data, section, names)
    return [
        LocatedFinding(
            check="label_variants",
            level="warning",
            text=f"{verb(len(names), 'Label', 'Labels')} {shorten([shown(name) for name in names], NAMED)} never "
            f"{verb(len(names), 'stands', 'stand')} with another one ({rows} rows), and "
            f"{verb(len(names), 'is', 'are')} trained as a label of its own.",
            figures={"names": len(names), "rows": rows},
            **_rows_of(data, names),
            advice=f"If such rows have no label, leave their cells empty: a row may have none. {advice}",
        )
    ]


def _is_alone(data: Data, name: str) -> bool:
    """Whether rows with this label have no other, where rows may have several."""
    sets = [label for rows in data.whole_splits().values() for label in rows.labels if name in label]
    return all(len(label) == 1 for label in sets)


def _rows_of(data: Data, names: Sequence[str]) -> dict[str, Any]:
    """The rows of these names: one of each of the first names, then all others."""
    splits = data.whole_splits()
    of_name: dict[str, list[FoundRow]] = {name: [] for name in names}
    for split, rows in splits.items():
        for index, label in enumerate(rows.labels):
            for name in names_of(label):
                if name in of_name:
                    of_name[name].append(FoundRow(split, index))
    firsts = dict.fromkeys(of_name[name][0] for name in names[:EXAMPLES] if of_name[name])
    rest = dict.fromkeys(row for name in names for row in of_name[name] if row not in firsts)
    return shown_rows(splits, [*firsts, *rest], label=True, most=len(firsts))
