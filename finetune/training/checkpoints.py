"""Checkpoints that survive a kill at any moment, written while training continues.

transformers writes a checkpoint file by file and deletes the old one by itself; killed in between it cannot resume.
Here a checkpoint is valid only with a marker, which is written last and holds size and sha256 of every file: resumed
from a damaged one, a run would end with another result. Older ones are removed after that. State that training goes on
to change is copied into memory first (`Snapshot`), and a thread writes the copies (`CheckpointWriter`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from finetune.atomic import sync_file, sync_folder, write_text
from finetune.training.averaging import WeightAverage
from finetune.training.disk import writing_to
from finetune.training.selection import selected_weights

logger = logging.getLogger(__name__)

WEIGHTS = "model.safetensors"
STATE = "finetune_state.json"
MARKER = "COMPLETE"


class CheckpointWriter:
    """Writes in a thread, one checkpoint at a time. The next call of any method raises the error of a failed write."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, write: Callable[[], None]) -> None:
        """Start to write, once the previous write has ended."""
        self.finish()
        # No daemon: a program that ends for whatever reason completes what it has begun.
        self._thread = threading.Thread(target=self._run, args=(write,), name="checkpoint")
        self._thread.start()

    def check(self) -> None:
        """Raise the exception of the last write, if any; a write in progress is left alone."""
        if self._thread is not None and not self._thread.is_alive():
            self.finish()

    def finish(self) -> None:
        """Wait until nothing is being written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self, write: Callable[[], None]) -> None:
        try:
            write()
        except BaseException as error:
            self._error = error


@dataclass(frozen=True)
class Snapshot:
    """A copy of the state of training after a step, which is written while training continues.

    Attributes:
        folder: Folder of the checkpoint, with the small files in it.
        weights: The model's state dict, in main memory.
        states: File name -> state of optimizer or scheduler, in main memory.
        parameters: Names of the model's parameters; the other weights are buffers.
        average: Average of the weights, in main memory.
        run: State of the run itself: history and selection.
    """

    folder: Path
    weights: Mapping[str, Tensor]
    states: Mapping[str, Any]
    parameters: Sequence[str]
    average: WeightAverage
    run: Mapping[str, Any]

    def write(self, save_weights: Callable[[str, Any], None]) -> None:
        """Write the copy, at any later time, and mark the checkpoint complete.

        Args:
            save_weights: Folder and state dict -> the files of the model, as transformers writes them.

        Raises:
            DiskFull: There is no room.
        """
        with writing_to(self.folder, self._size()):
            save_weights(str(self.folder), self.weights)
            for name, state in self.states.items():
                torch.save(state, self.folder / name)
            self.average.save(self.folder)
            if self._is_best():
                measured = self.average.applied_to({name: self.weights[name] for name in self.parameters})
                keep_selected(self.folder, measured)
            complete_checkpoint(self.folder, self.run)

    def _is_best(self) -> bool:
        selection = self.run["selection"]
        return selection is not None and selection["best_step"] == _step(self.folder)

    def _size(self) -> int:
        """Bytes on disk, at most."""
        return _bytes(self.weights) + _bytes(self.states) + 2 * self.average.size()


def _bytes(state: Any) -> int:
    """Of all tensors in it."""
    if isinstance(state, Tensor):
        return state.nbytes
    values = state.values() if isinstance(state, Mapping) else state if isinstance(state, list) else ()
    return sum(_bytes(value) for value in values)


def copy_to_host(state: Any) -> Any:
    """A copy of a state dict in main memory; tensors that shared memory still do."""
    copies: dict[Any, Tensor] = {}

    def copy(value: Any) -> Any:
        if isinstance(value, Tensor):
            same = (value.data_ptr(), value.shape, value.stride(), value.dtype)
            if same not in copies:
                copies[same] = value.detach().to("cpu", copy=True)
            return copies[same]
        if isinstance(value, Mapping):
            return {key: copy(inner) for key, inner in value.items()}
        return [copy(inner) for inner in value] if isinstance(value, list) else value

    return copy(state)


def keep_selected(checkpoint: Path, measured: Mapping[str, Tensor]) -> None:
    """Keep the weights of a checkpoint's step until the end of the run: they are the best so far.

    Args:
        checkpoint: A checkpoint whose weights are written, but that is not complete.
        measured: Name -> weight as it was measured, if it differs from the checkpoint; empty if it does not.
    """
    target = selected_weights(checkpoint.parent, _step(checkpoint))
    target.unlink(missing_ok=True)  # left by a checkpoint of this step that was never completed
    if measured:
        save_file({name: value.contiguous() for name, value in measured.items()}, target)
    else:
        try:
            target.hardlink_to(checkpoint / WEIGHTS)
        except OSError:  # a file system without hard links
            shutil.copyfile(checkpoint / WEIGHTS, target)
    sync_file(target)


def complete_checkpoint(folder: Path, state: Mapping[str, Any]) -> None:
    """Add our state to a checkpoint whose other files are written, mark it, and remove the older ones."""
    write_text(folder / STATE, json.dumps(state))
    for path in folder.iterdir():
        sync_file(path)
    sync_folder(folder.parent)
    selected = f"selected-{state['selection']['best_step']}.safetensors" if state["selection"] else ""
    digests = {path.name: _digest(path) for path in sorted(folder.iterdir())}
    if selected:
        digests[f"../{selected}"] = _known_digest(folder.parent, f"../{selected}") or _digest(folder.parent / selected)
    write_text(folder / MARKER, json.dumps(digests, indent=1))
    sync_folder(folder)
    _remove_others(folder, selected)


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that is complete and undamaged; warns about damaged ones.

    Incomplete and damaged ones are removed: a later save would mix with their files.
    """
    if not folder.is_dir():
        return None
    damaged: list[str] = []
    for path in sorted(folder.glob("checkpoint-*"), key=_step, reverse=True):
        damage = _damage(path) if (path / MARKER).is_file() else ""
        if damage is None:
            _warn_of_damage(damaged, path)
            return path
        if damage:
            damaged.append(f"{path}: {damage}")
        shutil.rmtree(path)
    _warn_of_damage(damaged, None)
    return None


