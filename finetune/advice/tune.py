"""The result of a tune in words: the choice, its test score, and the limits of the evidence."""

from __future__ import annotations

from finetune.advice.evidence import data_problems, few_seeds
from finetune.measurement.units import (
    DASH,
    change_text,
    count_text,
    estimate_text,
    metric_name,
    scale,
    score_text,
)
from finetune.records.tune import Dimension, Tested, TrialReport, TuneReport

NEAR = 0.03  # of a range: a best value so near its end may lie beyond it


def headline(report: TuneReport) -> str:
    """The choice, and the best setting if it differs."""
    score, best = report.score, _trial(report, report.best)
    if not best.number:
        return f"The default settings stay: none of {count_text(report.tried, 'setting')} scores better over the folds."
    level = f"{metric_name(score)} {score_text(score, best.score)} over the folds"
    change = f"{change_text(score, best.difference)} {interval_text(report, best)}"
    if report.chosen == report.best:
        return f"{report.best} is better than the default beyond chance: {level}, {change}."
    of = f"{report.best} is the best of {count_text(report.tried, 'setting')}"
    return f"The default settings stay: {of}, but not beyond chance ({level}, {change})."


def interval_text(report: TuneReport, trial: TrialReport) -> str:
    """The interval of the difference to the default: `[−0.3, +1.5]`; empty for the default."""
    found = scale(report.score)
    ends = [found.change(end, unit=False) for end in (trial.low, trial.high)]
    return "" if trial.low is None else f"[{ends[0]}, {ends[1]}]"


def optimism_text(report: TuneReport, tested: Tested) -> str:
    """`folds 80.1 %, test 79.2 % [78.0, 80.4], optimism +0.9 points`, with the difference on test."""
    score = report.score
    parts = [
        f"folds {score_text(score, tested.inner)}",
        f"test {scale(score).estimated_level(tested.test)}",
        f"optimism {change_text(score, tested.optimism)}",
    ]
    found = tested.difference
    if found is not None and found.mean is not None:
        word = {None: "which these runs cannot test", True: "significant", False: "not significant"}
        change = estimate_text(score, found)
        parts.append(f"on test {change} against the default, {word[found.distinguishable]}")
    return ", ".join(parts)


def chosen_test_text(report: TuneReport) -> str:
    """Test score of the chosen settings: `accuracy 74.9 % [73.0, 76.8], mean of 3 seeds; optimism of the choice …`."""
    tested = next((each for each in report.tested if each.name == report.chosen), None)
    if tested is None:
        return DASH
    unit = scale(report.score)
    seeds = count_text(len(report.seeds), "seed")
    seeds = seeds if len(report.seeds) == 1 else f"mean of {seeds}"
    level = f"{unit.name} {unit.estimated_level(tested.test)}, {seeds}"
    return f"{level}; optimism of the choice {unit.change(tested.optimism)}"


def caveats(report: TuneReport) -> list[str]:
    """Limits of the evidence: what optimism contains, few seeds, values at the ends of their ranges, failures."""
    texts = data_problems(report.conditions)
    kept, whole = report.rows["fold"], report.rows["train"]
    texts.append(
        "Optimism is the score over the folds − test. Choosing settings and checkpoints by the rows that measure them "
        f"raises it; training on {kept:,} rows in the folds, but on {whole:,} for test, lowers it."
    )
    texts.append(
        "Each fold was trained once, so intervals for folds are over rows, for exactly these trainings; the interval "
        "for test is over seeds, too."
    )
    if len(report.seeds) == 1:
        texts.append("One seed on test: no interval. Try: --seeds 3")
    elif few := few_seeds(len(report.seeds)):
        texts.append(few)
    best = _trial(report, report.best)
    texts += [text for each in report.space if best.number and (text := _end_text(each, best))]
    failed = [trial for trial in report.trials if trial.status == "failed"]
    if failed:
        shown = failed[0]
        example = ", such as" if len(failed) > 1 else ":"
        texts.append(
            f"{count_text(len(failed), 'setting')} failed and could not be chosen{example} {shown.name}: "
            f"{shown.reason.rstrip('.')}.{' The same command tries it again.' if shown.can_run else ''}"
        )
    return texts


def settings_of(report: TuneReport, trial: TrialReport) -> dict[str, float]:
    """The settings that differ from the default."""
    defaults = {each.key: each.default for each in report.space}
    return {key: value for key, value in trial.settings.items() if value != defaults[key]}


def _end_text(dimension: Dimension, best: TrialReport) -> str:
    from math import log

    value, ends = best.settings[dimension.key], (dimension.low, dimension.high)
    low, high, at = (log(each) for each in (*ends, value)) if dimension.is_log else (*ends, value)
    place = (at - low) / (high - low)
    if NEAR < place < 1 - NEAR:
        return ""
    side, beyond = ("low", "smaller") if place <= NEAR else ("high", "larger")
    where = f"at the {side} end of the searched range"
    return f"{best.name} has {dimension.key} = {value:g}, {where}: the best may be {beyond}."


def _trial(report: TuneReport, name: str) -> TrialReport:
    return next(trial for trial in report.trials if trial.name == name)
