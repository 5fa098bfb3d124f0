"""Score against training time: what a better score costs."""

from typing import Any

from finetune.measurement.units import Scale
from finetune.records.report import Group, Summary, VariantReport
from finetune.reports.captions import cost_text, relative_time, sentence
from finetune.reports.figures.canvas import axes, limits, possible_ends
from finetune.reports.figures.picture import Panel, Picture
from finetune.reports.numbers import finished, scale_of
from finetune.reports.palette import MUTED, Palette

WIDTH, HEIGHT = 380, 290


def cost(group: Group, palette: Palette) -> Picture:
    """x: training time as a multiple of the baseline's; y: the score of the reported split, with its interval."""
    scale = scale_of(group, group.score)
    points = [
        (variant, time, score)
        for variant in finished(group)
        if (time := relative_time(group, variant)) is not None
        and (score := group.reported_scores(variant).get(group.score)) is not None
        and score.mean is not None
    ]

    def draw(paper: Any) -> None:
        plot = axes(paper, (WIDTH, HEIGHT), (52, 12, 22, 44))
        ends: list[float | None] = []
        for variant, time, score in points:
            _draw_point(plot, variant, time, score, palette, scale)
            ends += [scale.scaled(value) for value in (score.mean, score.low, score.high)]
        plot.set_ylim(*limits(ends, 0.09, possible_ends(scale)))
        times = [time for _, time, _ in points]
        plot.set_xlim(0, 1.12 * max(times))
        plot.set_xlabel("Training time, multiple of the baseline's", labelpad=6)
        title = f"{sentence(group.reported)} {scale.title}"
        plot.text(0, 1.02, title, transform=plot.transAxes, color=MUTED.light, va="bottom")
        plot.text(0.02, 0.98, "↖ better", transform=plot.transAxes, color=MUTED.light, va="top", style="italic")

    title = f"{sentence(group.reported)} {scale.name} against training time"
    has_interval = any(score.low is not None for _, _, score in points)
    lines: list[tuple[dict[str, Any], str]] = [({"color": MUTED.light, "linewidth": 1.4}, "95 % interval")]
    panels = [Panel(title, cost_text(group), WIDTH, HEIGHT, draw)] if len(points) > 1 else []
    return Picture(panels, presets=[variant.name for variant, _, _ in points], lines=lines if has_interval else [])


def _draw_point(plot: Any, variant: VariantReport, time: float, score: Summary, palette: Palette, scale: Scale) -> None:
    mark = palette[variant.name]
    low, high = scale.scaled(score.low), scale.scaled(score.high)
    if low is not None and high is not None:
        plot.plot((time, time), (low, high), color=mark.ink.light, linewidth=1.4, solid_capstyle="butt")
    plot.plot([time], [scale.scaled(score.mean)], mark.shape, color=mark.ink.light, markersize=9)
