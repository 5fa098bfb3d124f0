"""What a comparison's numbers say in one sentence, and what they cannot say."""

from __future__ import annotations

from finetune.measurement.units import change_text, interval_text, is_share, metric_name, score_text
from finetune.records.report import Difference, Group, VariantReport

MOST_SEEDS = 1000  # where `seeds_needed` stops counting
FEW_SEEDS = 5  # below it intervals are wide: three seeds leave t = 4.3 where many leave 2.0


def headline(group: Group) -> str:
    """One sentence with the figures of every variant that can be compared with the baseline."""
    if group.kind == "ablate":
        return _ablation_headline(group)
    told = [_about(group, variant) for variant in group.variants if variant.baseline is not None]
    if told:
        return f"Against `{group.baseline}`, {'; '.join(told)}."
    baseline = next(variant for variant in group.variants if variant.name == group.baseline)
    gap = baseline.gap.get(group.score)
    if gap is None:
        return f"`{group.baseline}` has no finished run, so nothing can be compared with it."
    return (
        f"`{group.baseline}` has a {metric_name(group.score)} gap of {change_text(group.score, gap.mean)}; there is "
        "nothing to compare it with."
    )


def _about(group: Group, variant: VariantReport) -> str:
    score = group.score
    difference = variant.differences.get(group.reported, {}).get(score)
    summary = (variant.test if group.reported == "test" else variant.validation).get(score)
    if difference is None or summary is None:
        return f"`{variant.name}` cannot be compared: {_why_not(group, variant)}"
    interval = interval_text(score, difference.low, difference.high)
    moved = change_text(score, difference.mean) + ("" if interval == "-" else f" {interval}")
    named = f"{group.reported} {metric_name(score)} {score_text(score, summary.mean)}"
    state = f" ({variant.verdict})" if variant.verdict in ("degenerate", "underfit") else ""
    return f"`{variant.name}`{state}: {named} ({moved}{_sureness(difference, variant)}), {_closed(group, variant)}"


def _why_not(group: Group, variant: VariantReport) -> str:
    for other in (variant, *(other for other in group.variants if other.name == variant.baseline)):
        if all(run.status != "finished" for run in other.runs):
            return "no run has finished" if other is variant else f"no run of `{other.name}` has finished"
    return "no seed of it and of the baseline has finished in both"


def _sureness(difference: Difference, variant: VariantReport) -> str:
    if variant.change == "smaller gap, score kept":
        return ", kept"
    return ", within chance" if difference.distinguishable is False else ""


def _closed(group: Group, variant: VariantReport) -> str:
    """What happens to the loss gap: the share of it that is closed, where there is a gap to close."""
    parts = variant.decomposition.get(group.loss)
    baseline = next(other for other in group.variants if other.name == variant.baseline)
    before = baseline.gap.get(group.loss)
    if parts is None or before is None or before.mean is None or parts.closed.mean is None:
        return "its gap cannot be compared"
    name = f"the {metric_name(group.loss)} gap"
    chance = " (within chance)" if parts.closed.distinguishable is False else ""
    # The baseline's gap on the same pairs: mean over pairs of (gap of the variant + what it closed).
    paired = parts.closed.mean + _paired_gap(variant, group.loss)
    share = parts.closed.mean / paired if before.low is not None and before.low > 0 and paired > 0 else None
    if share is None or share < 0:  # a share of a gap that may be 0 means nothing
        return f"changes {name} by {change_text(group.loss, -parts.closed.mean)}{chance}"
    return f"closes {100 * share:.0f} % of {name}{chance}"


def taken_apart(group: Group) -> VariantReport:
    """The preset that an ablation takes apart; the only other variant of no single technique is `none`."""
    return next(variant for variant in group.variants if variant.technique is None and variant.name != "none")


def _paired_gap(variant: VariantReport, metric: str) -> float:
    """Mean gap of a variant over the runs that have a pair."""
    finished = [[run.seed, run.fold] for run in variant.runs if run.status == "finished"]
    values = variant.gap[metric].values
    paired = [
        value for where, value in zip(finished, values, strict=True) if where in variant.pairs and value is not None
    ]
    return sum(paired) / len(paired)


