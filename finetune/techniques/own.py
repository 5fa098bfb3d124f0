"""Techniques that users bring, by entry point or `--technique path.py:Class`; they keep the built-in ones' contract."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from finetune.errors import RecipeError, suggest
from finetune.techniques.base import Technique

GROUP = "finetune.techniques"  # of entry points: NAME = "module:Class"
VARIABLE = "FINETUNE_TECHNIQUES"  # path.py:Class; worker processes inherit it
SEPARATOR = ";"  # between several; a colon is part of each
FAMILIES = (
    "penalty",
    "constraint",
    "shrinkage of the step",
    "dropout",
    "consistency and noise",
    "targets",
    "averaging",
    "initialisation",
    "augmentation",
)
_BOUNDS = {"minimum", "exclusiveMinimum"}


def announce(reference: str) -> None:
    """Make `path.py:Class` known to this process and to those it starts, before the registry is read.

    Raises:
        RecipeError: It is not of that form, or there is no such file.
    """
    path, _, name = reference.rpartition(":")
    if not path.endswith(".py") or not name.isidentifier():
        raise RecipeError(f"--technique {reference}: expected path.py:Class, for example my_technique.py:MyTechnique.")
    if not Path(path).is_file():
        raise RecipeError(f"--technique {reference}: no file '{path}'.")
    known = [entry for entry in os.environ.get(VARIABLE, "").split(SEPARATOR) if entry]
    absolute = f"{Path(path).resolve()}:{name}"
    if absolute not in known:
        os.environ[VARIABLE] = SEPARATOR.join([*known, absolute])


def find_own(registry: dict[str, type[Technique]]) -> dict[str, type[Technique]]:
    """Name -> class of all techniques that users brought and the registry does not hold yet.

    Raises:
        RecipeError: One cannot be loaded, breaks the contract, or takes a name that is in use.
    """
    found: dict[str, type[Technique]] = {}
    for name, origin, load in _references():
        technique = load()
        if registry.get(name) is technique:
            continue
        if name in registry or name in found:
            raise RecipeError(f"{origin}: a technique is called '{name}' already; give the class another name.")
        problems = contract_problems(technique)
        if problems:
            raise RecipeError([f"{origin}: {problem}" for problem in problems])
        found[name] = technique
    return found


def source_digest(technique: type[Technique]) -> str | None:
    """sha256 over the file of a user's technique; None for the built-in ones, which the program's version names."""
    if technique.__module__.startswith("finetune.techniques."):
        return None
    return hashlib.sha256(Path(inspect.getfile(technique)).read_bytes()).hexdigest()


def contract_problems(technique: Any) -> list[str]:
    """What keeps a class from being a technique that can be listed, set from YAML and trusted to act."""
    if not (isinstance(technique, type) and issubclass(technique, Technique) and technique is not Technique):
        return [f"{technique!r} is no subclass of finetune.techniques.Technique"]
    title = technique.__name__
    missing = [name for name in ("family", "source") if not hasattr(technique, name)]
    problems = [f"{title}.{name}: is missing (a class variable)" for name in missing]
    if hasattr(technique, "family") and technique.family not in FAMILIES:
        problems.append(f"{title}.family: '{technique.family}' is not one of {', '.join(FAMILIES)}")
    if not (technique.__doc__ or "").strip():
        problems.append(f"{title}: has no docstring; its first line is what `finetune ls techniques` shows")
    if not technique.cost > 0:
        problems.append(f"{title}.cost: {technique.cost} is no multiple of plain fine-tuning")
    return problems + list(_field_problems(technique)) + list(_hook_problems(technique))


def _field_problems(technique: type[Technique]) -> Iterator[str]:
    properties = technique.model_json_schema().get("properties", {})
    for key, field in technique.model_fields.items():
        if not field.description:
            yield f"{technique.__name__}.{key}: has no description; write Field(…, description=…)"
        for schema in properties[key].get("anyOf", [properties[key]]):
            if schema.get("type") in ("number", "integer") and not _BOUNDS & set(schema):
                yield f"{technique.__name__}.{key}: has no lower bound; write Field(…, gt=0)"


def _hook_problems(technique: type[Technique]) -> Iterator[str]:
    """A misspelt hook would never be called: nothing would happen, and nobody would be told."""
    hooks = {name for name in vars(Technique) if not name.startswith("_") and callable(getattr(Technique, name))}
    classes = [kind for kind in reversed(technique.__mro__) if issubclass(kind, Technique) and kind is not Technique]
    for name, value in [item for kind in classes for item in vars(kind).items()]:
        if name.startswith("_") or hasattr(BaseModel, name) or not inspect.isfunction(value):
            continue
        if name not in hooks:
            yield f"{technique.__name__}.{name}: is not a hook.{suggest(name, hooks)} Helpers start with an underscore"
            continue
        expected = list(inspect.signature(getattr(Technique, name)).parameters)
        actual = list(inspect.signature(value).parameters)
        if len(expected) != len(actual):
            yield f"{technique.__name__}.{name}: takes ({', '.join(actual)}), expected ({', '.join(expected)})"


def _references() -> Iterator[tuple[str, str, Any]]:
    for point in metadata.entry_points(group=GROUP):
        yield point.name, f"entry point {point.name} = {point.value}", functools.partial(_load_point, point)
    for reference in filter(None, os.environ.get(VARIABLE, "").split(SEPARATOR)):
        path, _, name = reference.rpartition(":")
        yield _snake_case(name), f"--technique {reference}", lambda path=path, name=name: _load(Path(path), name)


def _load_point(point: metadata.EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:
        package = point.dist.name if point.dist is not None else "the package that declares it"
        raise RecipeError(
            f"entry point {point.name} = {point.value}: cannot be loaded: {type(error).__name__}: {error}. "
            f"Mend {package}, or: pip uninstall {package}"
        ) from error


def _load(path: Path, name: str) -> Any:
    module = _module(path)
    if not hasattr(module, name):
        classes = [key for key, value in vars(module).items() if isinstance(value, type) and key != "Technique"]
        raise RecipeError(f"--technique {path}:{name}: {path.name} has no class '{name}'.{suggest(name, classes)}")
    return getattr(module, name)


def _module(path: Path) -> ModuleType:
    """Run the file once, under a name by which other processes find it again."""
    title = f"finetune_own_{path.stem}"
    present = sys.modules.get(title)
    if present is not None and present.__file__ == str(path):
        return present
    if present is not None:
        raise RecipeError(f"--technique {path}: another file of that name is in use; rename one of them.")
    spec = importlib.util.spec_from_file_location(title, path)
    assert spec is not None, "announce lets .py files through only"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[title] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[title]
        raise RecipeError(f"--technique {path}: cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
