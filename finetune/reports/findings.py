"""What the gate found, as text: for `finetune check`, and in short for `finetune run`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from finetune.measurement.scores import MEASURES, measure_of
from finetune.measurement.units import metric_name, score_text
from finetune.records.schema import Baseline, DataFacts, Finding

LEVELS = ("problem", "warning", "info")


def render_check(facts: DataFacts) -> str:
    """What was read, every finding with examples and advice, the baselines, and how many findings there are."""
    rows = ", ".join(f"{split.replace('_', ' ')} {count}" for split, count in facts.rows.items())
    columns = ", ".join(f"{role} = {column}" for role, column in facts.columns.items())
    kind = facts.task if facts.labels is None else f"{facts.task}, {len(facts.labels)} labels"
    lines = [f"data        {kind}; rows: {rows}", f"columns     {columns}"]
    if facts.dropped:
        lines.append("left out    " + ", ".join(f"{count} × {reason}" for reason, count in facts.dropped.items()))
    lines += [f"note: {note}" for note in facts.notes]
    lines += [f"warning: {warning}" for warning in facts.warnings]
    for finding in facts.findings:
        lines += ["", *_full(finding)]
    if facts.baselines:
        lines += ["", *_baselines_table(facts)]
    return "\n".join([*lines, "", count_findings(facts.findings)])


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """A line for each problem and warning, with what to type; what is only good to know is left to `finetune check`."""
    return [
        f"{finding.level}: {finding.check}: {finding.text}{f' {finding.advice}' if finding.advice else ''}"
        for finding in findings
        if finding.level != "info"
    ]


def baselines_line(baselines: Sequence[Baseline], task: str, score: str | None, split: str = "validation") -> str:
    """`majority 50.0 %, tfidf 81.2 % accuracy on validation`; empty without baselines.

    Args:
        baselines: Of the record.
        task: Of the record.
        score: Main score of the record; None: the task's own.
        split: Where they are measured.
    """
    name = measure_of(task, score).score
    known = [baseline for baseline in baselines if split in baseline.scores]
    if not known:
        return ""
    scores = ", ".join(f"{baseline.name} {score_text(name, baseline.scores[split].get(name))}" for baseline in known)
    return f"{scores} {metric_name(name)} on {split}"


def count_findings(findings: Sequence[Finding]) -> str:
    """`3 problems, 2 warnings`, or that there is nothing."""
    counts = Counter(str(finding.level) for finding in findings)
    said = [f"{counts[level]} {level}{'' if counts[level] == 1 else 's'}" for level in LEVELS[:2] if counts[level]]
    return ", ".join(said) or "no problems, no warnings"


def _full(finding: Finding) -> list[str]:
    lines = [f"{finding.level.upper() if finding.level != 'info' else 'info'}  {finding.check}: {finding.text}"]
    lines += [f"    {example}" for example in finding.examples]
    return lines + ([f"    -> {finding.advice}"] if finding.advice else [])


def _baselines_table(facts: DataFacts) -> list[str]:
    """One row for each baseline and split, one column for each score that a run shows."""
    names = measure_of(facts.task, facts.score).shown
    header = ["to beat", "", *(metric_name(name) for name in names)]
    body = [
        [
            baseline.name if index == 0 else "",
            split.replace("_", " "),
            *(score_text(name, scores.get(name)) for name in names),
        ]
        for baseline in facts.baselines
        for index, (split, scores) in enumerate(baseline.scores.items())
    ]
    widths = [max(len(row[column]) for row in [header, *body]) for column in range(len(header))]
    aligned = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [header, *body]
    ]
    unit = MEASURES[facts.task].loss_unit
    legend = [f"{baseline.name}: {baseline.about}" for baseline in facts.baselines]
    return [*aligned, f"({'; '.join(legend)}; {metric_name(MEASURES[facts.task].loss)} in {unit})"]
