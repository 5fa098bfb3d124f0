"""Terminal output at the end of a comparison, and the summary of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from finetune.advice.comparison import ablated_parts, ablated_preset, verdict_text
from finetune.advice.evidence import adjusted_note
from finetune.advice.final import next_step
from finetune.measurement.units import (
    DASH,
    Estimate,
    change_text,
    count_text,
    metric_name,
    multiple_text,
    scale,
    score_text,
)
from finetune.records.report import Group, Recommendation, Summary, VariantReport
from finetune.records.schema import Baseline
from finetune.reports.captions import made_of, sentence
from finetune.reports.finals import final_name, final_table
from finetune.reports.numbers import baseline_levels, difference, simple_name
from finetune.reports.rich_table import Adaptive, add_names, add_numbers, plain_table, rich_table
from finetune.reports.seed_rounds import seed_lines, seeds_text
from finetune.reports.terminal import labelled, next_lines

if TYPE_CHECKING:
    from rich.table import Table

WIDE = 120  # columns from which the table of presets is shown, and not a block for each


def comparison_table(group: Group) -> Adaptive:
    """A row per variant: scores, gaps of the selected checkpoint, difference to the baseline, training time."""
    return Adaptive(lambda between: _comparison_table(group, between))


def _comparison_table(group: Group, between: str) -> Table:
    table = plain_table(comparison_title(group))
    add_names(table, "Preset")
    add_numbers(table, *map(sentence, group.splits), "Gap", f"{sentence(metric_name(group.loss))}\ngap")
    add_numbers(table, f"{sentence(group.reported)}{between}− baseline", f"Training{between}time")
    for variant in group.variants:
        table.add_row(Text(variant.name), *_numbers(group, variant, between))
    if group.baselines:
        table.add_section()
    for baseline in group.baselines:
        table.add_row(Text(simple_name(baseline)), *_simple_numbers(group, baseline), style="dim")
    table.caption = Text("Training time: declared (measured). A positive gap means overfitting.", "dim")
    return table


def comparison_title(group: Group) -> str:
    """Title with what is compared, by which score, over how many runs."""
    folds = f", {count_text(group.folds, 'fold')}" if group.folds else ""
    seeds = seeds_text(group)
    if len(group.seeds) == 1 and not folds:
        return f"{group.name} · {metric_name(group.score)}, {seeds}"
    return f"{group.name} · {metric_name(group.score)}, means of {seeds}{folds}, 95 % intervals in brackets"


def _simple_numbers(group: Group, baseline: Baseline) -> list[str]:
    scores = [score_text(group.score, level) for level in baseline_levels(group, baseline)]
    gaps = [_gap(metric, baseline.gap.get(metric)) for metric in (group.score, group.loss)]
    return [*scores, *gaps, "", ""]


def _numbers(group: Group, variant: VariantReport, between: str) -> list[str]:
    scores = [_level(getattr(variant, split), group.score) for split in group.splits]
    gaps = [
        _gap(metric, variant.gap[metric].mean if metric in variant.gap else None)
        for metric in (group.score, group.loss)
    ]
    change = _change(group, variant, group.reported, between)
    return [*scores, *gaps, change, _cost(variant, between)]


def _level(scores: dict[str, Summary], metric: str) -> str:
    return score_text(metric, scores[metric].mean if metric in scores else None)


def _gap(metric: str, value: float | None) -> str:
    return change_text(metric, value, unit=False)


def _change(group: Group, variant: VariantReport, kind: str, between: str) -> str:
    return _estimate(group.score, difference(variant, kind, group.score), between)


def _estimate(metric: str, estimate: Estimate | None, between: str) -> str:
    """The mean and its interval, without unit."""
    if estimate is None:
        return DASH
    parts = [change_text(metric, estimate.mean, unit=False), scale(metric).interval(estimate)]
    return between.join(part for part in parts if part)


def _cost(variant: VariantReport, between: str) -> str:
    if variant.seconds_ratio is None or variant.baseline is None:
        return multiple_text(variant.cost)
    return f"{multiple_text(variant.cost)}{between}({multiple_text(variant.seconds_ratio, 1)})"


def _verdicts(group: Group) -> list[str]:
    """A line for each variant; of an ablation the table says it all."""
    if group.kind == "ablate":
        return []
    width = max(len(variant.name) for variant in group.variants)
    return [
        labelled("Verdict", f"{variant.name:<{width}}  {verdict_line(group, variant)}") for variant in group.variants
    ]


def verdict_line(group: Group, variant: VariantReport) -> str:
    """The verdicts of a variant on its state and its change, and how many of its runs did not finish."""
    failed = f" ({variant.failed} of {count_text(len(variant.runs), 'run')} not finished)" if variant.failed else ""
    verdict = verdict_text(variant.verdict, group.score)
    words = verdict if variant.baseline is None or verdict == variant.change else f"{verdict}; {variant.change}"
    shown = difference(variant, group.reported, group.score)  # its interval stands in the table above
    note = adjusted_note(shown)
    return words + (f" ({metric_name(group.score)}: {note})" if note else "") + failed


def ablation_table(group: Group) -> Adaptive:
    """A row per technique: the effect of leaving it out of the preset, and of using it on its own."""
    return Adaptive(lambda between: _ablation_table(group, between))


def _ablation_table(group: Group, between: str) -> Table:
    preset = ablated_preset(group)
    kinds = (group.reported, "gap")
    unit = f", differences in {scale(group.score).unit}" if scale(group.score).unit else ""
    table = plain_table(f"{group.name} · {metric_name(group.score)}{unit}, 95 % intervals in brackets")
    add_names(table, "Technique")
    add_numbers(table, *(f"{way}:\n{kind}" for way in ("Without it", "On its own") for kind in kinds))
    table.add_row(Text("(all)"), "", "", *(_change(group, preset, kind, between) for kind in kinds))
    for technique, parts in ablated_parts(group).items():
        cells = []
        for found in parts:
            cells += [DASH if found is None else _change(group, found, kind, between) for kind in kinds]
        table.add_row(Text(technique), *cells)
    table.caption = Text(f"Without it: {preset.name} without the technique − {preset.name}.", "dim")
    return table


def finals_table(group: Group) -> Adaptive | None:
    """A row per model that the comparison could end with; None where only the best seed could be made."""
    final = None if group.recommendation is None else group.recommendation.final
    if final is None or sum(model.problem is None for model in final.candidates) == 1:
        return None
    return rich_table(final_table(group, final))


def comparison_summary(group: Group, with_verdicts: bool = True) -> str:
    """The lines below the table; blocks of presets contain their own verdicts."""
    lines = ["", labelled("Result", group.headline), *(_verdicts(group) if with_verdicts else [])]
    lines += [labelled("Variant", made_of(variant)) for variant in group.variants if variant.settings]
    lines += [labelled("Seeds", text) for text in seed_lines(group)]
    if group.kind != "ablate":  # whose variants repeat the same techniques; the page has them all
        lines += [labelled("Effect", f"{each.name}  {text}") for each in group.variants for text in each.outcomes]
    if group.recommendation is not None:
        lines += _recommended(group.recommendation)
    lines += [labelled("Caveat", text) for text in group.caveats]
    for variant in group.variants:
        for run in variant.runs:
            if run.status != "finished":
                fold = "" if run.fold is None else f" fold {run.fold}"
                lines.append(labelled("Failed", f"{variant.name} seed {run.seed}{fold}: {run.error or run.status}"))
    if (step := next_step(group)) is not None:
        lines += next_lines(*step)
    return "\n".join(lines)


def _recommended(chosen: Recommendation) -> list[str]:
    lines = [labelled("Recommended", f"{chosen.variant}. {chosen.reason}")]
    final = chosen.final
    kind = "best" if final is None else final.kind
    for model in [] if final is None else final.candidates:
        if model.problem is not None:
            lines.append(labelled("Not made", f"{final_name(model.kind)}: {model.problem}"))
    if chosen.model is not None:
        origin = f"the {final_name(kind)}" if kind != "best" else f"seed {chosen.seed}, the best on validation"
        lines.append(labelled("Model", f"{chosen.model}   ({origin}; loads with plain transformers)"))
    return lines
