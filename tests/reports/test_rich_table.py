"""Tables on terminals: a table where it fits, else a list (narrower ones fold long cells); no number is cut."""

import io
import re

import pytest

from finetune.reports.blocks import Cell, Column, Table
from finetune.reports.rich_table import SafeConsole, rich_table

TITLES = ["Train (sample)", "Validation", "Test", "Gap", "95 % interval"]
NOTES = ["500 rows", "500 rows", "2,000 rows", "", "over rows"]
ROWS = {
    "Accuracy": ["99.8 %", "77.4 %", "78.5 %", "+22.4 points", "[+18.8, +26.0]"],
    "Log loss": ["0.009", "1.081", "0.998", "+1.072 nats", "[+0.891, +1.263]"],
}


def printed(width: int) -> str:
    columns = [
        Column("", numeric=False),
        *(Column(title, note=note) for title, note in zip(TITLES, NOTES, strict=True)),
    ]
    rows = [[Cell(name), *(Cell(text) for text in texts)] for name, texts in ROWS.items()]
    stream = io.StringIO()
    SafeConsole(file=stream, width=width).print(rich_table(Table("", columns, rows)))
    return stream.getvalue()


@pytest.mark.parametrize("width", range(46, 110, 2))
def test_nothing_is_cut_at_any_width(width: int) -> None:
    text = printed(width)
    assert all(len(line) <= width for line in text.splitlines())
    for part in [*TITLES, *NOTES, *(cell for cells in ROWS.values() for cell in cells)]:
        assert part in text, f"{part} is cut:\n{text}"


def test_the_table_of_a_run_with_two_thousand_test_rows_fits_80_columns() -> None:
    assert re.search(r"Accuracy +99\.8 % +77\.4 % +78\.5 %", printed(80))
    assert "Test (2,000 rows)" in printed(79)  # one column less: a list
