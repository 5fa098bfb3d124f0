"""Task-adaptive pretraining: the encoder first learns the language of the texts, from the texts alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.model import Adaptation, ModelChanges
from finetune.techniques.search import SearchRange


class Adapt(Technique, ModelChanges):
    """Task-adaptive pretraining (TAPT): continue masked-language modelling on the texts at hand before fine-tuning.

        minimise mean −log p(token_i | text with a fraction of its tokens hidden), over the hidden tokens i

    The texts are those of the training rows and of data.unlabelled; those of validation and test are never used. Of the
    chosen tokens 80 % are masked, 10 % replaced by a random one and 10 % kept, drawn anew each time. AdamW (weight
    decay 0.01), linear warm-up over 6 % of the steps and linear decay, batches of training.batch_size texts.

    The seed of the run decides order, masks and dropout. The result is kept in the cache, keyed by model, tokenizer,
    texts, settings and seed: a resumed run and other presets with the same seed reuse it. Without the cache it is
    computed again, with the same result on the same machine. Techniques that refer to pretrained weights (`l2_sp`,
    `mixout`, `wise_ft`) use those of the adapted encoder. The task head starts as it would without this technique. In a
    run of several processes, one of them adapts the encoder.
    Range: few `steps` change nothing; with very many the encoder memorises the texts. `learning_rate` near 0 does
    nothing, above 1e-4, small batches may erase what the encoder learned in pretraining.
    Cost: 1 + 1.3 · `steps` / steps of the run: × 3 for a run of 650 steps. Memory for the logits of all tokens.
    Raises: ModelError if the checkpoint has no head for masked words: sentence encoders such as all-MiniLM are saved
    without it, and ELECTRA's discriminators have none; or if the tokenizer has no mask token.
    Relations: `match` learns from the same texts. `reinit` discards what the re-initialised layers have learned here.
    Evidence: RoBERTa, adapted to the texts of the task only: 515 rows (HyperPartisan) 82.9 → 84.0, 4,169 rows
    (ChemProt) 81.9 → 82.6 (Gururangan et al. 2020); more robust than five self-training methods, and a few hundred
    unlabelled texts suffice (Shi et al. 2023). No measurement of our own.
    Source: Gururangan et al. 2020, arXiv:2004.10964, §4. Departs from it in: 1,000 steps of small batches instead of
    100 epochs of batches of 256, and half their learning rate.
    """

    family: ClassVar[str] = "unlabelled texts"
    source: ClassVar[str] = "Gururangan et al. 2020, arXiv:2004.10964"
    cost: ClassVar[float] = 3.0
    unlabelled: ClassVar[Literal["ignored", "read", "needed"]] = "read"
    search: ClassVar[Mapping[str, SearchRange]] = {"learning_rate": SearchRange(1e-05, 0.0001)}

    steps: int = Field(1000, ge=1, le=1_000_000, description="Optimizer steps on masked texts, before the first epoch.")
    learning_rate: float = Field(5e-5, gt=0, lt=1, description="Peak learning rate of these steps.")
    probability: float = Field(0.15, gt=0, lt=1, description="Probability that a token is selected for prediction.")

    def training_cost(self, budget: Budget) -> float:
        return self.cost if not budget.steps else 1 + 1.3 * self.steps / budget.steps

    def effect(self, budget: Budget) -> str:
        return f"{self.steps:,} steps of masked-language modelling first"

    def adaptation(self) -> Adaptation:
        return Adaptation(self.steps, self.learning_rate, self.probability)
