"""Training longer."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.plan import TrainingPlan
from finetune.techniques.search import SearchRange


class Longer(Technique, TrainingPlan):
    """Train for more epochs: the usual three are too few for small data sets.

        epochs ← factor · epochs          rounded, at least one more; warm-up and decay span all of them

    Everything else stays as it is. This changes the budget: a comparison with it compares unequal budgets, and there
    are more evaluations to select a checkpoint from. Validation scores improve, and the gap mostly widens.

    Range: near 1 it adds a single epoch; beyond about 20 epochs, or 800 steps, there is no further gain.
    Cost: the factor, 2 × by default.
    Raises: nothing of its own.
    Relations: other techniques see the longer run: `early_stopping` counts its epochs, and `weight_decay` and `l2_sp`
    spread their total effect over it. Use it as the baseline where a technique needs more steps.
    Evidence: BERT-large, 25 seeds, 20 epochs and corrected Adam instead of 3 epochs: RTE 70.1 ± 2.4 vs 52.3 ± 7.2, CoLA
    64.6 ± 1.0 vs 45.6 ± 25.6 (Mosbach et al. 2021, Table 1); with 1,000 examples and corrected Adam RTE 65.2 vs 62.5,
    SST-2 90.9 vs 89.7, MNLI 67.5 vs 52.2 (Zhang et al. 2021, arXiv:2006.05987, Table 1).
    Source: Mosbach et al. 2021, arXiv:2006.04884. Departs from it in: a factor, not 20 epochs.
    """

    family: ClassVar[str] = "shrinkage of the step"
    source: ClassVar[str] = "Mosbach et al. 2021, arXiv:2006.04884"
    cost: ClassVar[float] = 2.0
    search: ClassVar[Mapping[str, SearchRange]] = {"factor": SearchRange(1.2, 4)}

    factor: float = Field(2.0, gt=1, le=100, description="Epochs, as a multiple of the recipe's.")

    def epochs(self, epochs: int) -> int:
        return max(epochs + 1, round(epochs * self.factor))

    def training_cost(self, budget: Budget) -> float:
        return self.factor

    def effect(self, budget: Budget) -> str:
        return f"{budget.epochs} epochs"
