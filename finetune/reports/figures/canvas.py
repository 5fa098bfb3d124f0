"""Drawing of the figures: panels of fixed size in px, written as SVG that follows the page's colours, or as PNG."""

import io
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from finetune.measurement.units import Scale, possible_range
from finetune.reports.figures.picture import Panel, Picture
from finetune.reports.numbers import shorten
from finetune.reports.palette import BLACK, GRID, INKS, MUTED, PAPER, ZERO, Palette

MARK = 0.015  # of an axis: half of a mark
DPI = 72  # one unit of the SVG is one px
SETTINGS = {
    "axes.formatter.useoffset": False,  # 1e−6+6.93e−1 beside an axis says nothing
    "svg.fonttype": "none",
    "svg.hashsalt": "finetune",
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere; the page puts its own in its place
    "font.size": 11,
    "text.color": BLACK.light,
    "text.parse_math": False,
    "axes.edgecolor": ZERO.light,
    "axes.facecolor": "none",
    "axes.labelcolor": MUTED.light,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelsize": 11,
    "axes.titlesize": 11,
    "axes.unicode_minus": True,
    "grid.color": GRID.light,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED.light,
    "ytick.color": MUTED.light,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


def axes(paper: Any, panel: tuple[int, int], box: tuple[int, int, int, int]) -> Any:
    """Axes on a figure of `panel` px, with `box` px left free: left, right, top, bottom."""
    (width, height), (left, right, top, bottom) = panel, box
    shape = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    return paper.add_axes(shape)


def to_svg(panel: Panel, prefix: str) -> str:
    """SVG for a page: colours and font are CSS variables, ids start with `prefix`, no width in px."""
    with _settings():
        figure = Figure(figsize=(panel.width / DPI, panel.height / DPI), dpi=DPI)
        figure.patch.set_alpha(0)
        FigureCanvasSVG(figure)
        panel.draw(figure)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _for_page(stream.getvalue(), panel, prefix)


def to_png(picture: Picture, palette: Palette) -> bytes:
    """All panels and the key on white paper, at twice the size."""
    first, columns = picture.panels[0], min(picture.columns, len(picture.panels))
    rows = -(-len(picture.panels) // columns)
    width, height = first.width * columns, first.height * rows
    key = _key_height(picture, width)
    with _settings():
        figure = Figure(figsize=(width / DPI, (height + key) / DPI), dpi=DPI, facecolor=PAPER.light)
        FigureCanvasAgg(figure)
        top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=(height, max(key, 1)), hspace=0).ravel()
        places = top.subfigures(rows, columns, squeeze=False, wspace=0, hspace=0).ravel()
        for place in (top, bottom, *places):
            place.set_facecolor("none")
        for place, panel in zip(places, picture.panels, strict=False):
            panel.draw(place)
        _draw_key(bottom, picture, palette)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=2 * DPI, metadata={"Software": None})
    return stream.getvalue()


def plain(text: str, most: int = 26) -> str:
    """Users' text as a label: short, and safe to show."""
    return shorten(text, most)


@contextmanager
def _settings() -> Iterator[None]:
    """Of this drawing only; a name in a script that the font lacks is drawn as a box, not warned about."""
    with mpl.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph|Matplotlib currently does not support")
        yield


def _key_entries(picture: Picture, palette: Palette) -> list[tuple[dict[str, Any], str]]:
    marks = [
        ({"color": palette[name].ink.light, "marker": palette[name].shape, "linestyle": "none"}, plain(name))
        for name in picture.presets
    ]
    return marks + picture.lines


def _key_columns(picture: Picture, width: int) -> int:
    longest = max(
        (len(text) for text in (*map(plain, picture.presets), *(text for _, text in picture.lines))), default=1
    )
    return max(1, width // (48 + 7 * longest))


def _key_height(picture: Picture, width: int) -> int:
    entries = len(picture.presets) + len(picture.lines)
    return 18 * -(-entries // _key_columns(picture, width)) + 14 if entries else 0


def _draw_key(place: Any, picture: Picture, palette: Palette) -> None:
    from matplotlib.lines import Line2D

    entries = _key_entries(picture, palette)
    if entries:
        width = round(place.bbox.width)
        handles = [Line2D([], [], markersize=7, **style) for style, _ in entries]
        place.legend(
            handles,
            [text for _, text in entries],
            loc="center",
            ncols=min(len(entries), _key_columns(picture, width)),
            frameon=False,
            fontsize=11,
        )


def _for_page(svg: str, panel: Panel, prefix: str) -> str:
    """Everything between the outer tags of matplotlib's file, in an <svg> of our own."""
    body = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)  # of `*`: it would hold for the whole page
    used = set(re.findall(r'(?:url\(#|href="#)([\w-]+)', body))
    body = re.sub(r"<[^>]+>", lambda tag: _tag_for_page(tag[0], prefix, used), body)
    body = re.sub(r"\s*\n\s*", "\n", body)
    return (
        f'<svg viewBox="0 0 {panel.width} {panel.height}" role="img" stroke-linejoin="round" stroke-linecap="butt" '
        f'aria-labelledby="{prefix}-title {prefix}-desc">'
        f'<title id="{prefix}-title">{escape(panel.title)}</title>'
        f'<desc id="{prefix}-desc">{escape(panel.text)}</desc>{body}</svg>'
    )


def _tag_for_page(tag: str, prefix: str, used: set[str]) -> str:
    """One tag, without touching the text between tags."""
    tag = tag.replace("xlink:href", "href").replace("'DejaVu Sans'", "var(--font)")
    tag = re.sub(r' id="([^"]*)"', lambda found: f' id="{prefix}-{found[1]}"' if found[1] in used else "", tag)
    tag = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", tag)
    for ink in INKS:
        tag = tag.replace(ink.light, f"var(--{ink.variable})")
    return re.sub(r"(\d\.\d\d)\d+", r"\1", tag)  # a hundredth of a px is enough, and halves the page


def limits(
    values: Sequence[float | None], margin: float = 0.06, possible: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[float, float]:
    """Lowest and highest known value with some room; (0, 1) where nothing is known.

    Args:
        values: Values that must be visible.
        margin: Room, as a fraction of their range.
        possible: Bounds that no value can exceed: there the margin is only what a mark at the bound needs.
    """
    known = [value for value in values if value is not None]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    room = margin * (high - low) or 0.05 * abs(high) or 0.5
    mark = MARK * (high - low + 2 * room)
    return max(low - room, possible[0] - mark), min(high + room, possible[1] + mark)


def possible_ends(scale: Scale, differences: int = 0) -> tuple[float, float]:
    """The lowest and the highest value of a metric, as it is drawn; see `possible_range`."""
    low, high = possible_range(scale.metric, differences)
    return scale.factor * low, scale.factor * high
