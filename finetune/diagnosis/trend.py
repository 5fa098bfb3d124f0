"""What the evaluations of a run did over time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from finetune.diagnosis.observations import Point

FEW = 3  # evaluations that make a trend
# Two evaluations of one run differ in few rows. With a tenth of the rows changed, their scores differ by chance by up
# to 1.96 · √(0.1 / rows): 4.4 points for 200 rows.
CHANGED = 0.1
RISE = 1.15  # a loss this many times its lowest value has risen; evaluations of one run differ by less
LEAST_RISE = 0.01  # nats
CHANGE_OF_A_ROW = (
    0.1  # nats: standard deviation of how a row's loss differs between two evaluations of a run that is done
)


def noise(rows: int | None) -> float:
    """By how much a score may differ between two evaluations by chance; for unknown rows as for 200."""
    return 1.96 * math.sqrt(CHANGED / (rows or 200))


def scored(curve: Sequence[Point]) -> list[Point]:
    return [point for point in curve if point.score is not None]


def best_score(curve: Sequence[Point]) -> Point | None:
    """The first of the points with the highest score."""
    return max(scored(curve), key=lambda point: point.score or 0.0, default=None)


def lowest_loss(curve: Sequence[Point]) -> Point | None:
    """The first of the points with the lowest loss."""
    known = [point for point in curve if point.loss is not None]
    return min(known, key=lambda point: point.loss or 0.0, default=None)


def score_fell(curve: Sequence[Point], rows: int | None) -> float | None:
    """By how much the last score is below the best, where chance does not explain it."""
    best, known = best_score(curve), scored(curve)
    if best is None or best.score is None or known[-1].score is None:
        return None
    fall = best.score - known[-1].score
    return fall if fall > noise(rows) else None


def score_rises(curve: Sequence[Point], rows: int | None) -> bool:
    """Whether the second half of the run has raised the score beyond chance, up to its end."""
    known = scored(curve)
    if len(known) < FEW:
        return False
    scores = [point.score or 0.0 for point in known]
    return scores[-1] - max(scores[: (len(scores) + 1) // 2]) > noise(rows) and scores[-1] >= max(scores)


def score_is_constant(curve: Sequence[Point]) -> bool:
    """Whether every evaluation gave the same score to all digits: one answer for all texts, most likely."""
    scores = [point.score for point in scored(curve)]
    return len(scores) >= FEW and len(set(scores)) == 1


def loss_rose(curve: Sequence[Point], rows: int | None) -> float | None:
    """How many times its lowest value the last loss is, where it has risen by more than chance and LEAST_RISE."""
    lowest, known = lowest_loss(curve), [point.loss for point in curve if point.loss is not None]
    if lowest is None or lowest.loss is None or len(known) < 2 or lowest.loss <= 0:
        return None
    ratio = known[-1] / lowest.loss
    least = max(LEAST_RISE, 1.96 * CHANGE_OF_A_ROW / math.sqrt(rows or 200))
    return ratio if ratio >= RISE and known[-1] - lowest.loss > least else None


def objective_rose(objectives: Sequence[float]) -> bool:
    """Whether the training loss has come back to where it began, after it had fallen to less than half of that."""
    if len(objectives) < FEW:
        return False
    lowest, last = min(objectives), objectives[-1]
    return last > 2 * lowest and last >= 0.9 * objectives[0]
