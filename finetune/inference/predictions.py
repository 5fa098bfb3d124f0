"""The meaning of a model's outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.measurement.scores import Floats, label_probabilities
from finetune.measurement.thresholds import HALF
from finetune.tasks import Task


@dataclass(frozen=True)
class Reading:
    """The columns that a model reads, and the meaning of its outputs.

    Attributes:
        task: single_label, multi_label or regression.
        labels: Names in the order of the outputs; None for regression.
        text, template, text_pair: Columns of its training data; None if unknown or absent.
        id: Column with the names of its rows, or None.
        has_pairs: A row is two texts.
        temperature: Divides logits of classes for calibrated probabilities.
        thresholds: Label -> probability above which it is predicted.
    """

    task: Task
    labels: list[str] | None
    text: str | None = None
    template: str | None = None
    text_pair: str | None = None
    id: str | None = None
    has_pairs: bool = False
    temperature: float = 1.0
    thresholds: Mapping[str, float] = field(default_factory=dict)


def typed_note(template: str) -> str:
    """What to say of typed texts, if the model was trained on texts that a template made of columns."""
    return f"the model was trained on texts of the form {template!r}: typed texts are read as they are"


@dataclass(frozen=True)
class Predictions:
    """Predictions for several rows.

    Attributes:
        reading: What the outputs mean.
        logits: (rows, outputs) float32, as the model gives them.
        probabilities: (rows, labels): for classes calibrated, with sum 1; for multi-label each label by itself; None
            for numbers.
    """

    reading: Reading
    logits: NDArray[Any]
    probabilities: Floats | None

    @classmethod
    def of(cls, reading: Reading, parts: Sequence[NDArray[Any]]) -> Predictions:
        """Predictions from the logits of parts of the rows."""
        outputs = 1 if reading.labels is None else len(reading.labels)
        logits = np.concatenate(parts) if parts else np.zeros((0, outputs), dtype=np.float32)
        return cls(reading, logits, label_probabilities(reading.task, logits, reading.temperature))

    def __len__(self) -> int:
        return len(self.logits)

    @property
    def labels(self) -> list[Any]:
        """The label of each row; for multi-label the list of labels above their thresholds; for numbers the number."""
        if self.probabilities is None:
            return [float(value) for value in self.logits.reshape(len(self))]
        names = self.reading.labels or []
        if self.reading.task == "single_label":
            return [names[index] for index in self.probabilities.argmax(axis=1)]
        above = self.probabilities > np.array([self.reading.thresholds.get(name, HALF) for name in names])
        return [[name for name, is_on in zip(names, row, strict=True) if is_on] for row in above]

    @property
    def confidence(self) -> list[float] | None:
        """Probability of the predicted class of each row; None for multi-label and for numbers."""
        if self.probabilities is None or self.reading.task != "single_label":
            return None
        return [float(value) for value in self.probabilities.max(axis=1)]

    def columns(self, every_probability: bool) -> dict[str, list[Any]]:
        """Column -> value of each row: prediction, probability, and on request the probability of each label."""
        found: dict[str, list[Any]] = {"prediction": self.labels}
        if self.confidence is not None:
            found["probability"] = self.confidence
        if every_probability and self.probabilities is not None:
            for name, values in zip(self.reading.labels or (), self.probabilities.T, strict=True):
                found[f"probability_{name}"] = [float(value) for value in values]
        return found

    def __iter__(self) -> Iterator[Any]:
        return iter(self.labels)
