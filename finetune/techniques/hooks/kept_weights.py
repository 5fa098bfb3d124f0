"""Which weights are measured and exported: averages, interpolation, checkpoint selection."""

from __future__ import annotations

from dataclasses import dataclass, replace

from finetune.techniques.budget import Budget


@dataclass(frozen=True)
class SelectionRule:
    """When to stop and which checkpoint to keep; see the `early_stopping` technique for the meaning.

    Patience counts from the first evaluation that beats the same answer for every text beyond chance, whichever
    technique owns the rule. Without `stop` the run goes on to its last epoch.
    """

    metric: str
    patience: int
    min_delta: float
    min_epochs: int
    stop: bool = True

    def within(self, epochs: int) -> SelectionRule:
        """The rule in a run of this many epochs: its patience is at most the number of evaluations after the first."""
        return replace(self, patience=max(1, min(self.patience, epochs - 1)))


class KeptWeights:
    """Choice of the weights to measure and export; without any of these hooks they are those of the last step."""

    def averaging_rate(self, step: int, budget: Budget) -> float:
        """How far the running average moves to the current weights, after optimizer step `step` (from 1).

        average ← average + rate · (weights − average). 0 leaves the average as it is; 1 starts it anew. Once there is
        an average, it is measured, selected and exported. One technique per run may have it.
        """
        return 0.0

    def interpolations(self) -> tuple[float, ...]:
        """Fractions of the fine-tuned weights to interpolate with the pretrained ones, to choose from on validation."""
        return ()

    def selection_rule(self) -> SelectionRule | None:
        """How to select the checkpoint; without a rule the last one is kept. One technique per run may have it."""
        return None
