"""Effects of training on the weights: their size, how many are exactly zero, and how far they moved."""

from functools import partial
from typing import Any

from finetune.records.report import Group, VariantReport
from finetune.reports.captions import distance_text, weights_text
from finetune.reports.figures.canvas import axes, plain
from finetune.reports.figures.picture import Panel, Picture
from finetune.reports.numbers import MAGNITUDES, finished
from finetune.reports.palette import MUTED, ZERO, Palette
from finetune.reports.weight_ratios import has_zeros, magnitude_ratios, ratios_text, zeros_text

WIDTH, HEIGHT = 310, 260
LAYER = "encoder.layer."


def weights(group: Group, palette: Palette) -> Picture:
    """Distribution of |w| of encoder and head (where the lines would nearly coincide: how often a magnitude occurs, as
    a multiple of the baseline), exact zeros, and the distance from the pretrained weights by layer."""
    shown = [variant for variant in finished(group) if variant.weights]
    panels = [
        _sizes(group, part, shown, palette)
        for part in ("encoder", "head")
        if any(part in variant.weights for variant in shown)
    ]
    if has_zeros(shown):
        draw = partial(_draw_zeros, shown=shown, palette=palette)
        panels.append(Panel("Weights that are exactly zero", zeros_text(shown), WIDTH, HEIGHT, draw))
    parts = _layers(shown)
    if any(v.weights[part].distance is not None for v in shown for part in parts if part in v.weights):
        panels.append(
            Panel(
                "Distance from the pretrained weights by layer",
                distance_text(group),
                WIDTH,
                HEIGHT,
                partial(_draw_distances, parts=parts, shown=shown, palette=palette),
            )
        )
    return Picture(panels, columns=3 if len(panels) <= 3 else 2, presets=[variant.name for variant in shown])


def _sizes(group: Group, part: str, shown: list[VariantReport], palette: Palette) -> Panel:
    ratios = magnitude_ratios(shown, group.baseline, part)
    if ratios:
        draw = partial(_draw_ratios, ratios=ratios, part=part, palette=palette)
        text = ratios_text(ratios, group.baseline)
        return Panel(f"Magnitudes of the weights against {group.baseline}: {part}", text, WIDTH, HEIGHT, draw)
    draw = partial(_draw_sizes, part=part, shown=shown, palette=palette)
    return Panel(f"Magnitude of the weights: {part}", weights_text(group, part), WIDTH, HEIGHT, draw)


def _draw_ratios(paper: Any, ratios: dict[str, list[tuple[float, float]]], part: str, palette: Palette) -> None:
    plot = axes(paper, (WIDTH, HEIGHT), (44, 8, 28, 38))
    plot.axhline(1, color=ZERO.light, linewidth=1)
    for name, points in ratios.items():
        x, y = zip(*points, strict=True)
        mark = palette[name]
        plot.plot(x, y, color=mark.ink.light, linewidth=1.4, marker=mark.shape, markersize=4, markevery=3)
    values = [ratio for points in ratios.values() for _, ratio in points]
    room = max(0.02, 1.15 * max(abs(value - 1) for value in values))
    plot.set_ylim(max(0.0, 1 - room), 1 + room)
    _magnitude_axis(plot)
    _title(plot, f"{part.capitalize()}: weights, multiple of baseline")


def _draw_zeros(paper: Any, shown: list[VariantReport], palette: Palette) -> None:
    """A bar for each preset and part."""
    plot = axes(paper, (WIDTH, HEIGHT), (78, 34, 28, 38))
    bars = [(variant, part) for variant in shown for part in ("encoder", "head") if part in variant.weights]
    for number, (variant, part) in enumerate(bars):
        percent = 100 * variant.weights[part].zero_share
        plot.barh(number, percent, 0.7, color=palette[variant.name].ink.light, alpha=1.0 if part == "encoder" else 0.6)
        plot.text(percent, number, f" {percent:.3g}", va="center", fontsize=9, color=MUTED.light)
    plot.set_yticks(range(len(bars)), [f"{plain(variant.name, 8)} {part[0]}" for variant, part in bars])
    plot.set_ylim(len(bars) - 0.4, -0.6)
    plot.set_xlim(left=0)
    plot.set_xlabel("%  (e: encoder, h: head)", fontsize=10, labelpad=3)
    _title(plot, "Weights that are exactly zero")


def _magnitude_axis(plot: Any) -> None:
    plot.locator_params(axis="x", integer=True, nbins=6)
    plot.xaxis.set_major_formatter(lambda x, _: f"10{_raised(x)}")
    plot.set_xlabel("|w|", fontsize=10, labelpad=3)


def _draw_sizes(paper: Any, part: str, shown: list[VariantReport], palette: Palette) -> None:
    plot = axes(paper, (WIDTH, HEIGHT), (36, 8, 28, 38))
    used = [0.0]
    for variant in shown:
        weights_of_part = variant.weights.get(part)
        if weights_of_part is not None and any(weights_of_part.magnitudes):
            mark = palette[variant.name]
            percents = [100 * fraction for fraction in weights_of_part.magnitudes]
            plot.plot(
                MAGNITUDES, percents, color=mark.ink.light, linewidth=1.4, marker=mark.shape, markersize=4, markevery=4
            )
            used += [x for x, percent in zip(MAGNITUDES, percents, strict=False) if percent > 0.02]
    plot.set_xlim(min(used) - 0.25, max(used) + 0.25)
    plot.set_ylim(bottom=0)
    _magnitude_axis(plot)
    _title(plot, f"{part.capitalize()}: fraction of weights, %")


def _draw_distances(paper: Any, parts: list[str], shown: list[VariantReport], palette: Palette) -> None:
    plot = axes(paper, (WIDTH, HEIGHT), (36, 8, 28, 38))
    for variant in shown:
        known = [
            (i, distance)
            for i, part in enumerate(parts)
            if part in variant.weights and (distance := variant.weights[part].distance) is not None
        ]
        if known:
            mark = palette[variant.name]
            x, y = zip(*known, strict=True)
            plot.plot(x, y, color=mark.ink.light, linewidth=1.4, marker=mark.shape, markersize=5)
    every = -(-len(parts) // 8)
    plot.set_xticks(range(0, len(parts), every), [_short(part) for part in parts][::every])
    plot.set_ylim(bottom=0)
    plot.set_xlabel("Encoder layer (e: embeddings)", fontsize=10, labelpad=3)
    _title(plot, "Distance from pretrained, L2")


def _layers(shown: list[VariantReport]) -> list[str]:
    """Embeddings, then the layers from the input up."""
    names = {name for variant in shown for name in variant.weights}
    layers = sorted((n for n in names if n.startswith(LAYER)), key=lambda name: int(name.removeprefix(LAYER)))
    return [*(name for name in ("encoder.embeddings",) if name in names), *layers]


def _short(part: str) -> str:
    return part.removeprefix(LAYER) if part.startswith(LAYER) else "e"


def _raised(exponent: float) -> str:
    return f"{exponent:.0f}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _title(plot: Any, text: str) -> None:
    plot.text(0, 1.03, text, transform=plot.transAxes, color=MUTED.light, va="bottom")
