"""Records in pairs -> differences with intervals. Points are hundredths of a score."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.results.records import Line

DRAWS = 10_000
LEVEL = 0.95
MARGIN = 0.5  # points, from which on a set counts as better or worse
Values = Mapping[str, NDArray[np.float64]]  # set -> (seeds, values)


@dataclass(frozen=True)
class Summary:
    """Of differences over sets.

    Attributes:
        mean: Of the sets' means.
        low, high: 95 % interval; None for fewer than two sets.
        worst: Set with the lowest mean, and that mean.
        better, worse: Sets beyond the margin.
        sets, pairs: How many there are.
    """

    mean: float
    low: float | None
    high: float | None
    worst: tuple[str, float]
    better: int
    worse: int
    sets: int
    pairs: int


def by_cell(lines: Iterable[Line], arm: str, column: str) -> dict[tuple[str, int], float]:
    """(set, seed) -> value, of the finished runs of an arm that have one."""
    return {
        (line["set"], line["seed"]): value
        for line in lines
        if line["arm"] == arm and line["status"] == "finished" and (value := value_of(line, column)) is not None
    }


def value_of(line: Line, column: str) -> float | None:
    """A column; or gap_score and gap_nll, which are computed from two."""
    if not column.startswith("gap_"):
        return line[column]
    measure = column.removeprefix("gap_")
    train, validation = line[f"train_probe_{measure}"], line[f"validation_{measure}"]
    if train is None or validation is None:
        return None
    return float(validation - train if measure == "nll" else train - validation)


def paired(lines: list[Line], arm: str, against: str, column: str) -> dict[str, NDArray[np.float64]]:
    """Set -> (seeds, 2): values of both arms on the same rows."""
    first, second = by_cell(lines, arm, column), by_cell(lines, against, column)
    found = defaultdict(list)
    for name, seed in sorted(first.keys() & second.keys()):
        found[name].append((first[name, seed], second[name, seed]))
    return {name: np.array(values) for name, values in found.items()}


def two_level_draws(values: Values, draws: int = DRAWS, seed: int = 0) -> NDArray[np.float64]:
    """Means over sets when sets, and seeds within each drawn set, are drawn with replacement: (draws, values)."""
    rng = np.random.default_rng(seed)
    sets = list(values.values())
    chosen = rng.integers(0, len(sets), (draws, len(sets)))
    total = np.zeros((draws, sets[0].shape[1]))
    for number, rows in enumerate(sets):
        for slot in range(len(sets)):
            drawn = rows[rng.integers(0, len(rows), (draws, len(rows)))].mean(axis=1)
            total += np.where(chosen[:, slot, None] == number, drawn, 0.0)
    return total / len(sets)


def interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)


def summarise(pairs: Values, scale: float = 100.0) -> Summary | None:
    """First − second of each pair, times scale; None if there are no pairs."""
    if not pairs:
        return None
    differences = {name: scale * (rows[:, :1] - rows[:, 1:]) for name, rows in pairs.items()}
    means = {name: float(rows.mean()) for name, rows in differences.items()}
    low, high = interval(two_level_draws(differences)[:, 0]) if len(means) > 1 else (None, None)
    return Summary(
        mean=float(np.mean(list(means.values()))),
        low=low,
        high=high,
        worst=min(means.items(), key=lambda item: item[1]),
        better=sum(mean > MARGIN for mean in means.values()),
        worse=sum(mean < -MARGIN for mean in means.values()),
        sets=len(means),
        pairs=sum(len(rows) for rows in pairs.values()),
    )


def mean_over_sets(lines: list[Line], arm: str, column: str) -> float | None:
    """Each set counts once."""
    found = defaultdict(list)
    for (name, _), value in by_cell(lines, arm, column).items():
        found[name].append(value)
    return float(np.mean([np.mean(values) for values in found.values()])) if found else None


def seed_deviation(pairs: Values) -> tuple[float, float] | None:
    """Root mean square over sets of the standard deviation over seeds, of both arms; None without two seeds."""
    variances = [rows.var(axis=0, ddof=1) for rows in pairs.values() if len(rows) > 1]
    if not variances:
        return None
    first, second = np.sqrt(np.mean(variances, axis=0))
    return float(first), float(second)


@dataclass(frozen=True)
class Outcome:
    """Of a target: the number, its interval if it has one, whether they reach what was asked for; and how many sets."""

    value: float
    low: float | None
    high: float | None
    is_met: bool
    is_shown: bool
    sets: int


def judge(lines: list[Line], target: Mapping[str, Any]) -> Outcome | None:
    """A target of arms.yaml on the lines of one half and its size; None where runs are missing."""
    of = target["of"]
    column = {"gap": "gap_score", "gap_nll": "gap_nll"}.get(of, "test_score")
    pairs = paired(lines, target["arm"], target["against"], column)
    found = _measured(of, pairs) if pairs else None
    if found is None:
        return None
    value, low, high = found
    if "most" in target:
        is_met, is_shown = value <= target["most"], high is not None and high <= target["most"]
    else:
        is_met, is_shown = value >= target["least"], low is not None and low >= target["least"]
    return Outcome(value, low, high, is_met, is_shown, len(pairs))


def _measured(of: str, pairs: Values) -> tuple[float, float | None, float | None] | None:
    if of == "seed_sd":
        deviations = seed_deviation(pairs)
        return None if deviations is None or deviations[1] == 0 else (100 * deviations[0] / deviations[1], None, None)
    if of == "gap_nll":
        means = np.mean([rows.mean(axis=0) for rows in pairs.values()], axis=0)
        drawn = two_level_draws(pairs)
        low, high = interval(100 * (1 - drawn[:, 0] / drawn[:, 1])) if len(pairs) > 1 else (None, None)
        return float(100 * (1 - means[0] / means[1])), low, high
    swapped = {name: rows[:, ::-1] for name, rows in pairs.items()} if of == "gap" else pairs
    summary = summarise(swapped)
    assert summary is not None, "there are pairs"
    return (summary.worst[1], None, None) if of == "worst_set" else (summary.mean, summary.low, summary.high)
