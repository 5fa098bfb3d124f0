"""Content on single runs, for terminals and pages: the table of scores and gaps, and further facts."""

import statistics
from collections.abc import Sequence

from finetune.advice.learning import early_stop_text
from finetune.diagnosis.run_records import diagnose_run
from finetune.measurement.scores import Measure, measure_of
from finetune.measurement.units import (
    DASH,
    Estimated,
    Scale,
    count_text,
    estimate_text,
    listed,
    metric_name,
    number_text,
    percent_text,
    scale,
    score_text,
    time_text,
    training_time_text,
)
from finetune.records.schema import Baseline, Checkpoint, FinishedRecord, Gap, RunRecord, Scores, Thresholds
from finetune.reports.blocks import Cell, Column, Table
from finetune.reports.captions import sentence
from finetune.reports.numbers import log_loss_note, shorten, simple_name, split_name
from finetune.reports.plan import describe_technique
from finetune.reports.rate_choice import choice_text

SPLITS = ("train_probe", "validation", "test")
SHOWN = 500  # characters of a list of labels
TOLD_APART = ("early_stopping", "wise_ft")  # the entries Stopping and Weights
GAP_NOTE = "A positive gap means overfitting."


def run_measure(record: FinishedRecord) -> Measure:
    """The metrics of the run's task, with its main score."""
    return measure_of(record.data.task, record.data.score)


def run_title(record: FinishedRecord) -> str:
    """`tweets · preset strong · seed 0 · 41 s`."""
    seconds = time_text(record.time.seconds)
    return f"{record.recipe['name']} · preset {record.preset or DASH} · seed {record.seed} · {seconds}"


def scores_table(record: FinishedRecord) -> Table:
    """Scores of the selected checkpoint by split, and the gap with its interval; simple models below."""
    rows, measure = record.data.rows, run_measure(record)
    own = [name for name in record.selected.validation if name not in measure.names]
    selected = record.shown
    columns = [Column("", numeric=False, sortable=False)]
    columns += [
        Column(sentence(split_name(split)), note=count_text(rows[split], "row"), sortable=False)
        for split in SPLITS
        if split in rows
    ]
    columns += [
        Column("Gap", sortable=False),
        Column("95 % interval", note="over rows", sortable=False),
    ]
    body = [
        [
            Cell(sentence(metric_name(name)), user=name in own),
            *(Cell(score_text(name, scores.get(name))) for scores in split_scores(selected)),
            *_gap_cells(scale(name), selected.gap.get(name)),
        ]
        for name in (*measure.shown, *own)
    ]
    simple = [_simple_row(baseline, scale(measure.score), rows) for baseline in record.data.baselines]
    notes = [note for note in (GAP_NOTE, log_loss_note(measure.loss)) if note]
    second_part = len(body) if simple else None
    return Table(run_title(record), columns, [*body, *simple], second_part=second_part, notes=notes)


def _gap_cells(scale: Scale, gap: Gap | None) -> list[Cell]:
    value, low, high = (gap.value, gap.low, gap.high) if gap else (None, None, None)
    return [Cell(scale.change(value)), Cell(scale.interval(Estimated(value, low, high)) or DASH)]


def _simple_row(baseline: Baseline, score: Scale, rows: dict[str, int]) -> list[Cell]:
    """The main score of a model without a neural network on the same rows."""
    levels = [baseline.scores.get(split, {}).get(score.metric) for split in SPLITS if split in rows]
    cells = [Cell(score.level(level)) for level in levels]
    return [Cell(simple_name(baseline)), *cells, Cell(score.change(baseline.gap.get(score.metric))), Cell("")]


def split_scores(checkpoint: Checkpoint) -> list[Scores]:
    """The scores of train sample, validation and, if measured, test."""
    scores: list[Scores] = [checkpoint.train_probe, checkpoint.validation]
    return scores if checkpoint.test is None else [*scores, checkpoint.test]


def seeds_table(records: Sequence[FinishedRecord]) -> Table:
    """Mean and standard deviation over the seeds of one recipe."""
    splits = [split for split in SPLITS if split in records[0].data.rows]
    columns = [Column("", numeric=False, sortable=False)]
    columns += [Column(sentence(split_name(split)), sortable=False) for split in splits]
    columns.append(Column("Gap", sortable=False))
    rows = []
    for name in run_measure(records[0]).shown:
        per_seed = [_numbers(name, record) for record in records]
        cells = [Cell(_spread(name, [values[index] for values in per_seed])) for index in range(len(columns) - 1)]
        rows.append([Cell(sentence(scale(name).title)), *cells])
    return Table(f"{count_text(len(records), 'seed')}, mean ± standard deviation", columns, rows)


def _numbers(name: str, record: FinishedRecord) -> list[float | None]:
    gap = record.selected.gap.get(name)
    return [*(scores.get(name) for scores in split_scores(record.selected)), None if gap is None else gap.value]


def _spread(name: str, values: list[float | None]) -> str:
    measured = [value for value in values if value is not None]
    if len(measured) < 2:
        return DASH
    return scale(name).spread(statistics.mean(measured), statistics.stdev(measured))


