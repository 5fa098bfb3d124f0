"""How precise scores on validation and test are, given their rows."""

from __future__ import annotations

import math

from finetune.checks.base import TWO_SIDED, is_given
from finetune.data.rows import Data
from finetune.measurement.units import count_text
from finetune.records.schema import Finding
from finetune.tasks import Task

ACCURACY = 0.8  # at which the half width is stated; at 50 % it is a quarter wider
DISCORDANT = 0.1  # fraction of rows on which one of two presets is correct and the other wrong; 5–15 % is usual
SMALL = 200  # rows below which a difference must be 6 points to be detected
POWER = 0.841621  # normal quantile of 80 % power


def check_resolution(data: Data) -> list[Finding]:
    """The 95 % half width of a score, and the smallest detectable difference between two presets.

    Half width: normal approximation at 80 % accuracy (numbers: Fisher's z at a correlation of 0.8). Difference:
    McNemar's test with 80 % power where 10 % of the rows are discordant. A warning below 200 rows, else information.
    """
    findings = []
    for split, rows in data.whole_splits().items():
        if split == "train":
            continue
        half = half_width(len(rows), data.task)
        difference = smallest_difference(len(rows))
        findings.append(
            Finding(
                check="resolution",
                level="warning" if len(rows) < SMALL else "info",
                text=f"{count_text(len(rows), f'{split} row')}: {_precision(data.task, half, difference)}.",
                figures={"rows": len(rows), "half_width": half, "difference": difference},
                advice=_advice(data, len(rows)),
            )
        )
    return findings


def half_width(rows: int, task: Task) -> float:
    """Half width of the 95 % interval of an accuracy, or correlation, of 0.8 (1 where rows are too few)."""
    if task == "regression":
        return min(1.0, TWO_SIDED * (1 - ACCURACY**2) / math.sqrt(rows - 3)) if rows > 3 else 1.0
    return TWO_SIDED * math.sqrt(ACCURACY * (1 - ACCURACY) / rows)


def smallest_difference(rows: int) -> float | None:
    """The paired difference of accuracy detected with 80 % power; None if discordant rows are too few for any.

    Solves n = (z₁ √d + z₂ √(d − δ²))² / δ² for δ (Connor 1987, Biometrics 43:207), d = DISCORDANT.
    """
    low, high = 0.0, DISCORDANT
    if rows < _rows_needed(high):
        return None
    for _ in range(50):  # bisection: rows needed fall with the difference
        middle = (low + high) / 2
        low, high = (low, middle) if _rows_needed(middle) <= rows else (middle, high)
    return high


def _rows_needed(difference: float) -> float:
    spread = TWO_SIDED * math.sqrt(DISCORDANT) + POWER * math.sqrt(DISCORDANT - difference**2)
    return float((spread / difference) ** 2)


def _precision(task: Task, half: float, difference: float | None) -> str:
    if task == "regression":
        return f"±{half:.2f} at a correlation of {ACCURACY} (95 % CI)"
    detectable = "no difference between two presets is detectable with one seed"
    if difference is not None:
        detectable = f"with one seed, the smallest detectable difference is about {100 * difference:.1f} points"
    return (
        f"±{100 * half:.1f} points at an accuracy of {100 * ACCURACY:.0f} % (95 % CI); {detectable} (80 % power, "
        f"{100 * DISCORDANT:.0f} % of rows discordant)"
    )


def _advice(data: Data, rows: int) -> str:
    if rows >= SMALL:
        return ""
    if "test" in data.whole_splits() and is_given(data, "test"):  # folds make their own test split
        whole = "use one file with all rows, split into folds: finetune compare --data FILE --folds 5 --seeds 3"
        return f"Label more rows, or {whole}"
    return "Label more rows, or average over folds and seeds: add --folds 5 --seeds 3 to finetune compare"
