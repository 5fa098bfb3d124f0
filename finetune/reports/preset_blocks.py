"""A comparison on a terminal that is too narrow for its table: a block per preset."""

from __future__ import annotations

from finetune.measurement.units import DASH, change_text, estimate_text, metric_name, score_text
from finetune.records.report import Group, VariantReport
from finetune.records.schema import Baseline
from finetune.reports.comparison import comparison_title, verdict_line
from finetune.reports.numbers import baseline_levels, difference, mean_of, simple_name

MOST = 20  # letters of a name that stands beside its block; a longer one stands above it


def preset_blocks(group: Group) -> str:
    """For each preset: reported score, difference to the baseline with its interval, gaps and verdict.

    Lines are not wrapped here: `reports.wrapping` does that.
    """
    names = [*(variant.name for variant in group.variants), *map(simple_name, group.baselines)]
    width = 2 + max((len(name) for name in names if len(name) <= MOST), default=0)
    lines = ["", comparison_title(group), ""]
    for variant in group.variants:
        lines += _block(variant.name, _variant_lines(group, variant), width)
    for baseline in group.baselines:
        lines += _block(simple_name(baseline), [_simple_line(group, baseline)], width)
    return "\n".join([*lines, "", "A positive gap means overfitting. All columns, with training times: --wide"])


def _block(name: str, lines: list[str], width: int) -> list[str]:
    """The name beside the first line, or above the block."""
    if len(name) > MOST:
        return [name, *(" " * width + line for line in lines)]
    return [f"{name if index == 0 else '':<{width}}{line}" for index, line in enumerate(lines)]


def _variant_lines(group: Group, variant: VariantReport) -> list[str]:
    return [_score(group, variant), _gaps(group, variant), verdict_line(group, variant)]


def _score(group: Group, variant: VariantReport) -> str:
    summary = group.reported_scores(variant).get(group.score)
    level = f"{group.reported} {score_text(group.score, None if summary is None else summary.mean)}"
    if variant.baseline is None:
        return f"{level} (baseline)"
    found = difference(variant, group.reported, group.score)
    return f"{level}, {DASH if found is None else estimate_text(group.score, found)} against {variant.baseline}"


def _gaps(group: Group, variant: VariantReport) -> str:
    score, loss = (change_text(metric, mean_of(variant.gap, metric)) for metric in (group.score, group.loss))
    return f"gap {score}, {metric_name(group.loss)} gap {loss}"


def _simple_line(group: Group, baseline: Baseline) -> str:
    levels = dict(zip(group.splits, baseline_levels(group, baseline), strict=True))
    gap = change_text(group.score, baseline.gap.get(group.score))
    return f"{group.reported} {score_text(group.score, levels.get(group.reported))}, gap {gap}"
