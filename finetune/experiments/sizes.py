"""The cells of a learning curve: presets × sizes of the training set, each trained long enough to have learned."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from finetune.data.rows import Data
from finetune.errors import RecipeError
from finetune.experiments.matrix import Variant
from finetune.recipe import Recipe

# The shortest budget that Zhang et al. 2021 (arXiv:2006.05987) try for 1,000 rows. With fixed epochs a small size would
# be trained for a handful of steps, and its low score would be that of an untrained model (Mosbach et al. 2021).
MIN_STEPS = 200
# Epochs are raised this many times at most: validation is measured once an epoch, and with a few rows of training
# nearly all time would go into measuring.
MOST_LONGER = 10
STEPS_OF_TEN = (1, 2, 5)  # the default sizes: 100, 200, 500, 1000, …
SMALLEST_SHARE = 10  # the default sizes begin near a tenth of all rows
NEAR_ALL = 0.8  # a default size above this share of all rows would say little beside all of them
LEAST_ROWS = 4  # where there are no classes


def parse_sizes(text: str) -> list[int]:
    """`100,300,1000` -> those numbers of training rows.

    Raises:
        RecipeError: It is no list of whole numbers that rise.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise RecipeError(f"--sizes {text}: expected numbers of training rows, such as 100,300,1000.")
    sizes = [int(part) for part in parts]
    if any(after <= before for before, after in itertools.pairwise(sizes)):
        rising = ",".join(map(str, sorted(set(sizes))))
        raise RecipeError(f"--sizes {text}: expected rising numbers, each once. Try: --sizes {rising}")
    return sizes


def choose_sizes(asked: list[int] | None, data: Data) -> list[int]:
    """The sizes of the curve: those asked for, or 1-2-5 steps from about a tenth of the training rows to all of them.

    Raises:
        RecipeError: A size is above the rows there are, or leaves a class with less than two.
    """
    rows, least = len(data.train), _least_rows(data)
    if asked is None:
        return _default_sizes(rows, least)
    typed = f"--sizes {','.join(map(str, asked))}"
    if asked[-1] > rows:
        possible = ",".join(map(str, [*(size for size in asked if size < rows), rows]))
        raise RecipeError(f"{typed}: there are {rows} training rows. Try: --sizes {possible}")
    if asked[0] < least:
        why = f"two for each of {len(data.labels)} classes" if data.labels else "fewer say nothing"
        raise RecipeError(f"{typed}: a size is at least {least} rows, {why}.")
    return asked


def _least_rows(data: Data) -> int:
    return max(LEAST_ROWS, 2 * len(data.labels or ()))


def _default_sizes(rows: int, least: int) -> list[int]:
    steps = [step * 10**power for power in range(len(str(rows))) for step in STEPS_OF_TEN]
    first = max((step for step in steps if step <= rows / SMALLEST_SHARE), default=0)
    return [*(step for step in steps if max(first, least) <= step < NEAR_ALL * rows), rows]


def refuse_folds(overrides: Sequence[str]) -> None:
    """
    Raises:
        RecipeError: Folds were asked for.
    """
    for typed in overrides:
        if typed.strip().startswith(("data.folds", "data.fold=")):
            raise RecipeError(f"--set {typed.strip()}: a curve has no folds; its seeds draw other rows. Leave it out.")


def refuse_subset(recipe: Recipe) -> None:
    """
    Raises:
        RecipeError: The recipe names the rows of a subset itself.
    """
    if recipe.data.subset is not None:
        raise RecipeError(
            f"data.subset: {recipe.data.subset}, but the sizes of a curve are named with --sizes. For fewer rows in "
            "all: --set data.subset=null --set data.train_size=N"
        )
    if recipe.data.subset_seed != 0:
        raise RecipeError("data.subset_seed: each seed of a curve draws its own rows. Try: --set data.subset_seed=0")


def whole(recipe: Recipe) -> Recipe:
    """The recipe on all training rows; a curve has no folds."""
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"folds": None, "fold": None})})


def sized_variants(presets: Sequence[Variant], sizes: Sequence[int], score: str) -> list[Variant]:
    """Every preset at every size, compared with the baseline at the same size; the smallest first.

    Args:
        presets: On all training rows.
        sizes: Ascending.
        score: Main score on all training rows: `auto` must not choose another one at a small size.
    """
    return [
        Variant(
            name=name_at(preset.name, size),
            baseline=None if preset.baseline is None else name_at(preset.baseline, size),
            recipe=_on_subset(preset.recipe, size, score),
            preset=preset.name,
            size=size,
        )
        for size in sizes
        for preset in presets
    ]


def _on_subset(recipe: Recipe, size: int, score: str) -> Recipe:
    changes: dict[str, Any] = {"data": recipe.data.model_copy(update={"subset": size})}
    if recipe.training.score == "auto" and score in ("accuracy", "macro_f1"):
        changes["training"] = recipe.training.model_copy(update={"score": score})
    return recipe.model_copy(update=changes)


def name_at(preset: str, size: int) -> str:
    return f"{preset}, {size} rows"


def with_enough_steps(variants: Sequence[Variant]) -> tuple[list[Variant], list[str]]:
    """Raise the epochs of small sizes to `MIN_STEPS` optimizer steps; what counts epochs is stretched along.

    Args:
        variants: From `fit_variants`: techniques as they are at their size.

    Returns:
        The variants, and what was raised, in words.
    """
    raised: list[Variant] = []
    notes: dict[str, None] = {}
    for variant in variants:
        assert variant.size is not None, "variants of a curve have a size"
        epochs = variant.recipe.training.epochs
        a_pass = math.ceil(variant.size / variant.recipe.training.batch_size)
        needed = min(max(epochs, math.ceil(MIN_STEPS / a_pass)), MOST_LONGER * epochs)
        if needed == epochs:
            raised.append(variant)
            continue
        raised.append(replace(variant, recipe=_longer(variant.recipe, needed)))
        short = f", as {MOST_LONGER} times the epochs is the most" if needed * a_pass < MIN_STEPS else ""
        notes[
            f"{variant.size} rows: {needed} epochs instead of {epochs}, {needed * a_pass} steps instead of "
            f"{epochs * a_pass}: a curve trains each size for {MIN_STEPS} steps at least{short}"
        ] = None
    return raised, list(notes)


def _longer(recipe: Recipe, epochs: int) -> Recipe:
    factor = epochs / recipe.training.epochs
    return recipe.model_copy(
        update={
            "training": recipe.training.model_copy(update={"epochs": epochs}),
            "techniques": {name: technique.stretched(factor) for name, technique in recipe.techniques.items()},
        }
    )
