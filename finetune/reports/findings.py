"""Findings of the data checks as text: in full for `finetune check`, in short for `finetune run`."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from finetune.atomic import write_text
from finetune.measurement.scores import measure_of
from finetune.measurement.units import count_text, metric_name, score_text
from finetune.records.schema import Baseline, DataFacts, Finding
from finetune.reports import data_tables
from finetune.reports.data_tables import LEVELS
from finetune.reports.numbers import simple_name, split_name
from finetune.reports.plan import excluded_rows

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a cell starts with that a spreadsheet would compute


def render_check(facts: DataFacts) -> str:
    """What was read, every finding with examples and advice, the baselines, and how many findings there are."""
    lines = [f"Data        {describe_data(facts)}", f"Columns     {describe_columns(facts)}"]
    if facts.dropped:
        lines.append(f"Excluded    {excluded_rows(facts.dropped)}")
    lines += [f"note: {note}" for note in facts.notes]
    lines += [f"warning: {warning}" for warning in facts.warnings]
    for check, found in by_check(facts.findings).items():
        lines += ["", *_full(check, found)]
    if facts.baselines:
        lines += ["", *_baselines_table(facts)]
    return "\n".join([*lines, "", count_findings(facts.findings)])


def describe_data(facts: DataFacts) -> str:
    """`single-label, 3 labels; rows: train 1,200, train (sample) 600, validation 400`."""
    task = facts.task.replace("_", "-")
    kind = task if facts.labels is None else f"{task}, {count_text(len(facts.labels), 'label')}"
    return f"{kind}; rows: {', '.join(f'{split_name(split)} {count:,}' for split, count in facts.rows.items())}"


def data_line(facts: DataFacts) -> str:
    """The line on the data at the start of a run: columns, task, rows."""
    return f"data: {describe_columns(facts)}; {describe_data(facts)}"


def describe_columns(facts: DataFacts) -> str:
    """`text = review, label = stars`."""
    return ", ".join(f"{role} = {column}" for role, column in facts.columns.items())


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """A line for each check with problems or warnings: the worst, its advice, and how many more there are.

    `finetune check` shows all of them, with those of level info.
    """
    lines = []
    for check, (worst, *others) in by_check([finding for finding in findings if finding.level != "info"]).items():
        more = f" ({len(others)} more of this kind: finetune check)" if others else ""
        advice = f" {worst.advice}" if worst.advice else ""
        lines.append(f"{worst.level}: {check}: {worst.text}{advice}{more}")
    return lines


def write_findings(path: Path, columns: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Write findings as CSV. A cell that a spreadsheet would take for a formula starts with an apostrophe.

    Args:
        path: The file.
        columns: Names of the columns.
        lines: Cells of each line.

    Raises:
        OSError: The file cannot be written.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for cells in lines:
        writer.writerow([f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells])
    write_text(path, file.getvalue())


def by_check(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Check -> its findings, the worst first; checks in the order of their worst finding."""
    grouped: dict[str, list[Finding]] = {}
    for finding in sorted(findings, key=lambda finding: LEVELS.index(finding.level)):
        grouped.setdefault(finding.check, []).append(finding)
    return grouped


def check_lines(facts: DataFacts) -> list[str]:
    """The finding lines with the scores of simple models, where measured: for the start of a run."""
    lines = finding_lines(facts.findings)
    simple = baselines_line(facts.baselines, facts.task, facts.score)
    return [*lines, f"note: baselines: {simple}; more: finetune check"] if simple else lines


def baselines_line(baselines: Sequence[Baseline], task: str, score: str | None) -> str:
    """`majority class 50.0 %, TF-IDF 81.2 % (accuracy on validation)`; empty where none was measured there.

    Args:
        baselines: Baselines of the record.
        task: Task of the record.
        score: Main score of the record; None: the task's own.
    """
    name = measure_of(task, score).score
    measured = [baseline for baseline in baselines if "validation" in baseline.scores]
    if not measured:
        return ""
    levels = [(simple_name(baseline), baseline.scores["validation"].get(name)) for baseline in measured]
    scores = ", ".join(f"{title} {score_text(name, level)}" for title, level in levels)
    return f"{scores} ({metric_name(name)} on validation)"


def count_findings(findings: Sequence[Finding]) -> str:
    """`3 problems, 2 warnings`, or `no problems, no warnings`."""
    counts = Counter(str(finding.level) for finding in findings)
    parts = [count_text(counts[level], level) for level in LEVELS[:2] if counts[level]]
    return ", ".join(parts) or "no problems, no warnings"


def _full(check: str, found: Sequence[Finding]) -> list[str]:
    """All findings of a check with their examples, and each advice once."""
    lines = []
    for finding in found:
        level = finding.level.upper() if finding.level != "info" else "info"
        lines.append(f"{level}  {check}: {finding.text}")
        lines += [f"    {example}" for example in finding.examples]
    return lines + [f"    -> {advice}" for advice in dict.fromkeys(finding.advice for finding in found) if advice]


def _baselines_table(facts: DataFacts) -> list[str]:
    """As lines: a pipe must not break them."""
    table = data_tables.baselines(facts)
    header = [column.title for column in table.columns]
    body = [[cell.text for cell in row] for row in table.rows]
    widths = [max(len(row[column]) for row in [header, *body]) for column in range(len(header))]
    aligned = [
        "  ".join(
            cell.rjust(width) if column.numeric else cell.ljust(width)
            for column, cell, width in zip(table.columns, row, widths, strict=True)
        )
        for row in [header, *body]
    ]
    return [*aligned, *table.notes]
