"""What each figure shows, in words computed from its numbers: captions for all, alternatives for who cannot see it."""

import statistics

from finetune.records.report import Group, RunEntry, Summary, VariantReport
from finetune.reports.numbers import (
    DASH,
    Scale,
    count_text,
    difference,
    finished,
    mean_of,
    number_text,
    reported,
    scale_of,
    shorten,
)


def name_of(variant: VariantReport) -> str:
    """The name of a variant within a sentence."""
    return f"`{shorten(variant.name, 60).replace('`', '')}`"


def sentence(text: str) -> str:
    """With a capital at its start."""
    return text[:1].upper() + text[1:]


def dumbbell_caption(group: Group) -> str:
    """Names the widest and the narrowest gap."""
    scale = scale_of(group, group.score)
    gaps = _by_mean({variant.name: variant.gap for variant in group.variants}, group.score)
    lead = f"{sentence(scale.name)}: train probe and validation joined by a line, so that its length is the gap"
    lead += "; the tick is test. " if group.reported == "test" else "; there is no test split. "
    if not gaps:
        return lead + "No run finished: there is nothing to draw."
    (least_name, least), (most_name, most) = gaps[0], gaps[-1]
    if len(gaps) == 1:
        return f"{lead}Only {_quoted(least_name)} finished: gap {scale.change(least)}."
    if scale.change(most) == scale.change(least):
        return f"{lead}The gap of all is {scale.change(most)}."
    return (
        f"{lead}The gap is widest for {_quoted(most_name)} ({scale.change(most)}) and narrowest for "
        f"{_quoted(least_name)} ({scale.change(least)})."
    )


def dumbbell_text(group: Group, variant: VariantReport) -> str:
    """One row in words."""
    scale = scale_of(group, group.score)
    test = f", test {scale.level(mean_of(variant.test, group.score))}" if variant.test else ""
    return (
        f"Train probe {scale.level(mean_of(variant.train, group.score))}, validation "
        f"{scale.level(mean_of(variant.validation, group.score))}{test}; gap "
        f"{scale.change(mean_of(variant.gap, group.score))}."
    )


def frontier_caption(group: Group) -> str:
    """Says which presets no other one beats on both axes."""
    scale = scale_of(group, group.score)
    text = f"Gap of {scale.name} against its validation value: up and to the left is better. "
    dominated = [variant for variant in finished(group) if variant.dominated_by is not None]
    kept = [name_of(variant) for variant in finished(group) if variant.dominated_by is None]
    text += f"Not beaten on both at once: {', '.join(kept)}. " if kept else ""
    text += "".join(
        f"{name_of(variant)} is paler: {_quoted(str(variant.dominated_by))} has the higher score and the smaller gap. "
        for variant in dominated[:6]
    )
    text += "Hollow marks are test scores at the same gap. " if group.reported == "test" else ""
    text += "The crosses are 95 % intervals of the means. " if has_intervals(group) else "There are no intervals. "
    return text + "The vertical axis does not start at zero."


def has_intervals(group: Group) -> bool:
    """Whether any mean of the main score has one."""
    return any(of.low is not None for v in group.variants for of in (*v.gap.values(), *v.validation.values()))


def frontier_text(group: Group) -> str:
    """Every point of the frontier in words."""
    scale = scale_of(group, group.score)
    return " ".join(
        f"{shorten(variant.name, 60)}: gap {_with_interval(scale, variant.gap.get(group.score))}, validation "
        f"{scale.level(mean_of(variant.validation, group.score))}"
        + (f", test {scale.level(mean_of(variant.test, group.score))}." if variant.test else ".")
        for variant in finished(group)
    )


