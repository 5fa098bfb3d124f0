"""Token masking: some tokens of a training text are replaced by the mask token."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from finetune.errors import ModelError
from finetune.techniques.base import Technique
from finetune.techniques.changes import turned_off
from finetune.techniques.hooks.augmentation import Augmentation, TokenFacts
from finetune.techniques.search import SearchRange


def masked(ids: list[int], probability: float, mask: int, special: frozenset[int], rng: random.Random) -> list[int]:
    """Replace each id that is not special by `mask` with `probability`, independently."""
    return [mask if token not in special and rng.random() < probability else token for token in ids]


class TokenMasking(Technique, Augmentation):
    """Token masking: hide some tokens of a training text, so that no single word decides the label.

        x_i ← [MASK] with probability p, else x_i        for each token that is not special

    Tokens are word pieces. [CLS], [SEP], padding and unknown words are never touched, and a text keeps its length.

    The tokens are drawn anew in each epoch, from a random stream keyed by (seed, epoch, row); the train sample,
    validation and test are never masked. Of n tokens p·n are hidden on average, and none with probability (1 − p)^n: at
    the default, 35 % of texts of 10 tokens pass unchanged, and of a text of one token the whole text is hidden in 10 %
    of the epochs.
    Range: of `probability`: near 0 it has no effect, 0.15 is the pretraining value of masked-language models, near 1 no
    text is left.
    Cost: 1 × plain fine-tuning.
    Raises: ModelError if the tokenizer has no mask token.
    Relations: acts after `eda`, `aeda` and other changes of the text, on their result.
    Evidence: weak and task-dependent; none found for encoder classification with few examples.
    Source: Iyyer et al. 2015, ACL P15-1162 (word dropout). Departs from it in: a word is masked, as in the encoder's
    pretraining, not left out.
    """

    family: ClassVar[str] = "dropout"
    source: ClassVar[str] = "Iyyer et al. 2015, ACL P15-1162"
    search: ClassVar[Mapping[str, SearchRange]] = {"probability": SearchRange(0.02, 0.25)}

    probability: float = Field(0.1, gt=0, lt=1, description="p, probability that a token is masked in an epoch.")

    def augment_tokens(self, ids: list[int], rng: random.Random, tokens: TokenFacts) -> list[int]:
        if tokens.mask is None:
            raise ModelError(
                "the tokenizer of this model has no mask token.",
                turned_off("token_masking"),
                key="techniques.token_masking",
            )
        return masked(ids, self.probability, tokens.mask, tokens.special, rng)
