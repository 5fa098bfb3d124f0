"""EDA's word operations that need no dictionary: swap and delete."""

import random
import re
from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import Field, model_validator

from finetune.techniques.base import Technique
from finetune.techniques.hooks.augmentation import Augmentation
from finetune.techniques.search import SearchRange, linear

NEGATIONS = (
    "not",
    "no",
    "never",
    "nor",
    "neither",
    "none",
    "nobody",
    "nothing",
    "nowhere",
    "hardly",
    "without",
    "cannot",
)


def swap_words(words: list[str], count: int, rng: random.Random) -> list[str]:
    """Exchange two random words, `count` times. A text with fewer than two words stays as it is."""
    swapped = list(words)
    if len(swapped) < 2:
        return swapped
    for _ in range(count):
        i, j = rng.sample(range(len(swapped)), 2)
        swapped[i], swapped[j] = swapped[j], swapped[i]
    return swapped


def delete_words(words: list[str], probability: float, rng: random.Random, protected: frozenset[str]) -> list[str]:
    """Drop each word with `probability`; protected words and contractions in n't stay, and at least one word does."""
    kept = [word for word in words if _is_protected(word, protected) or rng.random() >= probability]
    return kept or [rng.choice(words)]


def _is_protected(word: str, protected: frozenset[str]) -> bool:
    bare = re.sub(r"^\W+|\W+$", "", word.lower())
    return bare in protected or bare.endswith(("n't", "n’t"))


class EDA(Technique, Augmentation):
    """EDA: swap and delete a few words of a training text.

    Words are separated by spaces; their case, digits and punctuation are kept (the reference code removes them, which
    changes every text). Negations are not deleted: "not good" must not become "good". The operations are drawn anew in
    each epoch, from a random stream keyed by (seed, epoch, row); validation, test and the train sample are never
    changed.

        words' = delete_δ(swap^k(words)),   k = max(1, round(swap · words)),   each word deleted with probability δ

    Range: near 0 a text keeps its order and words; with `swap` or `delete` near 1 hardly any phrase is left.
    Cost: ×1.0; a text is tokenised again in each epoch.
    Raises: a validation error if both `swap` and `delete` are 0.
    Relations: can be combined with `aeda` and the other augmentations; `synonyms` is EDA's third operation.
    Evidence: +3.0 points at 500 examples for CNN and RNN; with BERT, XLNet and RoBERTa it "fails to consistently
    improve performance" (Longpre et al. 2020). Keep the fractions small.
    Source: Wei & Zou 2019, arXiv:1901.11196 (alpha 0.05 below 2,000 rows). Departs from it in: no synonyms here;
    online replacement instead of added copies; words are kept as written.
    """

    family: ClassVar[str] = "augmentation"
    source: ClassVar[str] = "Wei & Zou 2019, arXiv:1901.11196"
    search: ClassVar[Mapping[str, SearchRange]] = {
        "probability": linear(0.1, 0.8),
        "swap": linear(0.02, 0.2),
        "delete": linear(0.02, 0.2),
    }

    probability: float = Field(0.5, gt=0, le=1, description="Fraction of the training texts changed in an epoch.")
    swap: float = Field(0.05, ge=0, le=1, description="Swaps per word; at least one swap unless 0.")
    delete: float = Field(0.05, ge=0, lt=1, description="Probability that a word is deleted.")
    protected: list[str] = Field(list(NEGATIONS), description="Words that are never deleted; case is ignored.")

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.swap == 0 and self.delete == 0:
            raise ValueError("swap and delete are both 0, so no text would change; leave eda out instead")
        return self

    def augment(self, text: str, rng: random.Random) -> str:
        words = text.split()
        if not words or rng.random() >= self.probability:
            return text
        if self.swap > 0:
            words = swap_words(words, max(1, round(self.swap * len(words))), rng)
        if self.delete > 0:
            words = delete_words(words, self.delete, rng, frozenset(word.lower() for word in self.protected))
        return " ".join(words)
