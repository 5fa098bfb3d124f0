"""Options that all runs of a command share, as requested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from finetune import own_code
from finetune.recipe import Recipe, resolve
from finetune.recipe.layers import merged_overrides, set_keys


@dataclass(frozen=True)
class Options:
    """Options that all variants share, as requested.

    Attributes:
        recipe: Name, path, content or a resolved recipe; None for the default.
        model: Replaces the recipe's model.
        data: Replaces the recipe's data.
        overrides: Settings, as a mapping or as `key=value` texts.
        metrics: Paths of the user's own evaluate modules.
        allow_code: Code that the recipe names may run.
    """

    recipe: Any = None
    model: str | None = None
    data: str | None = None
    overrides: Any = ()
    metrics: tuple[str, ...] = ()
    allow_code: bool = False

    def resolve(self, preset: Any, further: Any = ()) -> Recipe:
        """The recipe of one variant; `further` settings come last.

        Raises:
            RecipeError: The recipe is invalid, or names code that was not allowed.
        """
        overrides = merged_overrides(self.overrides, further or {})
        recipe = resolve(self.recipe, preset, self.model, self.data, overrides, metrics=self.metrics).recipe
        own_code.check(recipe.training.metrics, self.allow_code)
        return recipe

    def overridden_keys(self) -> list[str]:
        """The dotted keys that are overridden."""
        return set_keys(self.overrides)
