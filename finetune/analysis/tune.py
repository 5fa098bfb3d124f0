"""Trials and their predictions -> the choice, and its optimism."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finetune.advice.tune import caveats, headline
from finetune.analysis.pooled import Pooled
from finetune.analysis.statistics import LEVEL
from finetune.records.report import Difference, Group, VariantReport
from finetune.records.tune import Tested, Trial, TrialReport, Trials, TuneReport

RULE = (
    "The default stays, unless the setting with the best score over all folds is better beyond chance: the interval of "
    "its paired difference over the rows, at 95 % for all settings tried together (Bonferroni), lies above 0."
)


def compare_trials(
    trials: Sequence[Trial], pooled: Mapping[int, Pooled], task: str, metric: str
) -> tuple[list[TrialReport], int]:
    """Each trial with its paired difference to the default, and the settings tried besides the default.

    Args:
        trials: All trials, the default first.
        pooled: Trial number -> predictions for its trained folds, for trials that have any.
        task: What is predicted.
        metric: Metric to compare.
    """
    tried = sum(trial.number in pooled for trial in trials[1:])
    default = pooled[0]
    reports = []
    for trial in trials:
        found: dict[str, Any] = {}
        if trial.number and trial.number in pooled:
            difference = pooled[trial.number].minus(default, task, metric)
            low, high = difference.interval(1 - (1 - LEVEL) / tried) or (None, None)
            p = None if low is None else min(1.0, 2 * difference.better_p * tried)
            found = {"difference": difference.difference, "low": low, "high": high, "p": p}
        reports.append(TrialReport(**trial.model_dump(), **found))
    return reports, tried


def choose(reports: Sequence[TrialReport], best: str) -> str:
    """The best setting, if it beats the default beyond chance; else the default. See `RULE`."""
    found = next(report for report in reports if report.name == best)
    return best if found.number and found.low is not None and found.low > 0 else reports[0].name


def tested_settings(reports: Sequence[TrialReport], group: Group) -> list[Tested]:
    """Test scores of the settings trained on the data's own splits.

    Args:
        reports: Reports of all trials.
        group: The analysis of those trainings.
    """
    inner = {report.name: report.score for report in reports}
    found = []
    for variant in (each for each in group.variants if group.score in each.test):  # those with a finished run
        test = variant.test[group.score]
        score = inner[variant.name]
        optimism = None if score is None or test.mean is None else score - test.mean
        found.append(
            Tested(
                name=variant.name,
                inner=score,
                test=test,
                optimism=optimism,
                difference=_difference(variant, group.score),
            )
        )
    return found


def _difference(variant: VariantReport, metric: str) -> Difference | None:
    """Difference to the default: one comparison, made after the choice, so it needs no adjustment."""
    found = variant.differences.get("test", {}).get(metric)
    if found is None:
        return None
    significant = None if found.p is None else found.p < 1 - LEVEL
    return found.model_copy(update={"p_holm": found.p, "distinguishable": significant})


def spared(trials: Trials) -> int:
    """Number of trainings on folds saved by stopping trials early."""
    return sum(trials.folds - len(trial.fold_scores) for trial in trials.trials if trial.status == "stopped")


def with_words(report: TuneReport) -> TuneReport:
    """The report with its headline and caveats."""
    found = report.model_copy(update={"headline": headline(report)})
    return found.model_copy(update={"caveats": caveats(found)})
