"""Score against gap: which presets no other one beats on both."""

from typing import Any

from finetune.measurement.units import Scale
from finetune.records.report import Group, Summary, VariantReport
from finetune.reports.captions import frontier_text, has_intervals, sentence
from finetune.reports.figures.canvas import MARK, axes, limits, possible_ends
from finetune.reports.figures.picture import Panel, Picture
from finetune.reports.numbers import finished, mean_of, scale_of
from finetune.reports.palette import MUTED, ZERO, Palette

WIDTH, HEIGHT = 380, 330
LEAST_SPAN = 0.04  # of an axis: closer up, the noise of a few rows would look like a difference


def frontier(group: Group, palette: Palette) -> Picture:
    """x: gap of the main score, y: its validation value; test as hollow marks, a dot per run, a cross of intervals."""
    shown = [v for v in finished(group) if _mean(v, "gap", group) is not None]
    scale = scale_of(group, group.score)

    def draw(paper: Any) -> None:
        plot = axes(paper, (WIDTH, HEIGHT), (52, 12, 22, 44))
        points = {variant.name: _point(variant, group, scale) for variant in shown}
        for variant in shown:
            _draw_runs(plot, group, variant, palette, scale)
        for variant in shown:
            if variant.baseline in points:
                _draw_arrow(plot, points[variant.baseline], points[variant.name])
        for variant in shown:
            _draw_mean(plot, group, variant, palette, scale)
        _finish(plot, scale, shown, group)

    hollow: dict[str, Any] = {"marker": "o", "linestyle": "none", "color": MUTED.light, "markerfacecolor": "none"}
    dots: dict[str, Any] = {"marker": ".", "linestyle": "none", "color": MUTED.light}
    interval: dict[str, Any] = {"color": MUTED.light, "linewidth": 1.4}
    lines = [(dots, "one run")] if any(len(v.gap[group.score].values) > 1 for v in shown) else []
    lines += [(interval, "95 % interval")] if has_intervals(group) else []
    if group.reported == "test":
        lines.append((hollow, "test"))
    panel = Panel(f"{sentence(scale.name)}: validation value against gap", frontier_text(group), WIDTH, HEIGHT, draw)
    return Picture([panel] if shown else [], presets=[v.name for v in shown], lines=lines)


def _mean(variant: VariantReport, of: str, group: Group) -> float | None:
    summaries: dict[str, Summary] = getattr(variant, of)
    return mean_of(summaries, group.score)


def _point(variant: VariantReport, group: Group, scale: Scale) -> tuple[float | None, float | None]:
    return scale.scaled(_mean(variant, "gap", group)), scale.scaled(_mean(variant, "validation", group))


def _alpha(variant: VariantReport) -> float:
    return 1.0 if variant.dominated_by is None else 0.45


def _draw_runs(plot: Any, group: Group, variant: VariantReport, palette: Palette, scale: Scale) -> None:
    pairs = zip(variant.gap[group.score].values, variant.validation[group.score].values, strict=False)
    known = [(scale.scaled(x), scale.scaled(y)) for x, y in pairs if x is not None and y is not None]
    if len(known) > 1:
        color, alpha = palette[variant.name].ink.light, 0.6 * _alpha(variant)
        plot.plot(*zip(*known, strict=True), "o", color=color, markersize=3.5, markeredgewidth=0, alpha=alpha)


def _draw_mean(plot: Any, group: Group, variant: VariantReport, palette: Palette, scale: Scale) -> None:
    mark, alpha = palette[variant.name], _alpha(variant)
    x, y = _point(variant, group, scale)
    for summary, across in ((variant.gap[group.score], True), (variant.validation[group.score], False)):
        low, high = scale.scaled(summary.low), scale.scaled(summary.high)
        if low is not None and high is not None:
            line = ((low, high), (y, y)) if across else ((x, x), (low, high))
            plot.plot(*line, color=mark.ink.light, linewidth=1.4, alpha=alpha, solid_capstyle="butt")
    plot.plot([x], [y], mark.shape, color=mark.ink.light, markersize=9, alpha=alpha)
    test = scale.scaled(_mean(variant, "test", group))
    if test is not None:
        hollow: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 1.3}
        plot.plot([x], [test], mark.shape, color=mark.ink.light, markersize=8, alpha=alpha, **hollow)


def _draw_arrow(plot: Any, start: Any, end: Any) -> None:
    style = {"arrowstyle": "->", "color": ZERO.light, "linewidth": 0.8, "shrinkA": 7, "shrinkB": 7}
    plot.annotate("", xy=end, xytext=start, arrowprops=style)


def _finish(plot: Any, scale: Scale, shown: list[VariantReport], group: Group) -> None:
    """Labels, limits that hold every interval, the zero line where it is in sight, and the better corner."""
    for of, set_limits in (("gap", plot.set_xlim), ("validation", plot.set_ylim)):
        values: list[float | None] = []
        for variant in shown:
            for split in ("validation", "test") if of == "validation" else ("gap",):
                summary = getattr(variant, split).get(group.score)
                if summary is not None:
                    ends = [] if split == "test" else [summary.low, summary.high, *summary.values]
                    values += [scale.scaled(value) for value in (summary.mean, *ends)]
        possible = possible_ends(scale, int(of == "gap"))
        set_limits(*_at_least(LEAST_SPAN * scale.factor, limits(values, 0.09, possible), possible))
    if plot.get_xlim()[0] < 0 < plot.get_xlim()[1]:
        plot.axvline(0, color=ZERO.light, linewidth=1)
    unit = f", {scale.unit}" if scale.unit else ""
    plot.set_xlabel(f"{sentence(scale.name)} gap{unit} (overfitting →)", labelpad=6)
    plot.text(0, 1.02, f"Validation {scale.title}", transform=plot.transAxes, color=MUTED.light, va="bottom")
    plot.text(0.02, 0.98, "↖ better", transform=plot.transAxes, color=MUTED.light, va="top", style="italic")


def _at_least(span: float, ends: tuple[float, float], possible: tuple[float, float]) -> tuple[float, float]:
    """Wider ends where they are nearer than `span`, moved so that they stay within what is possible."""
    missing = max(0.0, span - (ends[1] - ends[0])) / 2
    if not missing:
        return ends
    low, high = ends[0] - missing, ends[1] + missing
    move = min(0.0, possible[1] + MARK * span - high) + max(0.0, possible[0] - MARK * span - low)
    return low + move, high + move
