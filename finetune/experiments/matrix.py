"""The cells of a comparison: variants × seeds × folds, each named by everything that decides its figures."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import finetune
from finetune.data.loader import Loader as DataSets
from finetune.data.rows import Data
from finetune.errors import Change, Problem, RecipeError, suggest
from finetune.models.load import model_fingerprint
from finetune.recipe import Recipe, resolve
from finetune.records.comparison import CellEntry
from finetune.records.schema import SCHEMA_VERSION
from finetune.techniques import source_digest
from finetune.training.prepare import check_run, fitted_recipe

OWN = "own"  # the techniques that the recipe itself lists
DECIDES_FIGURES = ("data", "kernels", "measurement", "models", "recipe", "techniques", "training")  # folders of code
PATHS = ("source", "validation", "test")  # where the data lay; what it was is in its fingerprint


@dataclass(frozen=True)
class Options:
    """What all variants share, as it was typed."""

    recipe: str | None = None
    model: str | None = None
    data: str | None = None
    overrides: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    Attributes:
        name: Of a preset, or of a preset with a part taken out.
        baseline: The variant it is compared with; None for a baseline.
        recipe: Resolved; seeds and fold are those of no cell in particular.
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


@dataclass(frozen=True)
class Cell:
    """One run of the matrix: `entry` is written down, `recipe` is run.

    Attributes:
        work: What it costs without techniques, as a share of the most expensive cell.
    """

    entry: CellEntry
    recipe: Recipe
    work: float = 1.0


def preset_variants(presets: Sequence[str], baseline: str | None, options: Options, least: int = 2) -> list[Variant]:
    """One variant a preset.

    Args:
        presets: Names or paths; "own" stands for the techniques that the recipe lists itself.
        baseline: The name of the preset that the others are compared with; None: `none` if it is there, else the first.
        options: Shared by all.
        least: Presets that make sense.

    Raises:
        RecipeError: With every problem of every preset, or what is wrong with the list.
    """
    names = [_name(preset) for preset in presets]
    baseline = _name(baseline) if baseline is not None else "none" if "none" in names else next(iter(names), "")
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise RecipeError(f"--presets: two are called '{doubled[0]}'. Name each once, or rename a file.")
    if len(names) < least:
        needed = "a comparison needs two or more" if least > 1 else "names none"
        raise RecipeError(f"--presets: {needed}, for example --presets none,strong.")
    if baseline not in names:
        typed = f"--baseline {baseline}: is not among --presets {','.join(presets)}."
        raise RecipeError(f"{typed}{suggest(baseline, names)} Name one of them, or add it to --presets.")
    _refuse_technique_overrides(options.overrides)
    problems: list[Problem] = []
    variants = []
    for name, preset in zip(names, presets, strict=True):
        try:
            recipe = _resolve(None if preset == OWN else preset, options)
        except RecipeError as error:
            problems += [found for problem in error.problems if (found := _in_a_copy(problem)) not in problems]
        else:
            recipe = recipe.model_copy(update={"preset": name})
            variants.append(Variant(name, None if name == baseline else baseline, recipe))
    if problems:
        raise RecipeError(problems)
    return sorted(variants, key=lambda variant: variant.baseline is not None)  # the baseline leads


def ablation_variants(preset: str, options: Options) -> tuple[list[Variant], list[str]]:
    """`none`, the preset, the preset without each of its techniques, and each technique alone.

    Returns:
        The variants, and what had to be left out with its reason (a part that cannot stand without another).

    Raises:
        RecipeError: The preset cannot be resolved, or has fewer than two techniques.
    """
    _refuse_technique_overrides(options.overrides)
    whole, name = _resolve(None if preset == OWN else preset, options), _name(preset)
    if name == "none":
        raise RecipeError(f"--preset {preset}: 'none' is what the parts are compared with. Rename the file.")
    parts = list(whole.rules or whole.techniques)  # also what is on for other sizes only; `fit_variants` sees
    if len(parts) < 2:
        raise RecipeError(f"--preset {preset}: has {len(parts)} techniques; there is nothing to take apart.")
    nothing = whole.model_copy(update={"techniques": {}, "rules": {}, "preset": "none"})
    variants = [Variant("none", None, nothing), Variant(name, "none", whole.model_copy(update={"preset": name}))]
    left_out = []
    for part in parts:
        others = tuple(f"techniques.{other}=off" for other in parts if other != part)
        for title, baseline, taken in (
            (f"{name} without {part}", name, (f"techniques.{part}=off",)),
            (f"{part} alone", "none", others),
        ):
            try:
                recipe = _resolve(None if preset == OWN else preset, options, taken)
            except RecipeError as error:
                left_out.append(f"{title} is left out: {error}")
            else:
                variants.append(Variant(title, baseline, recipe.model_copy(update={"preset": title}), part))
    return variants, left_out


def _name(preset: str) -> str:
    path = Path(preset)
    return path.stem if path.suffix in (".yaml", ".yml") else preset


def _resolve(preset: str | None, options: Options, further: tuple[str, ...] = ()) -> Recipe:
    return resolve(
        options.recipe, preset, options.model, options.data, (*options.overrides, *further), metrics=options.metrics
    ).recipe


def _refuse_technique_overrides(overrides: Sequence[str]) -> None:
    for typed in overrides:
        text = typed.strip()
        if text.startswith("techniques."):
            raise RecipeError(
                f"--set {text}: would change every preset, the baseline too. Copy a preset and edit it: "
                "finetune cp strong mine.yaml, then --presets none,mine.yaml"
            )
        if text.startswith("training.seeds"):
            raise RecipeError(f"--set {text}: seeds of a comparison are named with --seeds")
        if text.startswith(("data.folds", "data.fold=")):
            raise RecipeError(f"--set {text}: folds of a comparison are asked for with --folds")


def fit_variants(variants: Sequence[Variant], folds: int | None, data: DataSets) -> list[Variant]:
    """Put in the settings that presets want for data of this size.

    In an ablation, parts that are off at this size are left out: there is nothing to take away.
    """
    fitted = []
    for variant in variants:
        loaded = data.load(_at(variant, 0, folds, 0 if folds else None).data)
        # Without the rules from here on: folds that differ by a row must not have settings of their own.
        recipe = fitted_recipe(variant.recipe, loaded).model_copy(update={"rules": {}})
        fitted.append(replace(variant, recipe=recipe))
    present = {name for variant in fitted if variant.technique is None for name in variant.recipe.techniques}
    return [variant for variant in fitted if variant.technique is None or variant.technique in present]


def build_cells(variants: Sequence[Variant], seeds: Sequence[int], folds: int | None, data: DataSets) -> list[Cell]:
    """All cells, checked short of the weights; seed by seed, so that an unfinished comparison is paired.

    Raises:
        DataError, ModelError, RecipeError: Something could never run; nothing has been started yet.
    """
    code = code_digest()
    models = {variant.recipe.model: model_fingerprint(variant.recipe.model) for variant in variants}
    problems: list[Problem] = []
    cells = []
    for seed in seeds:
        for fold in range(folds) if folds else (None,):
            for variant in variants:
                recipe = _at(variant, seed, folds, fold)
                loaded = data.load(recipe.data)
                if seed == seeds[0] and not fold:
                    problems += _problems(variant.name, recipe, loaded)
                key = cell_key(recipe, seed, loaded.fingerprint, models[recipe.model], code)
                entry = CellEntry(
                    variant=variant.name,
                    seed=seed,
                    fold=fold,
                    key=key,
                    folder=f"cells/{_slug(variant.name)}-seed{seed}{'' if fold is None else f'-fold{fold}'}-{key[:8]}",
                )
                cells.append(Cell(entry, recipe, _work(recipe, loaded)))
    if problems:
        raise RecipeError([problem for number, problem in enumerate(problems) if problem not in problems[:number]])
    most = max(cell.work for cell in cells)
    return [replace(cell, work=cell.work / most) for cell in cells]


def _at(variant: Variant, seed: int, folds: int | None, fold: int | None) -> Recipe:
    """The recipe of a cell. In a curve each seed draws its own rows too, the same ones for all presets."""
    recipe, of_data = variant.recipe, {"folds": folds, "fold": fold}
    if variant.size is not None:
        of_data |= {"subset": variant.size, "subset_seed": seed}
    return recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update=of_data),
            "training": recipe.training.model_copy(update={"seeds": [seed]}),
        }
    )


def _work(recipe: Recipe, data: Data) -> float:
    """Forward passes of rows; a training step counts three, for its backward pass costs two."""
    measured = len(data.probe) + len(data.validation)
    return recipe.training.epochs * (3.0 * len(data.train) + measured) + len(data.test or ())


def _problems(name: str, recipe: Recipe, data: Data) -> list[Problem]:
    try:
        check_run(recipe, data)
    except RecipeError as error:
        return [_in_a_copy(problem).at(name) for problem in error.problems]
    return []


def _in_a_copy(problem: Problem) -> Problem:
    """To change a technique's setting is a way out for a run; a comparison refuses it, and takes an edited copy."""
    kept = tuple(change for change in problem.changes if not _changes_technique(change))
    if len(kept) == len(problem.changes) and "--set techniques." not in problem.why:
        return problem
    copy = Change(command="finetune cp PRESET mine.yaml", note="edit the copy, then --presets none,mine.yaml")
    return replace(problem, changes=(*kept, copy))


