"""The cells of a learning curve: presets × sizes of the training set, each trained long enough to learn."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from finetune.data.rows import Data
from finetune.errors import Change, RecipeError
from finetune.experiments.variants import Variant
from finetune.recipe import Recipe

# The shortest budget that Zhang et al. 2021 (arXiv:2006.05987) try for 1,000 rows. With fixed epochs a small size would
# be trained for a handful of steps, and its low score would be that of an untrained model (Mosbach et al. 2021).
MIN_STEPS = 200
STEPS_OF_TEN = (1, 2, 5)  # the default sizes: 100, 200, 500, 1000, …
SMALLEST_SHARE = 10  # the default sizes begin near a tenth of all rows
NEAR_ALL = 0.8  # a default size above this share of all rows would say little beside all of them
LEAST_ROWS = 4  # where there are no classes


def choose_sizes(asked: list[int] | None, data: Data) -> list[int]:
    """The sizes of the curve: the requested ones, or 1-2-5 steps from about a tenth of the training rows to all of
    them.

    Raises:
        RecipeError: Sizes do not ascend, one exceeds the available rows, or leaves a class with fewer than two.
    """
    rows, least = len(data.train), _least_rows(data)
    if asked is None:
        return _default_sizes(rows, least)
    typed = ",".join(map(str, asked))
    if not asked or any(after <= before for before, after in itertools.pairwise(asked)):
        ascending = ",".join(map(str, sorted(set(asked)))) or "100,300,1000"
        raise RecipeError(
            "expected ascending numbers of training rows, each once.",
            Change(arguments={"sizes": ascending}),
            argument="sizes",
            found=typed,
        )
    if asked[-1] > rows:
        possible = ",".join(map(str, [*(size for size in asked if size < rows), rows]))
        raise RecipeError(
            f"there are {rows} training rows.", Change(arguments={"sizes": possible}), argument="sizes", found=typed
        )
    if asked[0] < least:
        why = f"two for each of {len(data.labels)} classes" if data.labels else "fewer are not informative"
        raise RecipeError(f"a size is at least {least} rows, {why}.", argument="sizes", found=typed)
    return asked


def _least_rows(data: Data) -> int:
    return max(LEAST_ROWS, 2 * len(data.labels or ()))


def _default_sizes(rows: int, least: int) -> list[int]:
    steps = [step * 10**power for power in range(len(str(rows))) for step in STEPS_OF_TEN]
    first = max((step for step in steps if step <= rows / SMALLEST_SHARE), default=0)
    return [*(step for step in steps if max(first, least) <= step < NEAR_ALL * rows), rows]


def refuse_folds(keys: Sequence[str]) -> None:
    """
    Raises:
        RecipeError: Folds are among the overridden keys.
    """
    for key in keys:
        if key in ("data.folds", "data.fold"):
            raise RecipeError("a curve has no folds; its seeds draw other rows. Leave it out.", key=key)


def refuse_subset(recipe: Recipe) -> None:
    """
    Raises:
        RecipeError: The recipe names the rows of a subset itself.
    """
    if recipe.data.subset is not None:
        raise RecipeError(
            f"{recipe.data.subset} rows, but the sizes of a curve are an argument of their own.",
            Change(arguments={"sizes": "100,300,1000"}),
            Change(settings={"data.subset": None, "data.train_size": "N"}, note="for fewer rows in all"),
            key="data.subset",
            found=recipe.data.subset,
        )
    if recipe.data.subset_seed != 0:
        raise RecipeError(
            "each seed of a curve draws its own rows.", Change(settings={"data.subset_seed": 0}), key="data.subset_seed"
        )


def on_all_rows(recipe: Recipe) -> Recipe:
    """The recipe on all training rows; a curve has no folds."""
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"folds": None, "fold": None})})


def sized_variants(presets: Sequence[Variant], sizes: Sequence[int], score: str) -> list[Variant]:
    """Every preset at every size, compared with the baseline at the same size; the smallest first.

    Each is trained for `MIN_STEPS` optimizer steps at least.

    Args:
        presets: On all training rows.
        sizes: Ascending.
        score: Main score on all training rows; `auto` must not choose another one at a small size.
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
    training: dict[str, Any] = {"min_steps": max(MIN_STEPS, recipe.training.min_steps)}
    if recipe.training.score == "auto" and score in ("accuracy", "macro_f1"):
        training["score"] = score
    return recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update={"subset": size}),
            "training": recipe.training.model_copy(update=training),
        }
    )


def name_at(preset: str, size: int) -> str:
    return f"{preset}, {size} rows"
