"""report.html: one file that needs nothing else, for a screen of any size, paper, keyboard and screen reader."""

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from finetune.records.report import Group, Report
from finetune.reports.numbers import shorten
from finetune.reports.palette import INKS, MUTED, Mark, Palette

if TYPE_CHECKING:
    from jinja2 import Template

    from finetune.reports.blocks import Page, Section
    from finetune.reports.figures.picture import Picture

TOGETHER = re.compile(r"(\d %(?!\w)|\[[−+\d.,]+ ?%?, [−+\d.,]+ ?%?\])")
SHAPES = {  # matplotlib's markers, in a box of 12 × 12
    "o": '<circle cx="6" cy="6" r="4.5"/>',
    "s": '<path d="M2 2h8v8h-8z"/>',
    "D": '<path d="M6 .8L11.2 6L6 11.2L.8 6z"/>',
    "^": '<path d="M6 1L11 10.5H1z"/>',
    "v": '<path d="M6 11L11 1.5H1z"/>',
    "<": '<path d="M1 6L10.5 1V11z"/>',
    ">": '<path d="M11 6L1.5 1V11z"/>',
    "P": '<path d="M4 1h4v3h3v4h-3v3h-4v-3h-3v-4h3z"/>',
    "X": '<path d="M3.5 1L6 3.5L8.5 1L11 3.5L8.5 6L11 8.5L8.5 11L6 8.5L3.5 11L1 8.5L3.5 6L1 3.5z"/>',
    "p": '<path d="M6 1L11 4.7L9.1 10.5H2.9L1 4.7z"/>',
    "h": '<path d="M6 .8L10.5 3.4V8.6L6 11.2L1.5 8.6V3.4z"/>',
    "*": '<path d="M6 .5L7.3 4.4H11.5L8.1 6.8L9.4 10.9L6 8.4L2.6 10.9L3.9 6.8L.5 4.4H4.7z"/>',
}


def render_html(report: Report) -> str:
    """The whole page.

    Args:
        report: Everything that is shown; nothing else is read.

    Returns:
        HTML without any reference to another file. The same report gives the same text.
    """
    from finetune.reports.content import page

    return render_page(page(report), "report.json")


def render_page(page: "Page", source: str) -> str:
    """A page as HTML; `source` names the file with all of its data."""
    return _template("report.html.j2").render(
        title=page.title,
        groups=page.parts,
        skipped=page.skipped,
        source=source,
        paper={"light": _value("paper", "light"), "dark": _value("paper", "dark")},
        interactive=True,
        **_drawing(page.palette),
    )


def render_fragment(groups: "list[tuple[str, Any, list[Section]]]", palette: Palette, prefix: str) -> str:
    """Sections to embed in another page, such as a notebook: with their styles, without scripts.

    Args:
        groups: Heading (may be empty), the subject of the sections, and the sections.
        palette: Marks of all presets.
        prefix: Prefix of ids; every fragment on a page needs its own.
    """
    template = _template("fragment.html.j2")
    return template.render(groups=groups, prefix=prefix, interactive=False, **_drawing(palette))


def _drawing(palette: Palette) -> dict[str, Any]:
    """What every template draws with: colours and marks."""
    return {
        "light": Markup("".join(f"--{ink.variable}:{ink.light};" for ink in INKS)),
        "dark": Markup("".join(f"--{ink.variable}:{ink.dark};" for ink in INKS)),
        "swatch": lambda name: _swatch(palette[name]),
        "line_sample": _line_sample,
        "drawings": _drawings,
        "dumbbell_row": lambda group, name, prefix: _dumbbell_row(group, name, palette, prefix),
        "dumbbell_axis": _dumbbell_axis,
    }


@cache
def _template(name: str) -> "Template":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("finetune.reports", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = _prose
    environment.filters["shorten"] = shorten
    return environment.get_template(name)


def _prose(text: str) -> Markup:
    """Escaped, with what stands between backticks as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backtick without its partner is an ordinary character
        return _unbroken(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else _unbroken(part) for i, part in enumerate(parts)
    )


def _unbroken(text: str) -> Markup:
    """Escaped; no line ends between a number and its %, or inside an interval."""
    pieces = TOGETHER.split(text)
    return Markup("").join(
        Markup('<span class="together">{}</span>').format(piece) if i % 2 else Markup.escape(piece)
        for i, piece in enumerate(pieces)
    )


def _value(variable: str, mode: str) -> str:
    return next(str(getattr(ink, mode)) for ink in INKS if ink.variable == variable)


def _swatch(mark: Mark) -> Markup:
    """The mark of a preset, to stand before its name."""
    return Markup('<svg class="mark" viewBox="0 0 12 12" aria-hidden="true" fill="var(--{})">{}</svg>').format(
        mark.ink.variable, Markup(SHAPES[mark.shape])
    )


def _line_sample(style: dict[str, object]) -> Markup:
    """An entry of a key, drawn from matplotlib's properties."""
    variable = next((ink.variable for ink in INKS if ink.light == style.get("color")), MUTED.variable)
    color = f"var(--{variable})"
    dots = style.get("marker")
    if dots is not None:
        fill, radius = ("none" if "markerfacecolor" in style else color), (2 if dots == "." else 4)
        shape = Markup('<circle cx="13" cy="6" r="{}" fill="{}" stroke="{}"/>').format(radius, fill, color)
    else:
        dash = style.get("linestyle")
        pattern = " ".join(str(2 * part) for part in dash[1]) if isinstance(dash, tuple) else "none"
        shape = Markup('<path d="M1 6H25" stroke="{}" stroke-width="{}" stroke-dasharray="{}" opacity="{}"/>').format(
            color, style.get("linewidth", 1), pattern, style.get("alpha", 1)
        )
    return Markup('<svg class="sample" viewBox="0 0 26 12" aria-hidden="true">{}</svg>').format(shape)


def _drawings(picture: "Picture", prefix: str) -> list[Markup]:
    from finetune.reports.figures.canvas import to_svg

    return [Markup(to_svg(panel, f"{prefix}-{number}")) for number, panel in enumerate(picture.panels, 1)]


def _dumbbell_row(group: Group, name: str, palette: Palette, prefix: str) -> Markup:
    from finetune.reports.figures.dumbbell import row_svg

    variant = next(variant for variant in group.variants if variant.name == name)
    return row_svg(group, variant, palette, prefix)


def _dumbbell_axis(group: Group) -> Markup:
    from finetune.reports.figures.dumbbell import axis_svg

    return axis_svg(group)
