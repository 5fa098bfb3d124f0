"""The data checks on their own, for `finetune check`: the data findings of a run, without preparing one."""

from __future__ import annotations

from finetune.checks import inspect_data
from finetune.checks.base import LocatedFinding
from finetune.data.rows import Data
from finetune.data.tokens import Encoder
from finetune.errors import ModelError
from finetune.models.configuration import load_saved_config, load_tokenizer, position_limit
from finetune.recipe import Recipe
from finetune.records.schema import DataFacts
from finetune.training.data_facts import data_facts
from finetune.training.measures import measure_for, with_score_note


def check_recipe(recipe: Recipe, data: Data) -> DataFacts:
    """Facts about the data, with all findings and baselines, as in `inspect_recipe`.

    Raises:
        DataError, RecipeError: As in `inspect_recipe`.
    """
    return inspect_recipe(recipe, data)[0]


def inspect_recipe(recipe: Recipe, data: Data) -> tuple[DataFacts, list[LocatedFinding]]:
    """Facts about the data, and all findings again, with every row that they concern.

    Without a tokenizer, the checks that need one are skipped, and a finding says why.

    Raises:
        DataError, RecipeError: The model does not take `data.max_length` tokens, or cannot cut texts in this way.
    """
    try:
        tokenizer = load_tokenizer(recipe.model)
    except ModelError as error:
        skipped = LocatedFinding(
            check="tokens",
            level="info",
            text=f"Truncation and language were not checked because there is no tokenizer: {error.for_command_line()}",
            advice="Name an existing model: --model …",
        )
        return _facts(recipe, data, None, skipped)
    section = recipe.data
    positions = _positions(recipe)
    encoder = Encoder(tokenizer, data, section.max_length, section.long_texts, section.overlap, positions)
    return _facts(recipe, data, encoder)


def _positions(recipe: Recipe) -> int | None:
    """Tokens that the model has positions for; None where its configuration cannot be loaded, which a run refuses."""
    try:
        return position_limit(load_saved_config(recipe.model))
    except ModelError:
        return None


def _facts(
    recipe: Recipe, data: Data, encoder: Encoder | None, *others: LocatedFinding
) -> tuple[DataFacts, list[LocatedFinding]]:
    inspection = inspect_data(data, recipe.data, encoder)
    inspection = inspection.model_copy(update={"findings": [*inspection.findings, *others]})
    facts = data_facts(with_score_note(recipe, data), measure_for(data, recipe.training.score), inspection)
    return facts, inspection.findings
