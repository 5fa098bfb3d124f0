"""The content of runs/: list it, compare two runs, write an index page of all, and delete some."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import get_args

from finetune.analysis.listed_pair import compare_listed
from finetune.analysis.listing import list_folder
from finetune.atomic import write_text
from finetune.errors import Change, OutputError, RecipeError, shorten, suggest
from finetune.records.comparison import ComparisonFolder, Kind
from finetune.records.listing import Listed, TwoListed
from finetune.records.schema import Status
from finetune.records.store import LOCK, lock_folder
from finetune.workflows.folders import RUNS

KINDS = ("run", *get_args(Kind), "unreadable")
UNFINISHED = "unfinished"  # anything but finished
STATUSES = (*get_args(Status), UNFINISHED)
INDEX = "index.html"
NAMED = 8  # names in one message


def list_runs(
    folder: str | Path = RUNS,
    contains: str = "",
    kind: str | None = None,
    *,
    status: str | None = None,
    data: str | None = None,
    preset: str | None = None,
) -> list[Listed]:
    """List the runs and experiments in a folder.

    Args:
        folder: The folder that holds them.
        contains: Only those whose path, data or preset contains this.
        kind: Only run, compare, ablate, curve, sweep, tune or unreadable.
        status: Only finished, running, failed or interrupted ones, or unfinished: all that have not finished.
        data: Only those on this data; `*` stands for any letters.
        preset: Only those of this preset, or experiments that hold it; `*` stands for any letters.

    Raises:
        OutputError: There is no such folder, or nothing in it has this data or preset.
        RecipeError: There is no such kind or status.
    """
    _check_known("kind", kind, KINDS)
    _check_known("status", status, STATUSES)
    root = Path(folder)
    if not root.is_dir():
        raise OutputError(f"{root}: no such folder. Runs are written to {RUNS}/ in the folder where they are started.")
    entries = list_folder(root)
    _check_found("data", data, [entry.data for entry in entries if entry.data])
    _check_found("preset", preset, [name for entry in entries for name in _presets(entry)])
    return [
        entry
        for entry in entries
        if kind in (None, entry.kind)
        and status in (None, entry.status, UNFINISHED if entry.status != "finished" else None)
        and (data is None or fnmatchcase(entry.data, data))
        and (preset is None or any(fnmatchcase(name, preset) for name in _presets(entry)))
        and any(contains in text for text in (entry.path, entry.data, entry.preset or ""))
    ]


def _presets(entry: Listed) -> list[str]:
    return [*entry.presets, *([] if entry.preset is None else [entry.preset])]


def _check_known(argument: str, value: str | None, known: Sequence[str]) -> None:
    if value is not None and value not in known:
        near = suggest(value, known)
        listed = "" if "Known:" in near else f" Known: {', '.join(known)}."
        raise RecipeError(f"is not a {argument}.{near}{listed}", argument=argument, found=value)


def _check_found(argument: str, pattern: str | None, names: Sequence[str]) -> None:
    """Raises OutputError where nothing has a name of this pattern: most likely a typo."""
    names = sorted(set(names))
    if pattern is not None and not any(fnmatchcase(name, pattern) for name in names):
        near = suggest(pattern, names) if len(names) <= NAMED else f" There: {shorten(names, NAMED)}."
        raise OutputError(f"nothing here has it.{near}", argument=argument, found=pattern)


def choose_runs(names: Sequence[str], folder: str | Path = RUNS) -> list[Listed]:
    """The named runs and experiments, each by its full path or by its path below the folder.

    Raises:
        OutputError: A name is none of them: a folder that holds anything else is never accepted.
    """
    entries = list_runs(folder)
    by_name = {entry.path: entry for entry in entries}
    by_name |= {str(Path(entry.path).relative_to(folder)): entry for entry in entries}
    chosen: dict[str, Listed] = {}
    for name in names:
        entry = by_name.get(str(Path(name))) if name else None  # an empty name is no "."
        if entry is None:
            known = [str(Path(entry.path).relative_to(folder)) for entry in entries]
            raise OutputError(
                f"'{name}' is not a run or experiment in {folder}.{suggest(name, known)}",
                Change(command="finetune runs"),
            )
        chosen[entry.path] = entry
    return list(chosen.values())


def compare_runs(first: str, second: str, folder: str | Path = RUNS) -> TwoListed:
    """The numbers of two runs or experiments side by side, and the settings that differ.

    Raises:
        OutputError: A name is not a run or an experiment.
        RecipeError: Both are the same one.
    """
    chosen = choose_runs([first, second], folder)
    if len(chosen) < 2:
        raise RecipeError("names the same one twice.", argument="compare", found=first)
    return compare_listed(*chosen)


def write_index(entries: Sequence[Listed], folder: str | Path = RUNS) -> Path:
    """Write index.html, one page with links to the reports of these runs and experiments.

    Raises:
        OutputError: A file of the user's own has this name.
        OSError: The folder cannot be written to.
    """
    from finetune.reports.index_page import is_index, render_index  # slow to import

    path = Path(folder) / INDEX
    if path.exists() and not is_index(path):
        raise OutputError(f"{path}: was not written by this program. Rename it, or name another folder.")
    write_text(path, render_index(entries, str(folder)))
    return path


def check_deletable(entries: Sequence[Listed]) -> None:
    """Raises:
    OutputError: A process is running in one of the folders, in a folder inside it, or in its experiment.
    """
    for entry in entries:
        folder = Path(entry.path)
        around = [each / LOCK for each in folder.absolute().parents if ComparisonFolder(each).exists()]
        for lock in [*folder.rglob(LOCK), *filter(Path.exists, around)]:  # whoever works there has made one
            with lock_folder(lock.parent):
                pass


def delete_runs(entries: Sequence[Listed]) -> None:
    """Delete folders with everything in them, but none before all are known to be free. Links in them are removed, not
    their targets.

    Raises:
        OutputError: A process is running in one of them; nothing has been deleted.
    """
    check_deletable(entries)
    for entry in entries:
        shutil.rmtree(entry.path)
