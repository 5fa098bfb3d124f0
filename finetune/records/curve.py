"""curve.json, version 1: everything that the report of a learning curve shows. Renderers read it and compute nothing.

Scores, losses and gaps are as in `records.report`. Sizes count training rows.
"""

from typing import Any, Literal

from pydantic import Field

from finetune.records.facts import Decision
from finetune.records.frame import ReportFrame
from finetune.records.frozen import Frozen
from finetune.records.report import Difference, RunEntry, Summary

CURVE_VERSION = 1

Outlook = Literal[
    "no law",  # too few sizes or runs
    "no interval",  # a law, but no measure of its uncertainty
    "flat",  # five times the rows bring less than a point: a larger gain is ruled out
    "rising",  # twice the rows bring something: no gain is ruled out
    "too wide",  # the interval contains both no gain and a large one
]


class Point(Frozen):
    """One preset at one size."""

    size: int
    epochs: int | None = Field(description="Epochs of the recipe, raised for small sizes; null if no run has a record.")
    steps: int | None = Field(description="Planned optimizer steps.")
    techniques: dict[str, Any] = Field(description="Technique -> settings at this size.")
    decisions: list[Decision] = Field([], description="Choice of a preset that chooses by the data, at this size.")
    runs: list[RunEntry]
    train: dict[str, Summary] = Field(description="Metric -> summary on the train sample at the selected checkpoint.")
    validation: dict[str, Summary]
    test: dict[str, Summary] = Field(description="Empty without a test split.")
    gap: dict[str, Summary] = Field(description="Gap at the selected checkpoint, which becomes the final model.")
    gap_last: dict[str, Summary] = Field(description="Gap at the end of training.")
    tfidf: float | None = Field(
        None, description="Main score of TF-IDF with a linear model on the reported split, averaged over the seeds."
    )
    pairs: list[int] = Field(description="Seeds that the baseline has also finished at this size.")
    differences: dict[str, dict[str, Difference]] = Field(
        description="train, validation, test, gap, gap_last -> metric -> difference to the baseline at this size; "
        "empty for the baseline."
    )


class Prediction(Frozen):
    """The score (or loss) that the power law predicts for more rows."""

    factor: int = Field(description="Multiple of the largest size.")
    size: int
    value: float = Field(description="Predicted score or loss.")
    low: float | None = Field(description="95 % interval, over seeds and measured rows.")
    high: float | None
    change: float = Field(description="Change from the law's value at the largest size.")
    change_low: float | None
    change_high: float | None


class Check(Frozen):
    """Hold-out check of the fit: the law fitted to the smaller sizes against the measurement at the largest size."""

    size: int
    predicted: float
    low: float | None
    high: float | None
    measured: float
    miss: float = Field(description="Measured - predicted.")


class LabelsForMore(Frozen):
    """Training rows that one more step of the score requires. Null: more than `limit`, the end of the extrapolation."""

    step: float
    rows: int | None
    low: int | None
    high: int | None
    limit: int


class LawPoint(Frozen):
    """The law at one size, for drawing."""

    size: float
    value: float
    low: float | None
    high: float | None


class FittedLaw(Frozen):
    """error(n) = amplitude · n^-exponent + floor, where error is 1 - score, or the loss."""

    metric: str
    amplitude: float
    exponent: float
    floor: float
    limit: float = Field(description="The score (or loss) that the law approaches.")
    line: list[LawPoint] = Field(description="From the smallest size to five times the largest.")
    predictions: list[Prediction]
    check: Check | None = Field(description="Null for fewer than four sizes.")
    labels: LabelsForMore | None = Field(description="Null for losses.")
    outlook: Outlook
    words: str = Field(description="Its prediction for more rows, in words.")


class PresetCurve(Frozen):
    """One preset over all sizes."""

    name: str
    baseline: str | None = Field(description="The preset it is compared with; null for the baseline.")
    points: list[Point]
    laws: dict[str, FittedLaw] = Field(description="Main score and loss -> law of the reported split, if fitted.")
    no_law: str = Field(description="Why there is no law of the main score; empty if there is one.")


class _Start(Frozen):
    """The first fields of curve.json."""

    curve_version: int = CURVE_VERSION
    title: str


class CurveReport(ReportFrame, _Start):
    """The whole report."""

    sizes: list[int]
    presets: list[PresetCurve]
    longer: list[str] = Field(description="Sizes whose epochs were raised, in words.")
    skipped: list[str] = Field(description="Records that could not be read.")
