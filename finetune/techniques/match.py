"""AdaMatch: train altered unlabelled texts towards the model's predictions for the unaltered texts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from finetune.errors import Change, Problem
from finetune.techniques.aeda import AEDA
from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.eda import EDA
from finetune.techniques.hooks.augmentation import Augmentation
from finetune.techniques.hooks.unlabelled import Unlabelled, UnlabelledStep, UnlabelledTargets
from finetune.techniques.search import SearchRange, linear
from finetune.techniques.token_masking import TokenMasking

if TYPE_CHECKING:
    from torch import Tensor

# Steps over which the predictions of unlabelled texts are averaged. The authors' 128 are a thousandth of their runs; of
# ours they would be a third, and a mean that lags behind a drifting model pushes it further.
WINDOW = 16
SMALLEST = 1e-6  # added to both sides of the ratio, as there


def moved(mean: Tensor | None, new: Tensor, count: int) -> Tensor:
    """A running mean after value number `count` (from 1): over all values at first, later over about WINDOW of them."""
    return new if mean is None else mean + (new - mean) * max(1 / count, 1 / WINDOW)


def aligned(probabilities: Tensor, expected: Tensor, found: Tensor) -> Tensor:
    """p_ik (e_k + ε) / (f_k + ε), normalised over the classes of each row.

    Shapes: probabilities (texts, K), expected (K,), found (K,). Returns (texts, K).
    """
    ratios = probabilities * (expected + SMALLEST) / (found + SMALLEST)
    return ratios / ratios.sum(dim=-1, keepdim=True)


def ramp(progress: float, start: float, full: float) -> float:
    """½ − ½ cos(π x), x = (progress − start) / (full − start) within [0, 1]: 0 until `start`, 1 from `full` on."""
    return 0.5 - 0.5 * math.cos(math.pi * min(1.0, max(0.0, (progress - start) / (full - start))))


def learned(right: Tensor, frequencies: Tensor) -> Tensor:
    """How much the model has learned about some rows: 0 if it predicts the class frequencies for every text, 1 if it is
    certain of each right class.

        max(0, (r − s) / (1 − s)),   r = mean_j right_j,   s = Σ_k frequencies_k²

    Shapes: right (rows,) predicted probabilities of the right classes, frequencies (K,). Returns a scalar.
    """
    chance = frequencies.square().sum()
    return ((right.mean() - chance) / (1 - chance)).clamp(min=0)


class Match(Technique, Unlabelled):
    """AdaMatch: train altered unlabelled texts towards the model's confident predictions for the unaltered texts.

        q_i = normalise(p(u_i) · e / m)                   e: class frequencies of the training rows
        w_i = 1 if max_k q_ik ≥ τ · mean_j max_k p_k(x_j), else 0
        objective = labelled loss + λ μ(t) γ mean_i w_i CE(z(a(u_i)), argmax q_i)
        γ = max(0, (mean_j p_{y_j}(x_j) − Σ_k e_k²) / (1 − Σ_k e_k²))

    u_i: `ratio` × batch size texts of data.unlabelled, anew in each step; p: predictions of the clean model (eval mode,
    no gradient); m: their running mean over the texts of about 16 steps; x_j, y_j: as many training rows as a batch
    has, unaltered; a: `altered`, drawn anew for each text and step; z: logits in training mode. μ(t) is 0 for the
    fraction `start` of the steps, in which unlabelled texts are not even read, and rises to 1 at `full`. γ is 0 while
    the model has learned no more about its training rows than the class frequencies: without it an uncertain model,
    whose relative threshold is low, trains itself towards one class.

    The alignment q assumes that classes are as frequent among the unlabelled texts as among the training rows. If
    labelled rows were sampled evenly by class and the unlabelled texts were not, set `align: false`. A run in which
    less than 1 % of the texts had a weight says so at its end.
    Range: `weight` near 0 is plain training; τ near 0 trains on every guess, at 1 only on texts for which the model is
    as confident as for its training rows. With `amount` near 0 the altered text is the text itself, near 1 no text is
    left.
    Cost: × 5 at `ratio` 3: three times as many altered rows as labelled ones, and a forward pass over four
    times as many.
    Raises: RecipeError without data.unlabelled; or on multi-label and regression, for which neither the alignment nor
    the threshold is defined; ModelError if the tokenizer has no mask token and `altered` has `token_masking`.
    Relations: the loss of `label_smoothing` and `focal`, class weights, and the second pass of `r_drop` apply to
    labelled rows only; `fgm` and `sam` repeat both kinds. Excludes `mixup`, which would mix texts and not their
    targets.
    Evidence: BERT-base, accuracy over training without unlabelled texts, 3 seeds, back-translation, about 100,000 steps
    (USB): mean of 10 settings +5.6. FixMatch there, without alignment: +3.4, and −15 on AG News with 40 labels. Here,
    300 rows with 2,000 texts, five data sets, one seed (docs/results.md): −0.2 points on average (−2.4 to +4.0), a log
    loss that is lower by 0.16 nats; a rare class of `trec6` was lost.
    Source: Berthelot et al. 2021, arXiv:2106.04732, and the authors' semi_supervised/adamatch.py: hard targets, running
    mean, weight 1, τ 0.9, ratio 3. Departs from it in: γ; a mean over 16 steps instead of 128; e is counted, not
    predicted (Berthelot et al. 2019, arXiv:1911.09785, §3.1); targets come from passes without dropout; no update until
    `start`; no interpolation of logits, which is for batch normalisation; labelled rows are not altered; no average of
    the weights (see `ema`).
    """

    family: ClassVar[str] = "unlabelled texts"
    source: ClassVar[str] = "Berthelot et al. 2021, arXiv:2106.04732"
    cost: ClassVar[float] = 5.0
    unlabelled: ClassVar[Literal["ignored", "read", "needed"]] = "needed"
    excludes: ClassVar[Mapping[str, str]] = {"mixup": "it would mix unlabelled texts, and not their targets"}
    search: ClassVar[Mapping[str, SearchRange]] = {"weight": SearchRange(0.1, 3), "threshold": linear(0.7, 0.99)}

    weight: float = Field(1.0, gt=0, le=100, description="λ, weight of the loss of unlabelled texts.")
    threshold: float = Field(
        0.9,
        gt=0,
        le=1,
        description="τ, lowest confidence at which a text counts, relative to the confidence on training rows.",
    )
    ratio: int = Field(3, ge=1, le=16, description="Unlabelled texts in a step for each labelled row.")
    start: float = Field(0.1, ge=0, lt=1, description="Fraction of the steps before unlabelled texts are used.")
    full: float = Field(0.5, gt=0, le=1, description="Fraction of the steps after which their weight is λ.")
    align: bool = Field(
        True, description="Whether predictions are aligned with the class frequencies of the training rows."
    )
    altered: list[Literal["eda", "aeda", "token_masking"]] = Field(
        ["eda", "token_masking"], min_length=1, description="Alterations of the texts, in this order."
    )
    amount: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Swaps, deletions and inserted marks per word, and probability that a token is masked.",
    )

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.start >= self.full:
            raise ValueError(f"start {self.start} is not before full {self.full}, so the weight could not rise")
        if len(set(self.altered)) < len(self.altered):
            raise ValueError("altered names one kind twice; raise amount instead")
        return self

    def problems(self, budget: Budget) -> list[Problem]:
        if budget.task in ("multi_label", "regression"):
            why = f"has no meaning for {budget.task}: its targets are single classes, whose frequencies it aligns."
            return [Problem(why, changes=(Change(settings={"": "off"}),))]
        if budget.steps is None or self.starts_at(budget) < budget.steps:
            return []
        why = f"{self.start} of {budget.steps} steps leaves none in which unlabelled texts count."
        ways = (Change(settings={".start": 0.0}), Change(settings={"training.epochs": 2 * budget.epochs}))
        return [Problem(why, ".start", found=self.start, changes=ways)]

    def training_cost(self, budget: Budget) -> float:
        # A forward pass is a third of a step.
        return 1 + (1 - self.start) * (self.ratio + (self.ratio + 1) / 3)

    def effect(self, budget: Budget) -> str | None:
        if budget.steps is None:
            return None
        return f"from step {self.starts_at(budget) + 1}, in full from step {math.ceil(self.full * budget.steps) + 1}"

    def unlabelled_texts(self) -> int:
        return self.ratio

    def altered_view(self) -> Mapping[str, Augmentation]:
        kinds: dict[str, Augmentation] = {
            "eda": EDA(probability=1.0, swap=self.amount, delete=self.amount),
            "aeda": AEDA(probability=1.0, ratio=self.amount),
            "token_masking": TokenMasking(probability=self.amount),
        }
        return {name: kinds[name] for name in self.altered}

    def starts_at(self, budget: Budget) -> int:
        return math.floor(self.start * (budget.steps or 0)) + 1  # the weight is 0 at `start` itself

    def unlabelled_targets(self, step: UnlabelledStep) -> UnlabelledTargets:
        import torch

        predicted = step.logits.softmax(dim=-1)
        if self.align:
            count = int(step.memory.get("count", torch.zeros(()))) + 1
            step.memory["count"] = torch.tensor(float(count))
            step.memory["mean"] = moved(step.memory.get("mean"), predicted.mean(dim=0).double(), count)
            predicted = aligned(predicted.double(), step.frequencies.double(), step.memory["mean"])
        confidence, targets = predicted.max(dim=-1)
        least = self.threshold * step.labelled.softmax(dim=-1).amax(dim=-1).mean()
        right = step.labelled.softmax(dim=-1).gather(-1, step.labels.unsqueeze(-1))
        weight = self.weight * ramp(step.step / step.steps, self.start, self.full)
        weight *= float(learned(right, step.frequencies))
        return UnlabelledTargets(targets, weight * (confidence >= least).float())
