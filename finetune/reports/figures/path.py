"""The path of a sweep: score, gap, loss and weights by value; regions shaded, the choice marked."""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from finetune.advice.sweep import TOO_LITTLE, TOO_MUCH
from finetune.measurement.units import Scale, is_number, number_text, percent_text
from finetune.records.report import Summary
from finetune.records.sweep import SweepPoint, SweepReport
from finetune.reports.captions import sentence
from finetune.reports.figures.canvas import axes, limits, plain, possible_ends
from finetune.reports.figures.picture import Panel, Picture
from finetune.reports.numbers import scale_of
from finetune.reports.palette import BLACK, BLUE, GREEN, GREY, MUTED, VERMILION, ZERO, Mark, Palette
from finetune.reports.sweep import value_text, zero_part

WIDTH, HEIGHT = 420, 320
BOX = (50, 14, 30, 46)
TRAIN: Any = (0, (4, 2))
APART = 0.35  # of the width between two values: how far 0 stands before the first one on a logarithmic axis

SINGLE = Mark(GREEN, "o")


def path(sweep: SweepReport, palette: Palette) -> Picture:
    """Panels with a common axis of values: the score, its gap, the loss, and what happened to the weights."""
    if not any(point.train for point in sweep.points):
        return Picture([])
    score, loss = scale_of(sweep, sweep.score), scale_of(sweep, sweep.loss)
    zeros = zero_part(sweep)
    drawn: list[tuple[str, str, Callable[..., None]]] = [
        (_by(sweep, score.name), levels_text(sweep, score), partial(_draw_levels, scale=score)),
        (_by(sweep, f"gap of {score.name}"), gaps_text(sweep, score), partial(_draw_gaps, scale=score)),
        (_by(sweep, loss.name), levels_text(sweep, loss), partial(_draw_levels, scale=loss)),
    ]
    if any(point.weights for point in sweep.points):
        drawn.append((_by(sweep, "the weights"), weights_text(sweep, zeros), partial(_draw_weights, zeros=zeros)))
    panels = [
        Panel(title, text, WIDTH, HEIGHT, partial(draw, sweep=sweep, palette=palette)) for title, text, draw in drawn
    ]
    names = [line for line in dict.fromkeys(point.line for point in sweep.points) if line]
    ink, train = (MUTED.light, MUTED.light) if names else (SINGLE.ink.light, GREY.light)
    lines: list[tuple[dict[str, Any], str]] = [
        ({"color": ink, "linewidth": 2}, "validation"),
        ({"color": train, "linewidth": 1.4, "linestyle": TRAIN}, "train (sample)"),
    ]
    if any(summary.low is not None for point in sweep.points for summary in point.validation.values()):
        lines.append(({"color": ink, "linewidth": 8, "alpha": 0.18}, "95 % interval"))
    for verdicts, color, words in ((TOO_LITTLE, VERMILION, "overfits"), (TOO_MUCH, BLUE, "underfits")):
        if any(point.verdict in verdicts for point in _of_chosen(sweep)):
            lines.append(({"color": color.light, "linewidth": 8, "alpha": 0.15}, words))
    if sweep.chosen is not None:
        lines.append(({"color": BLACK.light, "linewidth": 1.2, "linestyle": ":"}, "chosen by validation"))
    return Picture(panels, columns=2, presets=names, lines=lines)


def _mark(line: str, palette: Palette) -> Mark:
    """Of a line; a single one has none of its own in the palette."""
    return palette[line] if line else SINGLE


def _by(sweep: SweepReport, what: str) -> str:
    return f"{sentence(what)} by {sweep.keys[0]}"


def _in_words(sweep: SweepReport, text: Callable[[SweepPoint], str]) -> str:
    return f"{'; '.join(f'{point.name}: {text(point)}' for point in sweep.points)}."


def levels_text(sweep: SweepReport, scale: Scale) -> str:
    """Train and validation of every point, in words."""

    def of(point: SweepPoint) -> str:
        train, validation = (_mean(numbers, scale.metric) for numbers in (point.train, point.validation))
        return f"train {scale.level(train)}, validation {scale.level(validation)}"

    return _in_words(sweep, of)


def gaps_text(sweep: SweepReport, scale: Scale) -> str:
    """The gap of every point, in words."""
    return _in_words(sweep, lambda point: scale.change(_mean(point.gap, scale.metric)))


def weights_text(sweep: SweepReport, zeros: str | None) -> str:
    """Exact zeros or norms of every point, in words."""

    def of(point: SweepPoint) -> str:
        if zeros is not None:
            found = point.weights.get(zeros)
            return f"{percent_text(None if found is None else found.zero_share, 1)} of the {zeros} exactly 0"
        return ", ".join(f"{part} norm {number_text(group.norm, 2)}" for part, group in point.weights.items())

    return _in_words(sweep, of)


