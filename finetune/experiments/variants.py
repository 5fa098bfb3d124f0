"""The variants of an experiment: presets, a preset with parts taken out, presets at a size of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from finetune.data.loader import Loader
from finetune.errors import Change, Problem, RecipeError, suggest
from finetune.experiments.asked import Asked, Preset, ask
from finetune.experiments.options import Options
from finetune.recipe import Recipe, flatten, longer_note, preset_name
from finetune.records.schema import OWN
from finetune.training.prepare import fitted_recipe

OFF = "off"


@dataclass(frozen=True)
class Variant:
    """One variant of an experiment.

    Attributes:
        name: Name of a preset, of a preset without one part, or of settings of the user.
        baseline: The variant it is compared with; None for a baseline.
        recipe: Resolved recipe; its seeds and fold do not refer to a particular run.
        technique: Ablation: the technique that is left out or alone.
        preset: The preset that it is based on: at one size (curve), or with own settings.
        size: Curve: training rows.
        settings: Own settings: dotted key -> value.
        typed: Prefix of a key that is set for it alone; empty if there can be none.
        point: Sweep: varied key -> its value at this point.
    """

    name: str
    baseline: str | None
    recipe: Recipe
    technique: str | None = None
    preset: str | None = None
    size: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    typed: str = ""
    point: Mapping[str, Any] = field(default_factory=dict)

    def recipe_for(self, seed: int, folds: int | None, fold: int | None) -> Recipe:
        """The recipe of one run. In a curve each seed draws its own rows, the same for all variants."""
        data: dict[str, Any] = {"folds": folds, "fold": fold}
        if self.size is not None:
            data |= {"subset": self.size, "subset_seed": seed}
        elif "data.subset" in self.settings and "data.subset_seed" not in self.settings:
            data |= {"subset_seed": seed} if self.recipe.data.subset is not None else {}
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
        least: Minimum number of presets.

    Raises:
        RecipeError: Lists every problem of every preset, or the problem of the list.
    """
    asked = ask(list(presets), None, {})
    return compared_variants([replace(each, typed="") for each in asked], baseline, options, least)


def compared_variants(
    asked: Sequence[Asked], baseline: str | None, options: Options, least: int = 2, alone: Sequence[Change] = ()
) -> list[Variant]:
    """One variant for each requested one; the baseline comes first.

    Args:
        asked: Presets and named variants.
        baseline: Name of the one that the others are compared with; None: `none` if it is there, else the first.
        options: Shared by all.
        least: Minimum number of variants.
        alone: What to do instead with a single one.

    Raises:
        RecipeError: Lists every problem of every variant, or the problem of the list.
    """
    names = [each.name for each in asked]
    _check_presets(names, least, alone)
    baseline = _baseline(baseline, asked)
    _refuse_shared_settings(options, next((each.typed for each in asked if each.name != baseline), ""))
    problems: list[Problem] = []
    variants = []
    for each in asked:
        try:
            recipe = options.resolve(None if each.preset == OWN else each.preset, each.settings)
        except RecipeError as error:
            found = [each.blame(for_comparison(problem, each.typed)) for problem in error.problems]
            problems += [problem for problem in found if problem not in problems]
        else:
            recipe = recipe.model_copy(update={"preset": each.name})
            settings = _set_values(each, recipe)
            start = preset_name(each.preset) if settings else None
            against = None if each.name == baseline else baseline
            variant = Variant(each.name, against, recipe, preset=start, settings=settings, typed=each.typed)
            variants.append(variant)
    if problems:
        raise RecipeError(problems)
    return sorted(variants, key=lambda variant: variant.baseline is not None)


def _baseline(baseline: str | None, asked: Sequence[Asked]) -> str:
    """The name of what the others are compared with.

    Raises:
        RecipeError: It is not among them.
    """
    names = [each.name for each in asked]
    wanted = "none" if baseline is None else preset_name(baseline)
    for each in asked:
        if wanted in (each.name, each.typed):
            return each.name
    if baseline is not None and not (baseline == "none" and len(names) == 1):
        raise RecipeError(
            f"is not among the presets {','.join(names)}.{suggest(wanted, names)} Name one of them, or add it.",
            argument="baseline",
            found=wanted,
        )
    return names[0]


def _set_values(asked: Asked, recipe: Recipe) -> dict[str, Any]:
    """Its own settings, as the recipe has them after reading; what they turned off is `off`."""
    flat = flatten(recipe.to_dict())
    values: dict[str, Any] = {}
    for key in asked.keys:
        inside = {name: value for name, value in flat.items() if name.startswith(f"{key}.")}
        values |= inside or {key: flat.get(key, OFF)}
    return values


def _check_presets(names: Sequence[str], least: int, alone: Sequence[Change] = ()) -> None:
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
            f"{needed}.",
            Change(arguments={"presets": "none,strong"}),
            *(alone if names else ()),
            argument="presets",
            found=",".join(names),
        )