def _changes_technique(change: Change) -> bool:
    return any(key.startswith("techniques.") for key in change.settings)


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.") or "preset"


def cell_key(recipe: Recipe, seed: int, data: str, model: str, code: str) -> str:
    """sha256 over everything that decides the figures of a run.

    Args:
        recipe: Of the cell; its name, its list of seeds and the paths of its files do not count.
        seed: Of the run.
        data: Fingerprint of the splits.
        model: Fingerprint of the pretrained model.
        code: From `code_digest`.
    """
    content: dict[str, Any] = recipe.to_dict()
    del content["name"], content["training"]["seeds"]
    content.pop("rules", None)  # the techniques are those that the rules gave
    for path in PATHS:
        del content["data"][path]
    del content["model"]["id"]
    content["training"]["metrics"] = [_digest(Path(module)) for module in recipe.training.metrics]
    own = {name: digest for name, value in recipe.techniques.items() if (digest := source_digest(type(value)))}
    if own:
        content["techniques_code"] = own
    whole = {"recipe": content, "seed": seed, "data": data, "model": model, "code": code, "schema": SCHEMA_VERSION}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def _digest(module: Path) -> str:
    """sha256 over the sources of a user's metric: a file, or a folder of them."""
    if not module.exists():
        raise RecipeError(f"--metric {module}: no such file or folder. Give the path of your evaluate module.")
    digest = hashlib.sha256()
    for path in sorted(module.rglob("*.py")) if module.is_dir() else [module]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def code_digest() -> str:
    """sha256 over the sources that decide a run's figures: a new report does not make old runs stale."""
    root = Path(finetune.__file__).parent
    digest = hashlib.sha256()
    for folder in DECIDES_FIGURES:
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()
