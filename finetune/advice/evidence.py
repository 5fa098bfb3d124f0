"""Limits of the evidence that the reports of a comparison and of a learning curve share."""

from __future__ import annotations

from collections.abc import Sequence

from finetune.measurement.units import count_text
from finetune.records.frame import ReportFrame
from finetune.records.report import Difference

TWO = 2
FEW_SEEDS = 5  # below it intervals are wide: three seeds leave t = 4.3 where many leave 2.0


def data_problems(report: ReportFrame) -> list[str]:
    """Problems that the data checks found."""
    return [f"Data: {finding.text}" for finding in report.findings if finding.level == "problem"]


def few_seeds(seeds: int) -> str:
    """A caveat for few seeds, two or more; empty if there are enough."""
    if seeds >= FEW_SEEDS:
        return ""
    if seeds == TWO:
        return f"2 seeds are too few for a useful interval; at least {FEW_SEEDS} are recommended."
    return f"{seeds} seeds give wide intervals; at least {FEW_SEEDS} are recommended."


def adjusted_note(difference: Difference | None) -> str:
    """Why an interval that excludes 0 is not called significant: p, and p adjusted for the number of tests."""
    if (
        difference is None
        or difference.low is None
        or difference.high is None
        or difference.distinguishable is not False
    ):
        return ""
    if difference.low <= 0 <= difference.high or difference.p is None or difference.p_holm is None:
        return ""
    tests = "" if difference.tests is None else f" for {difference.tests} tests"
    return f"p {difference.p:.2g}, adjusted{tests} {difference.p_holm:.2g}"


def no_test_split(report: ReportFrame) -> list[str]:
    """A caveat that scores come from the split that selected the checkpoint."""
    if report.reported == "test":
        return []
    return [
        "There is no test split. Scores are from validation, which also selected the checkpoint, so they are "
        "optimistic."
    ]


def unfinished(failed: int, runs: int) -> list[str]:
    """A caveat that some runs did not finish."""
    return [f"{failed} of {count_text(runs, 'run')} did not finish."] if failed else []


def did_not_learn(named: Sequence[str], consequence: str = "") -> list[str]:
    """A caveat that lists the runs that learned nothing, and the consequence."""
    if not named:
        return []
    known = "no better than the same prediction for every text"
    return [f"Runs that did not learn ({known}): {', '.join(named)}.{consequence}"]
