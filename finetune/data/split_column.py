"""A column that says which split a row is in: one table -> a table for each split."""

from __future__ import annotations

from collections import Counter

from finetune.data.column_hints import flag_split
from finetune.data.dataset_sets import choose_splits
from finetune.data.flags import FLAGS
from finetune.data.label_cells import cell_name, is_blank
from finetune.data.table import Table
from finetune.data.texts import cells_of
from finetune.errors import Change, DataError, shorten, suggest
from finetune.recipe import DataSection

SHOWN = 10  # values in a message
REASON = "in no split of data.split_column"


def split_by_column(
    section: DataSection, tables: dict[str, Table], notes: list[str], warnings: list[str], dropped: Counter[str]
) -> dict[str, Table]:
    """Split -> the rows whose cell names it; they keep the row numbers of the source. "all" if there is only train.

    Values are the usual names of splits, 0/1 in a column named after one (`is_test`), or those that
    `data.split_names` maps; rows with another value or none are left out and counted in `dropped`; other values are a
    warning.

    Raises:
        DataError: The source has splits of its own, or no value is recognised as train; lists the values.
    """
    name = section.split_column
    assert name is not None, "asked for only with data.split_column"
    without = Change(settings={"data.split_column": None})
    if list(tables) != ["all"]:
        why = f"the data has splits of its own: {', '.join(tables)}."
        raise DataError(why, without, key="data.split_column", found=name)
    table = tables["all"]
    if name not in table.columns:
        why = f"{table.origin} has no column '{name}'.{suggest(name, table.columns)}"
        raise DataError(why, key="data.split_column", found=name)
    values = ["" if is_blank(cell) else cell_name(cell) for cell in cells_of(table, name, "split_column")]
    counts = Counter(values)
    counted = shorten([f"{value or 'empty'} ({count})" for value, count in counts.most_common()], SHOWN)
    listed = f"Its values: {counted}."
    chosen = _splits_of(section, name, [value for value in counts if value], f"column '{name}'", listed)
    parts = {
        split: table.take([row for row, value in enumerate(values) if value == theirs])
        for split, theirs in chosen.items()
    }
    left_out = len(table) - sum(map(len, parts.values()))
    if left_out:
        dropped[REASON] += left_out
    counted = ", ".join(f"{split} {len(part)}" for split, part in parts.items())
    notes.append(
        f"splits are those of column '{name}': {counted} rows" + (f"; {left_out} left out" if left_out else "")
    )
    others = [f"{value} ({count})" for value, count in counts.most_common() if value and value not in chosen.values()]
    if others and not section.split_names:
        map_them = Change(settings={"data.split_names": {**chosen, "validation": "NAME"}}).for_command_line()
        warnings.append(
            f"column '{name}': rows with a value that is no usual name of a split are left out: "
            f"{shorten(others, SHOWN)}. To use them: {map_them}"
        )
    return parts if len(parts) > 1 else {"all": parts["train"]}


def _splits_of(section: DataSection, name: str, values: list[str], origin: str, listed: str) -> dict[str, str]:
    """Our split -> the value that stands for it."""
    flag = flag_split(name)
    if flag is not None and not section.split_names and {value.lower() for value in values} <= set(FLAGS):
        by_flag = {FLAGS[value.lower()]: value for value in values}
        other = "train" if flag != "train" else "test"
        found = {split: by_flag[on] for split, on in ((other, False), (flag, True)) if on in by_flag}
        if "train" in found:
            return {split: found[split] for split in ("train", "validation", "test") if split in found}
    return choose_splits(values, origin, section, listed, "data.split_column")
