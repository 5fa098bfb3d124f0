"""What closed the gap: a lower train score, or a higher validation score."""

from functools import partial
from typing import Any

from finetune.measurement.units import Scale
from finetune.records.report import Decomposition, Group
from finetune.reports.captions import decomposition_text, sentence
from finetune.reports.figures.canvas import axes, limits, plain, possible_ends
from finetune.reports.figures.picture import Panel, Picture
from finetune.reports.numbers import scale_of
from finetune.reports.palette import BLACK, MUTED, ZERO, Palette

WIDTH, ROW = 370, 46
TOP, BOTTOM, RIGHT = 30, 42, 14


def decomposition(group: Group, palette: Palette) -> Picture:
    """Two bars per preset, one panel for the score and one for the loss."""
    panels = []
    for metric in (group.score, group.loss):
        parts = [(v.name, v.decomposition[metric]) for v in group.variants if metric in v.decomposition]
        parts = [(name, part) for name, part in parts if part.train_fell.mean is not None]
        if parts:
            scale, height = scale_of(group, metric), TOP + BOTTOM + ROW * len(parts)
            panels.append(
                Panel(
                    f"{sentence(scale.name)}: what closed the gap",
                    decomposition_text(group, metric),
                    WIDTH,
                    height,
                    partial(_draw, parts=parts, scale=scale, palette=palette),
                )
            )
    ink = MUTED.light
    lines: list[tuple[dict[str, Any], str]] = [
        ({"color": ink, "linewidth": 8, "alpha": 0.4}, "train worsened"),
        ({"color": ink, "linewidth": 8}, "validation improved"),
    ]
    if any(part.closed.low is not None for v in group.variants for part in v.decomposition.values()):
        lines.append(({"color": BLACK.light, "linewidth": 1}, "95 % interval"))
    return Picture(panels, columns=2, lines=lines)


def _draw(paper: Any, parts: list[tuple[str, Decomposition]], scale: Scale, palette: Palette) -> None:
    labels = [plain(name, 24) for name, _ in parts]
    left = 24 + 7 * max(map(len, labels))
    plot = axes(paper, (WIDTH, TOP + BOTTOM + ROW * len(parts)), (left, RIGHT, TOP, BOTTOM))
    ends: list[float | None] = [0.0]
    for row, (name, part) in enumerate(parts):
        color = palette[name].ink.light
        for difference, offset, alpha in ((part.train_fell, -0.19, 0.4), (part.validation_rose, 0.19, 1.0)):
            mean, low, high = (scale.scaled(value) for value in (difference.mean, difference.low, difference.high))
            ends += [mean, low, high]
            plot.barh(row + offset, mean or 0, 0.3, color=color, alpha=alpha, linewidth=0)
            if low is not None and high is not None:
                plot.plot((low, high), (row + offset, row + offset), color=BLACK.light, linewidth=1)
    plot.axvline(0, color=ZERO.light, linewidth=1.2)
    plot.set_yticks(range(len(parts)), labels, color=BLACK.light, fontsize=11)
    plot.set_ylim(len(parts) - 0.5, -0.5)
    plot.set_xlim(*limits(ends, possible=possible_ends(scale, 1)))
    plot.grid(False, axis="y")
    plot.spines["left"].set_visible(False)
    plot.set_xlabel("← widens the gap · closes the gap →", labelpad=5)
    paper.text(left / WIDTH, 0.98, sentence(scale.change_title), va="top", color=MUTED.light)
