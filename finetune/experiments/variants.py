"""The variants of an experiment: presets, a preset with parts taken out, presets at a size of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from finetune.data.loader import Loader
from finetune.errors import Change, Problem, RecipeError, suggest
from finetune.recipe import Recipe, longer_note, preset_name, resolve
from finetune.records.schema import OWN
from finetune.training.prepare import fitted_recipe

Preset = str | Mapping[str, Any]  # name, path, or {name: {technique: settings}}


@dataclass(frozen=True)
class Options:
    """What all variants share, as it was asked for.

    Attributes:
        recipe: Name, path, content or a resolved recipe; None for the default.
        model: Replaces the recipe's model.
        data: Replaces the recipe's data.
        overrides: Settings, as a mapping or as `key=value` texts.
        metrics: Paths of the user's own evaluate modules.
    """

    recipe: Any = None
    model: str | None = None
    data: str | None = None
    overrides: Any = ()
    metrics: tuple[str, ...] = ()

    def resolve(self, preset: Any, further: Mapping[str, Any] | None = None) -> Recipe:
        """The recipe of one variant; `further` settings come last."""
        overrides = merged_overrides(self.overrides, further or {})
        return resolve(self.recipe, preset, self.model, self.data, overrides, metrics=self.metrics).recipe

    def overridden_keys(self) -> list[str]:
        """The dotted keys that are overridden."""
        if isinstance(self.overrides, Mapping):
            return list(self.overrides)
        return [text.partition("=")[0].strip() for text in self.overrides]


def merged_overrides(overrides: Any, further: Mapping[str, Any]) -> Any:
    """Settings followed by others, in the form of the first."""
    if isinstance(overrides, Mapping):
        return {**overrides, **further}
    return [*overrides, *(f"{key}={value}" for key, value in further.items())]


@dataclass(frozen=True)
class Variant:
    """What is compared.

    Attributes:
        name: Of a preset, or of a preset with a part taken out.
        baseline: The variant it is compared with; None for a baseline.
        recipe: Resolved; seeds and fold are those of no run in particular.
        technique: Ablation: what was taken out, or is alone.
        preset: Curve: the preset that it is at one size.
        size: Curve: training rows.
    """

    name: str
    baseline: str | None
    recipe: Recipe
    technique: str | None = None
    preset: str | None = None
    size: int | None = None

    def recipe_for(self, seed: int, folds: int | None, fold: int | None) -> Recipe:
        """The recipe of one run. In a curve each seed draws its own rows too, the same ones for all presets."""
        data: dict[str, Any] = {"folds": folds, "fold": fold}
        if self.size is not None:
            data |= {"subset": self.size, "subset_seed": seed}
        return self.recipe.model_copy(
            update={
                "data": self.recipe.data.model_copy(update=data),
                "training": self.recipe.training.model_copy(update={"seeds": [seed]}),
            }
        )


def preset_variants(presets: Sequence[Preset], baseline: str | None, options: Options, least: int = 2) -> list[Variant]:
    """One variant per preset.

    Args:
        presets: Names, paths or contents; "own" stands for the techniques that the recipe lists itself.
        baseline: The name of the preset that the others are compared with; None: `none` if it is there, else the first.
        options: Shared by all.
        least: Presets that make sense.

    Raises:
        RecipeError: With every problem of every preset, or what is wrong with the list.
    """
    names = [preset_name(preset) for preset in presets]
    _check_presets(names, least)
    baseline = preset_name(baseline) if baseline is not None else "none" if "none" in names else names[0]
    if baseline not in names:
        raise RecipeError(
            f"is not among the presets {','.join(names)}.{suggest(baseline, names)} Name one of them, or add it.",
            argument="baseline",
            found=baseline,
        )
    _refuse_shared_settings(options)
    problems: list[Problem] = []
    variants = []
    for name, preset in zip(names, presets, strict=True):
        try:
            recipe = options.resolve(None if preset == OWN else preset)
        except RecipeError as error:
            problems += [copy for problem in error.problems if (copy := for_comparison(problem)) not in problems]
        else:
            recipe = recipe.model_copy(update={"preset": name})
            variants.append(Variant(name, None if name == baseline else baseline, recipe))
    if problems:
        raise RecipeError(problems)
    return sorted(variants, key=lambda variant: variant.baseline is not None)  # the baseline leads


def _check_presets(names: Sequence[str], least: int) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise RecipeError(
            f"two are called '{repeated[0]}'. Name each once, or rename a file.",
            argument="presets",
            found=",".join(names),
        )
    if len(names) < least:
        needed = "a comparison needs two or more" if least > 1 else "names none"
        raise RecipeError(
            f"{needed}.", Change(arguments={"presets": "none,strong"}), argument="presets", found=",".join(names)
        )


def ablation_variants(
    preset: Preset, options: Options, folds: int | None, data: Loader
) -> tuple[list[Variant], list[str]]:
    """`none`, the preset, the preset without each of its techniques, and each technique alone.

    Args:
        preset: Name, path or content; "own" stands for the techniques that the recipe lists itself.
        options: Of all variants.
        folds: Of cross-validation.
        data: Read here for a preset that chooses by the data.

    Returns:
        The variants, and what had to be left out with its reason (a part that cannot stand without another).

    Raises:
        RecipeError: The preset cannot be resolved, or has fewer than two techniques.
    """
    _refuse_shared_settings(options)
    name = preset_name(preset)
    chosen = None if preset == OWN else preset
    complete = options.resolve(chosen)
    if complete.choices is not None:  # its parts are what it chooses for this data, with the budget that goes with them
        loaded = data.load(_on_first_fold(complete, folds).data)
        complete = fitted_recipe(complete, loaded).model_copy(update={"rules": {}, "choices": None})
        options, chosen = Options(complete, metrics=()), None
    if name == "none":
        raise RecipeError(
            "'none' is what the parts are compared with. Rename the file.", argument="preset", found=str(preset)
        )
    parts = list(complete.rules or complete.techniques)  # also what is on for other sizes only; `fit_variants` sees
    if len(parts) < 2:
        here = " for this data" if complete.decisions else ""
        raise RecipeError(
            f"has {len(parts)} technique{'s' * (len(parts) != 1)}{here}; an ablation needs two or more.",
            argument="preset",
            found=name,
        )
    nothing = complete.model_copy(update={"techniques": {}, "rules": {}, "preset": "none"})
    variants = [Variant("none", None, nothing), Variant(name, "none", complete.model_copy(update={"preset": name}))]
    left_out = []
    for part in parts:
        others = {f"techniques.{other}": "off" for other in parts if other != part}
        for title, baseline, taken in (
            (f"{name} without {part}", name, {f"techniques.{part}": "off"}),
            (f"{part} alone", "none", others),
        ):
            try:
                recipe = options.resolve(chosen, taken)
            except RecipeError as error:
                left_out.append(f"{title} is left out: {error.for_command_line()}")
            else:
                variants.append(Variant(title, baseline, recipe.model_copy(update={"preset": title}), part))
    return variants, left_out


def _repetitions(variants: Sequence[Variant]) -> list[str]:
    """Where a preset chose what another one is: their runs give the same numbers twice."""
    texts = []
    for variant in variants:
        same = [
            other.name
            for other in variants
            if other is not variant and other.size == variant.size and _same_settings(variant.recipe, other.recipe)
        ]
        if variant.recipe.decisions and variant.technique is None and same:
            texts.append(
                f"{variant.name} chose exactly what {same[0]} is, so the two differ in nothing: leave one out, or read "
                "their difference as 0"
            )
    return texts


def _same_settings(first: Recipe, second: Recipe) -> bool:
    return (first.training, first.techniques, first.data) == (second.training, second.techniques, second.data)


def _on_first_fold(recipe: Recipe, folds: int | None) -> Recipe:
    return Variant("", None, recipe).recipe_for(0, folds, 0 if folds else None)


def _refuse_shared_settings(options: Options) -> None:
    """Settings of all variants that an experiment decides itself."""
    for key in options.overridden_keys():
        if key == "techniques" or key.startswith("techniques."):
            raise RecipeError(
                "would change every preset, the baseline too. Copy a preset and edit it.",
                Change(command="finetune cp strong mine.yaml", note="then --presets none,mine.yaml"),
                key=key,
            )
        if key == "training.seeds":
            raise RecipeError(
                "an experiment takes its seeds from an argument.", Change(arguments={"seeds": 5}), key=key
            )
        if key in ("data.folds", "data.fold"):
            raise RecipeError("a comparison takes its folds from an argument.", Change(arguments={"folds": 5}), key=key)


def for_comparison(problem: Problem) -> Problem:
    """To change a technique's setting is a way out for a run; a comparison refuses it, and takes an edited copy."""
    kept = tuple(change for change in problem.changes if not _changes_technique(change))
    if len(kept) == len(problem.changes):
        return problem
    copy = Change(command="finetune cp PRESET mine.yaml", note="edit the copy, then --presets none,mine.yaml")
    return replace(problem, changes=(*kept, copy))


