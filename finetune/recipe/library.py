"""Locating recipes and presets: those shipped with the package, or any path."""

import importlib.resources
import shlex
import shutil
from pathlib import Path

from finetune.errors import Change, RecipeError, suggest

SUFFIXES = (".yaml", ".yml")


def recipes_folder() -> Path:
    """The shipped recipes: inside the installed wheel, or at the top of a source checkout."""
    package = Path(str(importlib.resources.files("finetune")))
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def recipe_names() -> list[str]:
    return sorted(path.stem for path in recipes_folder().glob("*.yaml"))


def preset_names() -> list[str]:
    """Names of presets: the four by strength, the one that chooses, then the expert presets alphabetically."""
    by_strength = ["none", "light", "medium", "strong", "auto"]
    found = {path.stem for path in (recipes_folder() / "presets").glob("*.yaml")}
    return [name for name in by_strength if name in found] + sorted(found - set(by_strength))


def find_recipe(name_or_path: str) -> Path:
    """Return the file of a shipped recipe or of a path.

    Raises:
        RecipeError: There is neither; names the closest shipped recipe.
    """
    return _find(name_or_path, "recipe", recipes_folder(), recipe_names())


def find_preset(name_or_path: str) -> Path:
    """Return the file of a shipped preset or of a path.

    Raises:
        RecipeError: There is neither; names the closest shipped preset.
    """
    return _find(name_or_path, "preset", recipes_folder() / "presets", preset_names())


def is_preset(name: str) -> bool:
    """Whether a shipped name is a preset rather than a recipe.

    Raises:
        RecipeError: It is neither; the error names the closest.
    """
    recipes, presets = recipe_names(), preset_names()
    if name not in recipes and name not in presets:
        why = f"'{name}' is neither a recipe nor a preset.{suggest(name, recipes + presets)}"
        raise RecipeError(why, Change(command="finetune ls"), found=name)
    return name not in recipes


def _find(name_or_path: str, kind: str, folder: Path, names: list[str]) -> Path:
    path = Path(name_or_path)
    choose = Change(command=f"finetune ls {kind}s")
    if path.suffix in SUFFIXES:
        if path.is_file():
            return path
        raise RecipeError(f"no such {kind} file.{suggest(path.stem, names)}", choose, where=name_or_path)
    if name_or_path in names:
        return folder / f"{name_or_path}.yaml"
    if kind == "recipe" and name_or_path in preset_names():
        change = Change(arguments={"preset": name_or_path})
        raise RecipeError(f"'{name_or_path}' is a preset, not a recipe.", change, found=name_or_path)
    raise RecipeError(f"'{name_or_path}' is not a {kind}.{suggest(name_or_path, names)}", choose, found=name_or_path)


def first_comment(path: Path) -> str:
    """The first comment line of a YAML file: its one-line description."""
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.lstrip("# ").strip() if first.startswith("#") else ""


def copy_to(source: Path, destination: Path, force: bool) -> Path:
    """Copy a recipe or preset to edit it. A folder as destination keeps the name; a bare name gets `.yaml`.

    Raises:
        RecipeError: The destination exists and `force` is off, its folder is missing, or it cannot be written.
    """
    if destination.is_dir():
        destination = destination / source.name
    elif destination.suffix not in SUFFIXES:
        destination = destination.with_name(destination.name + ".yaml")
    if destination.exists() and not force:
        replace = Change(arguments={"force": True}, note="replaces it")
        raise RecipeError("exists already.", replace, Change(text="choose another name"), where=str(destination))
    if not destination.parent.is_dir():
        make = Change(command=f"mkdir -p {shlex.quote(str(destination.parent))}")
        raise RecipeError("no such folder.", make, where=str(destination.parent))
    try:
        shutil.copyfile(source, destination)
    except OSError as error:
        raise RecipeError(f"cannot be written: {error.strerror}.", where=str(destination)) from error
    return destination
