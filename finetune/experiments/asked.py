"""The variants requested for a comparison: presets, and settings of the user under a name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from finetune.errors import Change, Problem, RecipeError, suggest
from finetune.recipe import preset_name
from finetune.recipe.layers import RECIPE_KEYS, entries_of, merged_overrides, parts_of, set_keys
from finetune.recipe.library import preset_names
from finetune.records.schema import OWN

Preset = str | Mapping[str, Any]  # name, path, or {name: {technique: settings}}

CHANGED = "{}-changed"  # a preset with settings of the user's is not the preset that its name promises
_NAME = re.compile(r"\w[\w.+-]*")
# Data keys that change what is trained on, or how it is read, and leave the measured rows as they are.
_SAME_ROWS = ("subset", "subset_seed", "max_length", "long_texts", "overlap", "unlabelled")
_MEASURES = ("training.score", "training.metrics")
EXAMPLE = {"l1": {"techniques.l1.strength": 0.5}}


@dataclass(frozen=True)
class Asked:
    """One requested variant.

    Attributes:
        name: Name in tables, folders and quality gates.
        preset: Preset that it starts from.
        settings: Its own settings, as a mapping or as `key=value` texts; they are applied last.
        typed: Prefix of a key that is set for it alone: `strong` in `--set strong:training.epochs=5`.
        is_named: Whether the user gave this name to settings.
        is_vary: Whether it is a point of a sweep.
    """

    name: str
    preset: Preset
    settings: Any = ()
    typed: str = ""
    is_named: bool = False
    is_vary: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """The dotted keys of its settings."""
        return tuple(set_keys(self.settings))

    def blame(self, problem: Problem) -> Problem:
        """A problem of one of its own settings, with the place where it was written; any other problem unchanged."""
        key = next((key for key in self.keys if f"{problem.key}.".startswith(f"{key}.") or key == problem.found), "")
        if not key:
            return problem
        if self.is_vary:
            return problem.at(f"--vary {problem.key or key}", "vary")
        option, argument = ("variant", "variants") if self.is_named else ("set", "overrides")
        between = " " if self.is_named else ":"
        return problem.at(f"--{option} {self.typed}{between}{problem.key or key}", f"{argument}: {self.typed}")


def ask(presets: Sequence[Preset], variants: Mapping[str, Any] | None, own: Mapping[str, Sequence[Any]]) -> list[Asked]:
    """Presets and named variants, with the settings for single ones assigned to them.

    Args:
        presets: Names, paths or contents.
        variants: Name -> settings: a mapping, whose entry "preset" names the preset that they are added to, or
            `key=value` texts, the first of which may have the preset before a colon. Without a preset the settings
            stand alone.
        own: Name of a preset or variant -> settings for it alone (`--set NAME:key=value`).

    Raises:
        RecipeError: Lists every problem of names and keys.
    """
    asked = [Asked(preset_name(preset), preset, typed=preset_name(preset)) for preset in presets]
    problems: list[Problem] = []
    for name, settings in (variants or {}).items():
        problems += _name_problems(name, [each.name for each in asked])
        if not _are_settings(settings):
            why = f"expected its settings, found {settings!r}."
            problems.append(_variant_problem(name, why, Change(arguments={"variants": EXAMPLE})))
            continue
        preset, settings = _base_of(settings)
        asked.append(Asked(name, preset, settings, name, is_named=True))
        if not asked[-1].keys:
            problems.append(_variant_problem(name, "names no setting.", Change(arguments={"variants": EXAMPLE})))
    problems += [
        Problem(
            f"'{name}' is not among the presets and variants compared.{suggest(name, [each.name for each in asked])}",
            found=name,
            where=f"--set {name}:{set_keys(settings)[0]}",
            where_in_python=f"overrides: {name}:{set_keys(settings)[0]}",
        )
        for name, settings in own.items()
        if name not in [each.name for each in asked]
    ]
    asked = [_with_settings(each, own.get(each.name, ())) for each in asked]
    problems += [problem for each in asked for key in each.keys for problem in key_problems(each, key)]
    if problems:
        raise RecipeError(problems)
    return asked


def _are_settings(settings: Any) -> bool:
    """`key=value` texts, or mappings with text keys, or a list of both."""
    parts = settings if isinstance(settings, list | tuple) else [settings]
    return all(
        isinstance(part, str) or (isinstance(part, Mapping) and all(isinstance(key, str) for key in part))
        for part in parts
    )


def _base_of(settings: Any) -> tuple[Preset, Any]:
    """The preset that a variant starts from, and its settings."""
    if isinstance(settings, Mapping):
        rest = {key: value for key, value in settings.items() if key != "preset"}
        return settings.get("preset", "none"), rest
    split = [split_key(part) if isinstance(part, str) else ("", part) for part in parts_of(settings)]
    bases = [base for base, _ in split if base]
    return (bases[0] if bases else "none"), [part for _, part in split]


def split_key(text: str) -> tuple[str, str]:
    """`strong:training.epochs=5` -> `strong` and the rest; nothing before a key that has no preset."""
    head, colon, rest = text.partition("=")[0].partition(":")
    if not colon or head.partition(".")[0] in RECIPE_KEYS or rest.partition(".")[0] not in RECIPE_KEYS:
        return "", text
    return head.strip(), text[len(head) + 1 :]


def separate(overrides: Any) -> tuple[Any, dict[str, list[Any]]]:
    """Settings for all variants, and those with a preset before their key: its name -> its settings."""
    shared: list[Any] = []
    own: dict[str, list[Any]] = {}
    for entry in entries_of(overrides):
        name, rest = split_key(str(next(iter(entry)) if isinstance(entry, Mapping) else entry))
        mine = {rest: next(iter(entry.values()))} if isinstance(entry, Mapping) else rest
        own.setdefault(preset_name(name), []).append(mine) if name else shared.append(entry)
    if isinstance(overrides, Mapping):
        return {key: value for entry in shared for key, value in entry.items()}, own
    return shared, own


def _with_settings(asked: Asked, own: Sequence[Any]) -> Asked:
    if not own:
        return asked
    name = asked.name if asked.is_named else CHANGED.format(asked.name)
    return replace(asked, name=name, settings=merged_overrides(asked.settings, own))


def _variant_problem(name: Any, why: str, *changes: Change) -> Problem:
    return Problem(why, found=name, changes=changes, where=f"--variant {name}", where_in_python=f"variants: {name}")


def _name_problems(name: Any, taken: Sequence[str]) -> list[Problem]:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        why = "a name begins with a letter or digit and has letters, digits, and . + - _ only."
        return [_variant_problem(name, why, Change(arguments={"variants": EXAMPLE}))]
    if name in taken:
        return [_variant_problem(name, "is the name of a preset in this comparison. Choose another one.")]
    if name in (*preset_names(), OWN):
        why = (
            "is the name of a preset, which this variant is not. Choose another one; "
            f"{name}: before a key starts from that preset."
        )
        return [_variant_problem(name, why)]
    return []


def key_problems(asked: Asked, key: str) -> list[Problem]:
    """Problems of keys that decide what is measured, or that the experiment sets: these are the same for all."""
    section, _, rest = key.partition(".")
    ways: tuple[Change, ...] = ()
    if key == "training.seeds":
        why, ways = "an experiment takes its seeds from an argument.", (Change(arguments={"seeds": 5}),)
    elif key in ("data.folds", "data.fold"):
        why, ways = "a comparison takes its folds from an argument.", (Change(arguments={"folds": 5}),)
    elif key == "data.train_size":
        why = "would make it measured on other rows than the rest. data.subset leaves those rows as they are."
    elif (section == "data" and rest.partition(".")[0] not in _SAME_ROWS) or key in _MEASURES:
        why = "decides what is measured, which must be the same for all."
        ways = (Change(text=f"Set one value for all: --set {key}=VALUE."),)
    else:
        return []
    return [asked.blame(Problem(why, key, changes=ways))]
