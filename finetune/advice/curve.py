"""What a learning curve says in words: what more labels would buy, and what the evidence cannot say."""

from __future__ import annotations

from finetune.measurement.units import change_text, interval_text, is_share, metric_name, range_text, score_text
from finetune.records.curve import CurveReport, FittedLaw, LabelsForMore, Prediction, PresetCurve
from finetune.records.report import Unit

FEW_SEEDS = 5  # as in `advice.comparison`


def headline(curve: CurveReport) -> str:
    """One sentence with the scores at the smallest and the largest size, one on more labels."""
    told = [text for preset in curve.presets if (text := _from_to(curve, preset))]
    if not told:
        return "No preset has finished runs at two sizes: there is no curve."
    score = f"{curve.reported} {metric_name(curve.score)}"
    first = f"From {curve.sizes[0]:,} to {curve.sizes[-1]:,} training rows {score} goes {'; '.join(told)}."
    laws = [preset.laws[curve.score].words for preset in curve.presets if curve.score in preset.laws]
    return f"{first} {laws[0]}" if len(laws) == 1 else first


def _from_to(curve: CurveReport, preset: PresetCurve) -> str:
    ends = []
    for point in (preset.points[0], preset.points[-1]):
        scores = point.test if curve.reported == "test" else point.validation
        gap = point.gap.get(curve.score)
        if curve.score not in scores or scores[curve.score].mean is None or gap is None:
            return ""
        ends.append((score_text(curve.score, scores[curve.score].mean), change_text(curve.score, gap.mean)))
    (low, gap_before), (high, gap_after) = ends
    return f"from {low} to {high} with `{preset.name}` (gap from {gap_before} to {gap_after})"


def words_of(preset: str, law: FittedLaw, unit: Unit) -> str:
    """What a law says about more labels, in one sentence or two."""
    twice, most = law.predictions
    metric = law.metric
    if law.outlook == "no interval":
        return (
            f"`{preset}`: {_times(twice)} {_level(metric, twice)}, {change_text(metric, twice.change)}; how sure "
            "that is cannot be told from one run a size. Try: --seeds 3 or more."
        )
    if law.outlook == "flat":
        return (
            f"`{preset}` is flat: {_times(most)} would bring less than {_step(metric)} "
            f"({_changes(metric, most)}). More labels of this kind are not what is missing."
        )
    if law.outlook == "too wide":
        return (
            f"`{preset}`: what more labels buy cannot be told from these runs. {_times(twice).capitalize()} may bring "
            f"{_changes(metric, twice)}, {_times(most)} {_changes(metric, most)}: next to nothing, or a lot. "
            "More seeds or sizes narrow it."
        )
    parts = [f"{_times(size)} would bring {_level(metric, size)}, {_changes(metric, size)}" for size in (twice, most)]
    needed = f" {labels_text(metric, law.labels).capitalize()}." if law.labels is not None else ""
    return f"`{preset}`: {parts[0]}; {parts[1]}.{needed}"


def labels_text(metric: str, labels: LabelsForMore) -> str:
    """`one point more needs about 1,600 rows in all [1,310, 2,550]`."""
    limit = f"more than {labels.limit:,}"
    rows = limit if labels.rows is None else f"about {rows_text(labels.rows)}"
    if labels.low is None:
        return f"{_step(metric)} more needs {rows} rows in all"
    high = limit if labels.high is None else rows_text(labels.high)
    return f"{_step(metric)} more needs {rows} rows in all [{rows_text(labels.low)}, {high}]"


def rows_text(rows: int) -> str:
    """Three digits: more would look surer than an extrapolation is."""
    return f"{round(rows, 3 - len(str(rows))):,}"


def _times(prediction: Prediction) -> str:
    words = {2: "twice", 5: "five times"}
    return f"{words.get(prediction.factor, f'{prediction.factor} times')} the labels ({prediction.size:,})"


def _level(metric: str, prediction: Prediction) -> str:
    level = f"{metric_name(metric)} {score_text(metric, prediction.value)}"
    return f"{level} {_known(range_text(metric, prediction.low, prediction.high))}".rstrip()


def _changes(metric: str, prediction: Prediction) -> str:
    interval = _known(interval_text(metric, prediction.change_low, prediction.change_high))
    return f"{change_text(metric, prediction.change)} {interval}".rstrip()


def _known(text: str) -> str:
    return "" if text == "-" else text


def _step(metric: str) -> str:
    return "one point" if is_share(metric) else "0.01"


def caveats(curve: CurveReport) -> list[str]:
    """What the evidence cannot say: few seeds, few sizes, plateaus, no test split, failed runs."""
    found = [f"The data: {finding.text}" for finding in curve.findings if finding.level == "problem"]
    repeats = len(curve.seeds)
    if repeats == 1:
        found.append("One seed: no bands, because nothing tells how far another one would be. Try: --seeds 3")
    elif repeats < FEW_SEEDS:
        found.append(f"{repeats} seeds leave wide intervals; five or more narrow them.")
    no_law = next((preset.no_law for preset in curve.presets if preset.no_law), "")
    if no_law:
        found.append(f"No law is fitted: {no_law}.")
    found += [text for preset in curve.presets if (text := _missed(curve, preset))]
    if any(law.check is None for preset in curve.presets for law in preset.laws.values()):
        found.append(
            "A law has three constants, so three sizes cannot tell whether the scores follow one; a fourth size can."
        )
    if any(preset.laws for preset in curve.presets):
        found.append(
            "More labels are taken to be of the same kind as these, and of the same quality; the law is never followed "
            f"beyond {5 * curve.sizes[-1]:,} rows."
        )
    if curve.reported == "validation":
        found.append("There is no test split: scores are of validation, which also selected, so they are optimistic.")
    runs = [run for preset in curve.presets for point in preset.points for run in point.runs]
    failed = sum(run.status != "finished" for run in runs)
    if failed:
        found.append(f"{failed} of {len(runs)} runs have not finished; see Failures.")
    degenerate = [
        f"{preset.name} at {point.size} ({count})"
        for preset in curve.presets
        for point in preset.points
        if (count := sum(run.degenerate for run in point.runs))
    ]
    if degenerate:
        found.append(
            f"Degenerate runs, no better than the most frequent class: {', '.join(degenerate)}. A law through them "
            "describes training that failed, not the data."
        )
    return found


def _missed(curve: CurveReport, preset: PresetCurve) -> str:
    """The law does not even reach the largest size."""
    law = preset.laws.get(curve.score)
    if law is None or law.check is None or law.check.low is None or law.check.high is None:
        return ""
    check = law.check
    if check.low <= check.measured <= check.high:  # type: ignore[operator]  # both are known, see above
        return ""
    return (
        f"`{preset.name}`: the law of the smaller sizes misses the largest, {check.size:,} rows, by "
        f"{change_text(curve.score, check.miss)} (predicted {score_text(curve.score, check.predicted)} "
        f"{range_text(curve.score, check.low, check.high)}, measured {score_text(curve.score, check.measured)}): "
        "do not trust it further out."
    )
