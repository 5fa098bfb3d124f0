"""The gate by itself, for `finetune check`: what a run would be told, without preparing one."""

from __future__ import annotations

from finetune.checks import inspect_data
from finetune.data.rows import Data
from finetune.data.tokens import Encoder
from finetune.errors import ModelError
from finetune.models.load import load_tokenizer
from finetune.recipe import Recipe
from finetune.records.schema import DataFacts, Finding
from finetune.training.prepare import data_facts, measure_for, with_score_note


def check_recipe(recipe: Recipe, data: Data) -> DataFacts:
    """Facts about the data, with all findings and baselines.

    Where the tokenizer cannot be had, the checks that need it are left out, and a finding says so and why.

    Raises:
        DataError, RecipeError: The model cannot read texts of `data.max_length`, or cut them in this way.
    """
    try:
        tokenizer = load_tokenizer(recipe.model)
    except ModelError as error:
        facts = _facts(recipe, data, None)
        left_out = Finding(
            check="tokens",
            level="info",
            text=f"Truncation and language were not checked, as they need the model's tokenizer: {error}",
            advice="Name a model that is there: --model …",
        )
        return facts.model_copy(update={"findings": [*facts.findings, left_out]})
    section = recipe.data
    return _facts(recipe, data, Encoder(tokenizer, data, section.max_length, section.long_texts, section.overlap))


def _facts(recipe: Recipe, data: Data, encoder: Encoder | None) -> DataFacts:
    return data_facts(
        with_score_note(recipe, data), measure_for(recipe, data), inspect_data(data, recipe.data, encoder)
    )
