"""Logs of Lightning's CSVLogger: `lightning_logs/version_N/metrics.csv`, and tables of the same form.

Seen with Lightning 2.6: names are the user's own; each row holds values of one kind and empty cells; steps begin at 0,
and the first training row is that of step 49. With on_step and on_epoch a name is written as NAME_step (one batch)
(a mean, in training mode); a plain training name is one batch's value. Without a column of steps, a row is an epoch.
"""

from __future__ import annotations

from pathlib import Path

from finetune.diagnosis.logs.log import Log, Objective, Reader, Record, canonical, one_run, place_of
from finetune.diagnosis.logs.table import header_of, read_table

FILE = "metrics.csv"


def _finds(path: Path) -> Path | None:
    files = list(_files(path).values())
    return place_of(path, files) if any(_is_log(file) for file in files) else None


def _files(path: Path) -> dict[str, Path]:
    """Version -> file: of a file the folder it lies in, of a logger's folder or one above it all."""
    if path.is_file():
        return {path.absolute().parent.name: path}
    if (path / FILE).is_file():
        return _files(path / FILE)
    found = sorted((*path.glob(f"version_*/{FILE}"), *path.glob(f"lightning_logs/version_*/{FILE}")))
    return {file.parent.name: file for file in found}


def _is_log(file: Path) -> bool:
    columns = {name.lower() for name in header_of(file)}
    return bool(columns & {"epoch", "step"}) and any(canonical(name).startswith("eval_") for name in columns)


def _read(path: Path, run: str | None) -> Log:
    files = _files(path)
    path = files[one_run(path, files, run)]
    table = read_table(path)
    names = {name: _key(name, table.columns) for name in table.columns}
    by_epochs = "step" not in table.columns
    whole = by_epochs or any(key == "loss" and name.endswith("_epoch") for name, key in names.items())
    records: list[Record] = []
    for index, row in enumerate(table.rows):
        values = {names[name]: value for name, value in row.items() if value is not None and names[name]}
        step, epoch = values.pop("step", float(index)), values.pop("epoch", None)
        if values:
            about = {} if epoch is None else {"epoch": epoch + 1}
            records.append({"step": int(step) + 1, **about, **values})
    objective: Objective = "mean" if whole else "batch"
    return Log(path, tuple(records), table.notes, objective, running_is_mean=True)  # others have no key


def _key(name: str, columns: tuple[str, ...]) -> str:
    """Of a column; empty for what is one batch's value, unless the loss has nothing better."""
    if name.lower() in ("epoch", "step"):
        return name.lower()
    if name.endswith("_step"):
        key = canonical(name.removesuffix("_step"))
        return key if key == "loss" and f"{name.removesuffix('_step')}_epoch" not in columns else ""
    key = canonical(name)
    is_batch = key.startswith("running_") and "step" in columns and not name.endswith("_epoch")
    return "" if is_batch else key


READER = Reader("Lightning's CSVLogger (metrics.csv)", _finds, _read, has_runs=True)
