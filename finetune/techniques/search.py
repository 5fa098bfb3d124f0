"""Ranges in which `finetune tune` searches: narrower than what is valid, from hardly any effect to nearly too much."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SearchRange:
    """The values of one setting that are worth trying.

    Attributes:
        low: Smallest value.
        high: Largest value.
        is_log: Whether equal ratios count as equal steps; otherwise equal differences do.
    """

    low: float
    high: float
    is_log: bool = True

    def including(self, value: float) -> SearchRange:
        """The range, widened to include a value that a preset or a user has set."""
        return SearchRange(min(self.low, value), max(self.high, value), self.is_log and value > 0)


def linear(low: float, high: float) -> SearchRange:
    """A range in which equal differences count as equal steps: probabilities, dropout, fractions near 1."""
    return SearchRange(low, high, is_log=False)
