"""The result of a comparison in one sentence, and its limitations."""

from __future__ import annotations

from finetune.advice.evidence import adjusted_note, data_problems, did_not_learn, few_seeds, no_test_split, unfinished
from finetune.measurement.units import (
    change_text,
    count_text,
    estimate_text,
    is_fraction,
    listed,
    metric_name,
    percent_text,
    scale,
    score_text,
)
from finetune.records.report import Difference, Group, VariantReport, Verdict

MOST_SEEDS = 1000  # where `seeds_needed` stops counting


def verdict_text(verdict: Verdict, score: str) -> str:
    """The verdict as shown, with the score that overfits: `overfits (accuracy)`."""
    return f"overfits ({metric_name(score)})" if verdict == "overfits" else verdict


def headline(group: Group) -> str:
    """One sentence with the numbers of every variant that can be compared with the baseline."""
    if group.kind == "ablate":
        return _ablation_headline(group)
    sentences = [_about(group, variant) for variant in group.variants if variant.baseline is not None]
    if sentences:
        return f"Compared with `{group.baseline}`: {'; '.join(sentences)}."
    baseline = next(variant for variant in group.variants if variant.name == group.baseline)
    gap = baseline.gap.get(group.score)
    if gap is None:
        return f"`{group.baseline}` has no finished run, so nothing can be compared with it."
    return (
        f"`{group.baseline}` has a {metric_name(group.score)} gap of {change_text(group.score, gap.mean)}. There is "
        "no other preset to compare it with."
    )


def _about(group: Group, variant: VariantReport) -> str:
    score = group.score
    difference = variant.differences.get(group.reported, {}).get(score)
    summary = group.reported_scores(variant).get(score)
    if difference is None or summary is None:
        return f"`{variant.name}` cannot be compared, because {_why_not(group, variant)}"
    level = f"{group.reported} {metric_name(score)} {score_text(score, summary.mean)}"
    state = f" ({variant.verdict})" if variant.verdict in ("did not learn", "underfits") else ""
    significance = _significance(difference, variant)
    return (
        f"`{variant.name}`{state} has {level} ({estimate_text(score, difference)}{significance}) and "
        f"{_gap_change(group, variant)}"
    )


def _why_not(group: Group, variant: VariantReport) -> str:
    for other in (variant, *(other for other in group.variants if other.name == variant.baseline)):
        if all(run.status != "finished" for run in other.runs):
            return "no run has finished" if other is variant else f"no run of `{other.name}` has finished"
    return "it shares no finished seed with the baseline"


def _significance(difference: Difference, variant: VariantReport) -> str:
    if variant.change == "smaller gap, score maintained":
        return ", maintained"
    if difference.distinguishable is not False:
        return ""
    return "; ".join(filter(None, (", not significant", adjusted_note(difference))))


def _gap_change(group: Group, variant: VariantReport) -> str:
    """What happens to the loss gap: the fraction of it that is closed, where there is a gap to close."""
    name = f"the {metric_name(group.loss)} gap"
    parts = variant.decomposition.get(group.loss)
    baseline = next(other for other in group.variants if other.name == variant.baseline)
    before = baseline.gap.get(group.loss)
    if parts is None or before is None or before.mean is None or parts.closed.mean is None:
        return f"{name} cannot be compared"
    words = "; ".join(filter(None, ("not significant", adjusted_note(parts.closed))))
    significance = f" ({words})" if parts.closed.distinguishable is False else ""
    # The baseline's gap on the same pairs: mean over pairs of (gap of the variant + what it closed).
    paired = parts.closed.mean + _paired_gap(variant, group.loss)
    closed = parts.closed.mean / paired if before.low is not None and before.low > 0 and paired > 0 else None
    if closed is None or closed < 0:  # a fraction of a gap that may be 0 means nothing
        return f"changes {name} by {change_text(group.loss, -parts.closed.mean)}{significance}"
    return f"closes {percent_text(closed)} of {name}{significance}"


def ablated_preset(group: Group) -> VariantReport:
    """The preset that an ablation studies; the only other variant that is not a single technique is `none`."""
    return next(variant for variant in group.variants if variant.technique is None and variant.name != "none")


def ablated_parts(group: Group) -> dict[str, tuple[VariantReport | None, VariantReport | None]]:
    """Technique -> the preset without it, and the technique alone; None where one cannot run without another
    technique."""
    parts: dict[str, tuple[VariantReport | None, VariantReport | None]] = {}
    for variant in group.variants:
        if variant.technique is not None:
            without, alone = parts.get(variant.technique, (None, None))
            is_alone = variant.baseline == group.baseline
            parts[variant.technique] = (without, variant) if is_alone else (variant, alone)
    return parts


def _paired_gap(variant: VariantReport, metric: str) -> float:
    """Mean gap of a variant over the runs that have a pair."""
    finished = [[run.seed, run.fold] for run in variant.runs if run.status == "finished"]
    values = variant.gap[metric].values
    paired = [value for run, value in zip(finished, values, strict=True) if run in variant.pairs and value is not None]
    return sum(paired) / len(paired)


