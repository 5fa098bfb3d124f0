"""evaluation.json, version 1: what a saved model does on labelled rows. Renderers read this and compute nothing.

Units as in report.json: scores in [0, 1] or [-1, 1], losses in nats or label units. What is undefined is null.
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
    """Of one label."""

    label: str
    support: int = Field(description="Rows that have it.")
    predicted: int = Field(description="Rows for which it is predicted.")
    precision: float | None = Field(description="Null where it is never predicted.")
    recall: float | None = Field(description="Null where no row has it.")
    f1: ModelScore


class Neighbour(Frozen):
    """The training text that is nearest to a text."""

    row: str = Field(description="Its row number in the training data.")
    id: str | None = Field(None, description="What data.id called it there.")
    text: str = Field(description="Shortened; of a pair both texts.")
    label: str
    similarity: float = Field(description="Cosine of TF-IDF vectors of words and their parts, in [0, 1].")


class Mistake(Frozen):
    """A row that the model gets wrong; the surest mistakes come first."""

    row: str = Field(description="Its row number, from 1.")
    id: str | None = Field(None, description="What the column that names rows calls it.")
    text: str = Field(description="Shortened.")
    pair: str | None
    target: str
    prediction: str
    confidence: float | None = Field(
        description="Calibrated probability of the prediction; of several labels that of the surest wrong one; null "
        "for numbers."
    )
    error: float | None = Field(description="Numbers: prediction - target; null for classes.")
    nearest: Neighbour | None = Field(None, description="Null where the training data is not at hand.")


class Recorded(Frozen):
    """What the record of the run says of its own rows."""

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
    record: str | None = Field(description="Id of the record of the run that trained it; null where it is unknown.")
    data: str = Field(description="What was read.")
    task: Task
    labels: list[str] | None = Field(description="In the order of the outputs; null for numbers.")
    score: str = Field(description="The main score.")
    rows: int = Field(description="That were measured.")
    read: int = Field(description="That the data has.")
    left_out: dict[str, int] = Field(description="Reason -> rows; with `rows` they add up to `read`.")
    scores: dict[str, ModelScore] = Field(
        description="As a run measures them: of probabilities that are not calibrated, and labels above 0.5."
    )
    served: dict[str, ModelScore] = Field(
        description="As predictions are made: losses of calibrated probabilities; scores of labels above their "
        "thresholds. Empty where that is the same."
    )
    temperature: float | None
    thresholds: dict[str, float] | None
    recorded: Recorded | None = Field(description="Null where the run's record is not at hand.")
    classes: list[ClassResult] = Field(description="As predictions are made; the worst F1 first; empty for numbers.")
    confusion: list[list[int]] | None = Field(
        description="Rows of each label (in the order of `labels`) by predicted label; null but for single labels."
    )
    reliability: list[ReliabilityBin] = Field(description="Of calibrated probabilities, one class per row.")
    mistakes: list[Mistake]
    wrong: int | None = Field(description="Rows with a wrong prediction; null for numbers.")
    drift: list[Finding] = Field(description="How the rows differ from the training rows.")
    notes: list[str]
    warnings: list[str]
    missing: list[str] = Field(description="What cannot be said, and why.")

    @property
    def name(self) -> str:
        """As pages call it."""
        return self.data
