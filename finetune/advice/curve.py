"""What a learning curve says in words: what more labelled rows would bring, and the limitations of the evidence."""

from __future__ import annotations

from finetune.advice.evidence import data_problems, did_not_learn, few_seeds, no_test_split, unfinished
from finetune.measurement.units import (
    Estimated,
    change_text,
    estimate_text,
    is_fraction,
    listed,
    metric_name,
    scale,
    score_text,
)
from finetune.records.curve import Check, CurveReport, FittedLaw, LabelsForMore, Point, Prediction, PresetCurve

TIMES = {2: "twice", 5: "five times"}


def headline(curve: CurveReport) -> str:
    """One sentence with the scores at the smallest and the largest size, and what more rows would bring."""
    ends = {preset.name: found for preset in curve.presets if (found := _ends(curve, preset))}
    if not ends:
        return "No preset has a score and a gap at two sizes, so there is no curve."
    score = f"{curve.reported} {metric_name(curve.score)}"
    sizes = {(first.size, last.size) for first, last in ends.values()}
    if len(sizes) == 1:
        [(smallest, largest)] = sizes
        trends = [_trend(curve, name, *pair) for name, pair in ends.items()]
        sentence = f"From {smallest:,} to {largest:,} training rows, {score} changes {'; '.join(trends)}."
    else:  # runs are missing: each preset has numbers at other sizes
        trends = [
            f"from {first.size:,} to {last.size:,} training rows {_trend(curve, name, first, last)}"
            for name, (first, last) in ends.items()
        ]
        sentence = f"{score[:1].upper()}{score[1:]} changes {'; '.join(trends)}."
    fits = [preset.laws[curve.score].words for preset in curve.presets if curve.score in preset.laws]
    return f"{sentence} {fits[0]}" if len(fits) == 1 else sentence


def _ends(curve: CurveReport, preset: PresetCurve) -> tuple[Point, Point] | None:
    """The smallest and the largest size with a score and a gap; None for fewer than two such sizes."""
    known = [point for point in preset.points if None not in _score_and_gap(curve, point)]
    return (known[0], known[-1]) if len(known) > 1 else None


def _score_and_gap(curve: CurveReport, point: Point) -> tuple[float | None, float | None]:
    score, gap = curve.reported_scores(point).get(curve.score), point.gap.get(curve.score)
    return None if score is None else score.mean, None if gap is None else gap.mean


def _trend(curve: CurveReport, name: str, *ends: Point) -> str:
    pairs = [_score_and_gap(curve, point) for point in ends]
    low, high = (score_text(curve.score, score) for score, _ in pairs)
    gap_before, gap_after = (change_text(curve.score, gap) for _, gap in pairs)
    return f"from {low} to {high} with `{name}` (gap: {gap_before} to {gap_after})"


def describe_fit(preset: str, fit: FittedLaw) -> str:
    """What a power-law fit says about more labelled rows, in one sentence or two."""
    twice, most = fit.predictions
    metric = fit.metric
    first, last = (predicted_change(metric, prediction) for prediction in (twice, most))
    if fit.outlook == "no interval":
        return (
            f"`{preset}`: {_times(twice)} would give {_level(metric, twice)} ({first}). These runs give no interval "
            "for this."
        )
    if fit.outlook == "flat":
        return (
            f"`{preset}` is flat: {_times(most)} would bring less than {step_text(metric)} ({last}). More rows of this "
            "kind are unlikely to help."
        )
    if fit.outlook == "too wide":
        return (
            f"`{preset}`: these runs cannot tell what more rows would bring. {_times(twice).capitalize()}: {first}; "
            f"{_times(most)}: {last}. More seeds or sizes narrow the intervals."
        )
    needed = f" {labels_text(metric, fit.labels)}" if fit.labels is not None else ""
    return (
        f"`{preset}`: {_times(twice)} would give {_level(metric, twice)} ({first}); {_times(most)} would give "
        f"{_level(metric, most)} ({last}).{needed}"
    )


