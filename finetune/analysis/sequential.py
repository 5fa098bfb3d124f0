"""Tests that are repeated as seeds are added: the error of all looks together is that of a single test.

A t-test after 3 seeds, another one after 4, and so on, each at 5 %, find a difference that does not exist in far more
than 5 % of comparisons. `--seeds auto` looks after every seed, so each look has a smaller level: proportional to its
number of seeds, and such that all looks together have the stated error, stop where they may (repeated tests and
intervals: Jennison and Turnbull 1989, "Interim analyses: the repeated confidence interval approach", Journal of the
Royal Statistical Society B 51). The levels are exact for normal differences; `docs/statistics.md` measures them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FIRST = 3  # seeds of the first look: two hardly show how much seeds differ
MOST = 20  # seeds for which the levels are known


@dataclass(frozen=True)
class Looks:
    """A look after every seed, from `FIRST` to `most`.

    Attributes:
        most: Seeds of the last look, from `FIRST` to `MOST`.
    """

    most: int

    def level(self, error: float, seeds: int) -> float:
        """The level of the t-test at one look.

        Args:
            error: Probability that any of the looks finds a difference that does not exist.
            seeds: Seeds of this look; no test is possible before the first one, so the level is 0 there.
        """
        if seeds < FIRST:
            return 0.0
        return last_level(error, self.most) * min(1.0, seeds / self.most)


def last_level(error: float, most: int) -> float:
    """The level of the last look, interpolated between the simulated ones (linear in logarithms)."""
    from finetune.analysis.sequential_levels import ERRORS, LEVELS

    errors, levels = (*ERRORS, 1.0), (*LEVELS[most], 1.0)
    if error <= errors[0]:  # p-values so small share few comparisons between looks: their levels are proportional
        return levels[0] * error / errors[0]
    return float(math.exp(np.interp(math.log(error), np.log(errors), np.log(levels))))
