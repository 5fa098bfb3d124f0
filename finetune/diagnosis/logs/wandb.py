"""CSV files of Weights & Biases: `run.history().to_csv()`, and what "Export CSV" of a chart gives.

A chart has the columns `RUN - METRIC` with its __MIN and __MAX beside the one of its axis; a chart holds one metric, so
the charts of a folder are put together. `_step` counts calls of log, not optimizer steps: `train/global_step`, which
transformers logs, goes before it. `history()` samples 500 rows unless told otherwise.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from finetune.diagnosis.logs.log import (
    Log,
    Reader,
    Record,
    canonical,
    objective_of,
    of_trainer,
    one_file,
    one_run,
    records_of,
)
from finetune.diagnosis.logs.table import Table, header_of, read_table, tables_below

CHART = re.compile(r"(.+) - ([^ ]+)")
EXTREMES = ("__MIN", "__MAX")
SAMPLE = 500  # rows of history()
STEPS = ("train/global_step", "trainer/global_step", "global_step", "_step", "Step")  # the first that is there


def _finds(path: Path) -> Path | None:
    if path.is_dir():
        return path if any(_is_export(file) for file in tables_below(path, ("*.csv",))[:50]) else None
    return path if path.is_file() and _is_export(path) else None


def _is_export(file: Path) -> bool:
    columns = header_of(file)
    return "_step" in columns or any(name.endswith(EXTREMES) and CHART.fullmatch(name) for name in columns)


def _read(path: Path, run: str | None) -> Log:
    files = [path] if path.is_file() else [each for each in tables_below(path, ("*.csv",)) if _is_export(each)]
    histories = [file for file in files if "_step" in header_of(file)]
    if histories:
        return _history(one_file(path, histories, run))
    return _charts(path, files, run)


def _history(file: Path) -> Log:
    table = read_table(file)
    axis = next(name for name in STEPS if name in table.columns)
    trainer = of_trainer(table.columns)
    records: list[Record] = []
    for row in table.rows:
        values = {canonical(k, trainer): v for k, v in row.items() if v is not None and k and k not in STEPS}
        step = row[axis] if row[axis] is not None else row["_step"]
        records.append({**values, "step": int(step or 0)})
    sampled = len(table.rows) == SAMPLE
    why = f"the file has exactly {SAMPLE} rows, as history() samples them: use scan_history() to get all"
    notes = (*table.notes, *([why] if sampled else []))
    return Log(file, tuple(records), notes, objective_of(records, trainer))


def _charts(path: Path, files: list[Path], run: str | None) -> Log:
    tables = [read_table(file) for file in files]
    runs = {found[1]: None for table in tables for name in table.columns if (found := _metric(name))}
    name = one_run(path, runs, run)
    values: dict[int, dict[str, float]] = defaultdict(dict)
    for table in tables:
        _add(values, table, name)
    entries = [(key, step, value) for step in sorted(values) for key, value in values[step].items()]
    records, notes = records_of(entries)
    notes = [*(note for table in tables for note in table.notes), *notes]
    trainer = any(_is_of_trainer(name) for table in tables for name in table.columns)
    return Log(path, tuple(records), tuple(notes), objective_of(records, trainer))


def _add(values: dict[int, dict[str, float]], table: Table, run: str) -> None:
    """The metrics of one run in one chart."""
    mine = [(name, found[2]) for name in table.columns if (found := _metric(name)) and found[1] == run]
    trainer = any(_is_of_trainer(column) for column, _ in mine)
    for row in table.rows:
        step = row[table.columns[0]]
        for column, metric in mine:
            value = row[column]
            if value is not None and step is not None:
                values[int(step)][canonical(metric, trainer)] = value


def _is_of_trainer(column: str) -> bool:
    """A chart holds too few names to know by others; these two are transformers'."""
    return column.endswith((" - train/loss", " - eval/loss"))


def _metric(column: str) -> re.Match[str] | None:
    return None if column.endswith(EXTREMES) or column.endswith("_step") else CHART.fullmatch(column)


READER = Reader("CSV of Weights & Biases (history or charts)", _finds, _read, has_runs=True)
