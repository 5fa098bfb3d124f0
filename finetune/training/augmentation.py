"""What the augmenting techniques of a run work with."""

from __future__ import annotations

import functools
from typing import Any

from finetune.cache import cache_folder
from finetune.data.rows import Data
from finetune.models.load import locate_model, pretrained_embeddings
from finetune.recipe import Recipe
from finetune.techniques import Augmentation, AugmentSources, TokenFacts, augments_texts, hook_of, overrides


def augment_sources(recipe: Recipe, data: Data, tokenizer: Any) -> AugmentSources:
    """What text augmentation may draw on in a run. Weights are read only if they are asked for."""
    return AugmentSources(
        texts=[*data.train.texts, *(data.train.pairs or [])],
        tokenizer=tokenizer,
        model=locate_model(recipe.model),
        embeddings=lambda: pretrained_embeddings(recipe.model),
        cache=cache_folder(),
    )


def token_facts(tokenizer: Any) -> TokenFacts:
    """What augmentation of token ids must know of a tokenizer."""
    return TokenFacts(tokenizer.mask_token_id, frozenset(tokenizer.all_special_ids))


def text_augmenters(recipe: Recipe, data: Data, tokenizer: Any) -> dict[str, Any]:
    """Technique -> change of texts, in the order of the preset."""
    techniques = {name: technique for name, technique in recipe.techniques.items() if augments_texts(technique)}
    if not techniques:
        return {}
    sources = augment_sources(recipe, data, tokenizer)
    return {name: hook_of(technique, Augmentation.augmenter)(sources) for name, technique in techniques.items()}


def token_augmenters(recipe: Recipe, tokenizer: Any) -> dict[str, Any]:
    """Technique -> change of token ids, in the order of the preset."""
    return {
        name: functools.partial(hook_of(technique, Augmentation.augment_tokens), tokens=token_facts(tokenizer))
        for name, technique in recipe.techniques.items()
        if overrides(technique, Augmentation.augment_tokens)
    }
