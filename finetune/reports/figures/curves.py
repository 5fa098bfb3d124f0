"""Learning curves: a panel per preset, score above and loss below, the gap tinted."""

import statistics
from functools import partial
from typing import Any

from finetune.measurement.units import Scale
from finetune.records.report import Curve, Group, VariantReport
from finetune.reports.captions import curve_text, sentence
from finetune.reports.figures.canvas import axes, limits, plain, possible_ends
from finetune.reports.figures.picture import Panel, Picture
from finetune.reports.numbers import scale_of, shorten
from finetune.reports.palette import BLACK, MUTED, Palette

WIDTH, HEIGHT = 236, 330
MOST_LINES = 30  # runs of a preset with lines of their own: more are a smear, and megabytes; means are of all
SPLITS: tuple[tuple[str, Any], ...] = (("train", "-"), ("validation", (0, (4, 2))))


def curves(group: Group, palette: Palette) -> Picture:
    """Train sample solid, validation dashed; seeds thin, their mean thick up to the step that all of them reach."""
    scales = (scale_of(group, group.score), scale_of(group, group.loss))
    shown = [variant for variant in group.variants if variant.curves]
    steps = max((curve.steps[-1] for v in shown for curve in v.curves if curve.steps), default=1)
    ranges = [_range(shown, scale) for scale in scales]
    panels = [
        Panel(
            f"Learning curves of {shorten(variant.name, 60)}",
            curve_text(group, variant),
            WIDTH,
            HEIGHT,
            partial(_draw, variant=variant, scales=scales, ranges=ranges, steps=steps, palette=palette),
        )
        for variant in shown
    ]
    ink = MUTED.light
    lines: list[tuple[dict[str, Any], str]] = [
        ({"color": ink, "linewidth": 2}, "train (sample)"),
        ({"color": ink, "linewidth": 2, "linestyle": SPLITS[1][1]}, "validation"),
        ({"color": ink, "linewidth": 0.7}, _one_run(max((len(variant.curves) for variant in shown), default=0))),
        ({"color": ink, "linewidth": 8, "alpha": 0.18}, "gap"),
        ({"color": ink, "marker": "o", "linestyle": "none", "markerfacecolor": "none"}, "selected step"),
    ]
    return Picture(panels, columns=4, lines=lines)


def _one_run(runs: int) -> str:
    return "one run" if runs <= MOST_LINES else f"one run (the first {MOST_LINES} of {runs:,})"


def _range(shown: list[VariantReport], scale: Scale) -> tuple[float, float]:
    values = [
        scale.scaled(value)
        for variant in shown
        for curve in variant.curves
        for split in (curve.train, curve.validation)
        for value in split.get(scale.metric, [])
    ]
    return limits(values, possible=possible_ends(scale))


def _draw(paper: Any, variant: VariantReport, scales: Any, ranges: Any, steps: int, palette: Palette) -> None:
    paper.text(36 / WIDTH, 1 - 7 / HEIGHT, plain(variant.name), va="top", fontsize=12, weight="bold", color=BLACK.light)
    boxes = ((36, 8, 40, 176), (36, 8, 184, 36))
    for scale, range_, box in zip(scales, ranges, boxes, strict=True):
        plot = axes(paper, (WIDTH, HEIGHT), box)
        _draw_metric(plot, variant.curves, scale, palette[variant.name].ink.light)
        plot.set_xlim(0, steps * 1.02)
        plot.set_ylim(*range_)
        plot.locator_params(nbins=4)
        plot.tick_params(labelbottom=scale is scales[-1])
        plot.text(0, 1.03, sentence(scale.title), transform=plot.transAxes, color=MUTED.light, va="bottom", fontsize=10)
    plot.set_xlabel("Training step", fontsize=10, labelpad=3)


def _draw_metric(plot: Any, runs: list[Curve], scale: Scale, color: str) -> None:
    common = _common_steps(runs)
    means = []
    for split, style in SPLITS:
        for run in runs[:MOST_LINES]:
            steps, values = _known(run, split, scale)
            thin = 1.6 if len(runs) == 1 else 0.7
            plot.plot(steps, values, color=color, linestyle=style, linewidth=thin, alpha=1 if len(runs) == 1 else 0.55)
        means.append(_mean_curve(runs, split, scale, common))
    if len(runs) > 1 and common:
        for mean, (_, style) in zip(means, SPLITS, strict=True):
            plot.plot(*mean, color=color, linestyle=style, linewidth=2)
    train, validation = (dict(zip(*mean, strict=True)) for mean in means)
    both = sorted(train.keys() & validation.keys())
    plot.fill_between(both, [train[x] for x in both], [validation[x] for x in both], color=color, alpha=0.14, lw=0)
    _draw_selected(plot, runs[:MOST_LINES], scale, color)


def _draw_selected(plot: Any, runs: list[Curve], scale: Scale, color: str) -> None:
    for run in runs:
        value = dict(zip(*_known(run, "validation", scale), strict=True)).get(run.selected_step)
        if value is not None:
            plot.plot([run.selected_step], [value], "o", color=color, markersize=5, markerfacecolor="none", zorder=4)


def _common_steps(runs: list[Curve]) -> list[int]:
    """Steps that every run measured: beyond the first end of a line there is no mean of all."""
    return sorted(set.intersection(*(set(run.steps) for run in runs)))


def _known(run: Curve, split: str, scale: Scale) -> tuple[list[int], list[float]]:
    values = [scale.scaled(value) for value in getattr(run, split).get(scale.metric, [])]
    known = [(step, value) for step, value in zip(run.steps, values, strict=False) if value is not None]
    return [step for step, _ in known], [value for _, value in known]


def _mean_curve(runs: list[Curve], split: str, scale: Scale, steps: list[int]) -> tuple[list[int], list[float]]:
    by_run = [dict(zip(*_known(run, split, scale), strict=True)) for run in runs]
    kept = [step for step in steps if all(step in values for values in by_run)]
    return kept, [statistics.mean(values[step] for values in by_run) for step in kept]
