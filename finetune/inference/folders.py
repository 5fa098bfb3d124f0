"""The folder of a model that is named by a run, a comparison, a folder or a hub id."""

from __future__ import annotations

from pathlib import Path

from finetune.errors import ModelError
from finetune.records.store import RunFolder


def model_folder(path: str) -> str:
    """`model/` in the folder of a run or a comparison; anything else is a model itself.

    Raises:
        ModelError: A folder holds no model, or several runs to choose from.
    """
    folder = RunFolder(Path(path).expanduser())
    if (folder.model / "config.json").is_file():
        return str(folder.model)
    if folder.path.is_dir() and not (folder.path / "config.json").is_file():
        runs = sorted(file.parent.parent for file in folder.path.glob("*/model/config.json"))
        named = f" Runs in it that have one: {', '.join(map(str, runs[:3]))}." if runs else ""
        why = f"'{path}' holds no model: neither config.json nor model/config.json is there.{named}"
        raise ModelError(why, argument="model", found=path)
    return path
