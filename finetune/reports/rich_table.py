"""Tables on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table as RichTable
from rich.text import Text

from finetune.reports.blocks import Cell, Table
from finetune.visible import visible

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType, RenderResult
    from rich.table import Column

WIDE = 110  # columns from which intervals stand beside their means
NAME_WIDTH = 8  # the least for a column of names
BETWEEN = 2  # blanks between two columns of a plain table: its padding, and a line that is not drawn


class SafeConsole(Console):
    """A console on which control characters in labels and texts have no effect. Its own colours and cursor still
    work."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """The segments of whatever is printed."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


class Adaptive:
    """A table built for the width of its console: if even a narrow table does not fit, each row becomes a list of its
    cells with their titles, so that no number is ever cut.

    Args:
        build: Separator between a mean and its interval (a space, or a new line on a narrow console) -> table.
    """

    def __init__(self, build: Callable[[str], RichTable]) -> None:
        self._build = build

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = self._build(" " if options.max_width >= WIDE else "\n")
        shown = table if _least_width(table) <= options.max_width else _listing(table)
        for line in console.render_lines(shown, options, pad=False):
            yield from _unpadded(line)
            yield Segment.line()


def _unpadded(line: list[Segment]) -> list[Segment]:
    """A line without the blanks at its end, by which a table fills its width: piped and pasted they are in the way."""
    kept = list(line)
    while kept and not kept[-1].text.strip():
        kept.pop()
    return kept and [*kept[:-1], Segment(kept[-1].text.rstrip(), kept[-1].style)]


def _least_width(table: RichTable) -> int:
    """Columns that a plain table needs: its numbers are never folded, and names need a few letters."""
    widths = [
        max((cell_len(line) for text in _texts(column) for line in text.split("\n")), default=0)
        if column.no_wrap
        else column.min_width or NAME_WIDTH
        for column in table.columns
    ]
    return sum(widths) + BETWEEN * (len(widths) - 1)


def _texts(column: Column) -> list[str]:
    return [str(text) for text in (column.header, *column.cells)]


def _listing(table: RichTable) -> Group:
    """A table as one block per row: the first cell, and below it the others with their titles."""
    titles, *_ = zip(*(_texts(column) for column in table.columns), strict=True)
    parts: list[Any] = [table.title] if table.title else []
    for row in zip(*(_texts(column)[1:] for column in table.columns), strict=True):
        block = RichTable.grid(padding=(0, 2, 0, 0))
        block.add_column(no_wrap=True)
        block.add_column(overflow="fold")
        for title, text in zip(titles[1:], row[1:], strict=True):
            if text:
                block.add_row(Text(_in_one_line(title)), Text(text.replace("\n", " ")))
        parts += [Text(f"\n{_in_one_line(row[0])}"), Padding(block, (0, 0, 0, 2))]
    return Group(*parts, *(["", table.caption] if table.caption else []))


def _in_one_line(text: str) -> str:
    """What stands below in a table stands in brackets here."""
    first, _, below = text.partition("\n")
    return f"{first} ({below})" if below else first


def plain_table(title: str) -> RichTable:
    """An empty table, as narrow as possible."""
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


def rich_table(table: Table) -> Adaptive:
    """The same rows and columns; its caption is the title, second lines of cells stay second lines."""
    return Adaptive(lambda between: _rich_table(table))


def _rich_table(table: Table) -> RichTable:
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
