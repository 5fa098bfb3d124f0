"""The result of a sweep in words: where it overfits and underfits, the choice, and the limits of the evidence."""

from __future__ import annotations

from collections.abc import Sequence

from finetune.advice.evidence import data_problems, did_not_learn, few_seeds, no_test_split, unfinished
from finetune.measurement.units import change_text, count_text, estimate_text, listed, metric_name, scale, score_text
from finetune.records.sweep import Chosen, SweepPoint, SweepReport

TOO_LITTLE = ("overfits", "overconfident only")  # verdicts of too little regularization
TOO_MUCH = ("underfits", "did not learn")


def headline(sweep: SweepReport) -> str:
    """The choice, its test score, and the points with too little or too much."""
    if sweep.chosen is None:
        return "No point has a finished run with a defined score, so nothing can be chosen."
    sentences = [f"`{sweep.chosen.name}` has the best validation {metric_name(sweep.score)}", _tested(sweep)]
    sentence = ": ".join(filter(None, sentences)) + "."
    return " ".join([sentence, *_regions(sweep.points), *_ends(sweep)])


def _tested(sweep: SweepReport) -> str:
    chosen = sweep.chosen
    if chosen is None or sweep.score not in chosen.test:
        return ""
    level = f"{score_text(sweep.score, chosen.test[sweep.score].mean)} on test"
    difference = chosen.difference
    if difference is None or difference.mean is None:
        return level
    word = {None: ", which these runs cannot test", True: ", significant", False: ", not significant"}
    change = estimate_text(sweep.score, difference)
    return f"{level}, {change} against `{sweep.baseline}`{word[difference.distinguishable]}"


def _regions(points: Sequence[SweepPoint]) -> list[str]:
    parts = []
    for verdicts, words in ((TOO_LITTLE, "overfits at"), (TOO_MUCH, "underfits or does not learn at")):
        names = [f"`{point.name}`" for point in points if point.verdict in verdicts]
        if names:
            parts.append(f"{words} {listed(names) if len(names) < len(points) else 'every point'}")
    return [f"The model {'; it '.join(parts)}."] if parts else []


def _ends(sweep: SweepReport) -> list[str]:
    """A best value at the end of its range may lie beyond it."""
    chosen = next((point for point in sweep.points if sweep.chosen and point.name == sweep.chosen.name), None)
    if chosen is None or sweep.axis == "names":
        return []
    key = sweep.keys[0]
    values = sorted({point.values[key] for point in sweep.points if isinstance(point.values[key], int | float)})
    if len(values) > 2 and chosen.values[key] == values[-1]:
        return [f"It is the largest value that was tried: the best may be larger. Try: --vary {key}=…,{values[-1]:g},…"]
    if len(values) > 2 and chosen.values[key] == values[0] and values[0] > 0:
        return ["It is the smallest value that was tried: the best may be smaller."]
    return []


def chosen_text(sweep: SweepReport, chosen: Chosen) -> str:
    """The test score of the choice, and by how much choosing inflated its validation score."""
    if sweep.score not in chosen.test:
        return "There is no test split, and the validation score of a choice by validation is optimistic."
    level = scale(sweep.score).estimated_level(chosen.test[sweep.score])
    optimism = "" if chosen.optimism is None else f" Validation − test: {change_text(sweep.score, chosen.optimism)}."
    return f"{metric_name(sweep.score)} {level}, measured once, after the choice.{optimism}"


def caveats(sweep: SweepReport) -> list[str]:
    """Limits of the evidence: few seeds, no test split, failed runs, many points."""
    texts = data_problems(sweep)
    seeds = len(sweep.seeds)
    if seeds == 1:
        texts.append("One seed: no intervals, no bands, no tests. Try: --seeds 3")
    elif few := few_seeds(seeds):
        texts.append(few)
    texts += no_test_split(sweep)
    if sweep.chosen is not None and len(sweep.points) > 2:
        texts.append(
            f"The choice is the best of {count_text(len(sweep.points), 'point')} on the same validation rows, so its "
            "validation score is optimistic; its test score is not."
        )
    runs = [run for point in sweep.points for run in point.runs]
    failed = sum(run.status != "finished" for run in runs)
    degenerate = [
        f"{point.name} ({count})" for point in sweep.points if (count := sum(r.degenerate for r in point.runs))
    ]
    return [*texts, *unfinished(failed, len(runs)), *did_not_learn(degenerate)]
