"""Score and gap against the number of training rows: a line per preset, bands over seeds and rows, and a dotted fit."""

from functools import partial
from typing import Any

from finetune.measurement.units import Scale, count_text
from finetune.records.curve import CurveReport, LawPoint, Point, PresetCurve
from finetune.records.report import Summary
from finetune.reports.captions import sentence
from finetune.reports.figures.canvas import axes, limits, possible_ends
from finetune.reports.figures.picture import Panel, Picture
from finetune.reports.numbers import scale_of
from finetune.reports.palette import BLACK, MUTED, ZERO, Palette

WIDTH, HEIGHT = 420, 340
BOX = (50, 14, 26, 44)
TRAIN: Any = (0, (4, 2))
FIT: Any = (0, (1.5, 1.5))


def learning(curve: CurveReport, metric: str, palette: Palette) -> Picture:
    """Two panels with a logarithmic axis of rows: the metric, also on the train sample, and its gap."""
    shown = [preset for preset in curve.presets if any(metric in point.gap for point in preset.points)]
    if not shown:
        return Picture([])
    scale = scale_of(curve, metric)
    panels = [
        Panel(
            f"{sentence(scale.name)} by training rows",
            score_text(curve, metric),
            WIDTH,
            HEIGHT,
            partial(_draw_levels, curve=curve, shown=shown, scale=scale, palette=palette),
        ),
        Panel(
            f"Gap of {scale.name} by training rows",
            gap_text(curve, metric),
            WIDTH,
            HEIGHT,
            partial(_draw_gaps, curve=curve, shown=shown, scale=scale, palette=palette),
        ),
    ]
    ink = MUTED.light
    lines: list[tuple[dict[str, Any], str]] = [
        ({"color": ink, "linewidth": 2}, curve.reported),
        ({"color": ink, "linewidth": 1.4, "linestyle": TRAIN}, "train (sample)"),
    ]
    if any(summary.low is not None for preset in shown for _, summary in _column(preset, curve.reported, metric)):
        lines.append(({"color": ink, "linewidth": 8, "alpha": 0.18}, "95 % interval"))
    if any(metric in preset.laws for preset in shown):
        lines.append(({"color": ink, "linewidth": 1.4, "linestyle": FIT}, "power-law fit"))
    return Picture(panels, columns=2, presets=[preset.name for preset in shown], lines=lines)


def score_text(curve: CurveReport, metric: str) -> str:
    """The numbers of the first panel in words."""
    scale = scale_of(curve, metric)
    return _in_words(curve, metric, curve.reported, lambda summary: scale.level(summary.mean))


def gap_text(curve: CurveReport, metric: str) -> str:
    """The numbers of the second panel in words."""
    scale = scale_of(curve, metric)
    return _in_words(curve, metric, "gap", lambda summary: scale.change(summary.mean))


def _in_words(curve: CurveReport, metric: str, kind: str, text: Any) -> str:
    parts = []
    for preset in curve.presets:
        numbers = [f"{text(summary)} at {size:,}" for size, summary in _column(preset, kind, metric)]
        if numbers:
            parts.append(f"{preset.name}: {', '.join(numbers)}")
    return f"{'; '.join(parts)} ({count_text(len(curve.seeds), 'seed')})."


def _column(preset: PresetCurve, kind: str, metric: str) -> list[tuple[int, Summary]]:
    """Size and number, where there is one."""
    summaries = [(point.size, _scores(point, kind).get(metric)) for point in preset.points]
    return [(size, summary) for size, summary in summaries if summary is not None and summary.mean is not None]


def _scores(point: Point, kind: str) -> dict[str, Summary]:
    scores: dict[str, Summary] = getattr(point, kind)
    return scores


def _draw_levels(paper: Any, curve: CurveReport, shown: list[PresetCurve], scale: Scale, palette: Palette) -> None:
    plot = axes(paper, (WIDTH, HEIGHT), BOX)
    values: list[float | None] = []
    for preset in shown:
        mark = palette[preset.name]
        values += _draw_column(plot, preset, curve.reported, scale, mark, "-")
        values += _draw_column(plot, preset, "train", scale, mark, TRAIN)
        law = preset.laws.get(scale.metric)
        if law is not None:
            values += _draw_fit(plot, law.line, curve.sizes[-1], scale, mark.ink.light)
    ahead = any(scale.metric in preset.laws for preset in shown)
    title = f"{sentence(scale.title)}: {curve.reported}, train (sample)"
    _finish(plot, curve, limits(values, possible=possible_ends(scale)), title, 5 if ahead else 1)
    if ahead:
        plot.axvline(curve.sizes[-1], color=ZERO.light, linewidth=0.8)
        plot.text(
            curve.sizes[-1] * 1.06,
            0.015,
            "extrapolated →",
            transform=plot.get_xaxis_transform(),
            fontsize=9,
            color=MUTED.light,
            va="bottom",
        )


