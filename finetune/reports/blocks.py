"""The building blocks of a page. `content` fills them, `html` and `markdown` write them, so both show the same."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from finetune.reports.figures.picture import Picture
from finetune.reports.palette import Palette


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: The text shown.
        detail: A second, smaller line.
        sort: Sort key of the column; None sorts last.
        user: The text was written by users: it is isolated and escaped.
        variant: A preset, whose mark is shown before its name.
        dumbbell: The preset whose row of the dumbbell this is (on pages only).
        shade: How dark its background is on a page, in [0, 1].
        link: Link target of the text on a page, as a path relative to the page.
    """

    text: str
    detail: str = ""
    sort: float | str | None = None
    user: bool = False
    variant: str | None = None
    dumbbell: str | None = None
    link: str | None = None
    shade: float | None = None


@dataclass(frozen=True)
class Column:
    title: str
    numeric: bool = True
    sortable: bool = True
    note: str = ""
    dumbbell: bool = False
    look: str = ""  # class of its cells on a page


@dataclass(frozen=True)
class Table:
    """
    Attributes:
        open_rows: Number of rows shown on a page; the others are folded away.
        marked: Index of the baseline's row.
        second_part: Index of the first row of a second part, such as simple models below presets.
        notes: Sentences below the table.
        as_cards: On a narrow page each row is a card.
        page_only: Only for pages: Markdown shows the same as a figure.
    """

    kind: ClassVar[str] = "table"
    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    open_rows: int | None = None
    marked: int | None = None
    second_part: int | None = None
    notes: list[str] = field(default_factory=list)
    as_cards: bool = False
    page_only: bool = False


@dataclass(frozen=True)
class Prose:
    """A paragraph; `code` between backticks. `quiet`: an introduction to the rest."""

    kind: ClassVar[str] = "prose"
    text: str
    lead: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class KeyFigure:
    """A number on a card: its name, its value, and an interval or a comparison."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Card:
    """The main result of a page: an answer with a few numbers, the reason, and names with values."""

    kind: ClassVar[str] = "card"
    title: str
    figures: list[KeyFigure]
    text: str
    entries: list[tuple[str, str]]


@dataclass(frozen=True)
class Bullets:
    kind: ClassVar[str] = "bullets"
    items: list[str]
    user: bool = False
    title: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Facts:
    """Names and values; the values may be users' text."""

    kind: ClassVar[str] = "facts"
    entries: list[tuple[str, str]]


@dataclass(frozen=True)
class Plot:
    """A figure with its caption. `markdown_only`: the page shows the same in a table."""

    kind: ClassVar[str] = "plot"
    name: str
    title: str
    picture: Picture
    caption: str
    markdown_only: bool = False


@dataclass(frozen=True)
class Code:
    kind: ClassVar[str] = "code"
    title: str
    text: str
    language: str
    folded: bool = False


Block = Table | Card | Prose | Bullets | Facts | Plot | Code


@dataclass(frozen=True)
class Section:
    slug: str
    title: str
    blocks: list[Block]


@dataclass(frozen=True)
class Page:
    """Everything that report.html and report.md show, or those of a curve.

    Attributes:
        title: The shortened title.
        parts: Prefix of ids, the subject of the sections (with a `name`), and the sections.
        skipped: Records that could not be read.
        palette: Marks of all presets.
    """

    title: str
    parts: list[tuple[str, Any, list[Section]]]
    skipped: list[str]
    palette: Palette