def _changes_technique(change: Change) -> bool:
    return any(key.startswith("techniques.") for key in change.settings)


def fit_variants(variants: Sequence[Variant], folds: int | None, data: Loader) -> tuple[list[Variant], list[str]]:
    """Put in the settings that presets want for data of this size, and raise the epochs where its rows are few.

    In an ablation, parts that are off at this size are left out: there is nothing to take away.

    Returns:
        The variants, and in words what presets that choose by the data decided, and where epochs were raised.
    """
    fitted, notes = [], dict[str, None]()
    for variant in variants:
        loaded = data.load(variant.recipe_for(0, folds, 0 if folds else None).data)
        # Without the rules from here on: folds that differ by a row must not have settings of their own.
        recipe = fitted_recipe(variant.recipe, loaded).model_copy(update={"rules": {}, "choices": None})
        at = "" if variant.size is None else f"{variant.size} rows: "
        notes |= dict.fromkeys(f"{at}{decision.text}" for decision in recipe.decisions)
        if note := longer_note(variant.recipe, recipe, len(loaded.train)):
            notes[note] = None
        fitted.append(replace(variant, recipe=recipe))
    notes |= dict.fromkeys(_repetitions(fitted))
    present = {name for variant in fitted if variant.technique is None for name in variant.recipe.techniques}
    return [variant for variant in fitted if variant.technique is None or variant.technique in present], list(notes)