def curves_caption(group: Group) -> str:
    """Says where validation loss was lowest, how far it rose, and who stopped early."""
    loss = scale_of(group, group.loss)
    text = f"{sentence(scale_of(group, group.score).name)} above, {loss.name} below, on the same axes in every panel, "
    text += "which do not start at zero. "
    rises = {variant.name: rise for variant in finished(group) if (rise := _mean_rise(variant, group.loss)) is not None}
    if rises:
        most, least = max(rises, key=lambda name: rises[name]), min(rises, key=lambda name: rises[name])
        text += f"Validation {loss.name} ends {_rise(loss, rises[most])} above its lowest point with {_quoted(most)}"
        text += f" and {_rise(loss, rises[least])} with {_quoted(least)}. " if len(rises) > 1 else ". "
    stopped = [
        f"{name_of(variant)} ({early} of {len(variant.curves)})"
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
        else "no measurements"
    ]
    for scale in (score, loss):
        ends = [
            (curve.train[scale.metric][-1], curve.validation[scale.metric][-1])
            for curve in variant.curves
            if curve.train.get(scale.metric) and curve.validation.get(scale.metric)
        ]
        train, validation = (_mean([end[side] for end in ends]) for side in (0, 1))
        parts.append(f"{scale.name} at the end: train probe {scale.level(train)}, validation {scale.level(validation)}")
    return "; ".join(parts) + "."


def decomposition_caption(group: Group) -> str:
    """For score and loss: where validation rose distinguishably, and where only train fell."""
    text = "A gap closes when train falls or when validation rises; only the second helps new texts."
    return " ".join([text, *(told for metric in (group.score, group.loss) if (told := _closed_by(group, metric)))])


def _closed_by(group: Group, metric: str) -> str:
    scale = scale_of(group, metric)
    lowered, helped = [], []
    for variant in group.variants:
        parts = variant.decomposition.get(metric)
        if parts is None or parts.closed.mean is None or parts.closed.mean <= 0:
            continue
        if parts.validation_rose.distinguishable and (parts.validation_rose.mean or 0) > 0:
            helped.append(f"{name_of(variant)} ({scale.full(parts.validation_rose)})")
        elif (parts.train_fell.mean or 0) > 0:
            lowered.append(name_of(variant))
    told = []
    if helped:
        told.append(f"validation got better with {', '.join(helped)}")
    if lowered:
        told.append(f"no better validation that could be told from chance with {', '.join(lowered)}")
    return f"By {scale.name}: {'; '.join(told)}." if told else ""


def decomposition_text(group: Group, metric: str) -> str:
    """The bars of one metric in words."""
    scale = scale_of(group, metric)
    return " ".join(
        f"{shorten(variant.name, 60)}: train fell {scale.full(parts.train_fell)}, validation rose "
        f"{scale.full(parts.validation_rose)}."
        for variant in group.variants
        if (parts := variant.decomposition.get(metric)) is not None
    )


def reliability_caption(group: Group) -> str:
    """Names the best and the worst calibrated preset."""
    text = "Below the diagonal a model is surer than it is right; the area of a dot is its number of predictions. "
    known = _by_mean({variant.name: reported(group, variant) for variant in group.variants}, "ece")
    if len(known) > 1:
        (best, low), (worst, high) = known[0], known[-1]
        text += f"Expected calibration error is lowest with {_quoted(best)} ({low:.3f}) and highest with "
        text += f"{_quoted(worst)} ({high:.3f})."
    return text.rstrip()


def reliability_text(group: Group, variant: VariantReport) -> str:
    """One panel in words."""
    bins = variant.reliability
    if not bins:
        return "No predictions of this preset."
    over = sum(part.rows for part in bins if part.accuracy < part.confidence)
    rows = sum(part.rows for part in bins)
    return (
        f"{over} of {rows} predictions lie in bins where confidence is above accuracy. Expected calibration error "
        f"{number_text(mean_of(reported(group, variant), 'ece'), 3)}, temperature "
        f"{number_text(variant.temperature.mean if variant.temperature else None, 2)}."
    )


def weights_caption(group: Group) -> str:
    """How far the encoders moved, and which have exact zeros."""
    moved = {v.name: d for v in finished(group) if (d := _distance(v)) is not None}
    text = "Shrinkage moves a distribution to the left, sparsity shows in the share of exact zeros. "
    if len(moved) > 1:
        least, most = min(moved, key=lambda name: moved[name]), max(moved, key=lambda name: moved[name])
        text += f"The encoder moved furthest from its pretrained weights with {_quoted(most)} ({moved[most]:.2f}) and "
        text += f"least with {_quoted(least)} ({moved[least]:.2f}). "
    sparse = [
        f"{name_of(variant)} ({100 * part.zero_share:.1f} % of the encoder)"
        for variant in finished(group)
        if (part := variant.weights.get("encoder")) is not None and part.zero_share > 0.0005
    ]
    return text + (f"Exact zeros: {', '.join(sparse)}." if sparse else "No preset made exact zeros of note.")


