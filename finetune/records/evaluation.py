"""evaluation.json, version 1: results of a saved model on labelled rows. Renderers read this and compute nothing.

Units as in report.json: scores in [0, 1] or [-1, 1], losses in nats or label units. Undefined values are null.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from finetune.records.frozen import Frozen
from finetune.records.report import ModelScore, ReliabilityBin
from finetune.records.schema import Finding, FinishedRecord
from finetune.tasks import Task

EVALUATION_VERSION = 1


class ClassResult(Frozen):
    """Results of one label."""

    label: str
    support: int = Field(description="Rows that have the label.")
    predicted: int = Field(description="Rows for which it is predicted.")
    precision: float | None = Field(description="Null if the label is never predicted.")
    recall: float | None = Field(description="Null if no row has the label.")
    f1: ModelScore


class Neighbour(Frozen):
    """The training text that is nearest to a text."""

    row: str = Field(description="Row number in the training data.")
    id: str | None = Field(None, description="Name of that row by data.id.")
    text: str = Field(description="Shortened; both texts of a pair.")
    label: str
    similarity: float = Field(description="Cosine of TF-IDF vectors of words and their parts, in [0, 1].")


class Mistake(Frozen):
    """A row that the model gets wrong; the most confident mistakes come first."""

    row: str = Field(description="Row number, from 1.")
    id: str | None = Field(None, description="Name of the row, from the column that names rows.")
    text: str = Field(description="Shortened.")
    pair: str | None
    target: str
    prediction: str
    confidence: float | None = Field(
        description="Calibrated probability of the prediction; for several labels, that of the most confident wrong "
        "one; null for numbers."
    )
    error: float | None = Field(description="Numbers: prediction - target; null for classes.")
    nearest: Neighbour | None = Field(None, description="Null if the training data is not available.")


class Recorded(Frozen):
    """Results on the run's own rows, from its record."""

    split: Literal["test", "validation"]
    rows: int
    scores: dict[str, float | None]

    @classmethod
    def of(cls, record: FinishedRecord) -> Self:
        split = record.selected.reported
        return cls(split=split, rows=record.data.rows[split], scores=record.shown.reported_scores)


class EvaluationReport(Frozen):
    """Everything that `finetune evaluate` shows."""

    version: int = EVALUATION_VERSION
    model: str
    record: str | None = Field(description="Id of the record of the run that trained the model; null if unknown.")
    data: str = Field(description="The input that was read.")
    task: Task
    labels: list[str] | None = Field(description="In the order of the outputs; null for numbers.")
    score: str = Field(description="The main score.")
    rows: int = Field(description="Number of rows measured.")
    read: int = Field(description="Number of rows in the data.")
    left_out: dict[str, int] = Field(description="Reason -> rows; with `rows` they add up to `read`.")
    scores: dict[str, ModelScore] = Field(
        description="As measured in a run: with uncalibrated probabilities, and labels predicted above 0.5."
    )
    served: dict[str, ModelScore] = Field(
        description="As in predictions: losses of calibrated probabilities; scores of labels above their thresholds. "
        "Empty if that is the same."
    )
    temperature: float | None
    thresholds: dict[str, float] | None
    recorded: Recorded | None = Field(description="Null if the record of the run is not available.")
    classes: list[ClassResult] = Field(description="As in predictions; the worst F1 first; empty for numbers.")
    confusion: list[list[int]] | None = Field(
        description="Rows of each label (in the order of `labels`) by predicted label; null but for single labels."
    )
    reliability: list[ReliabilityBin] = Field(description="For calibrated probabilities, one class per row.")
    mistakes: list[Mistake]
    wrong: int | None = Field(description="Rows with a wrong prediction; null for numbers.")
    drift: list[Finding] = Field(description="How the rows differ from the training rows.")
    notes: list[str]
    warnings: list[str]
    missing: list[str] = Field(description="What could not be determined, and why.")

    @property
    def name(self) -> str:
        """Name on report pages."""
        return self.data
