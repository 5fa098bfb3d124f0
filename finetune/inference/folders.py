"""The folder of a model that is named by a run, a comparison, a folder or a hub id."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from finetune.errors import ModelError, suggest
from finetune.records.store import RunFolder


def model_folder(path: str) -> str:
    """`model/` in the folder of a run or a comparison; anything else is a model itself.

    Raises:
        ModelError: A folder holds no model, or several runs to choose from; or there is none of this name among others,
            or it is a file.
    """
    folder = RunFolder(Path(path).expanduser())
    if (folder.model / "config.json").is_file():
        return str(folder.model)
    if folder.path.is_dir() and not (folder.path / "config.json").is_file():
        runs = _models_in(folder.path)
        named = f" Runs in it that have one: {', '.join(map(str, runs[:3]))}." if runs else ""
        why = f"'{path}' holds no model: neither config.json nor model/config.json is there.{named}"
        raise ModelError(why, argument="model", found=path)
    if folder.path.is_file():
        raise ModelError(f"'{path}' is a file, and a model is a folder.", argument="model", found=path)
    if folder.path.exists():
        return path
    if len(folder.path.parts) == 1:
        here = [str(each) for each in _models_in(Path())]
        if not get_close_matches(path, here):
            return path  # of the hub
        raise ModelError(f"there is no folder '{path}' here.{suggest(path, here)}", argument="model", found=path)
    if others := _models_in(folder.path.parent):
        close = suggest(folder.path.name, [each.name for each in others])
        raise ModelError(f"'{folder.path.parent}' has no such model.{close}", argument="model", found=path)
    return path


def _models_in(folder: Path) -> list[Path]:
    """The runs, and the model folders, in a folder."""
    found = {file.parent.parent for file in folder.glob("*/model/config.json")}
    return sorted(found | {file.parent for file in folder.glob("*/config.json")})