def _ablation_headline(group: Group) -> str:
    """Which part earns its keep: clear effects of taking a technique out, or that there are none."""
    whole = taken_apart(group)
    told = []
    for variant in group.variants:
        if variant.technique is None or variant.baseline != whole.name:
            continue
        for kind, name in ((group.reported, f"{group.reported} {metric_name(group.score)}"), ("gap", "the gap")):
            found = variant.differences.get(kind, {}).get(group.score)
            if found is not None and found.distinguishable:
                told.append(
                    f"without {variant.technique} {name} changes by {change_text(group.score, found.mean)} "
                    f"{interval_text(group.score, found.low, found.high)}"
                )
    if told:
        return f"`{whole.name}`: {'; '.join(told)}."
    repeats = f"{len(group.seeds)} seed{'s' if len(group.seeds) > 1 else ''}"
    return (
        f"`{whole.name}`: no single technique changes {group.reported} {metric_name(group.score)} or its gap by an "
        f"amount that {repeats} can tell from chance."
    )


def caveats(group: Group) -> list[str]:
    """What the evidence cannot say: few seeds, few rows, no test split, failed runs."""
    found = []
    repeats = len(group.seeds)
    found += [f"The data: {finding.text}" for finding in group.findings if finding.level == "problem"]
    found += _beaten_by_simple(group)
    if group.folds is not None:
        found.append(
            f"{group.folds} folds share most of their training rows; intervals are over folds, with the correction of "
            "Nadeau and Bengio."
        )
    elif repeats == 1:
        found.append(
            "One seed: what differs between presets cannot be told from what differs between seeds, so no interval "
            "and no test of a difference is given. Try: --seeds 5"
        )
    elif repeats < FEW_SEEDS:
        found.append(f"{repeats} seeds leave wide intervals; five or more narrow them.{_needed(group)}")
    if any(run.status != "finished" for variant in group.variants for run in variant.runs):
        found.append("Presets have not finished the same seeds: levels are over different runs, differences are not.")
    if group.reported == "validation":
        found.append("There is no test split: scores are of validation, which also selected, so they are optimistic.")
    for split in ("validation", "test"):
        if split in group.resolvable:
            found.append(
                f"{group.rows[split]} {split} rows alone leave ± {100 * group.resolvable[split]:.1f} points on one "
                f"model's {metric_name(group.score)}; paired differences are sharper."
            )
    failed = sum(variant.failed for variant in group.variants)
    if failed:
        found.append(f"{failed} of {sum(len(v.runs) for v in group.variants)} runs have not finished; see Failures.")
    degenerate = [f"{variant.name} ({variant.degenerate})" for variant in group.variants if variant.degenerate]
    if degenerate:
        found.append(f"Degenerate runs, no better than the most frequent class: {', '.join(degenerate)}.")
    return found


def _beaten_by_simple(group: Group) -> list[str]:
    """A model without a neural network that scores as well is cheaper to run, and says that training went wrong."""
    simple = next((baseline for baseline in group.baselines if baseline.name == "tfidf"), None)
    level = None if simple is None else simple.scores.get(group.reported, {}).get(group.score)
    scores = {
        variant.name: of[group.score].mean
        for variant in group.variants
        if group.score in (of := variant.test if group.reported == "test" else variant.validation)
    }
    known = {name: mean for name, mean in scores.items() if mean is not None}
    if level is None or not known or max(known.values()) > level:
        return []
    best = max(known, key=lambda name: known[name])
    return [
        f"TF-IDF with a linear model scores {score_text(group.score, level)} on {group.reported}; the best preset, "
        f"`{best}`, {score_text(group.score, known[best])}: no preset beats it."
    ]


def _needed(group: Group) -> str:
    """Seeds to see the largest difference that is not distinguishable yet."""
    open_ones = [
        (abs(found.mean), found.seeds_needed, variant.name, found.mean)
        for variant in group.variants
        if (found := variant.differences.get(group.reported, {}).get(group.score)) is not None
        and found.mean is not None
        and found.seeds_needed is not None
        and not found.distinguishable
    ]
    if not open_ones:
        return ""
    _, seeds, name, mean = max(open_ones)
    if not any(sign in change_text(group.score, mean) for sign in "123456789"):  # rounds to nothing
        return ""
    many = f"about {seeds}" if seeds < MOST_SEEDS else f"{MOST_SEEDS} or more"
    unit = "" if is_share(group.score) else f" {metric_name(group.score)}"
    return (
        f" To see {change_text(group.score, mean)}{unit} of `{name}` with 80 % power, {many} seeds are needed "
        "(on these rows, before any adjustment)."
    )
