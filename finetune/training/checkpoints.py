"""Checkpoints that survive a kill at any moment.

transformers writes a checkpoint file by file and deletes the old one by itself; killed in between it cannot resume.
Here a checkpoint counts only with a marker, which is written last, and older ones go after that.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from finetune.records.store import write_atomically

STATE = "finetune_state.json"
MARKER = "COMPLETE"


def complete_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Add our state to a checkpoint that Trainer has written, mark it, and remove the older ones."""
    write_atomically(folder / STATE, json.dumps(state))
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    (folder / MARKER).touch()
    _sync_folder(folder)
    keep = {
        folder.name,
        f"selected-{state['selection']['best_step']}.safetensors" if state["selection"] else "",
    }
    _remove_others(folder.parent, keep)


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint. Incomplete ones are removed: a later save would mix with their files."""
    if not folder.is_dir():
        return None
    found = sorted(folder.glob("checkpoint-*"), key=_step, reverse=True)
    complete = [path for path in found if (path / MARKER).is_file()]
    for path in found:
        if path not in complete:
            shutil.rmtree(path)
    return complete[0] if complete else None


def read_state(checkpoint: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    return state


def _remove_others(folder: Path, keep: set[str]) -> None:
    for path in folder.iterdir():
        if path.name in keep:
            continue
        if path.name.startswith("checkpoint-"):
            # Unmarked first: a kill while deleting must not leave something that looks complete.
            (path / MARKER).unlink(missing_ok=True)
            shutil.rmtree(path)
        elif path.name.startswith("selected-"):
            path.unlink()


def _step(path: Path) -> int:
    suffix = path.name.rpartition("-")[2]
    return int(suffix) if suffix.isdigit() else -1


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
