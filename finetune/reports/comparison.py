"""What the user sees when a comparison has ended, and the summary of a report."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from finetune.advice.comparison import taken_apart
from finetune.measurement.units import change_text, interval_text, metric_name, score_text
from finetune.records.report import Difference, Group, Recommendation, VariantReport
from finetune.records.schema import Baseline
from finetune.reports.numbers import simple_name


def comparison_table(group: Group) -> Table:
    """A row a variant: scores, gaps at the selected checkpoint, difference to the baseline, verdict."""
    score, loss = group.score, group.loss
    seeds = f"{len(group.seeds)} seed{'s' if len(group.seeds) > 1 else ''}"
    folds = f", {group.folds} folds" if group.folds else ""
    title = f"{group.name} · {metric_name(score)}, means of {seeds}{folds}, 95 % intervals in brackets"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    table.add_column("preset")
    columns = ["train", "validation", *(["test"] if group.reported == "test" else [])]
    columns += ["gap", f"{metric_name(loss)} gap", f"{group.reported} against baseline", "cost"]
    for column in columns:
        table.add_column(column, justify="right")
    table.add_column("verdict")
    for variant in group.variants:
        table.add_row(Text(variant.name), *_figures(group, variant), Text(_verdict(variant)))
    table.add_section()
    for baseline in group.baselines:
        table.add_row(Text(simple_name(baseline)), *_simple_figures(group, baseline), Text(""))
    return table


def _simple_figures(group: Group, baseline: Baseline) -> list[str]:
    splits = ["train_probe", "validation", *(["test"] if group.reported == "test" else [])]
    scores = [score_text(group.score, baseline.scores.get(split, {}).get(group.score)) for split in splits]
    gaps = [
        change_text(metric, baseline.gap.get(metric), unit=metric != group.score)
        for metric in (group.score, group.loss)
    ]
    return [*scores, *gaps, "", ""]


def _figures(group: Group, variant: VariantReport) -> list[str]:
    splits = [variant.train, variant.validation, *([variant.test] if group.reported == "test" else [])]
    scores = [score_text(group.score, split[group.score].mean) if group.score in split else "-" for split in splits]
    gaps = [
        change_text(metric, variant.gap[metric].mean, unit=metric != group.score) if metric in variant.gap else "-"
        for metric in (group.score, group.loss)
    ]
    difference = variant.differences.get(group.reported, {}).get(group.score)
    return [*scores, *gaps, _against(group.score, difference), _cost(variant)]


def _against(metric: str, difference: Difference | None) -> str:
    if difference is None:
        return "-"
    interval = interval_text(metric, difference.low, difference.high)
    return change_text(metric, difference.mean, unit=False) + ("" if interval == "-" else f" {interval}")


def _cost(variant: VariantReport) -> str:
    ratio = "" if variant.seconds_ratio is None or variant.baseline is None else f", {variant.seconds_ratio:.1f} timed"
    return f"× {variant.cost:g}{ratio}"


def _verdict(variant: VariantReport) -> str:
    failed = f" ({variant.failed} of {len(variant.runs)} not finished)" if variant.failed else ""
    words = variant.verdict if variant.baseline is None else f"{variant.verdict}; {variant.change}"
    return words + failed


def ablation_table(group: Group) -> Table:
    """A row a technique: what taking it out of the preset does, and what it does alone."""
    score = group.score
    whole = taken_apart(group)
    title = f"{group.name} · {metric_name(score)} in points, 95 % intervals in brackets · what each part earns"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    table.add_column("technique")
    for column in (f"{whole.name} without it: {group.reported}", "gap", f"alone: {group.reported}", "gap"):
        table.add_column(column, justify="right")
    everything = [_change(group, whole, kind) for kind in (group.reported, "gap")]
    table.add_row(Text("(all of them)"), "", "", *everything)
    for technique in dict.fromkeys(variant.technique for variant in group.variants if variant.technique):
        cells = []
        for baseline in (whole.name, group.baseline):
            found = next(
                (v for v in group.variants if v.technique == technique and v.baseline == baseline), None
            )  # a part that cannot stand without another has no row
            cells += ["-", "-"] if found is None else [_change(group, found, kind) for kind in (group.reported, "gap")]
        table.add_row(Text(technique), *cells)
    return table


def _change(group: Group, variant: VariantReport, kind: str) -> str:
    return _against(group.score, variant.differences.get(kind, {}).get(group.score))


def comparison_summary(group: Group) -> str:
    """The lines below the table."""
    lines = [f"Result      {group.headline}"]
    if group.recommendation is not None:
        lines += _recommended(group.recommendation)
    lines += [f"Mind        {text}" for text in group.caveats]
    for variant in group.variants:
        lines += [
            f"Failed      {variant.name} seed {run.seed}{'' if run.fold is None else f' fold {run.fold}'}: "
            f"{run.error or run.status}"
            for run in variant.runs
            if run.status != "finished"
        ]
    return "\n".join(lines)


def _recommended(chosen: Recommendation) -> list[str]:
    lines = [f"Take        {chosen.variant}: {chosen.reason}."]
    if chosen.refit is not None:
        scores = ", ".join(
            f"{metric_name(name)} {score_text(name, value)}" for name, value in chosen.refit.test.items()
        )
        lines.append(
            f"Refit       on {chosen.refit.rows} rows (train and validation) for {chosen.refit.steps} steps"
            + (f"; test: {scores}" if scores else "; nothing is left to measure it on")
        )
    if chosen.model is not None:
        origin = "the refit" if chosen.refit is not None else f"seed {chosen.seed}, its best on validation"
        lines.append(f"Model       {chosen.model}   ({origin}; plain transformers loads it)")
    return lines
