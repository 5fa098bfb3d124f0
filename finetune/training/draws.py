"""Endless sequences of permutations with random access to any part, so that a resumed run continues as if it had never
stopped.
"""

from __future__ import annotations

import numpy as np

STREAMS = {"texts": 0, "rows": 1, "pieces": 2}  # of the random numbers of a run's seed, by what is drawn


class Draws:
    """Permutations of some rows, one after the other: no row is repeated before all were drawn.

    Args:
        rows: Number of rows.
        key: Key of the random stream: the seed of the run, and what is drawn.
    """

    def __init__(self, rows: int, *key: int) -> None:
        self._rows = rows
        self._key = key
        self._cycle = -1
        self._order: list[int] = []

    def part(self, start: int, count: int) -> list[tuple[int, int]]:
        """Draws number `start` to `start + count`: (permutation, row) each."""
        return [self._draw(*divmod(number, self._rows)) for number in range(start, start + count)]

    def _draw(self, cycle: int, place: int) -> tuple[int, int]:
        if cycle != self._cycle:
            stream = np.random.default_rng([*self._key, cycle])
            self._cycle, self._order = cycle, stream.permutation(self._rows).tolist()
        return cycle, self._order[place]
