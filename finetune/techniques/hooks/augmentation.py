"""Augmentation of training texts and tokens. Texts that are measured are never augmented."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune.techniques.hooks.lookup import has_hook

if TYPE_CHECKING:
    from torch import Tensor

BatchAugment = Callable[[Sequence[str], Sequence[random.Random]], list[str]]


@dataclass(frozen=True)
class TokenFacts:
    """The facts about a tokenizer that token-level augmentation needs.

    Attributes:
        mask: Id of the mask token; None if the tokenizer has none.
        special: Ids that are never changed ([CLS], [SEP], [PAD], …).
    """

    mask: int | None
    special: frozenset[int]


@dataclass(frozen=True)
class AugmentSources:
    """Resources for text augmentation.

    Attributes:
        texts: The training texts, first and second texts of pairs alike.
        tokenizer: The tokenizer of the run.
        model: Folder or hub id of the run's model, as `from_pretrained` takes it.
        embeddings: Returns the pretrained word embeddings, (vocabulary, width) float32.
        cache: Folder for expensive results, keyed by content so that runs may share it.
    """

    texts: Sequence[str]
    tokenizer: Any
    model: str
    embeddings: Callable[[], Tensor]
    cache: Path


class Augmentation:
    """`augment` needs the text alone, `augmenter` may use more. Randomness comes from the given stream."""

    def augment(self, text: str, rng: random.Random) -> str:
        """A training text as the model sees it in this epoch."""
        return text

    def check_sources(self, sources: AugmentSources) -> None:
        """Refuse, before anything is trained, a run in which `augmenter` would lack something. Reads no weights.

        Raises:
            ModelError, DataError: Something it needs is missing; the error says what to change.
        """

    def augmenter(self, sources: AugmentSources) -> BatchAugment:
        """A function from texts and one random stream per text to texts. Called once, before training.

        Raises:
            ModelError, DataError: Something it needs is missing; the error says what to change.
        """
        return lambda texts, streams: [self.augment(text, rng) for text, rng in zip(texts, streams, strict=True)]

    def augment_tokens(self, ids: list[int], rng: random.Random, tokens: TokenFacts) -> list[int]:
        """Token ids of a training text as the model sees them in this epoch, as many as before.

        Called once without ids before anything is loaded, to detect a tokenizer that lacks something.
        """
        return ids


def augments_texts(technique: object) -> bool:
    """Whether a technique changes texts."""
    return has_hook([technique], Augmentation.augment, Augmentation.augmenter)
