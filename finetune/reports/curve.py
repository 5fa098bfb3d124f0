"""What the user sees when a learning curve has ended."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from finetune.advice.curve import labels_text
from finetune.measurement.units import change_text, interval_text, metric_name, range_text, score_text
from finetune.records.curve import CurveReport, Point
from finetune.reports.numbers import count_text


def failures(curve: CurveReport) -> list[str]:
    """Runs that have not finished, with the reason."""
    return [
        f"{preset.name}, {point.size} rows, seed {run.seed}: {run.error or run.status}"
        for preset in curve.presets
        for point in preset.points
        for run in point.runs
        if run.status != "finished"
    ]


def curve_table(curve: CurveReport) -> Table:
    """A row a preset and size, for the terminal."""
    seeds = count_text(len(curve.seeds), "seed")
    title = f"{curve.name} · {metric_name(curve.score)}, means of {seeds}, 95 % intervals in brackets"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    table.add_column("preset")
    compared = [f"against {curve.baseline}"] if len(curve.presets) > 1 else []
    simple = ["TF-IDF"] if has_tfidf(curve) else []
    for column in ("rows", "train", curve.reported, *simple, "gap", f"{metric_name(curve.loss)} gap", *compared):
        table.add_column(column, justify="right")
    for preset in curve.presets:
        for point in preset.points:
            figures = _terminal_figures(curve, point, bool(compared))
            simple = [score_text(curve.score, point.tfidf)] if has_tfidf(curve) else []
            table.add_row(Text(preset.name), f"{point.size:,}", *figures[:2], *simple, *figures[2:])
        table.add_section()
    return table


def has_tfidf(curve: CurveReport) -> bool:
    """Whether any run has a simple model to stand beside."""
    return any(point.tfidf is not None for preset in curve.presets for point in preset.points)


def _terminal_figures(curve: CurveReport, point: Point, compared: bool) -> list[str]:
    reported = point.test if curve.reported == "test" else point.validation
    score = reported.get(curve.score)
    train = point.train.get(curve.score)
    gaps = [
        change_text(metric, gap.mean, unit=metric != curve.score) if (gap := point.gap.get(metric)) else "-"
        for metric in (curve.score, curve.loss)
    ]
    level = "-" if score is None else score_text(curve.score, score.mean)
    band = "" if score is None else known(range_text(curve.score, score.low, score.high))
    figures = ["-" if train is None else score_text(curve.score, train.mean), f"{level} {band}".rstrip(), *gaps]
    if not compared:
        return figures
    found = point.differences.get(curve.reported, {}).get(curve.score)
    if found is None:
        return [*figures, "-"]
    interval = known(interval_text(curve.score, found.low, found.high))
    return [*figures, f"{change_text(curve.score, found.mean, unit=False)} {interval}".rstrip()]


def curve_summary(curve: CurveReport) -> str:
    """The lines below the table."""
    lines = []
    for preset in curve.presets:
        law = preset.laws.get(curve.score)
        if law is not None:
            lines.append(f"Labels      {law.words.replace('`', '')}")
            if law.labels is not None and law.outlook == "too wide":
                lines.append(f"            {labels_text(curve.score, law.labels)}")
    lines += [f"Longer      {text}" for text in curve.longer]
    lines += [f"Mind        {text.replace('`', '')}" for text in curve.caveats]
    lines += [f"Failed      {text}" for text in failures(curve)]
    return "\n".join(lines)


def known(interval: str) -> str:
    """An interval, or nothing instead of a dash."""
    return "" if interval == "-" else interval
