"""Tables about the data: findings of its checks, and scores of simple models on it."""

from collections.abc import Sequence

from finetune.measurement.scores import measure_of
from finetune.measurement.units import DASH, metric_name, score_text
from finetune.records.schema import DataFacts, Finding
from finetune.reports.blocks import Cell, Column, Table
from finetune.reports.captions import sentence
from finetune.reports.numbers import shorten, simple_name, split_name
from finetune.reports.tables import long_column

LEVELS = ("problem", "warning", "info")  # the worst first


def findings(found: Sequence[Finding], caption: str = "Findings of the data checks.") -> Table:
    """Every finding with its examples and advice, the worst first."""
    columns = [Column("Level", numeric=False), Column("Check", numeric=False)]
    columns += [long_column("Finding"), long_column("Advice")]
    rows = [
        [
            Cell(finding.level, sort=LEVELS.index(finding.level)),
            Cell(finding.check.replace("_", " "), sort=finding.check),
            Cell(shorten(finding.text, 400), shorten("; ".join(finding.examples), 400), user=True),
            Cell(shorten(finding.advice, 300) or DASH, user=True),
        ]
        for finding in sorted(found, key=lambda finding: LEVELS.index(finding.level))
    ]
    return Table(caption, columns, rows, as_cards=True)


def baselines(facts: DataFacts) -> Table:
    """A row for each simple model and split, a column for each score that a run shows."""
    measure = measure_of(facts.task, facts.score)
    columns = [Column("Baseline", numeric=False), Column("Split", numeric=False)]
    columns += [Column(sentence(metric_name(name))) for name in measure.shown]
    rows = [
        [
            Cell(simple_name(baseline), sort=baseline.name),
            Cell(split_name(split), sort=split),
            *(Cell(score_text(name, scores.get(name)), sort=scores.get(name)) for name in measure.shown),
        ]
        for baseline in facts.baselines
        for split, scores in baseline.scores.items()
    ]
    notes = [f"{sentence(simple_name(baseline))}: {baseline.about}." for baseline in facts.baselines]
    notes.append(f"{sentence(metric_name(measure.loss))} is in {measure.loss_unit}.")
    return Table("Baselines: scores of models without a neural network.", columns, rows, notes=notes)
