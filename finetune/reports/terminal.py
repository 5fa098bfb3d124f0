"""What the user sees when a run has ended."""

import math
import statistics
from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from finetune.advice.diagnosis import diagnose
from finetune.measurement.gap import compute_gap
from finetune.measurement.scores import Measure, measure_of
from finetune.measurement.units import change_text, interval_text, is_share, metric_name, score_text, titled
from finetune.records.schema import Baseline, Checkpoint, FinishedRecord, Gap, Scores
from finetune.records.store import RunFolder
from finetune.reports.numbers import simple_name
from finetune.reports.plan import describe_technique


def run_table(record: FinishedRecord) -> Table:
    """Scores of the selected checkpoint by split, and the gap with its interval."""
    selected, rows = record.selected, record.data.rows
    table = Table(box=box.SIMPLE_HEAD, title_justify="left", title=_title(record), title_style="bold")
    table.add_column("")
    for split in ("train_probe", "validation", "test"):
        if split in rows:
            table.add_column(f"{split.replace('_', ' ')}\n{rows[split]} rows", justify="right")
    table.add_column("gap\n> 0 overfits", justify="right", no_wrap=True)
    table.add_column("95 % interval\nover rows", justify="right", no_wrap=True)
    measure = _measure(record)
    own = [name for name in selected.validation if name not in measure.names]
    for name in (*measure.shown, *own):
        cells = [score_text(name, scores.get(name)) for scores in _splits(selected)]
        table.add_row(titled(name, record.data.task), *cells, *_gap(name, selected.gap.get(name)))
    table.add_section()
    for baseline in record.data.baselines:
        table.add_row(*_simple_row(baseline, measure.score, rows), style="dim")
    return table


def _beaten(record: FinishedRecord, score: str) -> str:
    """Says so where a simple model is as good as the one that ships; empty where it is not."""
    split, scores = ("validation", record.selected.validation)
    if record.selected.test is not None:
        split, scores = "test", record.selected.test
    ours = scores.get(score)
    better = [
        simple_name(baseline)
        for baseline in record.data.baselines
        if ours is not None and (theirs := baseline.scores.get(split, {}).get(score)) is not None and theirs >= ours
    ]
    return f" This model does not beat {' or '.join(better)} on {split}." if better else ""


def _simple_row(baseline: Baseline, score: str, rows: Mapping[str, int]) -> list[str]:
    """What a model without a neural network scores on the same rows."""
    splits = [split for split in ("train_probe", "validation", "test") if split in rows]
    cells = [score_text(score, baseline.scores.get(split, {}).get(score)) for split in splits]
    return [simple_name(baseline), *cells, change_text(score, baseline.gap.get(score)), ""]


def run_summary(record: FinishedRecord, folder: RunFolder, next_step: tuple[str, str]) -> str:
    """The lines below the table."""
    selected, last = record.selected, record.last
    measure = _measure(record)
    lines = [f"Diagnosis   {diagnose(record)}"]
    chosen = f"epoch {selected.epoch:g}, step {selected.step} of {record.budget.steps}"
    if selected.step == last.step:
        lines.append(f"Checkpoint  the last one ships: {chosen}.")
    else:
        lines.append(
            f"Checkpoint  {chosen} was best on validation and ships; at the end (epoch {last.epoch:g}) the gap was "
            f"{' '.join(_gap(measure.score, last.gap[measure.score]))}, "
            f"{' '.join(_gap(measure.loss, last.gap[measure.loss]))}."
        )
    if selected.share is not None:
        lines.append(
            f"Weights     {selected.share:.0%} of the way from the pretrained to the fine-tuned encoder, as validation "
            "chose; at the end means all of it."
        )
    if record.calibration is not None and record.calibration.test_nll is not None and selected.test is not None:
        lines.append(
            f"Confidence  temperature {record.calibration.temperature:.2f} (1 = calibrated on validation, more = too "
            f"sure); test NLL {score_text('nll', selected.test['nll'])}, after scaling "
            f"{record.calibration.test_nll:.3f}."
        )
    if record.data.baselines:
        names = " and ".join(simple_name(baseline) for baseline in record.data.baselines)
        lines.append(
            f"To beat     {names}: {metric_name(measure.score)} of models without a neural network."
            f"{_beaten(record, measure.score)}"
        )
    if record.techniques:
        lines.append(f"Techniques  declared cost × {record.budget.cost:g} of plain fine-tuning:")
        lines += [
            f"              {describe_technique(name, active.model_dump())}"
            for name, active in record.techniques.items()
        ]
    else:
        lines.append("Techniques  none")
    lines += [f"Warning     {warning}" for warning in record.warnings]
    lines += [
        f"Model       {folder.model}   (plain transformers: AutoModelForSequenceClassification.from_pretrained)",
        f"Record      {folder.record_path}",
        f"Next        {next_step[0]}   ({next_step[1]})",
    ]
    return "\n".join(lines)


def seeds_table(records: Sequence[FinishedRecord]) -> Table:
    """Mean and standard deviation over the seeds of one recipe."""
    task = records[0].data.task
    measure = _measure(records[0])
    table = Table(box=box.SIMPLE_HEAD, title=f"{len(records)} seeds, mean ± standard deviation", title_justify="left")
    table.add_column("")
    columns = ["train probe", "validation", *(["test"] if "test" in records[0].data.rows else []), "gap"]
    for column in columns:
        table.add_column(column, justify="right")
    for name in measure.shown:
        per_seed = [_numbers(name, record) for record in records]
        cells = [_mean_and_spread(name, [seed[index] for seed in per_seed]) for index in range(len(columns))]
        table.add_row(titled(name, task), *cells)
    return table


def _numbers(name: str, record: FinishedRecord) -> list[float | None]:
    return [*(scores.get(name) for scores in _splits(record.selected)), record.selected.gap[name].value]


def _mean_and_spread(name: str, values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return "-"
    scale, digits = (100, 1) if is_share(name) else (1, 3)
    return f"{scale * statistics.mean(known):.{digits}f} ± {scale * statistics.stdev(known):.{digits}f}"


def _measure(record: FinishedRecord) -> Measure:
    return measure_of(record.data.task, record.data.score)


def _splits(checkpoint: Checkpoint) -> list[Scores]:
    splits: list[Scores] = [checkpoint.train_probe, checkpoint.validation]
    return splits if checkpoint.test is None else [*splits, checkpoint.test]


def _title(record: FinishedRecord) -> str:
    seconds = record.time.seconds
    spent = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
    return f"{record.recipe['name']} · preset {record.preset or '-'} · seed {record.seed} · {spent}"


def _gap(name: str, gap: Gap | None) -> tuple[str, str]:
    """Value with its unit, and interval."""
    if gap is None or gap.value is None:
        return "-", "-"
    return change_text(name, gap.value), interval_text(name, gap.low, gap.high)


def live_scores(measure: Measure, train: Scores, validation: Scores) -> str:
    """One short line for the progress bar: train probe, validation and the gap of score and loss."""
    gaps = compute_gap(_known(train), _known(validation))
    score, loss = measure.score, measure.loss
    score_gap, loss_gap = (_gap(name, Gap(value=gaps.get(name)))[0] for name in (score, loss))
    scores = f"train {score_text(score, train[score])}, validation {score_text(score, validation[score])}"
    return f"{metric_name(score)} {scores}, gap {score_gap}; {metric_name(loss)} gap {loss_gap}"


def _known(scores: Scores) -> dict[str, float]:
    return {name: value for name, value in scores.items() if value is not None and math.isfinite(value)}
