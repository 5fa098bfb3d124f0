"""A table of a report on a terminal."""

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from finetune.reports.blocks import Cell, Table


def plain_table(title: str) -> RichTable:
    """An empty table, as narrow as it can be."""
    return RichTable(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title=Text(title, "bold"),
        title_justify="left",
    )


def rich_table(table: Table) -> RichTable:
    """The same rows and columns; its caption is the title, second lines of cells stay second lines."""
    made = plain_table(table.caption)
    for column in table.columns:
        title = f"{column.title}\n{column.note}" if column.note else column.title
        made.add_column(Text(title), justify="right" if column.numeric else "left", no_wrap=column.numeric)
    for index, row in enumerate(table.rows):
        if index == table.second_part:
            made.add_section()
        apart = table.second_part is not None and index >= table.second_part
        made.add_row(*(_cell(cell) for cell in row), style="dim" if apart else None)
    return made


def _cell(cell: Cell) -> Text:
    return Text(f"{cell.text}\n{cell.detail}" if cell.detail else cell.text)
