"""Reliability diagrams: accuracy by confidence."""

from functools import partial
from typing import Any

from finetune.records.report import Group, ReliabilityBin
from finetune.reports.captions import reliability_text
from finetune.reports.figures.canvas import axes, plain
from finetune.reports.figures.picture import Panel, Picture
from finetune.reports.numbers import shorten
from finetune.reports.palette import BLACK, ZERO, Palette

WIDTH, HEIGHT = 236, 250
DIAGONAL = ({"color": ZERO.light, "linestyle": (0, (2, 2))}, "perfectly calibrated")


def reliability(group: Group, palette: Palette) -> Picture:
    """A panel per preset; the area of a dot is its number of predictions."""
    panels = [
        Panel(
            f"Reliability of {shorten(variant.name, 60)}",
            reliability_text(group, variant),
            WIDTH,
            HEIGHT,
            partial(_draw, name=variant.name, bins=variant.reliability, color=palette[variant.name].ink.light),
        )
        for variant in group.variants
        if variant.reliability
    ]
    return Picture(panels, columns=4, lines=[DIAGONAL])


def reliability_of_bins(name: str, text: str, bins: list[ReliabilityBin]) -> Picture:
    """One panel, of a single model; `text` says it in words."""
    draw = partial(_draw, name=name, bins=bins, color=BLACK.light)
    return Picture([Panel(f"Reliability of {name}", text, WIDTH, HEIGHT, draw)], lines=[DIAGONAL])


def _draw(paper: Any, name: str, bins: list[ReliabilityBin], color: str) -> None:
    plot = axes(paper, (WIDTH, HEIGHT), (36, 8, 32, 38))
    paper.text(36 / WIDTH, 1 - 7 / HEIGHT, plain(name), va="top", fontsize=12, weight="bold", color=BLACK.light)
    plot.plot((0, 100), (0, 100), color=ZERO.light, linewidth=1, linestyle=(0, (2, 2)))
    x, y = [100 * part.confidence for part in bins], [100 * part.accuracy for part in bins]
    most = max(part.rows for part in bins) or 1
    plot.plot(x, y, color=color, linewidth=1.2)
    plot.scatter(x, y, s=[8 + 60 * part.rows / most for part in bins], color=color, linewidth=0, alpha=0.75)
    plot.set_xlim(0, 104)
    plot.set_ylim(0, 104)
    plot.set_xticks((0, 50, 100))
    plot.set_yticks((0, 50, 100))
    plot.set_xlabel("Confidence, %", fontsize=10, labelpad=3)
    plot.set_ylabel("Accuracy, %", fontsize=10, labelpad=1)
