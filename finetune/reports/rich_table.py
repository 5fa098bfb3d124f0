"""Tables on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.segment import Segment
from rich.table import Table as RichTable
from rich.text import Text

from finetune.reports.blocks import Cell, Table
from finetune.visible import visible

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType, RenderResult

WIDE = 110  # columns from which intervals stand beside their means
NAME_WIDTH = 8  # the least for a column of names


class SafeConsole(Console):
    """A console on which labels and texts of others are shown, and do nothing. Its own colours and cursor stay."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """The segments of whatever is printed."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


class Adaptive:
    """A table that is built for the width of the console it is printed on.

    Args:
        build: What goes between a mean and its interval (a space, or a new line on a narrow console) -> table.
    """

    def __init__(self, build: Callable[[str], RichTable]) -> None:
        self._build = build

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._build(" " if options.max_width >= WIDE else "\n")


def plain_table(title: str) -> RichTable:
    """An empty table, as narrow as it can be."""
    return RichTable(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title=Text(f"\n{title}", "bold") if title else None,
        title_justify="left",
        caption_justify="left",
    )


def add_names(table: RichTable, title: str) -> None:
    """The first column: names are folded rather than cut."""
    table.add_column(title, overflow="fold", min_width=NAME_WIDTH)


def add_numbers(table: RichTable, *titles: str) -> None:
    """Columns of numbers, which are never folded."""
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)


def rich_table(table: Table) -> RichTable:
    """The same rows and columns; its caption is the title, second lines of cells stay second lines."""
    made = plain_table(table.caption)
    for column in table.columns:
        title = f"{column.title}\n{column.note}" if column.note else column.title
        if column.numeric:
            add_numbers(made, title)
        else:
            add_names(made, title)
    for index, row in enumerate(table.rows):
        if index == table.second_part:
            made.add_section()
        apart = table.second_part is not None and index >= table.second_part
        made.add_row(*(_cell(cell) for cell in row), style="dim" if apart else None)
    made.caption = Text("\n".join(table.notes), "dim") if table.notes else None
    return made


def _cell(cell: Cell) -> Text:
    return Text(f"{cell.text}\n{cell.detail}" if cell.detail else cell.text)
