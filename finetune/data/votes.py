"""Votes of several annotators for a text, kept as the distribution that training learns (`data.annotations=soft`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from finetune.data.rows import Rows

TIE = "annotators disagree (tie)"

Vote = TypeVar("Vote", bound=Hashable)


def most_frequent(votes: Sequence[Vote]) -> tuple[Vote, bool]:
    """The most frequent vote (of equally frequent ones the first), and whether another is as frequent."""
    (first, most), *others = Counter(votes).most_common(2)
    return first, bool(others) and others[0][1] == most


def renamed(rows: Rows, names: Mapping[str, str]) -> Rows:
    """The rows with renamed labels in the annotators' votes."""
    if rows.votes is None:
        return rows
    return replace(rows, votes=[[names.get(vote, vote) for vote in votes] for votes in rows.votes])


def with_majorities(rows: Rows) -> Rows:
    """The rows with the most frequent vote as their label, after labels have their final names."""
    return rows if rows.votes is None else replace(rows, labels=[most_frequent(votes)[0] for votes in rows.votes])


def leave_out_ties(splits: Mapping[str, Rows], dropped: Counter[str]) -> dict[str, Rows]:
    """The splits without the texts of validation and test whose votes tie: they have no label to measure with.

    Args:
        splits: Split -> rows. Training rows stay; their votes are learned as they are.
        dropped: Reason -> rows left out; is extended.
    """
    kept = dict(splits)
    for name, rows in splits.items():
        if name == "train" or rows.votes is None:
            continue
        settled = [index for index, votes in enumerate(rows.votes) if not most_frequent(votes)[1]]
        if len(settled) < len(rows):
            dropped[TIE] += len(rows) - len(settled)
            kept[name] = rows.take(settled)
    return kept


def vote_targets(rows: Rows, labels: Sequence[str] | None) -> list[list[float]] | None:
    """q_k = the fraction of a text's votes that are for class k, (rows, K); None where the rows have no votes.

    Votes for labels that are not classes (in `data.drop_labels`, or not the majority for any text) do not count.
    """
    if rows.votes is None or labels is None:
        return None
    counts = [Counter(vote for vote in votes if vote in labels) for votes in rows.votes]
    return [[count[label] / count.total() for label in labels] for count in counts]


def votes_note(rows: Rows, labels: Sequence[str]) -> str:
    """Note on what training learns, and which labels the other splits are measured with."""
    votes = rows.votes or []
    divided = sum(len(set(each)) > 1 for each in votes)
    ties = sum(most_frequent(each)[1] for each in votes)
    foreign = Counter(vote for each in votes for vote in each if vote not in labels)
    apart = (
        f"; {foreign.total()} votes for {', '.join(sorted(foreign))} do not count, as they are not classes"
        if foreign
        else ""
    )
    return (
        f"soft labels: training learns which fraction of the annotators gave each label: {divided} of {len(rows)} "
        f"training texts have several ({ties} of them tie); validation and test are measured with the most frequent "
        f"label{apart}"
    )
