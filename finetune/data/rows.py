"""Rows of one split, and a data set that is ready for training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from finetune.data.table import pick
from finetune.tasks import Task


@dataclass(frozen=True)
class Rows:
    """Parallel sequences, one entry per row: lists once rows are in splits; before that, texts may be packed.

    Attributes:
        texts: First (or only) text.
        pairs: Second text of a pair, or None.
        labels: str for single-label, list[str] for multi-label, float for regression; None for unlabelled texts.
        ids: Row number in its source, from 1, for messages and for the split file.
        groups: Group of each row (`data.group`), or None.
        order: Sort key of each row (`data.order_by`), or None.
        votes: The annotators' votes for each text, oldest first, if training learns their distribution
            (`data.annotations=soft`); else None.
        names: Name of each row (`data.id`), "" if its cell is empty; None without that column.
    """

    texts: Sequence[str]
    pairs: Sequence[str] | None
    labels: list[Any]
    ids: Sequence[str]
    groups: list[str] | None = None
    order: list[float] | None = None
    votes: list[list[str]] | None = None
    names: list[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Sequence[int]) -> Rows:
        return Rows(
            pick(self.texts, indices),
            None if self.pairs is None else pick(self.pairs, indices),
            [self.labels[i] for i in indices],
            pick(self.ids, indices),
            None if self.groups is None else [self.groups[i] for i in indices],
            None if self.order is None else [self.order[i] for i in indices],
            None if self.votes is None else [self.votes[i] for i in indices],
            None if self.names is None else [self.names[i] for i in indices],
        )

    def unpacked(self) -> Rows:
        """The rows with plain lists of texts, which can be read in any order at no cost."""
        pairs = None if self.pairs is None else list(self.pairs)
        return replace(self, texts=list(self.texts), pairs=pairs, ids=list(self.ids))

    def name(self, index: int) -> str | None:
        """The name of a row in the column `data.id`; None if it has none."""
        return (self.names[index] or None) if self.names is not None else None

    def text_key(self, index: int) -> tuple[str, str]:
        """A key that is equal for rows with the same text; case and spacing are ignored."""
        pair = "" if self.pairs is None else self.pairs[index]
        return " ".join(self.texts[index].casefold().split()), " ".join(pair.casefold().split())


def label_identity(label: Any) -> Any:
    """A key that is equal for the same label; the order in a list is ignored."""
    return frozenset(label) if isinstance(label, list) else label


def names_of(label: Any) -> list[str]:
    """The classes of a row: one, or those of a list."""
    return label if isinstance(label, list) else [str(label)]


def target_reader(task: Task, labels: Sequence[str] | None) -> Callable[[Any], Any]:
    """Label -> target: int for single-label, K zeros and ones for multi-label, float for regression.

    Args:
        task: What is predicted.
        labels: Names in the order of the logits; None for regression.
    """
    index = {name: position for position, name in enumerate(labels or ())}
    if task == "single_label":
        return index.__getitem__
    if task == "multi_label":
        return lambda label: [float(name in label) for name in index]
    return float


class Kind(Protocol):
    """What tokenising needs to know about rows: `Data` in training, or the task of a saved model."""

    @property
    def task(self) -> Task: ...

    @property
    def labels(self) -> list[str] | None: ...

    @property
    def has_pairs(self) -> bool: ...


@dataclass(frozen=True)
class Data:
    """A loaded data set, ready to be tokenised.

    Attributes:
        task: single_label, multi_label or regression.
        labels: Names in the order of the logits; None for regression.
        train: Rows to fit on.
        probe: Positions in `train` of the train sample, ascending.
        validation: Rows for selection.
        test: Rows measured once at the end, or None.
        columns: The columns in use, by role.
        dropped: Reason -> number of rows left out.
        notes: What was decided for the user.
        warnings: What the user should look at.
        fingerprint: sha256 over texts and labels of all splits, and over the unlabelled texts.
        tables: Split -> table that its rows and their ids came from: all, train, validation or test.
        unlabelled: Texts without labels, none of which is in a split; None where the recipe names none.
    """

    task: Task
    labels: list[str] | None
    train: Rows
    probe: list[int]
    validation: Rows
    test: Rows | None
    columns: dict[str, str]
    fingerprint: str
    dropped: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)
    unlabelled: Rows | None = None

    @property
    def has_pairs(self) -> bool:
        """Whether a row holds two texts."""
        return self.train.pairs is not None

    def whole_splits(self) -> dict[str, Rows]:
        """Train, validation, and test where there is one: each row once."""
        return {"train": self.train, **self._held_out()}

    def measured_splits(self) -> dict[str, Rows]:
        """The measured splits: the train sample, validation, and test if there is one."""
        return {"train_probe": self.train.take(self.probe), **self._held_out()}

    def _held_out(self) -> dict[str, Rows]:
        return {"validation": self.validation, **({} if self.test is None else {"test": self.test})}