def ablation_variants(
    preset: Preset, options: Options, folds: int | None, data: Loader
) -> tuple[list[Variant], list[str]]:
    """`none`, the preset, the preset without each of its techniques, and each technique alone.

    Args:
        preset: Name, path or content; "own" stands for the techniques that the recipe lists itself.
        options: Shared by all variants.
        folds: Number of folds of cross-validation.
        data: Read here for a preset that chooses by the data.

    Returns:
        The variants, and the omitted ones with their reasons (a part that needs another one).

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
    """Notes on presets that chose the same settings as another one: their runs give the same numbers twice."""
    texts = []
    for variant in variants:
        same = [
            other.name
            for other in variants
            if other is not variant and other.size == variant.size and _same_settings(variant.recipe, other.recipe)
        ]
        if variant.recipe.decisions and variant.technique is None and same:
            texts.append(
                f"{variant.name} chose exactly the settings of {same[0]}, so the two do not differ: leave one out, or "
                "read their difference as 0"
            )
    return texts


def _same_settings(first: Recipe, second: Recipe) -> bool:
    # The epochs are those that min_steps gave.
    trained = [each.training.model_copy(update={"min_steps": 0}) for each in (first, second)]
    return trained[0] == trained[1] and all(
        getattr(first, part) == getattr(second, part) for part in ("model", "techniques", "data")
    )


def _on_first_fold(recipe: Recipe, folds: int | None) -> Recipe:
    return Variant("", None, recipe).recipe_for(0, folds, 0 if folds else None)


def _refuse_shared_settings(options: Options, typed: str = "") -> None:
    """Settings of all variants that an experiment decides itself.

    Args:
        options: Shared by all.
        typed: A preset that could have such a setting alone; empty if none can.
    """
    for key in options.overridden_keys():
        if key == "techniques" or key.startswith("techniques."):
            copy = Change(command="finetune cp strong mine.yaml", note="then --presets none,mine.yaml")
            alone = Change(settings={f"{typed}:{key}": "VALUE"}, note=f"for {typed} alone")
            named = Change(arguments={"variants": {"mine": {key: "VALUE"}}}, note="beside the presets")
            raise RecipeError(
                "would change every preset, the baseline too.", *((alone, named) if typed else (copy,)), key=key
            )
        if key == "training.seeds":
            raise RecipeError(
                "an experiment takes its seeds from an argument.", Change(arguments={"seeds": 5}), key=key
            )
        if key in ("data.folds", "data.fold"):
            raise RecipeError("a comparison takes its folds from an argument.", Change(arguments={"folds": 5}), key=key)


def for_comparison(problem: Problem, typed: str = "") -> Problem:
    """Adapt the fixes of a problem to a comparison, where the setting of a technique belongs to one preset.

    Args:
        problem: Problem of one variant.
        typed: Prefix of a key that is set for it alone; empty: the fix is an edited copy.
    """
    if typed:
        return replace(problem, changes=tuple(_for_one(change, typed) for change in problem.changes))
    kept = tuple(change for change in problem.changes if not _changes_technique(change))
    if len(kept) == len(problem.changes):
        return problem
    copy = Change(command="finetune cp PRESET mine.yaml", note="edit the copy, then --presets none,mine.yaml")
    return replace(problem, changes=(*kept, copy))


def _for_one(change: Change, typed: str) -> Change:
    """With technique settings of one preset; others go on to hold for all."""
    settings = {f"{typed}:{key}" if key.startswith("techniques.") else key: v for key, v in change.settings.items()}
    return replace(change, settings=settings)


def _changes_technique(change: Change) -> bool:
    return any(key.startswith("techniques.") for key in change.settings)


def _refuse_repetitions(variants: Sequence[Variant]) -> None:
    """
    Raises:
        RecipeError: Settings of the user make a variant equal to another one.
    """
    problems = []
    for number, variant in enumerate(variants):
        for other in variants[:number]:
            own = variant if variant.settings else other
            if own.settings and _same_settings(variant.recipe, other.recipe):
                keys = ", ".join(own.settings)
                problems.append(
                    Problem(
                        f"is exactly what {(other if own is variant else variant).name} is: the same runs twice. Leave "
                        f"one out, or choose another value of {keys}.",
                        where=own.name,
                    )
                )
                break
    if problems:
        raise RecipeError(problems)


def fit_variants(variants: Sequence[Variant], folds: int | None, data: Loader) -> tuple[list[Variant], list[str]]:
    """Insert the settings of presets for data of this size, and raise the epochs if rows are few.

    In an ablation, parts that are off at this size are omitted: there is nothing to leave out.

    Returns:
        The variants, and messages about decisions of presets that choose by the data and about raised epochs.

    Raises:
        RecipeError: Two variants are the same runs.
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
    _refuse_repetitions(fitted)
    notes |= dict.fromkeys(_repetitions(fitted))
    present = {name for variant in fitted if variant.technique is None for name in variant.recipe.techniques}
    return [variant for variant in fitted if variant.technique is None or variant.technique in present], list(notes)
