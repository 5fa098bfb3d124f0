"""Terminal output at the end of a run."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from finetune.measurement.gap import compute_gap
from finetune.measurement.scores import Measure
from finetune.measurement.units import change_text, count_text, metric_name, score_text
from finetune.records.schema import FinishedRecord, Scores
from finetune.records.store import RunFolder
from finetune.reports import run_content
from finetune.reports.captions import sentence
from finetune.reports.rich_table import Adaptive, rich_table

LABEL = 12  # characters, of the lines below a table


def labelled(label: str, text: str) -> str:
    """`Diagnosis   Overfits: …`: a line below a table, without the backticks that mark names on pages."""
    return f"{label:<{LABEL}}{text.replace('`', '')}"


def next_lines(command: str, why: str) -> list[str]:
    """The command to type next, with the reason above it."""
    return [labelled("Next", f"{sentence(why)}:"), f"{'':<{LABEL}}$ {command}"]


def run_table(record: FinishedRecord) -> Adaptive:
    """Scores of the selected checkpoint by split, and the gap with its interval."""
    return rich_table(run_content.scores_table(record))


def seeds_table(records: Sequence[FinishedRecord]) -> Adaptive:
    """Mean and standard deviation over the seeds of one recipe."""
    return rich_table(run_content.seeds_table(records))


def run_summary(
    record: FinishedRecord, folder: RunFolder, next_step: tuple[str, str], told: Collection[str] = ()
) -> str:
    """The lines below the table; warnings shown before are only counted."""
    lines = [""]
    lines += [labelled(label, text) for label, text in run_content.run_facts(record)]
    first, *further = run_content.technique_lines(record)
    lines.append(labelled("Techniques", first))
    lines += [f"{'':<{LABEL + 2}}{line}" for line in further]
    new = [warning for warning in record.warnings if warning not in told]
    lines += [labelled("Warning", warning) for warning in new]
    if len(new) < len(record.warnings):
        before = count_text(len(record.warnings) - len(new), "warning")
        findings = sum(each.level != "info" for each in record.data.findings)
        checks = f", and {count_text(findings, 'finding')} of the data checks," if findings else ""
        lines.append(labelled("Warnings", f"{before}{checks} shown before training; all are in the record"))
    loading = "plain transformers: AutoModelForSequenceClassification.from_pretrained"
    lines += [
        labelled("Model", f"{folder.model}   ({loading})"),
        labelled("Record", str(folder.record_path)),
        *next_lines(*next_step),
    ]
    return "\n".join(lines)


def live_scores(measure: Measure, train: Scores, validation: Scores) -> str:
    """One short line while a run trains: the main score on train and validation, and the gaps of score and loss."""
    gaps = compute_gap(_known(train), _known(validation))
    score, loss = measure.score, measure.loss
    levels = f"train {score_text(score, train.get(score))}, validation {score_text(score, validation.get(score))}"
    return (
        f"{metric_name(score)}: {levels}, gap {change_text(score, gaps.get(score))}; "
        f"{metric_name(loss)} gap {change_text(loss, gaps.get(loss))}"
    )


def _known(scores: Scores) -> dict[str, float]:
    return {name: value for name, value in scores.items() if value is not None and math.isfinite(value)}