def _mean(numbers: dict[str, Summary], metric: str) -> float | None:
    return numbers[metric].mean if metric in numbers else None


def _of_chosen(sweep: SweepReport) -> list[SweepPoint]:
    """The points on the line of the chosen one: regions are shaded for it alone."""
    chosen = next((point for point in sweep.points if sweep.chosen and point.name == sweep.chosen.name), None)
    return [point for point in sweep.points if chosen is None or point.line == chosen.line]


def _lines(sweep: SweepReport) -> dict[str, list[SweepPoint]]:
    lines: dict[str, list[SweepPoint]] = {}
    for point in sweep.points:
        lines.setdefault(point.line, []).append(point)
    return lines


class _Axis:
    """Where values stand: numbers by themselves, 0 apart on a logarithmic axis, names one after the other."""

    def __init__(self, sweep: SweepReport) -> None:
        self.sweep, self.is_log = sweep, sweep.axis == "log"
        self.values = list(dict.fromkeys(point.values[sweep.keys[0]] for point in sweep.points))
        numbers = sorted(value for value in self.values if _is_positive(value))
        self.first = numbers[0] if numbers else 1.0
        step = (numbers[-1] / numbers[0]) ** (1 / max(1, len(numbers) - 1)) if numbers else 10.0
        self.zero = self.first / step ** (1 + APART)
        self.step = step

    def place(self, point: SweepPoint) -> float:
        value = point.values[self.sweep.keys[0]]
        if self.sweep.axis == "names":
            return float(self.values.index(value))
        if _is_positive(value):
            return float(value)
        return self.zero if self.is_log else 0.0

    def places(self) -> list[float]:
        return sorted({self.place(point) for point in self.sweep.points})

    def borders(self) -> list[float]:
        """Borders between the regions of neighbouring points: half-way between them, and as far beyond the ends."""
        places = self.places()
        middle = (lambda a, b: (a * b) ** 0.5) if self.is_log else (lambda a, b: (a + b) / 2)
        inner = [middle(a, b) for a, b in itertools.pairwise(places)]
        if not inner:
            return [places[0] * 0.9, places[0] * 1.1] if places[0] else [-0.5, 0.5]
        if self.is_log:
            return [places[0] ** 2 / inner[0], *inner, places[-1] ** 2 / inner[-1]]
        return [2 * places[0] - inner[0], *inner, 2 * places[-1] - inner[-1]]

    def finish(self, plot: Any) -> None:
        borders, places = self.borders(), self.places()
        if self.is_log:
            plot.set_xscale("log")
        plot.set_xlim(borders[0], borders[-1])
        labels = {self.place(point): value_text(point.values[self.sweep.keys[0]]) for point in self.sweep.points}
        kept = places if len(places) <= 9 else [places[0], *places[1:-1][:: -(-len(places) // 8)], places[-1]]
        plot.set_xticks(kept, labels=[plain(labels[place], 12) for place in kept])
        plot.set_xticks([], minor=True)
        scale = (
            " (log scale; 0 apart)" if self.is_log and self.zero in places else " (log scale)" if self.is_log else ""
        )
        plot.set_xlabel(f"{plain(self.sweep.keys[0], 40)}{scale}", labelpad=6)
        if self.is_log and self.zero in places:
            plot.axvline(borders[1], color=ZERO.light, linewidth=0.8, linestyle=(0, (1, 3)))


def _is_positive(value: object) -> bool:
    return is_number(value) and value > 0


def _shade(plot: Any, sweep: SweepReport, axis: _Axis) -> None:
    """Regions of too little and too much, and a line at the choice."""
    borders = axis.borders()
    places = axis.places()
    for point in _of_chosen(sweep):
        number = places.index(axis.place(point))
        color = VERMILION if point.verdict in TOO_LITTLE else BLUE if point.verdict in TOO_MUCH else None
        if color is not None:
            plot.axvspan(borders[number], borders[number + 1], color=color.light, alpha=0.08, linewidth=0, zorder=0)
        if sweep.chosen is not None and point.name == sweep.chosen.name:
            plot.axvline(places[number], color=BLACK.light, linewidth=1.2, linestyle=":", zorder=1)


def _plot(paper: Any, sweep: SweepReport) -> tuple[Any, _Axis]:
    plot, axis = axes(paper, (WIDTH, HEIGHT), BOX), _Axis(sweep)
    _shade(plot, sweep, axis)
    return plot, axis


def _finish(plot: Any, axis: _Axis, span: tuple[float, float], title: str) -> None:
    axis.finish(plot)
    plot.set_ylim(*span)
    plot.text(0, 1.03, title, transform=plot.transAxes, color=BLACK.light, va="bottom")


def _draw_levels(paper: Any, scale: Scale, sweep: SweepReport, palette: Palette) -> None:
    plot, axis = _plot(paper, sweep)
    values: list[float | None] = []
    for line, points in _lines(sweep).items():
        mark = _mark(line, palette)
        values += _draw_line(plot, axis, points, "train", scale, mark if line else Mark(GREY, mark.shape), TRAIN)
        values += _draw_line(plot, axis, points, "validation", scale, mark, "-")
    span = limits(values, possible=possible_ends(scale))
    _finish(plot, axis, span, f"{sentence(scale.title)}: validation, train (sample)")


def _draw_gaps(paper: Any, scale: Scale, sweep: SweepReport, palette: Palette) -> None:
    plot, axis = _plot(paper, sweep)
    values: list[float | None] = [0.0]
    for line, points in _lines(sweep).items():
        values += _draw_line(plot, axis, points, "gap", scale, _mark(line, palette), "-")
    plot.axhline(0, color=ZERO.light, linewidth=1)
    span = limits(values, possible=possible_ends(scale, 1))
    _finish(plot, axis, span, f"Gap of {scale.change_title} (positive: overfitting)")


def _draw_line(
    plot: Any, axis: _Axis, points: Sequence[SweepPoint], kind: str, scale: Scale, mark: Any, style: Any
) -> list[float | None]:
    """Mean, band and seeds of one line; 0 on a logarithmic axis is not joined. Returns what must be in sight."""
    known = [(point, getattr(point, kind).get(scale.metric)) for point in points]
    column = [(axis.place(point), found) for point, found in known if found is not None and found.mean is not None]
    if not column:
        return []
    places, means = [place for place, _ in column], [scale.scaled(found.mean) for _, found in column]
    color, measured = mark.ink.light, kind != "train"
    joined = [number for number, place in enumerate(places) if not (axis.is_log and place == axis.zero)]
    width = 2 if measured else 1.4
    plot.plot([places[i] for i in joined], [means[i] for i in joined], color=color, linestyle=style, linewidth=width)
    plot.plot(places, means, mark.shape, color=color, markersize=6 if measured else 4, zorder=4)
    bands = [(place, scale.scaled(found.low), scale.scaled(found.high)) for place, found in column]
    banded = [band for band in bands if band[1] is not None and band[2] is not None]
    together = [band for band in banded if not (axis.is_log and band[0] == axis.zero)]
    if together:
        plot.fill_between(*(list(part) for part in zip(*together, strict=True)), color=color, alpha=0.14, linewidth=0)
    for place, low, high in banded:
        if axis.is_log and place == axis.zero:
            plot.plot([place, place], [low, high], color=color, linewidth=6, alpha=0.2, solid_capstyle="butt")
    seeds = [(place, scale.scaled(value)) for place, found in column for value in found.values]
    if measured and len(seeds) > len(column):
        plot.plot(*zip(*seeds, strict=True), ".", color=color, markersize=4, alpha=0.5, markeredgewidth=0)
    return [*means, *(end for _, low, high in banded for end in (low, high)), *(value for _, value in seeds)]


def _draw_weights(paper: Any, zeros: str | None, sweep: SweepReport, palette: Palette) -> None:
    plot, axis = _plot(paper, sweep)
    values: list[float | None] = [0.0]
    for line, points in _lines(sweep).items():
        mark = _mark(line, palette)
        for part, style in ((zeros, "-"),) if zeros else (("encoder", "-"), ("head", TRAIN)):
            found = [(axis.place(each), _weight(sweep, each, part, zeros)) for each in points if part in each.weights]
            joined = [pair for pair in found if not (axis.is_log and pair[0] == axis.zero)]
            if found:
                plot.plot(*zip(*joined, strict=True), color=mark.ink.light, linestyle=style, linewidth=1.8)
                plot.plot(*zip(*found, strict=True), mark.shape, color=mark.ink.light, markersize=5)
                values += [value for _, value in found]
    title = f"Weights of the {zeros} that are exactly 0, %" if zeros else "Norm of the weights, % of the first point's"
    span = limits(values, possible=(0.0, 100.0 if zeros else math.inf))
    _finish(plot, axis, span, title if zeros else f"{title} (dashed: head)")


def _weight(sweep: SweepReport, point: SweepPoint, part: str, zeros: str | None) -> float:
    """Per cent of weights that are 0, or of the norm of the first point."""
    if zeros is not None:
        return 100 * point.weights[part].zero_share
    first = next(each.weights[part].norm for each in sweep.points if part in each.weights)
    return 100 * point.weights[part].norm / first if first else 0.0
