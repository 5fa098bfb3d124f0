"""The request: arguments that all workflows share, in the forms of Python and of the command line."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune import own_code
from finetune.errors import Change
from finetune.recipe import READING_KEYS, TELLING_KEYS
from finetune.workflows.arguments import as_list

if TYPE_CHECKING:
    from finetune.experiments.options import Options


# Columns and the way of reading belong to the data, which has a name; seeds are named beside it; trackers only listen.
_TOLD = (f"training.{key}" for key in TELLING_KEYS)
_NOT_IN_NAMES = {"training.seeds", *_TOLD, *(f"data.{key}" for key in ("text", "text_pair", "label", *READING_KEYS))}


@dataclass(frozen=True)
class Request:
    """Recipe, model, data and settings of a workflow.

    Attributes:
        recipe: Name or path of a recipe, its content as a dict, or a `Recipe`; None for the default one.
        model: Hub id, folder or package path, instead of the recipe's model.
        data: File, folder or hub id instead of the recipe's data section; or the data itself: a `datasets.Dataset` or
            `DatasetDict`, a pandas DataFrame, texts and labels (see `finetune.data.memory`).
        overrides: Settings that replace those of recipe and preset, `{"training.epochs": 5}` or `training.epochs=5`;
            "data.unlabelled" takes data from memory, too, or a list of texts.
        skip_bad_rows: Leave out rows that cannot be read.
        drop_leaks: Leave out training rows that (nearly) equal a validation or test row.
        metric: Paths of the user's own `evaluate` modules.
        technique: The user's own techniques: classes, or `path.py:Class`.
        allow_code: Run code that the recipe names (`training.metrics`); remembered for its content. Code named by
            `metric`, `technique` and `overrides` does not need it: it is the caller's own choice.
    """

    recipe: Any = None
    model: str | PathLike[str] | None = None
    data: Any = None
    overrides: Mapping[str, Any] | Iterable[str] = ()
    skip_bad_rows: bool = False
    drop_leaks: bool = False
    metric: str | Sequence[str] | None = None
    technique: Any = None
    allow_code: bool = False

    @staticmethod
    def split(arguments: Mapping[str, Any]) -> tuple[Request, dict[str, Any]]:
        """The arguments of a workflow -> a request with those that are its fields, and the other arguments."""
        names = {field.name for field in fields(Request)}
        mine = {name: value for name, value in arguments.items() if name in names}
        return Request(**mine), {name: value for name, value in arguments.items() if name not in names}

    def options(self) -> Options:
        """The request as options from which recipes are resolved. Registers techniques, stores data from memory, and
        allows code that is named here rather than in the recipe.

        Raises:
            RecipeError, DataError: A technique or the data cannot be used; says why.
        """
        from finetune.experiments.options import Options
        from finetune.recipe.layers import merged_overrides, named_metrics
        from finetune.techniques import use_technique

        for technique in as_list(self.technique):
            use_technique(technique)
        recipe = fspath(self.recipe) if isinstance(self.recipe, PathLike) else self.recipe
        model = None if self.model is None else fspath(self.model)
        overrides = _stored(self.overrides) if isinstance(self.overrides, Mapping) else list(self.overrides)
        switches = {"data.skip_bad_rows": self.skip_bad_rows, "data.drop_leaks": self.drop_leaks}
        wanted = {key: True for key, is_on in switches.items() if is_on}
        metrics = tuple(str(path) for path in as_list(self.metric))
        own_code.allow([*metrics, *named_metrics(overrides)])
        settings = merged_overrides(overrides, wanted)
        return Options(recipe, model, self._data_reference(), settings, metrics, self.allow_code)

    def _data_reference(self) -> str | None:
        """A path or name; data from memory is stored first, so that workers and --resume find it."""
        return _reference(self.data)

    def data_name(self) -> str:
        """The data in names of folders: the stem of a path, or `memory`; empty if the recipe names the data."""
        if self.data is None:
            return ""
        return Path(self.data).stem if isinstance(self.data, str | PathLike) else "memory"

    def technique_settings(self) -> list[str]:
        """Settings that change the preset's techniques, so that what runs is no named preset; as `key=value`."""
        texts = [] if isinstance(self.overrides, Mapping) else list(self.overrides)
        return [text for text in texts if _is_of_techniques(text)]

    def changed(self) -> list[str]:
        """Further parts of folder names: the model, and settings with their values, such as "epochs-5"."""
        model = [] if self.model is None else [Path(self.model).name]
        overrides = self.overrides
        pairs = overrides.items() if isinstance(overrides, Mapping) else [text.split("=", 1) for text in overrides]
        named = [(key.strip(), value) for key, *rest in pairs for value in rest if key.strip() not in _NOT_IN_NAMES]
        return model + [f"{key.rpartition('.')[2]}-{value}" for key, value in named]

    def typed(self, changes: Mapping[str, Any] | None = None) -> str:
        """The part of a command line that says what to train, for building the next command.

        Args:
            changes: Settings that replace those typed for the same keys: the whole run is typed again, overrides of
                techniques included. Without `changes`, these overrides are left out: they belong to the preset, which
                the next command changes.
        """
        parts = [str(self.recipe)] if isinstance(self.recipe, str | PathLike) else []
        for option, value in (("--model", self.model), ("--data", self.data)):
            parts += [option, str(value)] if isinstance(value, str | PathLike) else []
        switches = (("--skip-bad-rows", self.skip_bad_rows), ("--drop-leaks", self.drop_leaks))
        parts += [option for option, is_on in switches if is_on]
        texts = [] if isinstance(self.overrides, Mapping) else list(self.overrides)
        kept = [text for text in texts if _key_of(text) not in changes] if changes else _without_techniques(texts)
        parts += [part for text in kept for part in ("--set", text)]
        parts += [part for path in as_list(self.metric) for part in ("--metric", str(path))]
        parts += [part for each in as_list(self.technique) if isinstance(each, str) for part in ("--technique", each)]
        typed = shlex.join(parts) if parts else "tweets"
        return f"{typed} {Change(settings=changes).for_command_line()}" if changes else typed


def _reference(data: Any) -> str | None:
    if data is None or isinstance(data, str):
        return data
    if isinstance(data, PathLike):
        return fspath(data)
    from finetune.data.memory import store

    return store(data)


def _stored(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides in which unlabelled texts from memory are named by their reference."""
    data = overrides.get("data.unlabelled")
    if isinstance(data, list) and all(isinstance(text, str) for text in data):
        data = {str(overrides.get("data.text") or "text"): data}
    return {**overrides, **({} if data is None else {"data.unlabelled": _reference(data)})}


def _without_techniques(overrides: Iterable[str]) -> list[str]:
    return [text for text in overrides if not _is_of_techniques(text)]


def _key_of(override: str) -> str:
    """`training.epochs=5` -> training.epochs."""
    return override.partition("=")[0].strip()


def _is_of_techniques(override: str) -> bool:
    """`techniques.l2.strength=0.1`, or its key alone."""
    key = _key_of(override)
    return key == "techniques" or key.startswith("techniques.")
