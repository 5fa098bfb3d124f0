"""Terminal output at the end of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from finetune.advice.sweep import TOO_LITTLE, TOO_MUCH, chosen_text
from finetune.measurement.units import DASH, change_text, count_text, metric_name, number_text, percent_text, scale
from finetune.records.report import WeightSummary
from finetune.records.sweep import SweepPoint, SweepReport
from finetune.reports.captions import sentence
from finetune.reports.numbers import setting_text
from finetune.reports.rich_table import Adaptive, add_names, add_numbers, plain_table
from finetune.reports.terminal import labelled

if TYPE_CHECKING:
    from rich.table import Table


def failures(sweep: SweepReport) -> list[str]:
    """Runs that have not finished, with the reason."""
    return [
        f"{point.name}, seed {run.seed}: {run.error or run.status}"
        for point in sweep.points
        for run in point.runs
        if run.status != "finished"
    ]


def value_text(value: object) -> str:
    """A value of a key: `0.01`, `off`."""
    return f"{value:g}" if isinstance(value, float) else setting_text(value)


def region(point: SweepPoint) -> str:
    """Too little or too much, by the verdict; empty for neither."""
    return point.verdict if point.verdict in (*TOO_LITTLE, *TOO_MUCH, "failed") else ""


def zero_part(sweep: SweepReport) -> str | None:
    """Where a technique made weights exactly 0: the head or the encoder; None where none did."""
    shares = {
        part: max((point.weights[part].zero_share for point in sweep.points if part in point.weights), default=0.0)
        - min((point.weights[part].zero_share for point in sweep.points if part in point.weights), default=0.0)
        for part in ("head", "encoder")
    }
    part = max(shares, key=lambda name: shares[name])
    return part if shares[part] > 0 else None


def sweep_table(sweep: SweepReport) -> Adaptive:
    """A row per point, for the terminal."""
    return Adaptive(lambda between: _table(sweep, between))


def _table(sweep: SweepReport, between: str) -> Table:
    seeds = count_text(len(sweep.seeds), "seed")
    table = plain_table(f"{sweep.name} · {metric_name(sweep.score)}, means of {seeds}, 95 % intervals in brackets")
    add_names(table, "\n".join(key.rpartition(".")[2] for key in sweep.keys))
    zeros = zero_part(sweep)
    loss = sentence(metric_name(sweep.loss))
    add_numbers(table, "Train", "Validation", "Gap", f"{loss}\nvalidation")
    add_numbers(table, f"Zeros\n{zeros}" if zeros else "Norm\nencoder")
    table.add_column("Region", overflow="fold")
    for point in sweep.points:
        is_chosen = sweep.chosen is not None and point.name == sweep.chosen.name
        name = ", ".join(map(value_text, point.values.values()))
        cells = [_level(sweep.score, point, "train"), _with_interval(sweep, point, between), _gap(sweep, point)]
        cells += [_level(sweep.loss, point, "validation"), _weight(point, zeros)]
        table.add_row(Text(name), *cells, Text(" ".join(filter(None, ("← chosen" * is_chosen, region(point))))))
    table.caption = Text("A positive gap means overfitting.", "dim")
    return table


def _level(metric: str, point: SweepPoint, kind: str) -> str:
    summary = getattr(point, kind).get(metric)
    return scale(metric).level(None if summary is None else summary.mean)


def _with_interval(sweep: SweepReport, point: SweepPoint, between: str) -> str:
    interval = scale(sweep.score).range(point.validation.get(sweep.score))
    return between.join(filter(None, (_level(sweep.score, point, "validation"), interval)))


def _gap(sweep: SweepReport, point: SweepPoint) -> str:
    gap = point.gap.get(sweep.score)
    return change_text(sweep.score, None if gap is None else gap.mean, unit=False)


def _weight(point: SweepPoint, zeros: str | None) -> str:
    """The share of exact zeros, where a technique makes them; else the norm of the encoder's weights."""
    if zeros is not None:
        return zeros_text(point.weights.get(zeros))
    return number_text(point.weights["encoder"].norm, 2) if "encoder" in point.weights else DASH


def zeros_text(weights: WeightSummary | None) -> str:
    return DASH if weights is None else percent_text(weights.zero_share, 1)


def _effects(sweep: SweepReport) -> list[str]:
    """What the techniques that vary did at each point; the page has all of them."""
    varied = {key.split(".")[1] for key in sweep.keys if key.startswith("techniques.")}
    return [
        f"{point.name}  {text}" for point in sweep.points for text in point.outcomes if text.partition(":")[0] in varied
    ]


def sweep_summary(sweep: SweepReport) -> str:
    """The lines below the table."""
    lines = ["", labelled("Result", sweep.headline)]
    if sweep.chosen is not None:
        lines.append(labelled("Chosen", f"{sweep.chosen.name}. {sweep.chosen.reason} Rule: {sweep.chosen.rule}"))
        lines.append(labelled("Test", sentence(chosen_text(sweep, sweep.chosen))))
    lines.append(labelled("Regions", sweep.rule))
    lines += [labelled("Effect", text) for text in _effects(sweep)]
    lines += [labelled("Caveat", text) for text in sweep.caveats]
    lines += [labelled("Failed", text) for text in failures(sweep)]
    return "\n".join(lines)
