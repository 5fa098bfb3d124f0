"""What each figure shows, in words computed from its numbers: captions, and alternative texts for readers who cannot
see it."""

import statistics

from finetune.advice.comparison import ablated_parts
from finetune.measurement.units import count_text, listed, multiple_text, number_text, percent_text
from finetune.records.report import Group, RunEntry, Summary, VariantReport
from finetune.reports.numbers import MAGNITUDES, difference, finished, mean_of, scale_of, setting_text, shorten
from finetune.reports.weight_ratios import NOTABLE, magnitude_ratios


def name_of(variant: VariantReport) -> str:
    """The name of a variant within a sentence."""
    return quoted(variant.name)


def quoted(name: str) -> str:
    """A preset's name as code."""
    return f"`{shorten(name, 60).replace('`', '')}`"


def sentence(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def dumbbell_caption(group: Group) -> str:
    """Names the largest and the smallest gap."""
    scale = scale_of(group, group.score)
    gaps = _by_mean({variant.name: variant.gap for variant in group.variants}, group.score)
    lead = f"{sentence(scale.title)}. " + ("" if group.reported == "test" else "There is no test split. ")
    if not gaps:
        return lead + "No run finished, so there is nothing to draw."
    lead += "The line between train sample and validation is the gap"
    (least_name, least), (most_name, most) = gaps[0], gaps[-1]
    if len(gaps) == 1:
        return f"{lead}. Only {quoted(least_name)} finished: its gap is {scale.change(least)}."
    if scale.change(most) == scale.change(least):
        return f"{lead}. All gaps are {scale.change(most)}."
    return (
        f"{lead}: largest for {quoted(most_name)} ({scale.change(most)}), smallest for {quoted(least_name)} "
        f"({scale.change(least)})."
    )


def presets_caption(group: Group) -> str:
    """The caption of the main table."""
    return f"Verdict, difference to the baseline, gaps and {scale_of(group, group.score).name} of each preset."


def dumbbell_text(group: Group, variant: VariantReport) -> str:
    """One row of the dumbbells in words."""
    scale = scale_of(group, group.score)
    test = f", test {scale.level(mean_of(variant.test, group.score))}" if variant.test else ""
    return (
        f"Train sample {scale.level(mean_of(variant.train, group.score))}, validation "
        f"{scale.level(mean_of(variant.validation, group.score))}{test}; gap "
        f"{scale.change(mean_of(variant.gap, group.score))}."
    )


def frontier_caption(group: Group) -> str:
    """Says which presets no other one beats on both axes."""
    scale = scale_of(group, group.score)
    text = f"Validation {scale.name} against its generalization gap: higher and further left is better. "
    dominated = [variant for variant in finished(group) if variant.dominated_by is not None]
    kept = [
        name_of(variant)
        for variant in finished(group)
        if variant.dominated_by is None and variant.verdict != "did not learn"
    ]
    text += f"Not dominated (no other preset is better on both axes): {', '.join(kept)}. " if kept else ""
    text += "".join(
        f"{name_of(variant)} is shown paler: {quoted(str(variant.dominated_by))} has a higher score and a smaller gap. "
        for variant in dominated[:6]
    )
    drawn = [variant for variant in finished(group) if mean_of(variant.gap, group.score) is not None]
    if any(variant.baseline in [other.name for other in drawn] for variant in drawn):
        text += "Arrows lead from each baseline to the presets compared with it. "
    text += "Hollow marks are test scores at the same gap. " if group.reported == "test" else ""
    text += "Crosses are 95 % intervals of the means. " if has_intervals(group) else "There are no intervals. "
    return text + "The vertical axis does not start at zero."


def has_intervals(group: Group) -> bool:
    """Whether any mean of the main score has one."""
    summaries = (of.get(group.score) for variant in group.variants for of in (variant.gap, variant.validation))
    return any(summary is not None and summary.low is not None for summary in summaries)


def frontier_text(group: Group) -> str:
    """Every point of the frontier in words."""
    scale = scale_of(group, group.score)
    return " ".join(
        f"{shorten(variant.name, 60)}: gap {scale.estimated_change(variant.gap.get(group.score))}, validation "
        f"{scale.level(mean_of(variant.validation, group.score))}"
        + (f", test {scale.level(mean_of(variant.test, group.score))}." if variant.test else ".")
        for variant in finished(group)
    )


def relative_time(group: Group, variant: VariantReport) -> float | None:
    """Measured training time as a multiple of that of the group's baseline; None where it was not measured.

    A variant of an ablation has its own baseline, so its time is a multiple of a multiple.
    """
    if variant.baseline is None:
        return 1.0 if variant.seconds is not None else None
    own = next((each for each in group.variants if each.name == variant.baseline), None)
    time = None if own is None else relative_time(group, own)
    return None if time is None or variant.seconds_ratio is None else time * variant.seconds_ratio


def cost_caption(group: Group) -> str:
    """Names the preset that takes longest."""
    scale = scale_of(group, group.score)
    text = f"{sentence(group.reported)} {scale.name} against measured time: higher and further left is better. "
    found = {variant.name: relative_time(group, variant) for variant in finished(group)}
    times = {name: time for name, time in found.items() if time is not None}
    if len(times) > 1:
        most = max(times, key=lambda name: times[name])
        text += f"{quoted(most)} takes longest ({multiple_text(times[most], 1)}). "
    return text + "Time depends on the machine and on what else ran on it; the vertical axis does not start at zero."


def cost_text(group: Group) -> str:
    """Every point in words."""
    scale = scale_of(group, group.score)
    return " ".join(
        f"{shorten(variant.name, 60)}: {multiple_text(time, 2)}, {group.reported} "
        f"{scale.level(mean_of(group.reported_scores(variant), group.score))}."
        for variant in finished(group)
        if (time := relative_time(group, variant)) is not None
    )


def curves_caption(group: Group) -> str:
    """Says where validation loss was lowest, how far it increased, and which runs stopped early."""
    loss = scale_of(group, group.loss)
    text = f"{sentence(scale_of(group, group.score).name)} (above) and {loss.name} (below) during training. All panels "
    text += "have the same axes, which do not start at zero. "
    rises = {variant.name: rise for variant in finished(group) if (rise := _mean_rise(variant, group.loss)) is not None}
    if rises:
        most, least = max(rises, key=lambda name: rises[name]), min(rises, key=lambda name: rises[name])
        text += f"Validation {loss.name} ends {loss.amount(rises[most])} above its minimum for {quoted(most)}"
        text += f" and {loss.amount(rises[least])} for {quoted(least)}. " if len(rises) > 1 else ". "
    stopped = [
        f"{name_of(variant)} ({early} of {count_text(len(variant.curves), 'run')})"
        for variant in finished(group)
        if (early := sum(_stopped_early(run) for run in variant.runs))
    ]
    return text + (f"Stopped early: {', '.join(stopped)}." if stopped else "No run stopped early.")


def curve_text(group: Group, variant: VariantReport) -> str:
    """One panel in words."""
    if not variant.curves:
        return "No run of this preset finished."
    score, loss = scale_of(group, group.score), scale_of(group, group.loss)
    last = [curve.steps[-1] for curve in variant.curves if curve.steps]
    parts = [
        f"{count_text(len(variant.curves), 'run')}, ending at step {min(last)}"
        + (f" to {max(last)}" if max(last) != min(last) else "")
        if last
        else "No measurements"
    ]
    for scale in (score, loss):
        ends = [
            (curve.train[scale.metric][-1], curve.validation[scale.metric][-1])
            for curve in variant.curves
            if curve.train.get(scale.metric) and curve.validation.get(scale.metric)
        ]
        train, validation = (_mean([end[side] for end in ends]) for side in (0, 1))
        parts.append(
            f"{scale.name} at the end: train sample {scale.level(train)}, validation {scale.level(validation)}"
        )
    return "; ".join(parts) + "."


def decomposition_caption(group: Group) -> str:
    """For score and loss: where validation improved significantly, and where only train got worse."""
    text = "A gap closes when train gets worse or when validation improves. Only an improvement helps on new texts."
    return " ".join([text, *(part for metric in (group.score, group.loss) if (part := _closed_by(group, metric)))])


def _closed_by(group: Group, metric: str) -> str:
    scale = scale_of(group, metric)
    not_improved, improved = [], []
    for variant in group.variants:
        parts = variant.decomposition.get(metric)
        if parts is None or parts.closed.mean is None or parts.closed.mean <= 0:
            continue
        if parts.validation_rose.distinguishable and (parts.validation_rose.mean or 0) > 0:
            improved.append(f"{name_of(variant)} ({scale.estimated_change(parts.validation_rose)})")
        elif (parts.train_fell.mean or 0) > 0:
            not_improved.append(name_of(variant))
    texts = []
    if improved:
        texts.append(f"validation improved significantly for {listed(improved)}")
    if not_improved:
        texts.append(f"validation did not improve significantly for {listed(not_improved)}")
    return f"{sentence(scale.name)}: {'; '.join(texts)}." if texts else ""


def decomposition_text(group: Group, metric: str) -> str:
    """The bars of one metric in words."""
    scale = scale_of(group, metric)
    return " ".join(
        f"{shorten(variant.name, 60)}: gap closed by train {scale.estimated_change(parts.train_fell)}, by validation "
        f"{scale.estimated_change(parts.validation_rose)}."
        for variant in group.variants
        if (parts := variant.decomposition.get(metric)) is not None
    )


def reliability_caption(group: Group) -> str:
    """Names the best and the worst calibrated preset."""
    text = "Below the diagonal a model is overconfident: its confidence exceeds its accuracy. The area of a dot is its "
    text += "number of predictions. "
    errors = _by_mean({variant.name: group.reported_scores(variant) for variant in group.variants}, "ece")
    if len(errors) > 1:
        (best, low), (worst, high) = errors[0], errors[-1]
        text += f"Expected calibration error (ECE) is lowest for {quoted(best)} ({number_text(low, 3)}) and highest "
        text += f"for {quoted(worst)} ({number_text(high, 3)})."
    return text.rstrip()


def reliability_text(group: Group, variant: VariantReport) -> str:
    """One panel in words."""
    bins = variant.reliability
    if not bins:
        return "No predictions of this preset."
    over = sum(part.rows for part in bins if part.accuracy < part.confidence)
    rows = sum(part.rows for part in bins)
    return (
        f"{over} of {count_text(rows, 'prediction')} are in bins where confidence exceeds accuracy. Expected "
        f"calibration error {number_text(mean_of(group.reported_scores(variant), 'ece'), 3)}, temperature "
        f"{number_text(variant.temperature.mean if variant.temperature else None, 2)}."
    )


def weights_caption(group: Group) -> str:
    """How far the encoders moved, and which have exact zeros."""
    moved = {v.name: d for v in finished(group) if (d := _distance(v)) is not None}
    parts = [part for part in ("encoder", "head") if magnitude_ratios(finished(group), group.baseline, part)]
    text = "Shrinkage moves a distribution to the left; sparsity shows as exact zeros. "
    if parts:
        text += f"The distributions of the {' and the '.join(parts)} nearly coincide, so each line shows how often "
        text += f"a magnitude occurs, as a multiple of {quoted(group.baseline)}. "
    if len(moved) > 1:
        least, most = min(moved, key=lambda name: moved[name]), max(moved, key=lambda name: moved[name])
        text += f"The encoder moved furthest from its pretrained weights for {quoted(most)} "
        text += f"({number_text(moved[most], 2)}) and least for {quoted(least)} ({number_text(moved[least], 2)}). "
    sparse = [
        f"{name_of(variant)} ({percent_text(part.zero_share, 1)} of the {name})"
        for variant in finished(group)
        for name in ("encoder", "head")
        if (part := variant.weights.get(name)) is not None and part.zero_share > NOTABLE
    ]
    return text + (f"Exact zeros: {', '.join(sparse)}." if sparse else "No preset has a notable number of exact zeros.")


def weights_text(group: Group, part: str) -> str:
    """Where the weights of a part lie, in words."""
    words = []
    for variant in finished(group):
        weights = variant.weights.get(part)
        if weights is not None and any(weights.magnitudes):
            _, peak = max(zip(weights.magnitudes, MAGNITUDES, strict=True), key=lambda entry: entry[0])
            words.append(f"{shorten(variant.name, 60)}: most weights near 10^{number_text(peak, 2)}.")
    return " ".join(words) or "No weights were recorded."


def distance_text(group: Group) -> str:
    """Distances from the pretrained weights in words."""
    words = [f"{shorten(v.name, 60)}: encoder {number_text(_distance(v), 2)}." for v in finished(group)]
    return " ".join(words) or "No distances were recorded."


def classes_caption(group: Group) -> str:
    """Names the worst class of the baseline."""
    baseline = next((variant for variant in group.variants if variant.name == group.baseline), None)
    scores = [(c.f1.mean, c) for c in (baseline.classes if baseline else []) if c.f1.mean is not None]
    text = f"F1 of each class on {group.reported}, mean ± standard deviation over runs, lowest first."
    if not scores or baseline is None:
        return text
    value, worst = min(scores, key=lambda entry: entry[0])
    label = shorten(worst.label, 40).replace("`", "")
    rows = count_text(worst.support, "row")
    return f"{text} Lowest for {name_of(baseline)}: `{label}` ({percent_text(value, 1)}, {rows})."


def disagreements_caption(group: Group) -> str:
    """Counts the rows, and says what a cell holds."""
    rows = count_text(len(group.disagreements), f"{group.reported} row")
    cell = (
        "the mean prediction over runs, and the mean absolute error"
        if group.task == "regression"
        else "the majority prediction across runs, and the percentage of runs that are correct"
    )
    return f"{rows} on which the presets disagree most. Each cell: {cell}."


def ablation_caption(group: Group) -> str:
    """Names the technique whose absence costs most."""
    scale = scale_of(group, group.score)
    costs = [
        (change.mean, technique)
        for technique, (without, _) in ablated_parts(group).items()
        if without is not None
        if (change := difference(without, group.reported, group.score)) is not None and change.mean is not None
    ]
    text = "Differences: preset without the technique − full preset; technique on its own − no technique."
    if not costs:
        return text
    value, technique = min(costs)
    if value >= 0:
        return f"{text} Leaving out a single technique never lowers mean {scale.name}."
    return f"{text} Leaving out {quoted(technique)} lowers mean {scale.name} most ({scale.change(value)})."


def _by_mean(scores: dict[str, dict[str, Summary]], metric: str) -> list[tuple[str, float]]:
    means = [(name, mean) for name, summaries in scores.items() if (mean := mean_of(summaries, metric)) is not None]
    return sorted(means, key=lambda entry: entry[1])


def _mean(values: list[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return statistics.mean(present) if present else None


def _mean_rise(variant: VariantReport, metric: str) -> float | None:
    """How far validation ends above its minimum, mean over runs."""
    rises: list[float | None] = []
    for curve in variant.curves:
        values = [value for value in curve.validation.get(metric, []) if value is not None]
        rises.append(values[-1] - min(values) if values else None)
    return _mean(rises)


def _stopped_early(run: RunEntry) -> bool:
    return run.last_step is not None and run.planned_steps is not None and run.last_step < run.planned_steps


def _distance(variant: VariantReport) -> float | None:
    part = variant.weights.get("encoder")
    return part.distance if part is not None else None


def made_of(variant: VariantReport) -> str:
    """The meaning of a user-defined name: `l1 = none with techniques.l1.strength=0.5`."""
    settings = ", ".join(f"{key}={setting_text(value)}" for key, value in variant.settings.items())
    return f"{variant.name} = {variant.preset} with {settings}"