def labels_text(metric: str, labels: LabelsForMore) -> str:
    """`One point more needs about 1,600 rows in total [1,310, 2,550].`"""
    limit = f"more than {labels.limit:,}"
    rows = limit if labels.rows is None else f"about {rows_text(labels.rows)}"
    sentence = f"{step_text(metric).capitalize()} more needs {rows} rows in total"
    if labels.low is None:
        return f"{sentence}."
    high = limit if labels.high is None else rows_text(labels.high)
    return f"{sentence} [{rows_text(labels.low)}, {high}]."


def rows_text(rows: int) -> str:
    """Three digits: more would suggest a precision that an extrapolation does not have."""
    return f"{round(rows, 3 - len(str(rows))):,}"


def _times(prediction: Prediction) -> str:
    return f"{TIMES.get(prediction.factor, f'{prediction.factor} times')} the rows ({prediction.size:,})"


def _level(metric: str, prediction: Prediction) -> str:
    return f"{metric_name(metric)} {predicted_level(metric, prediction)}"


def predicted_level(metric: str, prediction: Prediction) -> str:
    """`82.0 % [80.1, 84.2]`."""
    return scale(metric).estimated_level(Estimated(prediction.value, prediction.low, prediction.high))


def predicted_change(metric: str, prediction: Prediction) -> str:
    """`+2.0 points [+0.5, +4.2]`."""
    return estimate_text(metric, Estimated(prediction.change, prediction.change_low, prediction.change_high))


def step_text(metric: str) -> str:
    """The improvement for which `LabelsForMore` counts rows."""
    return "one point" if is_fraction(metric) else "0.01"


def caveats(curve: CurveReport) -> list[str]:
    """Limits of the evidence: few seeds, few sizes, plateaus, no test split, failed runs."""
    texts = data_problems(curve)
    seeds = len(curve.seeds)
    if seeds == 1:
        fits = [fit for preset in curve.presets for fit in preset.laws.values() if fit.outlook != "no interval"]
        of_fit = " The interval of a fit is that of its distance to the measured sizes." if fits else ""
        texts.append(
            "One seed: scores and gaps have no intervals, because the variation between seeds is unknown."
            f"{of_fit} Try: --seeds 3"
        )
    elif few := few_seeds(seeds):
        texts.append(few)
    texts += [*_limits_of_fit(curve), *no_test_split(curve)]
    runs = [run for preset in curve.presets for point in preset.points for run in point.runs]
    failed = sum(run.status != "finished" for run in runs)
    degenerate = [
        f"{preset.name} at {point.size:,} ({count})"
        for preset in curve.presets
        for point in preset.points
        if (count := sum(run.degenerate for run in point.runs))
    ]
    consequence = " A fit through them describes failed training, not the data."
    return [*texts, *unfinished(failed, len(runs)), *did_not_learn(degenerate, consequence)]


def _limits_of_fit(curve: CurveReport) -> list[str]:
    texts = []
    for reason in dict.fromkeys(preset.no_law for preset in curve.presets if preset.no_law):
        names = listed([f"`{preset.name}`" for preset in curve.presets if preset.no_law == reason])
        texts.append(f"No power law was fitted to {curve.reported} {metric_name(curve.score)} of {names}: {reason}.")
    texts += [text for preset in curve.presets if (text := _missed(curve, preset))]
    if any(fit.check is None for preset in curve.presets for fit in preset.laws.values()):
        texts.append("A power law has three constants, so three sizes cannot test the fit; a fourth size can.")
    if any(preset.laws for preset in curve.presets):
        texts.append(
            "The fit assumes that further rows are of the same kind and quality as these. It is not extrapolated "
            f"beyond {5 * curve.sizes[-1]:,} rows."
        )
    return texts


def _missed(curve: CurveReport, preset: PresetCurve) -> str:
    """The fit does not even reach the largest size."""
    fit = preset.laws.get(curve.score)
    check = None if fit is None else fit.check
    if check is None or check.low is None or check.high is None or check.low <= check.measured <= check.high:
        return ""
    return (
        f"`{preset.name}`: the fit to the smaller sizes misses the largest size ({check.size:,} rows) by "
        f"{change_text(curve.score, check.miss)} (predicted {_predicted(curve.score, check)}, measured "
        f"{score_text(curve.score, check.measured)}). Do not trust its extrapolation."
    )


def _predicted(metric: str, check: Check) -> str:
    return scale(metric).estimated_level(Estimated(check.predicted, check.low, check.high))
