"""Terminal output at the end of a learning curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from finetune.advice.curve import labels_text
from finetune.measurement.units import change_text, count_text, integer_text, metric_name, scale, score_text
from finetune.records.curve import CurveReport, Point
from finetune.reports.captions import sentence
from finetune.reports.rich_table import Adaptive, add_names, add_numbers, plain_table
from finetune.reports.terminal import labelled

if TYPE_CHECKING:
    from rich.table import Table


def failures(curve: CurveReport) -> list[str]:
    """Runs that have not finished, with the reason."""
    return [
        f"{preset.name}, {count_text(point.size, 'row')}, seed {run.seed}: {run.error or run.status}"
        for preset in curve.presets
        for point in preset.points
        for run in point.runs
        if run.status != "finished"
    ]


def curve_table(curve: CurveReport) -> Adaptive:
    """A row per preset and size, for the terminal."""
    return Adaptive(lambda between: _curve_table(curve, between))


def _curve_table(curve: CurveReport, between: str) -> Table:
    seeds = count_text(len(curve.seeds), "seed")
    table = plain_table(f"{curve.name} · {metric_name(curve.score)}, means of {seeds}, 95 % intervals in brackets")
    compared = [f"{sentence(curve.reported)}\n− {curve.baseline}"] if len(curve.presets) > 1 else []
    simple = ["TF-IDF"] if has_tfidf(curve) else []
    add_names(table, "Preset")
    loss_gap = f"{sentence(metric_name(curve.loss))}\ngap"
    add_numbers(table, "Rows", "Train", sentence(curve.reported), *simple, "Gap", loss_gap, *compared)
    for preset in curve.presets:
        for point in preset.points:
            simple = [score_text(curve.score, point.tfidf)] if has_tfidf(curve) else []
            change = [_change(curve, point, between)] if compared else []
            levels = _levels(curve, point, between)
            table.add_row(Text(preset.name), integer_text(point.size), *levels, *simple, *_gaps(curve, point), *change)
        table.add_section()
    table.caption = Text("A positive gap means overfitting.", "dim")
    return table


def has_tfidf(curve: CurveReport) -> bool:
    """Whether any run has a simple model for comparison."""
    return any(point.tfidf is not None for preset in curve.presets for point in preset.points)


def _levels(curve: CurveReport, point: Point, between: str) -> list[str]:
    """Train, and the reported split with its interval."""
    reported = curve.reported_scores(point).get(curve.score)
    train = point.train.get(curve.score)
    level = score_text(curve.score, reported.mean if reported else None)
    interval = scale(curve.score).range(reported)
    return [score_text(curve.score, train.mean if train else None), between.join(filter(None, (level, interval)))]


def _gaps(curve: CurveReport, point: Point) -> list[str]:
    """Of score and loss, without units."""
    gaps = [(metric, point.gap.get(metric)) for metric in (curve.score, curve.loss)]
    return [change_text(metric, gap.mean if gap else None, unit=False) for metric, gap in gaps]


def _change(curve: CurveReport, point: Point, between: str) -> str:
    difference = point.differences.get(curve.reported, {}).get(curve.score)
    change = change_text(curve.score, difference.mean if difference else None, unit=False)
    return between.join(filter(None, (change, scale(curve.score).interval(difference))))


def curve_summary(curve: CurveReport) -> str:
    """The lines below the table."""
    lines = [""]
    for preset in curve.presets:
        fit = preset.laws.get(curve.score)
        if fit is not None:
            lines.append(labelled("More rows", fit.words))
            if fit.labels is not None and fit.outlook == "too wide":
                lines.append(labelled("", labels_text(curve.score, fit.labels)))
    lines += [labelled("Epochs", text) for text in curve.longer]
    lines += [labelled("Caveat", text) for text in curve.caveats]
    lines += [labelled("Failed", text) for text in failures(curve)]
    return "\n".join(lines)
