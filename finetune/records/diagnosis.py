"""A diagnosis: what the scores show, how certain that is, what else could explain them, and what to do."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from finetune.records.frozen import Frozen

VerdictName = Literal[
    "overfits",
    "overconfident",
    "underfits",
    "over-regularized",
    "did not learn",
    "still learning",
    "diverged",
    "validation above training",
    "cannot tell",
    "no sign of overfitting",
]


class Estimate(Frozen):
    """A value with the ends of its 95 % interval."""

    mean: float | None
    low: float | None = None
    high: float | None = None


class LookAlike(Frozen):
    """Another cause that gives the same numbers."""

    name: str
    status: Literal["likely", "possible", "ruled out", "not checked"]
    why: str = Field(description="What speaks for or against it here.")
    check: str = Field("", description="A command that tells the two apart.")


class Step(Frozen):
    """One thing to do, in the order in which to try it."""

    action: str
    technique: str | None = Field(None, description="Name in the library of techniques.")
    mechanism: str = Field(description="Why it works.")
    setting: str = Field("", description="Value to start with.")
    see: str = Field("", description="What changes if it works.")
    too_much: str = Field("", description="Sign that the value is too large.")
    evidence: str = Field("", description="Published measurements, with their source.")
    strength: Literal["strong", "moderate", "weak", "none"] = Field("none", description="Strength of the evidence.")
    command: str = Field("", description="What to type.")


class Diagnosis(Frozen):
    """What `finetune diagnose` returns."""

    source: str = Field(description="The input that was read.")
    verdict: VerdictName
    text: str = Field(description="The verdict in one or two sentences, with its numbers.")
    score: str = Field(description="Name of the score.")
    train: Estimate | None = Field(description="Score on training rows; None if unknown.")
    validation: Estimate | None
    gap: Estimate | None = Field(description="train − validation.")
    test: Estimate | None = Field(None, description="Score on rows that were not used for any choice.")
    at_least: bool = Field(False, description="train and gap are lower bounds: the training score was not measured.")
    train_rows: int | None
    train_measured: int | None = Field(None, description="Training rows of the training score, if not all; else null.")
    validation_rows: int | None
    test_rows: int | None = None
    notes: list[str] = Field([], description="What the numbers mean, and which of them cannot be compared.")
    missing: list[str] = Field([], description="What would make the verdict more certain.")
    look_alikes: list[LookAlike] = Field([])
    plan: list[Step] = Field([])
