"""Which presets need a further seed: the rule of `--seeds auto`. It reads train and validation, and never test.

The verdict on a change (`verdicts.judge_change`) is made from three differences to the baseline: score, score gap and
loss gap. A verdict is settled if further seeds will hardly change its words. Errors are those of `sequential.Looks`, so
looking after every seed finds no more differences that do not exist than a single look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from finetune.advice.learning import is_degenerate
from finetune.analysis.collection import CollectedRun, Collection, FinishedRun
from finetune.analysis.differences import Differences, all_differences, decisive_numbers, paired_measurements, pairs
from finetune.analysis.results import Results, VariantResults
from finetune.analysis.sequential import FIRST, Looks
from finetune.analysis.statistics import LEVEL, chance_of_significance
from finetune.analysis.verdicts import MARGIN
from finetune.measurement.units import count_text, estimate_text, metric_name, percent_text
from finetune.records.report import Difference

UNLIKELY = 0.2  # chance of becoming significant below which further seeds are not worth their training

RULE = (
    f"Seeds are added one at a time, from {FIRST} on, for every preset whose verdict is not settled. It is settled if "
    "the validation score is significantly higher than the baseline's; or if the score is significantly lower, or has "
    f"a chance below {100 * UNLIKELY:g} % of becoming significant by the last seed, and so has each gap (one "
    "significant gap is enough if the other changed in the same direction). A preset whose runs all failed or did not "
    f"learn, or whose score is lower by more than {100 * MARGIN:g} point beyond chance, ends at once. Tests are "
    "adjusted for looking after every seed and, by Holm, for all presets. Test is never looked at."
)


@dataclass(frozen=True)
class Number:
    """One of the three differences of a verdict.

    Attributes:
        name: In words.
        metric: The metric.
        difference: The difference so far.
        chance: Chance of being significant at the last look; None if it cannot be tested.
    """

    name: str
    metric: str
    difference: Difference
    chance: float | None

    @property
    def direction(self) -> int:
        """1 if it is significantly higher than the baseline's, -1 if lower, 0 if it is not significant."""
        mean = self.difference.mean
        return 0 if mean is None or not self.difference.distinguishable else (1 if mean > 0 else -1)

    @property
    def is_settled(self) -> bool:
        """Whether further seeds will hardly change its significance."""
        return bool(self.direction) or (self.chance is not None and self.chance < UNLIKELY)

    @property
    def text(self) -> str:
        """The difference and what is known about it."""
        word = "significant" if self.direction else f"chance of becoming significant {percent_text(self.chance)}"
        return f"{self.name} {estimate_text(self.metric, self.difference)} ({word})"


def settled(collection: Collection, looks: Looks, names: Sequence[str]) -> dict[str, str]:
    """The presets among `names` that need no further seed, each with the reason.

    Args:
        collection: The runs so far, of all presets. Test scores are left out before anything is computed.
        looks: The looks planned.
        names: Presets with a baseline that have been given every seed so far.
    """
    collection = replace(collection, runs=[_without_test(run) for run in collection.runs], most_seeds=looks.most)
    if not collection.finished:
        return dict.fromkeys(names, "no run has finished")
    results = Results(collection)
    differences = all_differences(results)
    found = {name: _reason(results, name, differences, looks) for name in names}
    return {name: reason for name, reason in found.items() if reason is not None}


def _without_test(run: CollectedRun) -> CollectedRun:
    """The run as if its data had no test split."""
    if not isinstance(run, FinishedRun):
        return run
    record = run.record
    rows = {split: count for split, count in record.data.rows.items() if split != "test"}
    selected, last = (each.model_copy(update={"test": None}) for each in (record.selected, record.last))
    data = record.data.model_copy(update={"rows": rows})
    changed = record.model_copy(update={"data": data, "selected": selected, "last": last})
    arrays = {name: array for name, array in run.arrays.items() if "test" not in name.split("_")}
    return replace(run, record=changed, arrays=arrays)


def _reason(results: Results, name: str, differences: dict[str, Differences], looks: Looks) -> str | None:
    """Why a preset needs no further seed; None if it does."""
    variant, baseline = results.variants[name], results.baseline_of(results.variants[name])
    if baseline is None:
        raise ValueError(f"{name} has no baseline")
    for each in (variant, baseline):
        if not each.runs:
            return f"no run of {each.entry.name} has finished ({count_text(len(each.all_runs), 'seed')})"
    if len(variant.runs) >= FIRST and all(is_degenerate(record) for record in variant.records):
        return "no run is better than the same prediction for every text"
    if len(pairs(variant, baseline)) < FIRST:
        return None
    return decide(_numbers(results, variant, baseline, differences, looks), baseline.entry.name)


def decide(numbers: Sequence[Number], baseline: str) -> str | None:
    """Why the verdict that is made from these numbers is settled; None if it is not.

    Args:
        numbers: Score, score gap and loss gap.
        baseline: Name of the baseline.
    """
    score, *gaps = numbers
    for number in numbers:
        if number.chance is None:
            return f"{number.name} cannot be tested: it is undefined, or the difference is the same with every seed"
    if score.direction < 0 and score.difference.high is not None and score.difference.high < -MARGIN:
        return f"far below {baseline}: {score.text}"
    if score.direction > 0 or (score.is_settled and _are_gaps_settled(gaps)):
        return "; ".join(number.text for number in numbers)
    return None


def _are_gaps_settled(gaps: Sequence[Number]) -> bool:
    """A gap shrank or grew if one of both did, unless the other did the opposite."""
    signs = {(gap.difference.mean or 0.0) > 0 for gap in gaps}
    return all(gap.is_settled for gap in gaps) or (len(signs) == 1 and any(gap.direction for gap in gaps))


def _numbers(
    results: Results,
    variant: VariantResults,
    baseline: VariantResults,
    differences: dict[str, Differences],
    looks: Looks,
) -> list[Number]:
    """Score, score gap and loss gap."""
    decisive = decisive_numbers(results)
    family = [found[kind][metric] for found in differences.values() if found for kind, metric in decisive]
    tested = [each for each in family if each.p is not None]
    # Holm's level for the smallest p that is not significant yet.
    error = (1 - LEVEL) / max(1, sum(not each.distinguishable for each in tested))
    numbers = []
    for kind, metric in decisive:
        found = differences[variant.entry.name][kind][metric]
        name = f"{metric_name(metric)} gap" if kind == "gap" else f"{kind} {metric_name(metric)}"
        numbers.append(Number(name, metric, found, _chance(variant, baseline, kind, metric, looks, error)))
    return numbers


def _chance(
    variant: VariantResults, baseline: VariantResults, kind: str, metric: str, looks: Looks, error: float
) -> float | None:
    paired = paired_measurements(variant, baseline, kind, metric)
    values = [each.value for each in paired if each.value is not None]
    draws = [each.draws for each in paired if each.draws is not None]
    if len(values) < len(paired) or len(draws) < len(paired):
        return None
    return chance_of_significance(values, np.stack(draws), looks, error)