def _warn_of_damage(damaged: Sequence[str], taken: Path | None) -> None:
    goes_on = "starts again from the beginning" if taken is None else f"continues from {taken.name}"
    if damaged:
        logger.warning(
            "a checkpoint is damaged and cannot be resumed from: %s. The run %s", "; ".join(damaged), goes_on
        )


def _damage(checkpoint: Path) -> str | None:
    """What is wrong with a marked checkpoint; None: it is as it was written."""
    digests = _marked_digests(checkpoint)
    if not digests:
        return f"{MARKER} holds no checksums (written by an older version, or damaged)"
    for name, digest in digests.items():
        try:
            found = _digest(checkpoint / name)
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
        if found != digest:
            return f"{name} differs from what was written"
    return None


def _marked_digests(checkpoint: Path) -> dict[str, Any]:
    """File, relative to the checkpoint -> digest; empty without a marker that can be read."""
    try:
        content = json.loads((checkpoint / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _known_digest(folder: Path, name: str) -> Any:
    """Of weights that were selected before: as an earlier checkpoint has it, whatever happened to the file since."""
    return next((known for path in folder.glob("checkpoint-*") if (known := _marked_digests(path).get(name))), None)


def _digest(path: Path) -> list[Any]:
    """Size in bytes, and sha256."""
    with path.open("rb") as file:
        return [path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()]


def read_state(checkpoint: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    return state


def _remove_others(checkpoint: Path, selected: str) -> None:
    """All but this checkpoint, the selected weights, and a later one that another process may already write to."""
    for path in checkpoint.parent.iterdir():
        if path.name.startswith("checkpoint-") and _step(path) < _step(checkpoint):
            # Unmarked first: a kill while deleting must not leave something that looks complete.
            (path / MARKER).unlink(missing_ok=True)
            shutil.rmtree(path)
        elif path.name.startswith("selected-") and path.name != selected:
            path.unlink()


def _step(path: Path) -> int:
    suffix = path.name.rpartition("-")[2]
    return int(suffix) if suffix.isdigit() else -1
