"""`training.learning_rate: auto`: the values tried on folds of the training rows, and recipes with one of them."""

from __future__ import annotations

from finetune.recipe.schema import AUTO, Recipe, TrainingSection

DEFAULT_RATE = 5e-5  # the schema's own default, and of the shipped recipes
# About a factor of 2 apart, around the default. Devlin et al. 2019 (arXiv:1810.04805, A.3) try 2e-5 to 5e-5 for models
# from BERT-base on; a sentence encoder of the size of MiniLM with mean pooling did better with 1e-4 on two of three
# sets (docs/results.md), and 2e-4 tells whether that goes on.
RATES = (2e-5, 5e-5, 1e-4, 2e-4)
FOLDS = 3  # each value is trained on two thirds of the rows, three times


def is_auto(recipe: Recipe) -> bool:
    """Whether the learning rate is still to be chosen."""
    return recipe.training.learning_rate == AUTO


def nominal_rate(training: TrainingSection) -> float:
    """The learning rate, or the default if it is still to be chosen."""
    return DEFAULT_RATE if isinstance(training.learning_rate, str) else training.learning_rate


def with_rate(recipe: Recipe, rate: float) -> Recipe:
    """The recipe with the given learning rate."""
    training = recipe.training.model_copy(update={"learning_rate": rate})
    return recipe.model_copy(update={"training": training})
