"""What the user sees when a learning curve has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from finetune.advice.curve import labels_text
from finetune.measurement.units import change_text, count_text, estimate_text, metric_name, scale, score_text
from finetune.records.curve import CurveReport, Point
from finetune.reports.captions import sentence
from finetune.reports.rich_table import plain_table
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


def curve_table(curve: CurveReport) -> Table:
    """A row per preset and size, for the terminal."""
    seeds = count_text(len(curve.seeds), "seed")
    table = plain_table(f"{curve.name} · {metric_name(curve.score)}, means of {seeds}, 95 % intervals in brackets")
    table.add_column("Preset")
    compared = [f"{sentence(curve.reported)}\n− {curve.baseline}"] if len(curve.presets) > 1 else []
    simple = ["TF-IDF"] if has_tfidf(curve) else []
    loss_gap = f"{sentence(metric_name(curve.loss))}\ngap"
    for column in ("Rows", "Train", sentence(curve.reported), *simple, "Gap", loss_gap, *compared):
        table.add_column(column, justify="right")
    for preset in curve.presets:
        for point in preset.points:
            levels, gaps = _levels(curve, point), _gaps(curve, point)
            simple = [score_text(curve.score, point.tfidf)] if has_tfidf(curve) else []
            change = [_change(curve, point)] if compared else []
            table.add_row(Text(preset.name), f"{point.size:,}", *levels, *simple, *gaps, *change)
        table.add_section()
    return table


def has_tfidf(curve: CurveReport) -> bool:
    """Whether any run has a simple model to stand beside."""
    return any(point.tfidf is not None for preset in curve.presets for point in preset.points)


def _levels(curve: CurveReport, point: Point) -> list[str]:
    """Train, and the reported split with its interval."""
    reported = point.test if curve.reported == "test" else point.validation
    train = point.train.get(curve.score)
    level = scale(curve.score).estimated_level(reported.get(curve.score))
    return [score_text(curve.score, train.mean if train else None), level]


def _gaps(curve: CurveReport, point: Point) -> list[str]:
    """Of score and loss, without units."""
    gaps = [(metric, point.gap.get(metric)) for metric in (curve.score, curve.loss)]
    return [change_text(metric, gap.mean if gap else None, unit=False) for metric, gap in gaps]


def _change(curve: CurveReport, point: Point) -> str:
    return estimate_text(curve.score, point.differences.get(curve.reported, {}).get(curve.score), unit=False)


def curve_summary(curve: CurveReport) -> str:
    """The lines below the table."""
    lines = []
    for preset in curve.presets:
        fit = preset.laws.get(curve.score)
        if fit is not None:
            lines.append(labelled("More rows", fit.words.replace("`", "")))
            if fit.labels is not None and fit.outlook == "too wide":
                lines.append(labelled("", labels_text(curve.score, fit.labels)))
    lines += [labelled("Epochs", text) for text in curve.longer]
    lines += [labelled("Caveat", text.replace("`", "")) for text in curve.caveats]
    lines += [labelled("Failed", text) for text in failures(curve)]
    return "\n".join(lines)
