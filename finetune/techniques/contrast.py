"""Contrast: a contrastive first stage on pairs of training texts, before fine-tuning."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import Field

from finetune.errors import Change, DataError, Problem
from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.stage import FirstStage, Stage
from finetune.techniques.parameters import WeightNames
from finetune.techniques.search import SearchRange

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

logger = logging.getLogger(__name__)

NOMINAL_ROWS = 1000  # until the data is read
COLLAPSED = 0.995  # cosine of texts of two classes from which on d cos / d u, its sine, is below a tenth


class Pair(NamedTuple):
    """Positions of two training rows, and whether the rows have a class in common."""

    first: int
    second: int
    alike: bool


def sampled_pairs(targets: NDArray[Any], count: int, seed: int) -> list[Pair]:
    """`count` pairs, alternately of rows that share a class and of rows that share none; fewer if count is odd.

    Every row that can form such a pair is the first row of equally many pairs (to within one); its partner is drawn
    uniformly from all rows that fit. A row without labels has no pair of the first kind, and none of the second kind
    with another row without labels.

    Args:
        targets: (rows,) classes, or (rows, labels) zeros and ones.
        count: Number of pairs of both kinds together.
        seed: Seed of the draws; the same seed draws the same pairs.

    Raises:
        ValueError: No two rows share a class, or all do.
    """
    import numpy as np

    stream = np.random.default_rng([seed, 0xC0])
    alike = _led_pairs(targets, count // 2, True, stream)
    unlike = _led_pairs(targets, count // 2, False, stream)
    return [pair for both in zip(alike, unlike, strict=True) for pair in both]


def _led_pairs(targets: NDArray[Any], count: int, alike: bool, stream: Any) -> list[Pair]:
    import numpy as np

    pairs: list[Pair] = []
    leaders = np.arange(len(targets))
    while len(pairs) < count:
        led = len(pairs)
        able = []
        for row in stream.permutation(leaders):
            partners = np.flatnonzero(_fits(targets, row, alike))
            if not len(partners):
                continue
            able.append(row)
            if len(pairs) < count:
                pairs.append(Pair(int(row), int(stream.choice(partners)), alike))
        if len(pairs) == led:
            raise ValueError("no two training rows have a class in common" if alike else "all have a class in common")
        leaders = np.asarray(able)
    return pairs


def _fits(targets: NDArray[Any], row: int, alike: bool) -> NDArray[Any]:
    """(rows,) which rows make a pair of this kind with `row`."""
    if targets.ndim == 1:
        shared = targets == targets[row]
        fits = shared if alike else ~shared
    else:
        shared = targets @ targets[row] > 0
        fits = shared if alike else ~shared & ((targets.sum(axis=1) > 0) | (targets[row].sum() > 0))
    fits = fits.copy()
    fits[row] = False
    return fits


def pair_loss(first: Tensor, second: Tensor, alike: Tensor) -> Tensor:
    """Mean over pairs of (cos(u, v) − y)², y = 1 for a class in common and 0 for none.

    Args:
        first, second: (pairs, width) embeddings.
        alike: (pairs,) ones and zeros.
    """
    import torch.nn.functional as F

    return ((F.cosine_similarity(first, second) - alike) ** 2).mean()


class Contrast(Technique, FirstStage):
    """Before fine-tuning, train the encoder on pairs: texts of one class move together, texts of two classes apart.

        min  1/P Σ_p (cos(u_p, v_p) − y_p)²        y = 1: the two texts have a class in common, 0: none

    u, v: the vectors that the head reads for the two texts (`model.pooling`), in training mode. Half of the P pairs
    have a class in common; every training row is the first of equally many pairs, its partner is drawn at random. P =
    per_row · rows, at most `most`. AdamW makes one pass over the pairs, without weight decay, with warm-up over a tenth
    of the steps and linear decay; then fine-tuning begins, from a random head or from that of `head_start`, which is
    fitted to the new features. Embeddings that are all alike at the start (an encoder that was never trained) have no
    gradient: a warning says so. With several labels per row, two texts that share a label count as having a class in
    common. Only training rows are used; a refit also pairs validation rows, because it trains on them. Frozen weights
    do not change. A run that is killed in this stage repeats it, with the same result.

    Range: per_row: 2 (one pair of each kind) to 40, SetFit's usual. most: bounds the cost for many rows; each row is
    then the first of fewer pairs. learning_rate: 1e-5 to 1e-4.
    Cost: 2 P passes of a text: 1 + 2 P / (rows · epochs), so 9 × below 50 rows with the defaults and 10 epochs (of a
    short run, though), 1.4 × at 1,000 rows.
    Raises: RecipeError on regression, where texts have no class in common. DataError if no two rows share a class.
    Relations: `head_start` fits the head after this stage. `head_first` also follows it: the head then learns on the
    new features. With `lora` or `train_only`, only their weights train here, at this learning rate. With all layers
    frozen (`freeze`) there is nothing to train: refused. `dropout` and `mixout` act in this stage too; noise and
    mixtures of passes (`neftune`, `hidden_noise`, `layer_drop`, `mixup`, `fgm`) do not. `l2_sp`, `mixout` and `wise_ft`
    pull towards the weights before this stage, so they undo part of it. `training.class_weights` and `sampling` do not
    change the pairs: a class has pairs in proportion to its rows.
    Evidence: paraphrase-mpnet, against its own frozen features with logistic regression: +4 to +18 points on five of
    six sets at 8 rows per class, −0.3 on the other; +0.7 to +25 at 64 (SetFit's published files). OpenAutoNLU (2026)
    switches to plain fine-tuning above 80 rows per class. Not measured against fine-tuning of the same encoder from
    these defaults.
    Source: Tunstall et al. 2022, arXiv:2209.11055; the loss: Reimers & Gurevych 2019. Departs from it in: the head is
    then fine-tuned together with the encoder, where SetFit fits a logistic regression and stops; pairs are bounded.
    """

    family: ClassVar[str] = "initialisation"
    source: ClassVar[str] = "Tunstall et al. 2022, arXiv:2209.11055"
    cost: ClassVar[float] = 1.4
    excludes: ClassVar[dict[str, str]] = {
        "reinit": "layers of random values would first be fitted to pairs, at a learning rate for trained ones"
    }
    search: ClassVar[Mapping[str, SearchRange]] = {"learning_rate": SearchRange(1e-05, 0.0001)}

    per_row: int = Field(
        40, ge=2, le=1000, description="Pairs per training row: half with a class in common, half without."
    )
    most: int = Field(2000, ge=2, le=10**6, description="Maximum number of pairs, however many rows there are.")
    batch_size: int = Field(16, ge=2, description="Pairs per optimizer step of this stage.")
    learning_rate: float = Field(2e-5, gt=0, lt=1, description="Peak learning rate of this stage.")

    def _pairs(self, rows: int) -> int:
        return min(self.per_row * rows, self.most) // 2 * 2

    def training_cost(self, budget: Budget) -> float:
        rows = NOMINAL_ROWS if budget.rows is None else budget.rows
        return 1 + 2 * self._pairs(rows) / (rows * budget.epochs)

    def problems(self, budget: Budget) -> list[Problem]:
        if budget.task == "regression":
            why = "has no meaning for regression: two numbers have no class in common."
            return [Problem(why, changes=(Change(settings={"": "off"}),))]
        return []

    def warnings(self, budget: Budget) -> list[Problem]:
        if budget.rows is None:
            return []
        rows, pairs = budget.rows, self._pairs(budget.rows)
        if pairs < rows:
            why = f"{pairs} pairs leave some of the {rows} training rows without a pair of their own."
            more = Change(settings={".most": 2 * rows})
            return [Problem(why, ".most", found=self.most, changes=(more,))]
        asked = self.per_row * rows
        if self.per_row == type(self).model_fields["per_row"].default or asked <= self.most:
            return []
        why = (
            f"does nothing: {self.per_row} pairs per training row are {asked:,} of {rows:,} rows, and most keeps "
            f"{pairs:,} of them, {pairs / rows:.3g} per row."
        )
        return [Problem(why, ".per_row", found=self.per_row, changes=(Change(settings={".most": asked}),))]

    def effect(self, budget: Budget) -> str | None:
        if budget.rows is None:
            return None
        pairs = self._pairs(budget.rows)
        return f"{pairs} pairs in {-(-pairs // self.batch_size)} steps before fine-tuning"

    def acts_on(self, names: WeightNames) -> frozenset[str]:
        return names.trainable - names.head

    def before_training(self, stage: Stage) -> None:
        import torch

        try:
            pairs = sampled_pairs(stage.targets, self._pairs(len(stage.targets)), stage.seed)
        except ValueError as error:
            why = f"there are no pairs to learn from: {error}."
            raise DataError(why, Change(settings={"techniques.contrast": "off"}), key="techniques.contrast") from error

        def loss(part: Sequence[Pair]) -> Tensor:
            both = stage.embed([*(pair.first for pair in part), *(pair.second for pair in part)])
            first, second = both.chunk(2)
            return pair_loss(first, second, torch.tensor([float(pair.alike) for pair in part], device=both.device))

        starts = range(0, len(pairs), self.batch_size)
        batches = [pairs[start : start + self.batch_size] for start in starts]
        with torch.no_grad():
            likeness = 1 - float(loss([pair._replace(alike=True) for pair in batches[0] if not pair.alike])) ** 0.5
        if likeness > COLLAPSED:
            logger.warning(
                "techniques.contrast: the cosine of texts of two classes is %.4f at the start: embeddings this "
                "similar have nearly no gradient, so this stage will have hardly any effect. Try an encoder that was "
                "trained for "
                "sentences",
                likeness,
            )
        stage.train(batches, loss, self.learning_rate)
