"""Resources and functions of the augmenting techniques of a run."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping
from typing import Any

from finetune.cache import cache_folder
from finetune.data.rows import Data
from finetune.models.configuration import locate_model
from finetune.models.load import pretrained_embeddings
from finetune.recipe import Recipe
from finetune.techniques import (
    Augmentation,
    AugmentSources,
    TokenFacts,
    augments_texts,
    hook_of,
    implementations,
    overrides,
)


def augment_sources(recipe: Recipe, data: Data, tokenizer: Any) -> AugmentSources:
    """Resources for text augmentation in a run. Weights are read only on request."""
    return AugmentSources(
        texts=[*data.train.texts, *(data.train.pairs or [])],
        tokenizer=tokenizer,
        model=locate_model(recipe.model),
        embeddings=lambda: pretrained_embeddings(recipe.model),
        cache=cache_folder(),
    )


def token_facts(tokenizer: Any) -> TokenFacts:
    """Facts about a tokenizer that augmentation of token ids needs."""
    return TokenFacts(tokenizer.mask_token_id, frozenset(tokenizer.all_special_ids))


def text_augmenters(techniques: Mapping[str, Any], sources: Callable[[], AugmentSources]) -> dict[str, Any]:
    """Name -> change of texts, in the given order. `sources` is called only if one of them changes texts.

    Raises:
        ModelError, DataError: A technique lacks something it needs.
    """
    changing = {name: technique for name, technique in techniques.items() if augments_texts(technique)}
    if not changing:
        return {}
    found = sources()
    return {name: hook_of(technique, Augmentation.augmenter)(found) for name, technique in changing.items()}


def token_augmenters(techniques: Mapping[str, Any], tokenizer: Any) -> dict[str, Any]:
    """Name -> change of token ids, in the given order."""
    return {
        name: functools.partial(hook_of(technique, Augmentation.augment_tokens), tokens=token_facts(tokenizer))
        for name, technique in techniques.items()
        if overrides(technique, Augmentation.augment_tokens)
    }


def check_augmentation(techniques: Mapping[str, Any], sources: Callable[[], AugmentSources], tokenizer: Any) -> None:
    """Refuse a run in which augmentation lacks something, before anything is trained.

    Raises:
        ModelError, DataError: Something is missing; the error says what to change.
    """
    for check_sources in implementations(techniques.values(), Augmentation.check_sources):
        check_sources(sources())  # to locate the model may mean to hash it
    for augment_tokens in implementations(techniques.values(), Augmentation.augment_tokens):
        augment_tokens([], random.Random(0), token_facts(tokenizer))  # refuses what a tokenizer lacks
