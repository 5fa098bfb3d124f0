"""Names of the rows from the column `data.id`. Rows keep their numbers, so names need not be unique."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from finetune.data.columns import Columns
from finetune.data.label_cells import cell_name, is_blank
from finetune.data.rows import Rows
from finetune.data.table import Table
from finetune.data.texts import cells_of
from finetune.errors import shorten

KEY = "id"  # of `Columns.others`
NAMED = 3  # names in one warning


def read_names(table: Table, columns: Columns, keep: Sequence[int]) -> list[str] | None:
    """The name of each kept row, "" if its cell is empty; None if no column names rows."""
    if KEY not in columns.others:
        return None
    cells = list(cells_of(table, columns.others[KEY], KEY))
    return ["" if is_blank(cells[row]) else cell_name(cells[row]) for row in keep]


def name_warnings(origin: str, rows: Rows, column: str) -> list[str]:
    """Warnings that the column leaves rows without a name, or gives several rows the same name.

    Args:
        origin: Source of the rows in messages.
        rows: Rows of one table.
        column: The column with their names.
    """
    if rows.names is None:
        return []
    counts = Counter(filter(None, rows.names))
    shared = {name: count for name, count in counts.most_common() if count > 1}
    empty = len(rows) - counts.total()
    warnings = []
    if empty:
        whose = "every row" if empty == len(rows) else f"{empty:,} of {len(rows):,} rows"
        warnings.append(f"{origin}: column '{column}' (data.id) is empty in {whose}: only row numbers identify them")
    if shared:
        listed = shorten([f"'{name}' ({count} rows)" for name, count in shared.items()], NAMED)
        warnings.append(
            f"{origin}: column '{column}' (data.id) has the same name for several rows: {listed}. Row numbers beside "
            "the names tell them apart"
        )
    return warnings
