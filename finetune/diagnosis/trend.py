"""The trend of a run's evaluations over time."""

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
OF_AN_ERROR = 1.0  # nats by which the loss of a row that is wrong differs between two evaluations; others' hardly do
FITS = 0.7  # a training loss that has not fallen to this fraction of its first value is of a model that does not fit
STILL = 0.02  # of a score or a training loss that no longer changes


def noise(rows: int | None) -> float:
    """By how much a score may differ between two evaluations by chance; an unknown number of rows counts as 200."""
    return 1.96 * math.sqrt(CHANGED / (rows or 200))


def loss_noise(scores: Sequence[float | None], rows: int | None) -> float:
    """By how much a loss may differ between two evaluations by chance: most of it comes from few rows, the wrong ones.

    With a fraction e of n rows wrong, the standard deviation of the mean is OF_AN_ERROR * sqrt(e / n). 1 - the lower of
    the scores stands for e, or a tenth if none is known. At least one row counts as wrong: the next one may be.
    """
    rows = rows or 200
    known = [score for score in scores if score is not None]
    wrong = min(1.0, max(1 - min(known), 1 / rows)) if known else CHANGED
    return 1.96 * OF_AN_ERROR * math.sqrt(wrong / rows)


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
    """Whether the score rose beyond chance in the second half of the run, up to its end."""
    known = scored(curve)
    if len(known) < FEW:
        return False
    scores = [point.score or 0.0 for point in known]
    return scores[-1] - max(scores[: (len(scores) + 1) // 2]) > noise(rows) and scores[-1] >= max(scores)


def score_is_constant(curve: Sequence[Point]) -> bool:
    """Whether every evaluation gave exactly the same score: most likely the same answer for all texts."""
    scores = [point.score for point in scored(curve)]
    return len(scores) >= FEW and len(set(scores)) == 1


def loss_rose(curve: Sequence[Point], rows: int | None) -> float | None:
    """The last loss as a multiple of the lowest, if it has risen by more than chance and LEAST_RISE."""
    lowest, known = lowest_loss(curve), [point for point in curve if point.loss is not None]
    last = known[-1] if known else None
    if lowest is None or last is None or lowest.loss is None or last.loss is None or lowest.loss <= 0:
        return None
    ratio = last.loss / lowest.loss
    least = max(LEAST_RISE, loss_noise((lowest.score, last.score), rows))
    return ratio if ratio >= RISE and last.loss - lowest.loss > least else None


def is_level(losses: Sequence[float]) -> bool:
    """Whether training losses no longer fall: their last quarter against the quarter before, by STILL of the first."""
    quarter = max(1, len(losses) // 4)
    if len(losses) < FEW:
        return False
    last, before = losses[-quarter:], losses[-2 * quarter : -quarter]
    return (sum(before) - sum(last)) / quarter < STILL * losses[0]


def loss_of_one_answer(share: float) -> float:
    """Lowest loss, in nats, of the same answer for all texts if it is right for this share: the entropy of the classes.

    With two classes it is exact; with more the loss lies between this and ln(classes).
    """
    if not 0 < share < 1:
        return 0.0
    return max(-math.log(share), -share * math.log(share) - (1 - share) * math.log(1 - share))


def loss_of_even_confidence(score: float, classes: int | None) -> float:
    """Log loss, in nats, of a calibrated model that is equally sure of every answer, this fraction of which is right.

    The other classes share the rest evenly, so it is h(e) + e · ln(classes − 1) with e = 1 − score and the binary
    entropy h; an unknown number of classes counts as two. A calibrated model that is surer of its right answers than of
    its wrong ones has a lower loss.
    """
    wrong = 1 - score
    if not 0 < wrong < 1:
        return 0.0
    entropy = -wrong * math.log(wrong) - score * math.log(score)
    return entropy + wrong * math.log(max(1, (classes or 2) - 1))


def objective_rose(objectives: Sequence[float]) -> bool:
    """Whether the training loss has returned to its initial value, after it had fallen to less than half of that."""
    if len(objectives) < FEW:
        return False
    lowest, last = min(objectives), objectives[-1]
    return last > 2 * lowest and last >= 0.9 * objectives[0]
