"""Terminal output during a tune, and at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from finetune.advice.tune import interval_text, optimism_text, settings_of
from finetune.measurement.units import DASH, change_text, count_text, metric_name, number_text, percent_text, score_text
from finetune.records.tune import Dimension, Trial, TrialReport, Trials, TuneReport
from finetune.reports.rich_table import Adaptive, add_names, add_numbers, plain_table
from finetune.reports.terminal import labelled, next_lines

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 12  # trials in the terminal's table; the page has all


def trial_text(trial: Trial, trials: Trials, score: str) -> str:
    """One line at the end of a trial: its settings and result."""
    defaults = {each.key: each.default for each in trials.space}
    settings = short_settings({key: value for key, value in trial.settings.items() if value != defaults.get(key)})
    name = f"{trial.name}{f' ({settings})' if settings else ''}"
    if trial.status == "complete":
        return f"{name}: {metric_name(score)} {score_text(score, trial.score)} over {trials.folds} folds"
    return f"{name}: {trial.status}: {trial.reason}"


def short_settings(settings: dict[str, float]) -> str:
    """`learning_rate=0.0001, dropout.classifier=0.41`."""
    return ", ".join(f"{short_key(key)}={value:g}" for key, value in settings.items())


def short_key(key: str) -> str:
    """The key without its section."""
    return key.removeprefix("techniques.").removeprefix("training.")


def range_text(dimension: Dimension) -> str:
    """`learning_rate 1e-05 to 0.00025 (log; default 5e-05)`."""
    scale = "log; " if dimension.is_log else ""
    ends = f"{dimension.low:g} to {dimension.high:g}"
    return f"{short_key(dimension.key)} {ends} ({scale}default {dimension.default:g})"


def ranked(report: TuneReport) -> list[TrialReport]:
    """The default, then those with a score from the best down, then the stopped and the failed ones."""
    order = {"complete": 0, "stopped": 1, "failed": 2, "running": 3}

    def place(trial: TrialReport) -> tuple[Any, ...]:
        return trial.number > 0, order[trial.status], -(trial.score or 0.0), trial.number

    return sorted(report.trials, key=place)


def status_text(report: TuneReport, trial: TrialReport) -> str:
    """`chosen`, `best`, `stopped after 1 of 3 folds`, `failed`; empty for the others."""
    if trial.status == "stopped":
        return f"stopped after {len(trial.fold_scores)} of {report.folds}"
    if trial.status == "failed":
        return "failed"
    words = [word for word, name in (("chosen", report.chosen), ("best", report.best)) if name == trial.name]
    return ", ".join(words)


def p_text(trial: TrialReport) -> str:
    """The p-value, adjusted for the number of settings."""
    if trial.p is None:
        return DASH
    return "< 0.001" if trial.p < 0.001 else number_text(trial.p, 3)


def tune_table(report: TuneReport) -> Adaptive:
    """The best trials, for the terminal."""
    return Adaptive(lambda between: _table(report, between))


def _table(report: TuneReport, between: str) -> Table:
    score = report.score
    table = plain_table(
        f"{report.name}, preset {report.preset} · {metric_name(score)} over {report.folds} folds of the training rows"
    )
    add_names(table, "Setting")
    add_numbers(table, "Folds", "− default")
    add_numbers(table, "p adj.")
    table.add_column("What differs", no_wrap=True)
    rows = ranked(report)
    for trial in rows[:SHOWN]:
        stopped = trial.status != "complete"
        change = "" if trial.difference is None else change_text(score, trial.difference, unit=False)
        cells = [DASH if stopped else score_text(score, trial.score)]
        cells += [between.join(filter(None, (change, interval_text(report, trial)))) or DASH, p_text(trial)]
        settings = "\n".join(f"{short_key(key)}={value:g}" for key, value in settings_of(report, trial).items())
        status = status_text(report, trial)
        if trial.status == "stopped":  # a narrow column
            status = f"stopped {len(trial.fold_scores)}/{report.folds}"
        name = "\n".join(filter(None, (trial.name, status)))
        table.add_row(Text(name), *cells, Text(settings or DASH))
    more = len(rows) - SHOWN
    table.caption = Text(
        (f"{count_text(more, 'further setting')} on the page. " if more > 0 else "")
        + f"Intervals at 95 % for all {report.tried} settings together, on the folds that were trained.",
        "dim",
    )
    return table


def tune_summary(report: TuneReport) -> str:
    """The lines below the table."""
    lines = ["", labelled("Result", report.headline), labelled("Rule", report.rule)]
    lines += [labelled("Optimism", f"{tested.name}: {optimism_text(report, tested)}.") for tested in report.tested]
    lines.append(labelled("Searched", "; ".join(range_text(each) for each in report.space)))
    lines.append(labelled("Trained", trained_text(report)))
    lines += [labelled("Caveat", text) for text in report.caveats]
    lines.append(labelled("Settings", f"{report.recipe}   (the chosen ones, as a recipe)"))
    if report.model is not None:
        lines.append(labelled("Model", f"{report.model}   (the best seed on validation, with the chosen settings)"))
    lines += next_lines(next_command(report), "to train with the chosen settings")
    return "\n".join(lines)


def trained_text(report: TuneReport) -> str:
    """The number of trainings, and those that early stopping avoided."""
    whole = report.trained + report.spared
    saved = percent_text(report.spared / whole) if whole else DASH
    return (
        f"{count_text(report.trained, 'training')} on folds ({report.spared} of {whole}, {saved}, avoided by stopping "
        f"early), then {count_text(len(report.seeds), 'seed')} of {' and '.join(each.name for each in report.tested)} "
        "for test."
    )


def next_command(report: TuneReport) -> str:
    """The command to type next."""
    return f"finetune run {report.recipe}"
