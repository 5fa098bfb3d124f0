"""What training did to the weights: their size, and how far they moved."""

from functools import partial
from typing import Any

from finetune.records.report import Group, VariantReport
from finetune.reports.captions import distance_text, weights_text
from finetune.reports.figures.canvas import Panel, Picture, axes
from finetune.reports.numbers import MAGNITUDES, finished
from finetune.reports.palette import MUTED, Palette

WIDTH, HEIGHT = 310, 260
LAYER = "encoder.layer."


def weights(group: Group, palette: Palette) -> Picture:
    """Distribution of |w| of encoder and head, and the distance from the pretrained weights by layer."""
    shown = [variant for variant in finished(group) if variant.weights]
    panels = [
        Panel(
            f"Magnitude of the weights: {part}",
            weights_text(group, part),
            WIDTH,
            HEIGHT,
            partial(_draw_sizes, part=part, shown=shown, palette=palette),
        )
        for part in ("encoder", "head")
        if any(part in variant.weights for variant in shown)
    ]
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
    return Picture(panels, columns=3, presets=[variant.name for variant in shown])


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
    plot.locator_params(axis="x", integer=True, nbins=6)
    plot.xaxis.set_major_formatter(lambda x, _: f"10{_raised(x)}")
    plot.set_xlabel("|w|", fontsize=10, labelpad=3)
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