def weights_text(group: Group, part: str) -> str:
    """Where the weights of a part lie, in words."""
    words = []
    for variant in finished(group):
        weights = variant.weights.get(part)
        if weights is not None and any(weights.magnitudes):
            peak = -8 + 0.25 * max(range(len(weights.magnitudes)), key=lambda i: weights.magnitudes[i])
            words.append(f"{shorten(variant.name, 60)}: most weights near 10^{peak:.2f}.".replace("-", "−"))
    return " ".join(words) or "No weights were recorded."


def distance_text(group: Group) -> str:
    """Distances from the pretrained weights in words."""
    words = [f"{shorten(v.name, 60)}: encoder {number_text(_distance(v), 2)}." for v in finished(group)]
    return " ".join(words) or "No distances were recorded."


def classes_caption(group: Group) -> str:
    """Names the worst class of the baseline."""
    baseline = next((variant for variant in group.variants if variant.name == group.baseline), None)
    known = [(c.f1.mean, c) for c in (baseline.classes if baseline else []) if c.f1.mean is not None]
    text = f"F1 of each class on {group.reported}, mean ± standard deviation over runs, worst first."
    if not known or baseline is None:
        return text
    value, worst = min(known, key=lambda entry: entry[0])
    label = shorten(worst.label, 40).replace("`", "")
    return (
        f"{text} Hardest for {name_of(baseline)}: `{label}` ({100 * value:.1f} %, {count_text(worst.support, 'row')})."
    )


def disagreements_caption(group: Group) -> str:
    """Counts the rows."""
    return (
        f"{count_text(len(group.disagreements), 'row')} of {group.reported} on which the presets differ most. Each "
        "cell: the most frequent answer over runs, and the share of runs that are right."
        if group.task != "regression"
        else f"{count_text(len(group.disagreements), 'row')} of {group.reported} on which the presets differ most. "
        "Each cell: the mean answer over runs, and the mean absolute error."
    )


def ablation_caption(group: Group) -> str:
    """Names the technique whose absence costs most."""
    scale = scale_of(group, group.score)
    costs = [
        (found.mean, variant.technique)
        for variant in group.variants
        if variant.technique is not None and variant.baseline != group.baseline
        if (found := difference(variant, group.reported, group.score)) is not None and found.mean is not None
    ]
    text = "Differences: without the technique − the whole preset; the technique alone − no technique at all."
    if not costs:
        return text
    value, technique = min(costs)
    if value >= 0:
        return f"{text} No single technique lowers {scale.name} on average when it is taken out."
    return f"{text} Taking out {_quoted(technique)} costs most {scale.name} on average ({scale.change(value)})."


def _by_mean(scores: dict[str, dict[str, Summary]], metric: str) -> list[tuple[str, float]]:
    known = [(name, mean) for name, of in scores.items() if (mean := mean_of(of, metric)) is not None]
    return sorted(known, key=lambda entry: entry[1])


def _quoted(name: str) -> str:
    return f"`{shorten(name, 60).replace('`', '')}`"


def _with_interval(scale: Scale, summary: Summary | None) -> str:
    return scale.full(summary) if summary is not None else DASH


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None


def _mean_rise(variant: VariantReport, metric: str) -> float | None:
    """How far validation ends above its lowest point, mean over runs."""
    rises: list[float | None] = []
    for curve in variant.curves:
        known = [value for value in curve.validation.get(metric, []) if value is not None]
        rises.append(known[-1] - min(known) if known else None)
    return _mean(rises)


def _rise(scale: Scale, value: float) -> str:
    return scale.change(value).lstrip("+")


def _stopped_early(run: RunEntry) -> bool:
    return run.last_step is not None and run.planned_steps is not None and run.last_step < run.planned_steps


def _distance(variant: VariantReport) -> float | None:
    part = variant.weights.get("encoder")
    return part.distance if part is not None else None
