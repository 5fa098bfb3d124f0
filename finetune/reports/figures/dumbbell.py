"""Train ●──● validation, test as a tick: the gap is a length. A panel for PNG, and a small SVG per row for pages."""

from functools import partial
from typing import Any

from markupsafe import Markup

from finetune.measurement.units import MINUS, Scale
from finetune.records.report import Group, VariantReport
from finetune.reports.captions import dumbbell_text, sentence
from finetune.reports.figures.canvas import axes, limits, plain, possible_ends
from finetune.reports.figures.picture import Panel, Picture
from finetune.reports.numbers import finished, mean_of, scale_of, shorten
from finetune.reports.palette import BLACK, MUTED, Palette

WIDTH, ROW, TOP, BOTTOM = 640, 30, 26, 30
ROW_WIDTH, ROW_HEIGHT, EDGE = 200, 24, 8


def dumbbell(group: Group, palette: Palette) -> Picture:
    """All rows on one axis."""
    scale = scale_of(group, group.score)
    height = TOP + BOTTOM + ROW * len(group.variants)
    text = " ".join(f"{shorten(v.name, 60)}: {dumbbell_text(group, v)}" for v in finished(group))
    panel = Panel(
        f"{sentence(scale.name)}: train (sample), validation, test",
        text,
        WIDTH,
        height,
        partial(_draw, group=group, palette=palette),
    )
    ink = MUTED.light
    lines: list[tuple[dict[str, Any], str]] = [
        ({"color": ink, "marker": "o", "linestyle": "none"}, "train (sample)"),
        ({"color": ink, "marker": "o", "linestyle": "none", "markerfacecolor": "none"}, "validation"),
    ]
    if group.reported == "test":
        lines.append(({"color": BLACK.light, "marker": "|", "linestyle": "none", "markeredgewidth": 2}, "test"))
    return Picture([panel] if finished(group) else [], lines=lines)


def _draw(paper: Any, group: Group, palette: Palette) -> None:
    scale, labels = scale_of(group, group.score), [plain(variant.name) for variant in group.variants]
    left = 20 + 7 * max(map(len, labels))
    plot = axes(paper, (WIDTH, TOP + BOTTOM + ROW * len(labels)), (left, 16, TOP, BOTTOM))
    for row, variant in enumerate(group.variants):
        color, points = palette[variant.name].ink.light, _points(group, variant, scale)
        train, validation, test = points
        if train is None or validation is None:
            plot.text(
                0.01, row, "no finished run", transform=plot.get_yaxis_transform(), va="center", color=MUTED.light
            )
            continue
        plot.plot((train, validation), (row, row), color=color, linewidth=3, alpha=0.5, solid_capstyle="butt")
        plot.plot([train], [row], "o", color=color, markersize=9)
        plot.plot([validation], [row], "o", color=color, markersize=9, markerfacecolor="white", markeredgewidth=2)
        if test is not None:
            plot.plot([test], [row], "|", color=BLACK.light, markersize=14, markeredgewidth=2)
    plot.set_yticks(range(len(labels)), labels, color=BLACK.light, fontsize=11)
    plot.set_ylim(len(labels) - 0.5, -0.5)
    plot.set_xlim(*shared_axis(group))
    plot.grid(False, axis="y")
    plot.spines["left"].set_visible(False)
    plot.text(0, 1.02, sentence(scale.title), transform=plot.transAxes, va="bottom", color=MUTED.light)


def shared_axis(group: Group) -> tuple[float, float]:
    """The axis of all rows."""
    scale = scale_of(group, group.score)
    points = [point for variant in group.variants for point in _points(group, variant, scale)]
    return limits(points, 0.03, possible_ends(scale))


def row_svg(group: Group, variant: VariantReport, palette: Palette, prefix: str) -> Markup:
    """One row for the cell of a table; nothing where no run finished."""
    scale, (low, high) = scale_of(group, group.score), shared_axis(group)
    train, validation, test = _points(group, variant, scale)
    if train is None or validation is None:
        return Markup("")
    middle, color = ROW_HEIGHT // 2, f"var(--{palette[variant.name].ink.variable})"
    at = [f"{_place(value, low, high):.1f}" for value in (train, validation)]
    runs = Markup("").join(
        Markup('<circle cx="{:.1f}" cy="{}" r="1.4"/>').format(_place(scaled, low, high), middle + 9)
        for split in (variant.train, variant.validation)
        for value in split[group.score].values
        if len(split[group.score].values) > 1 and (scaled := scale.scaled(value)) is not None
    )
    tick = Markup("")
    if test is not None:
        x = f"{_place(test, low, high):.1f}"
        tick = Markup('<path d="M{} {}v14" stroke="var(--ink)" stroke-width="2"/>').format(x, middle - 7)
    return Markup(
        '<svg viewBox="0 0 {w} {h}" role="img" aria-labelledby="{id}"><title id="{id}">{text}</title>'
        '<path d="M{a} {m}H{b}" stroke="{c}" stroke-width="3" opacity=".5"/><g fill="{c}" opacity=".6">{runs}</g>'
        '<circle cx="{a}" cy="{m}" r="5" fill="{c}"/>'
        '<circle cx="{b}" cy="{m}" r="4.5" fill="var(--paper)" stroke="{c}" stroke-width="2"/>{tick}</svg>'
    ).format(
        w=ROW_WIDTH, h=ROW_HEIGHT, id=prefix, text=dumbbell_text(group, variant), m=middle, c=color, a=at[0], b=at[1],
        runs=runs, tick=tick,
    )  # fmt: skip


def axis_svg(group: Group) -> Markup:
    """The axis above the rows: its ends, rounded inwards, and the middle."""
    low, high = shared_axis(group)
    scale = scale_of(group, group.score)
    ticks = _ticks(low, high)
    digits = 0 if scale.fraction and all(tick == round(tick) for tick in ticks) else 1 if scale.fraction else 2
    marks = Markup("").join(
        Markup('<path d="M{x} 15v5" stroke="var(--zero)"/><text x="{x}" y="11" text-anchor="middle">{t}</text>').format(
            x=f"{_place(tick, low, high):.1f}", t=f"{tick:.{digits}f}".replace("-", MINUS)
        )
        for tick in ticks
    )
    return Markup(
        '<svg viewBox="0 0 {} 20" aria-hidden="true"><path d="M{} 19.5H{}" stroke="var(--zero)"/>{}</svg>'
    ).format(ROW_WIDTH, EDGE, ROW_WIDTH - EDGE, marks)


def _ticks(low: float, high: float) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    return [float(tick) for tick in MaxNLocator(nbins=4).tick_values(low, high) if low <= tick <= high]


def _points(group: Group, variant: VariantReport, scale: Scale) -> tuple[float | None, float | None, float | None]:
    train, validation, test = (
        scale.scaled(mean_of(split, group.score)) for split in (variant.train, variant.validation, variant.test)
    )
    return train, validation, test


def _place(value: float, low: float, high: float) -> float:
    return EDGE + (ROW_WIDTH - 2 * EDGE) * (value - low) / (high - low)