def _ablation_headline(group: Group) -> str:
    """Significant effects of leaving a technique out, or that there are none."""
    preset = ablated_preset(group)
    score = f"{group.reported} {metric_name(group.score)}"
    effects = []
    is_tested = False
    for technique, (without, _) in ablated_parts(group).items():
        for kind, name in ((group.reported, score), ("gap", "the gap")):
            difference = None if without is None else without.differences.get(kind, {}).get(group.score)
            if difference is None:
                continue
            is_tested = is_tested or difference.distinguishable is not None
            if difference.distinguishable:
                change = estimate_text(group.score, difference)
                effects.append(f"without {technique}, {name} changes by {change}")
    if effects:
        return f"`{preset.name}`: {'; '.join(effects)}."
    if not is_tested:
        return (
            f"`{preset.name}`: these runs cannot test whether leaving out a single technique makes a difference to "
            f"{score} or its gap."
        )
    seeds = count_text(len(group.seeds), "seed")
    return (
        f"`{preset.name}`: over {seeds}, leaving out a single technique makes no significant difference to {score} or "
        "its gap."
    )


def caveats(group: Group) -> list[str]:
    """Limits of the evidence: few seeds, few rows, no test split, failed runs."""
    texts = [*data_problems(group), *_beaten_by_simple(group), *_repetitions(group)]
    finished = {
        frozenset((run.seed, run.fold) for run in variant.runs if run.status == "finished")
        for variant in group.variants
    }
    if len(finished) > 1:
        texts.append(
            "The presets have not all finished the same seeds. Levels are means over different runs; differences are "
            "over common seeds only."
        )
    texts += no_test_split(group)
    known = [split for split in ("validation", "test") if split in group.resolvable]
    if known:
        rows = listed([count_text(group.rows[split], f"{split} row") for split in known])
        precision = listed([f"±{scale(group.score).amount(group.resolvable[split])}" for split in known])
        texts.append(
            f"{rows}: {metric_name(group.score)} of a single model is known to {precision} (95 % CI); paired "
            "differences are more precise."
        )
    failed = sum(variant.failed for variant in group.variants)
    runs = sum(len(variant.runs) for variant in group.variants)
    degenerate = [f"{variant.name} ({variant.degenerate})" for variant in group.variants if variant.degenerate]
    return [*texts, *unfinished(failed, runs), *did_not_learn(degenerate)]


def _repetitions(group: Group) -> list[str]:
    """What the number of folds or seeds allows."""
    seeds = len(group.seeds)
    if group.folds is not None:
        return [
            f"The {group.folds} folds share most of their training rows. Intervals are over folds, with the "
            "Nadeau–Bengio correction."
        ]
    if seeds == 1:
        return [
            "One seed: differences between presets cannot be separated from differences between seeds, so there are "
            "no intervals and no tests. Try: --seeds 5"
        ]
    if group.seed_rule is not None:
        return [
            "Seeds were added until verdicts were settled, by looking at train and validation: intervals and tests of "
            "differences on these and of gaps are wider than for a fixed number of seeds. Those on test, which was not "
            f"looked at, are ordinary ones.{_needed(group)}"
        ]
    few = few_seeds(seeds)
    return [f"{few}{_needed(group)}"] if few else []


def _beaten_by_simple(group: Group) -> list[str]:
    """A model without a neural network that scores as well is cheaper to run, and says that training went wrong."""
    simple = next((baseline for baseline in group.baselines if baseline.name == "tfidf"), None)
    level = None if simple is None else simple.scores.get(group.reported, {}).get(group.score)
    means = {
        variant.name: summary.mean
        for variant in group.variants
        if (summary := group.reported_scores(variant).get(group.score)) is not None
    }
    scores = {name: mean for name, mean in means.items() if mean is not None}
    if level is None or not scores or max(scores.values()) > level:
        return []
    best = max(scores, key=lambda name: scores[name])
    return [
        f"No preset beats TF-IDF with a linear model, which has {group.reported} {metric_name(group.score)} "
        f"{score_text(group.score, level)}; the best preset, `{best}`, has {score_text(group.score, scores[best])}."
    ]


def _needed(group: Group) -> str:
    """Seeds to detect the largest difference that is not significant yet."""
    candidates = [
        (abs(difference.mean), difference.seeds_needed, variant.name, difference.mean, difference.tests or 1)
        for variant in group.variants
        if (difference := variant.differences.get(group.reported, {}).get(group.score)) is not None
        and difference.mean is not None
        and difference.seeds_needed is not None
        and not difference.distinguishable
    ]
    if not candidates:
        return ""
    size, seeds, name, mean, tests = max(candidates)
    if size < 0.5 * 10.0 ** -scale(group.score).digits / scale(group.score).factor:  # shown as 0
        return ""
    enough = f"about {count_text(seeds, 'seed')}" if seeds < MOST_SEEDS else f"{MOST_SEEDS:,} seeds or more"
    adjusted = f", adjusted for {tests} tests" if tests > 1 else ""
    unit = "" if is_fraction(group.score) else f" {metric_name(group.score)}"
    return (
        f" To detect {change_text(group.score, mean)}{unit} of `{name}` with 80 % power takes {enough} (on these "
        f"rows{adjusted})."
    )
