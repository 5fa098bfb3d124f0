"""The data sets of docs/results-protocol.md: which there are, and the rows that are drawn from them."""

from __future__ import annotations

import csv
import json
import math
import random
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from finetune.atomic import replaced_folder
from finetune.data.load import load_data
from finetune.data.rows import Data, Rows
from finetune.data.strata import sample
from finetune.data.subset import nested_order
from finetune.recipe import DataSection, load_recipe

HALVES = {
    "choosing": (
        "tweets",
        "trec6",
        "cr",
        "tweeteval_irony",
        "atis",
        "mpqa",
        "mrpc",
        "goemotions_multilabel",
        "cola",
    ),
    "confirming": (
        "subj",
        "sst2",
        "banking77",
        "sms_spam",
        "procon",
        "rte",
        "stsb",
        "xlmt_sentiment_de",
        "poem_sentiment",
    ),
}
SETS = (*HALVES["choosing"], *HALVES["confirming"])
SIZES = (100, 300, 1000)
SEEDS = (0, 1, 2)
VALIDATION, TEST, UNLABELLED = 300, 1000, 2000  # rows at most
SEEN = ("train", "validation")  # by a run that has selected nothing
DRAW = 0  # seed of validation and test
PER_CLASS = 2  # training rows at least


@dataclass(frozen=True, order=True)
class Cell:
    """What all arms are measured on: a set, a number of training rows, a seed."""

    set: str
    n: int
    seed: int

    def __str__(self) -> str:
        return f"{self.set}-n{self.n}-s{self.seed}"


def half_of(name: str) -> str:
    return next((half for half, names in HALVES.items() if name in names), "other")


@cache
def load_set(folder: Path, name: str) -> Data:
    """All rows of a set; of tweets, those that the recipe cleans, with as many training rows as there are."""
    if name == "tweets":
        return load_data(load_recipe("tweets").data.model_copy(update={"train_size": None}))
    return load_data(DataSection(source=str(folder / name)))


def why_left_out(labels: Sequence[Any], task: str, n: int) -> str:
    """Why n rows cannot be drawn as the protocol says; empty if they can."""
    if n > len(labels):
        return f"{len(labels)} training rows"
    if task == "regression":
        return ""
    per_row = 1 if task == "multi_label" else PER_CLASS
    classes = {name for label in labels for name in (label if isinstance(label, list) else [label])}
    return f"{len(classes)} classes of {per_row} rows" if per_row * len(classes) > n else ""


def draw_train(labels: Sequence[Any], task: Any, n: int, seed: int) -> list[int]:
    """Positions of n rows, ascending: classes in proportion, and at least two rows of each."""
    if task != "single_label":
        return sorted(nested_order(labels, task, seed, n))
    rows = defaultdict(list)
    for position, label in enumerate(labels):
        rows[label].append(position)
    counts = share_out({label: len(positions) for label, positions in rows.items()}, n)
    rng = random.Random(f"train {seed}")
    return sorted(position for label in sorted(rows) for position in rng.sample(rows[label], counts[label]))


def share_out(available: dict[str, int], n: int) -> dict[str, int]:
    """Rows of each class: n in all, in proportion by largest remainders, two at least where there are two."""
    total = sum(available.values())
    least = {name: min(PER_CLASS, count) for name, count in available.items()}
    wanted = {name: n * count / total for name, count in available.items()}
    counts = {name: min(available[name], max(least[name], math.floor(wanted[name]))) for name in available}
    while (missing := n - sum(counts.values())) != 0:
        step = 1 if missing > 0 else -1
        movable = [name for name in counts if least[name] <= counts[name] + step <= available[name]]
        chosen = max(movable, key=lambda name: (step * (wanted[name] - counts[name]), name))
        counts[chosen] += step
    return counts


def make_rows(folder: Path, data: Data, cell: Cell) -> Path:
    """The folder with the rows of a cell, made if it is not there; `finetune` reads it as it is.

    train, validation and test.csv; texts.csv in unlabelled/; rows.json in about/: task, labels, the train sample.
    """
    place = folder / str(cell)
    if place.exists():
        return place
    chosen = draw_train(data.train.labels, data.task, cell.n, cell.seed)
    rest = sorted(set(range(len(data.train))) - set(chosen))
    unlabelled = sorted(random.Random(f"unlabelled {cell.seed}").sample(rest, min(UNLABELLED, len(rest))))
    assert data.test is not None, "every set has a test split"
    splits = {
        "train": data.train.take(chosen),
        "validation": _at_most(data.validation, VALIDATION, data.task),
        "test": _at_most(data.test, TEST, data.task),
    }
    place.parent.mkdir(parents=True, exist_ok=True)
    with replaced_folder(place) as partial:
        for part in ("about", "unlabelled"):
            (partial / part).mkdir(parents=True)
        for name, rows in splits.items():
            write_csv(partial / f"{name}.csv", rows)
        write_csv(partial / "unlabelled" / "texts.csv", data.train.take(unlabelled), with_labels=False)
        (partial / "about" / "rows.json").write_text(json.dumps(_about(partial, data)), encoding="utf-8")
    return place


def rows_with_validation(folder: Path) -> Path:
    """A folder like this one that trains on the rows of train and validation together; made if it is not there."""
    place = folder.with_name(f"{folder.name}-refit")
    if place.exists():
        return place
    with replaced_folder(place) as partial:
        partial.mkdir(parents=True, exist_ok=True)
        for name in ("validation", "test"):
            shutil.copy(folder / f"{name}.csv", partial)
        both = [list(csv.reader((folder / f"{name}.csv").open(encoding="utf-8", newline=""))) for name in SEEN]
        with (partial / "train.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([*both[0], *both[1][1:]])
    return place


def _at_most(rows: Rows, size: int, task: Any) -> Rows:
    return rows.take(sample(rows.labels, size, task, DRAW, "size").rows)


def _about(folder: Path, data: Data) -> dict[str, Any]:
    """What rivals need to read the files as `finetune` does. Labels are those of the set, in its order."""
    drawn = load_data(DataSection(source=str(folder), task=data.task))
    counts = Counter(name for label in drawn.train.labels for name in (label if isinstance(label, list) else [label]))
    return {
        "task": data.task,
        "labels": drawn.labels,
        "probe": drawn.probe,
        "rows": {name: len(rows) for name, rows in drawn.whole_splits().items()},
        "least_of_a_class": None if data.task == "regression" else min(counts.values()),
    }


def write_csv(path: Path, rows: Rows, with_labels: bool = True) -> None:
    """A row per text; the labels of a row are joined by |, and numbers keep all their digits."""
    header = ["text", *(["text_pair"] if rows.pairs is not None else []), *(["label"] if with_labels else [])]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)  # some tweets hold a carriage return
        writer.writerow(header)
        for index, text in enumerate(rows.texts):
            label = rows.labels[index]
            cells = [text, *([rows.pairs[index]] if rows.pairs is not None else [])]
            writer.writerow([*cells, *(["|".join(label) if isinstance(label, list) else label] if with_labels else [])])
