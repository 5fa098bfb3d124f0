"""What lies below runs/: list it, and delete what is no longer needed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from finetune.analysis.listing import list_folder
from finetune.errors import Change, OutputError, RecipeError, suggest
from finetune.records.comparison import Kind
from finetune.records.listing import Listed
from finetune.records.store import lock_folder
from finetune.workflows.folders import RUNS

KINDS = ("run", *get_args(Kind), "unreadable")


def list_runs(folder: str | Path = RUNS, contains: str = "", kind: str | None = None) -> list[Listed]:
    """Runs and experiments below a folder.

    Args:
        folder: Where they lie.
        contains: Only those whose path, data or preset contains this.
        kind: Only run, compare, ablate, curve, sweep or unreadable.

    Raises:
        OutputError: There is no such folder.
        RecipeError: There is no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise RecipeError(f"is no kind.{suggest(kind, KINDS)} Known: {', '.join(KINDS)}.", argument="kind", found=kind)
    root = Path(folder)
    if not root.is_dir():
        raise OutputError(f"{root}: no such folder. Runs are written below {RUNS}/ of the folder they start in.")
    return [
        entry
        for entry in list_folder(root)
        if kind in (None, entry.kind) and any(contains in text for text in (entry.path, entry.data, entry.preset or ""))
    ]


def choose_runs(names: Sequence[str], folder: str | Path = RUNS) -> list[Listed]:
    """The runs and experiments that are named, each by its whole path or by its path below the folder.

    Raises:
        OutputError: A name is none of them: a folder that holds anything else is never taken.
    """
    entries = list_runs(folder)
    by_name = {entry.path: entry for entry in entries}
    by_name |= {str(Path(entry.path).relative_to(folder)): entry for entry in entries}
    chosen: dict[str, Listed] = {}
    for name in names:
        entry = by_name.get(str(Path(name)))
        if entry is None:
            known = [str(Path(entry.path).relative_to(folder)) for entry in entries]
            raise OutputError(
                f"'{name}' is no run and no experiment below {folder}.{suggest(name, known)}",
                Change(command="finetune runs"),
            )
        chosen[entry.path] = entry
    return list(chosen.values())


def delete_runs(entries: Sequence[Listed]) -> None:
    """Delete folders with everything in them, none before all are known to be free.

    Raises:
        OutputError: A process is running in one of them; nothing has been deleted.
    """
    for entry in entries:
        with lock_folder(Path(entry.path)):
            pass
    for entry in entries:
        shutil.rmtree(entry.path)