def run_facts(record: FinishedRecord) -> list[tuple[str, str]]:
    """Label and sentences on what is not in the table: diagnosis, checkpoint, calibration, baselines."""
    entries = [("Diagnosis", diagnose_run(record)), ("Checkpoint", _checkpoint(record))]
    entries += [("Chosen", decision.text) for decision in record.decisions]
    if (stopping := _early_stopping(record)) is not None:
        entries.append(("Stopping", stopping))
    entries += [("Effect", text) for text in outcome_lines(record)]
    if (choice := record.budget.learning_rate) is not None:
        entries.append(("Rate", f"Learning rate {choice_text(choice, record.time.phases.get('learning_rate'))}"))
    if record.model.pooling is not None:
        entries.append(("Pooling", f"{record.model.pooling}: {record.model.pooling_reason}."))
    if record.model.head is not None:
        entries.append(("Head", f"{record.model.head}: {record.model.head_reason}."))
    if record.selected.share is not None:
        entries.append(("Weights", _interpolation(record.selected.share)))
    if record.calibration is not None and record.calibration.test_nll is not None and record.selected.test is not None:
        before, after = (number_text(nll, 3) for nll in (record.selected.test["nll"], record.calibration.test_nll))
        value = record.calibration.temperature
        state = "> 1: overconfident" if value >= 1 else "< 1: underconfident"
        entries.append(
            (
                "Calibration",
                f"Temperature {number_text(value, 2)} ({state}), fitted on {_chosen_on(record)}. Test "
                f"{metric_name('nll')} {before} nats; {after} nats after scaling.",
            )
        )
    if record.thresholds is not None:
        entries.append(("Thresholds", _thresholds(record, record.thresholds)))
    if record.data.baselines:
        names = listed([simple_name(baseline) for baseline in record.data.baselines])
        kind = "models" if len(record.data.baselines) > 1 else "a model"
        entries.append(("Baselines", f"{names}, {kind} without a neural network.{_beaten(record)}"))
    return entries


def _chosen_on(record: FinishedRecord) -> str:
    """Rows and model by which temperature and thresholds are chosen."""
    if record.budget.trained_on_validation:
        return "the validation predictions of the run that it repeats"
    return "validation"


def _thresholds(record: FinishedRecord, thresholds: Thresholds) -> str:
    """What they are, where they come from, and what they give: the scores of the table are at 0.5."""
    chosen = [
        f"{name} {number_text(thresholds.values[name], 2)}{' (shared)' if origin == 'shared' else ''}"
        for name, origin in thresholds.origins.items()
        if origin != "default"
    ]
    if not chosen:
        return "0.5 for each label: validation has too few rows of them to choose others, or was trained on."
    kept = [name for name, origin in thresholds.origins.items() if origin == "default"]
    rest = f"; 0.5 for {shorten(listed(kept), SHOWN)}, of which validation has too few rows" if kept else ""
    split, above, plain = "validation", thresholds.validation, record.selected.validation
    if thresholds.test is not None and record.selected.test is not None:
        split, above, plain = "test", thresholds.test, record.selected.test
    scores = listed(
        [
            f"{metric_name(name)} {score_text(name, above[name])} (at 0.5: {score_text(name, plain[name])})"
            for name in ("micro_f1", "macro_f1")
        ]
    )
    return (
        f"Probability thresholds with the best F1 on {_chosen_on(record)}: {shorten(listed(chosen), SHOWN)}{rest}. "
        f"With them, {split} {scores}. All other scores are at 0.5."
    )


def _checkpoint(record: FinishedRecord) -> str:
    selected, last = record.selected, record.last
    where = f"epoch {selected.epoch:g}, step {selected.step} of {record.budget.steps}"
    if selected.step == last.step:
        return f"Final checkpoint kept ({where})."
    measure = run_measure(record)
    gaps = [
        f"{metric_name(name)} {estimate_text(name, Estimated(gap.value, gap.low, gap.high))}"
        for name in (measure.score, measure.loss)
        if (gap := last.gap[name]) is not None
    ]
    return f"Best on validation kept ({where}). Gap at the final checkpoint (epoch {last.epoch:g}): {', '.join(gaps)}."


def _early_stopping(record: FinishedRecord) -> str | None:
    """That early stopping ended the run, or why it could not begin to wait; None where there is nothing to say."""
    rule, stopped = record.budget.early_stopping, early_stop_text(record)
    if rule is None:
        return None
    if stopped is not None:
        waited = count_text(rule.patience, "evaluation")
        return f"{sentence(stopped)}: {waited} in a row without an improvement on validation."
    if rule.learned_step is None:
        return "Early stopping never became active: no evaluation beat a constant prediction beyond chance (p < 0.05)."
    return None


def _interpolation(fraction: float) -> str:
    return (
        f"Encoder interpolated {percent_text(fraction)} of the way from the pretrained to the fine-tuned weights, as "
        "selected on validation. The final checkpoint has the fine-tuned weights."
    )


def _beaten(record: FinishedRecord) -> str:
    """Says so where a simple model is as good as the selected checkpoint; empty where none is."""
    score = run_measure(record).score
    split, scores = ("validation", record.selected.validation)
    if record.selected.test is not None:
        split, scores = "test", record.selected.test
    ours = scores.get(score)
    better = [
        simple_name(baseline)
        for baseline in record.data.baselines
        if ours is not None and (theirs := baseline.scores.get(split, {}).get(score)) is not None and theirs >= ours
    ]
    at = "" if record.thresholds is None else ", with labels above 0.5"
    return f" This model does not beat {' or '.join(better)} on {split}{at}." if better else ""


def outcome_lines(record: RunRecord) -> list[str]:
    """The effect of each technique, where it reports one and has no separate entry."""
    return [
        f"{name}: {active.outcome}."
        for name, active in record.techniques.items()
        if active.outcome is not None and name not in TOLD_APART
    ]


def technique_lines(record: FinishedRecord) -> list[str]:
    """The declared cost of all techniques, then a line for each."""
    if not record.techniques:
        return ["none"]
    lines = [describe_technique(name, active.model_dump()) for name, active in record.techniques.items()]
    return [f"{training_time_text(record.budget.cost)} (declared)", *lines]
