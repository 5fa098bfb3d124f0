"""sweep.json, version 1: everything that the report of a sweep shows. Renderers read it and compute nothing.

Scores, losses and gaps are as in `records.report`.
"""

from typing import Any, Literal

from pydantic import Field

from finetune.records.frame import ReportFrame
from finetune.records.frozen import Frozen
from finetune.records.report import Difference, RunEntry, Summary, Verdict, WeightSummary

SWEEP_VERSION = 1

Axis = Literal["log", "linear", "names"]


class SweepPoint(Frozen):
    """One value of the varied key, or one value of each varied key."""

    name: str
    values: dict[str, Any] = Field(description="Key -> value; a strength is 0 if the technique is off.")
    line: str = Field(
        description="The values of all keys except the first; points with the same values share a line "
        "in the figure; or empty."
    )
    techniques: dict[str, Any] = Field(description="Technique -> settings.")
    runs: list[RunEntry]
    train: dict[str, Summary] = Field(description="Metric -> summary on the train sample at the selected checkpoint.")
    validation: dict[str, Summary]
    gap: dict[str, Summary] = Field(description="Gap at the selected checkpoint.")
    gap_last: dict[str, Summary] = Field(description="Gap at the end of training.")
    weights: dict[str, WeightSummary] = Field(description="encoder and head -> statistics, means over runs.")
    outcomes: list[str] = Field([], description="Effect that each technique reports for the first finished run.")
    verdict: Verdict
    verdict_reason: str
    differences: dict[str, dict[str, Difference]] = Field(
        description="train, validation, gap, gap_last -> metric -> difference to the reference; empty for it."
    )


class Chosen(Frozen):
    """The point with the best validation score, and its scores on test, which took no part in the choice."""

    name: str
    reason: str
    rule: str
    tied: list[str] = Field(
        description="Points whose validation score does not differ significantly from that of this point."
    )
    test: dict[str, Summary] = Field(description="Empty without a test split.")
    difference: Difference | None = Field(
        description="Paired difference of the main score on test to the reference; one comparison, so it is not "
        "adjusted."
    )
    optimism: float | None = Field(description="Validation - test main score: the optimism of choosing by it.")


class _Start(Frozen):
    """The first fields of sweep.json."""

    sweep_version: int = SWEEP_VERSION
    title: str


class SweepReport(ReportFrame, _Start):
    """The whole report."""

    preset: str = Field(description="Preset that every point starts from.")
    keys: list[str] = Field(description="Varied keys; the first is the axis of the figure.")
    axis: Axis
    points: list[SweepPoint]
    chosen: Chosen | None = Field(description="Null if no point has a finished run with a defined score.")
    rule: str = Field(description="When a point counts as overfitting or underfitting.")
    skipped: list[str] = Field(description="Records that could not be read.")
