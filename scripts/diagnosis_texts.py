"""The runs of diagnosis_cases.py on real texts: TF-IDF of their words, the same networks, the same faults.

A folder holds a folder for each data set with train.csv and test.csv (columns text and label). The rows of train.csv
are training and validation, those of test.csv the population: at most 2,000, so that the truth is known to about two
points. Features are the 1,000 most frequent words of the training rows, weighted, times SCALE.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from diagnosis_cases import FAMILIES, Case, Split, World, case_of, world_of

WORDS, SCALE, MOST_CLASSES, LEAST_ROWS, POPULATION = 1000, 6.0, 10, 600, 2000
# Of a world's ranges, those that are of made-up rows; families that need them are left out.
MADE_UP = ("distance", "noise", "informative", "majority")
LEFT_OUT = ("single class",)


class Texts:
    """One data set."""

    def __init__(self, folder: Path) -> None:
        self.train, self.test = _rows(folder / "train.csv"), _rows(folder / "test.csv")[:POPULATION]
        self.labels = sorted({label for _, label in self.train})
        shares = Counter(label for _, label in self.test)
        self.chance = max(shares.values()) / len(self.test)

    def draw(self, world: World, random: np.random.Generator) -> tuple[Split, Split, Split]:
        from sklearn.feature_extraction.text import TfidfVectorizer

        order = random.permutation(len(self.train))[: world.rows + world.validation]
        rows = [self.train[index] for index in order]
        words = TfidfVectorizer(max_features=WORDS, sublinear_tf=True).fit([text for text, _ in rows[: world.rows]])

        def split(part: list[tuple[str, str]], wrong: float) -> Split:
            x = SCALE * words.transform([text for text, _ in part]).toarray().astype(np.float32)
            y = np.array([self.labels.index(label) for _, label in part])
            flip = random.random(len(y)) < wrong
            return x, np.where(flip, (y + random.integers(1, world.classes, len(y))) % world.classes, y)

        train = split(rows[: world.rows], max(world.wrong, world.wrong_train))
        return train, split(rows[world.rows :], world.wrong), split(self.test, world.wrong)


def text_cases(folder: Path) -> Iterator[Case]:
    """One of each family for each data set that has enough rows and few classes."""
    for name in sorted(path.parent.name for path in folder.glob("*/train.csv")):
        if set(_columns(folder / name / "train.csv")) != {"text", "label"}:
            continue
        texts = Texts(folder / name)
        is_task = 2 <= len(texts.labels) <= MOST_CLASSES and not any("|" in label for label in texts.labels)
        if not is_task or len(texts.train) < LEAST_ROWS:
            continue
        for family, ranges in FAMILIES.items():
            if family in LEFT_OUT:
                continue
            kept = {key: value for key, value in ranges.items() if key not in MADE_UP}
            number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:2], "big")
            world = replace(world_of(family, kept, number), classes=len(texts.labels))
            validation = min(world.validation, len(texts.train) // 3)
            rows = min(world.rows, len(texts.train) - validation)
            world = replace(world, rows=rows, validation=validation)
            case = case_of(f"{name}: {family}", world, texts.draw, texts.chance)
            if case is not None:
                yield case


def _columns(file: Path) -> list[str]:
    with file.open(encoding="utf-8", newline="") as lines:
        return next(csv.reader(lines), [])


def _rows(file: Path) -> list[tuple[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return [(row["text"], row["label"]) for row in csv.DictReader(lines)]
