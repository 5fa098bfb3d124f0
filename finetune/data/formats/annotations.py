"""Annotations of each text -> one label per row: which annotation counts, and how many rows are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from finetune.data.rows import label_identity
from finetune.data.table import Table
from finetune.data.votes import TIE, most_frequent
from finetune.errors import Change, DataError
from finetune.recipe import DataSection

NO_ANNOTATION = "no annotation"
FURTHER = "further annotation of a text"  # rows of the file that are one text
ITEM = "annotated_text"  # column with the number of the text, where every annotation is a row


@dataclass(frozen=True)
class Item:
    """A text with its annotations.

    Attributes:
        cells: Column -> value of the text itself.
        votes: One per annotator, oldest first: a name, a number or a list of names.
        missing: Why there is no vote.
        rows: Number of rows in the file for this text.
    """

    cells: Mapping[str, Any]
    votes: Sequence[Any]
    missing: str = NO_ANNOTATION
    rows: int = 1


@dataclass(frozen=True)
class _Decided:
    """Rows with their labels; with soft labels, what their annotators said; and reason -> rows of the file left out."""

    rows: list[tuple[Mapping[str, Any], Any]] = field(default_factory=list)
    votes: list[list[Any]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def annotated_table(
    source: Table, tool: str, items: Sequence[Item], label: str, section: DataSection, text: str | None = None
) -> Table:
    """The labelled texts of an export, with one note that counts them.

    Args:
        source: The file as it was read.
        tool: Name of the format in the note.
        items: Its texts.
        label: Name of the label column.
        section: `annotations` says how several annotators become one label.
        text: Column with the text, if the format defines it.
    """
    _refuse_odd(items, source, label)
    items = _as_lists(items)
    if section.annotations == "soft":
        _refuse_lists(items, source, section)
    decided = _decide(items, section.annotations)
    labels = [vote for _, vote in decided.rows]
    if labels and all(isinstance(vote, list) and len(vote) == 1 for vote in labels):
        labels = [vote[0] for vote in labels]
    names = list(dict.fromkeys(name for item in items for name in item.cells if name != label))
    columns: dict[str, Sequence[Any]] = {name: [cells.get(name) for cells, _ in decided.rows] for name in names}
    roles = {"label": label, **({} if text is None else {"text": text})}
    warnings = list(source.warnings)
    if section.annotations == "all" and len(decided.rows) > len({id(cells) for cells, _ in decided.rows}):
        columns[ITEM] = _numbers([cells for cells, _ in decided.rows])
        if section.group is None:
            together = Change(settings={"data.group": ITEM}).for_command_line()
            warnings.append(
                f"{source.origin}: texts with several annotations are several rows. One split for each: {together}"
            )
    return replace(
        source,
        columns={**columns, label: labels},
        label_names={},
        notes=[*source.notes, _account(source, tool, items, decided, section)],
        warnings=warnings,
        dropped=source.dropped + decided.dropped,
        roles=roles,
        votes=decided.votes if section.annotations == "soft" else None,
    )


def _refuse_odd(items: Sequence[Item], source: Table, label: str) -> None:
    """Raises:
    DataError: A vote is neither a name, nor a number, nor a list of names.
    """
    for number, item in enumerate(items, start=1):
        for vote in item.votes:
            parts = vote if isinstance(vote, list) else [vote]
            if not all(isinstance(part, str | int | float) for part in parts):
                raise DataError(
                    f"{source.origin} text {number}: '{label}' is {str(vote)[:60]}, which is not a label (a name, a "
                    "number or a list of names).",
                    key="data.label",
                )


def _refuse_lists(items: Sequence[Item], source: Table, section: DataSection) -> None:
    """Raises:
    DataError: An annotator gave several labels to a text.
    """
    listed = next((vote for item in items for vote in item.votes if isinstance(vote, list)), None)
    if listed is not None:
        raise DataError(
            f"learns a distribution over classes of which a text has one, but in {source.origin} a text may have "
            f"several, such as {listed}.",
            Change(settings={"data.annotations": "majority"}),
            key="data.annotations",
            found=section.annotations,
        )


def _as_lists(items: Sequence[Item]) -> Sequence[Item]:
    """Where any annotator gave several labels, every vote is a list."""
    if not any(isinstance(vote, list) and len(vote) != 1 for item in items for vote in item.votes):
        return [replace(item, votes=[_alone(vote) for vote in item.votes]) for item in items]
    return [replace(item, votes=[vote if isinstance(vote, list) else [vote] for vote in item.votes]) for item in items]


def _alone(vote: Any) -> Any:
    return vote[0] if isinstance(vote, list) else vote


def _decide(items: Sequence[Item], how: str) -> _Decided:
    decided = _Decided()
    for item in items:
        label = _label(item.votes, how)
        if label is None:
            decided.dropped[TIE if item.votes else item.missing] += item.rows
            continue
        given = item.votes if how == "all" else [label]
        decided.rows.extend((item.cells, vote) for vote in given)
        if how == "soft":
            decided.votes.append(list(item.votes))
        if item.rows > len(given):
            decided.dropped[FURTHER] += item.rows - len(given)
    return decided


def _label(votes: Sequence[Any], how: str) -> Any | None:
    """The label of a text; None where it has none. With soft labels a tie is left to whoever measures with it."""
    if not votes:
        return None
    if how == "majority":
        return _majority(votes)
    return most_frequent(votes)[0] if how == "soft" else votes[0]


def _majority(votes: Sequence[Any]) -> Any | None:
    """The most frequent vote, or the labels that more than half of the annotators gave; None where votes tie."""
    if len(votes) == 1:
        return votes[0]
    if isinstance(votes[0], list):
        counts = Counter(name for vote in votes for name in dict.fromkeys(vote))
        kept = [name for name, count in counts.items() if 2 * count > len(votes)]
        nothing = sum(not vote for vote in votes)
        return kept if kept or 2 * nothing > len(votes) else None
    first, tied = most_frequent(votes)
    return None if tied else first


def _numbers(cells: Sequence[Mapping[str, Any]]) -> list[int]:
    """The same number for rows of the same text, from 1."""
    numbers: dict[int, int] = {}
    return [numbers.setdefault(id(each), len(numbers) + 1) for each in cells]


def _account(source: Table, tool: str, items: Sequence[Item], decided: _Decided, section: DataSection) -> str:
    """One line: what the file is, which rows are read, which are left out and why, and how far annotators agree."""
    total = sum(item.rows for item in items)
    left = ", ".join(f"{count} × {reason}" for reason, count in decided.dropped.items())
    parts = [f"{source.origin}: read as {tool}: {len(decided.rows)} rows from {total}"]
    parts.append(f"left out: {left}" if left else "none left out")
    several = [item.votes for item in items if len(item.votes) > 1]
    if several:
        same = [_agreement(votes) for votes in several]
        whole, mean = sum(share == 1 for share in same) / len(same), sum(same) / len(same)
        rule = {
            "majority": "the majority decides",
            "first": "the first decides",
            "all": "all are rows",
            "soft": "their distribution is learned",
        }
        parts.append(
            f"{len(several)} texts have several annotations: all agree in {whole:.0%}, two of them in {mean:.0%}; "
            f"{rule[section.annotations]} (data.annotations)"
        )
    return "; ".join(parts)


def _agreement(votes: Sequence[Any]) -> float:
    """The fraction of pairs of annotators that said the same."""
    pairs = list(combinations([label_identity(vote) for vote in votes], 2))
    return sum(first == second for first, second in pairs) / len(pairs)