def _draw_gaps(paper: Any, curve: CurveReport, shown: list[PresetCurve], scale: Scale, palette: Palette) -> None:
    plot = axes(paper, (WIDTH, HEIGHT), BOX)
    values: list[float | None] = [0.0]
    for preset in shown:
        values += _draw_column(plot, preset, "gap", scale, palette[preset.name], "-")
    plot.axhline(0, color=ZERO.light, linewidth=1)
    title = f"Gap of {scale.change_title} (positive: overfitting)"
    _finish(plot, curve, limits(values, possible=possible_ends(scale, 1)), title, 1)


def _draw_column(plot: Any, preset: PresetCurve, kind: str, scale: Scale, mark: Any, style: Any) -> list[float | None]:
    """Mean, band and seeds; returns what must be in sight."""
    column = _column(preset, kind, scale.metric)
    if not column:
        return []
    sizes = [size for size, _ in column]
    means = [scale.scaled(summary.mean) for _, summary in column]
    color, measured = mark.ink.light, kind != "train"
    plot.plot(sizes, means, color=color, linestyle=style, linewidth=2 if measured else 1.4, zorder=3)
    plot.plot(
        sizes, means, mark.shape, color=color, markersize=6 if measured else 4, zorder=4, alpha=1 if measured else 0.7
    )
    known = [(size, scale.scaled(summary.low), scale.scaled(summary.high)) for size, summary in column]
    banded = [(size, low, high) for size, low, high in known if low is not None and high is not None]
    if banded:
        plot.fill_between(*(list(part) for part in zip(*banded, strict=True)), color=color, alpha=0.14, linewidth=0)
    seeds = [(size, scale.scaled(value)) for size, summary in column for value in summary.values]
    if measured and len(seeds) > len(column):
        plot.plot(*zip(*seeds, strict=True), ".", color=color, markersize=4, alpha=0.5, markeredgewidth=0)
    return [*means, *(end for _, low, high in banded for end in (low, high))]


def _draw_fit(plot: Any, line: list[LawPoint], largest: int, scale: Scale, color: str) -> list[float | None]:
    """The fit over the measured sizes and beyond; its band only where it is extrapolated."""
    plot.plot([p.size for p in line], [scale.scaled(p.value) for p in line], color=color, linestyle=FIT, linewidth=1.4)
    beyond = [p for p in line if p.size >= largest and p.low is not None and p.high is not None]
    if beyond:
        lows, highs = ([scale.scaled(getattr(p, end)) for p in beyond] for end in ("low", "high"))
        plot.fill_between([p.size for p in beyond], lows, highs, color=color, alpha=0.09, linewidth=0)
    ends = [(beyond[-1].low, beyond[-1].high)] if beyond else []
    return [scale.scaled(value) for value in (line[-1].value, *(end for pair in ends for end in pair))]


def _finish(plot: Any, curve: CurveReport, span: tuple[float, float], title: str, ahead: int) -> None:
    """A logarithmic axis with the sizes as its ticks, and everything in sight."""
    plot.set_xscale("log")
    plot.set_xlim(curve.sizes[0] / 1.15, curve.sizes[-1] * ahead * 1.15)
    largest = curve.sizes[-1]
    ticks = [*curve.sizes, *(factor * largest for factor in (2, 5) if ahead > 1)]
    plot.set_xticks(_apart(ticks), labels=[f"{tick:,}" for tick in _apart(ticks)])
    plot.set_xticks([], minor=True)
    plot.set_ylim(*span)
    plot.set_xlabel("Training rows (log scale)", labelpad=6)
    plot.text(0, 1.02, title, transform=plot.transAxes, color=BLACK.light, va="bottom")


def _apart(ticks: list[int]) -> list[int]:
    """Ticks whose labels do not touch; the largest size measured stays with the rest as far as there is room."""
    room = (ticks[-1] / ticks[0]) ** (1 / 9)
    kept = [ticks[-1]]
    for tick in reversed(ticks[:-1]):
        if kept[-1] / tick >= room:
            kept.append(tick)
    return kept[::-1]
