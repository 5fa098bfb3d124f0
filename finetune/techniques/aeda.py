"""AEDA: random punctuation between the words of a training text."""

import random
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from finetune.techniques.base import Technique
from finetune.techniques.hooks.augmentation import Augmentation
from finetune.techniques.search import SearchRange, linear

MARKS = (".", ",", ";", ":", "!", "?")


def insert_punctuation(text: str, ratio: float, rng: random.Random) -> str:
    """Insert q ~ U{1 … max(1, ⌊ratio · words⌋)} random marks, each as a word of its own, at random places.

    Every word of the text stays, in its order and spelling. A text without words is returned unchanged.
    """
    words = text.split()
    if not words:
        return text
    for _ in range(rng.randint(1, max(1, int(ratio * len(words))))):
        words.insert(rng.randint(0, len(words)), rng.choice(MARKS))
    return " ".join(words)


class AEDA(Technique, Augmentation):
    """AEDA: insert punctuation at random positions; the words stay unchanged.

    The marks are drawn anew in each epoch, from a random stream keyed by (seed, epoch, row); validation, test and the
    train sample are never changed. It is the safest augmentation without a dictionary: nothing is deleted; case, digits
    and marks are kept. Marks count towards `data.max_length`. The number of optimizer steps stays the same: a row is
    replaced for this epoch, not added.

    Range: near 0 `probability` changes no text; at 1 no text is ever seen as written. `ratio` is the highest number of
    marks per word: 0.3 is the authors' value; at 1 a text may double in length.
    Cost: ×1.0 plus the marks as tokens; a text is tokenised again in each epoch.
    Raises: nothing of its own.
    Relations: can be combined with `eda`, `synonyms` and the other augmentations, in the order of the preset.
    Evidence: better than plain training at every size in Fig. 1 of the paper (5 seeds, models without pretraining),
    where EDA falls below it from 30 % of the data on; none found for encoders on few examples.
    Source: Karimi et al. 2021, arXiv:2108.13230 (ratio 0.3). Departs from it in: online replacement instead of
    added copies, so that augmentation does not buy longer training.
    """

    family: ClassVar[str] = "augmentation"
    source: ClassVar[str] = "Karimi et al. 2021, arXiv:2108.13230"
    search: ClassVar[Mapping[str, SearchRange]] = {"probability": linear(0.1, 0.8), "ratio": linear(0.1, 0.5)}

    probability: float = Field(0.5, gt=0, le=1, description="Fraction of the training texts changed in an epoch.")
    ratio: float = Field(0.3, gt=0, le=1, description="Highest number of inserted marks per word.")

    def augment(self, text: str, rng: random.Random) -> str:
        return insert_punctuation(text, self.ratio, rng) if rng.random() < self.probability else text
