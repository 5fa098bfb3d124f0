"""The result of an export, on a terminal."""

from __future__ import annotations

from pathlib import Path

from finetune.measurement.units import count_text, integer_text, metric_name, multiple_text, number_text, score_text
from finetune.records.export import ExportReport
from finetune.reports.blocks import Cell, Column, Table
from finetune.reports.captions import sentence
from finetune.reports.terminal import labelled

TITLES = {"onnx": "ONNX", "openvino": "OpenVINO"}
LOSS = {"single_label": "nll", "multi_label": "nll", "regression": "rmse"}
MOVED = 1e-4  # of a probability, from which it is worth a line that neighbours in a batch change it


def export_table(report: ExportReport) -> Table:
    """Scores, size and time of both models."""
    columns = [Column("", numeric=False), Column("PyTorch"), Column(f"{TITLES[report.format]} {_precision(report)}")]
    rows = [
        [sentence(metric_name(name)), score_text(name, before), score_text(name, report.scores_after.get(name))]
        for name, before in report.scores_before.items()
        if name in (report.score, LOSS[report.task])
    ]
    rows.append(["Weights on disk", _megabytes(report.bytes_before), _megabytes(report.bytes_after)])
    for each in report.timings:
        title = f"Time for {count_text(each.texts, 'text')}"
        faster = multiple_text(each.before_ms / each.after_ms, 1)
        rows.append([title, f"{_ms(each.before_ms)} ms", f"{_ms(each.after_ms)} ms ({faster} as fast)"])
    return Table("Exported", columns, [[Cell(text) for text in row] for row in rows])


def render_export(report: ExportReport, path: Path) -> str:
    """The lines below the table."""
    lines = [("Compared", f"{count_text(report.rows, 'row')} ({report.data}): {_difference(report)}.")]
    if report.changes is not None:
        lines.append(("Quantized", f"{report.changes}."))
    if report.beside > MOVED:
        unit = "a prediction" if report.decisions is None else "a probability"
        lines.append(("Batches", f"Other texts in the batch move {unit} by up to {number_text(report.beside, 3)}."))
    threads = count_text(report.threads, "thread")
    lines.append(
        ("Times", f"Median times with {threads}, from texts to probabilities, for texts spread over these rows.")
    )
    lines.append(("Model", f"{path}   (predict and evaluate take this folder; export.json has these numbers)"))
    return "\n".join(labelled(label, text) for label, text in lines)


def _precision(report: ExportReport) -> str:
    return report.quantize or "fp32"


def _ms(value: float) -> str:
    return number_text(value, 1 if value < 100 else 0)


def _difference(report: ExportReport) -> str:
    if report.decisions is None:
        spread = number_text(report.relative, 4)
        text = f"predictions differ by up to {_small(report.difference)}, on average by {spread} standard deviations"
    else:
        unit = "label decision" if report.task == "multi_label" else "label"
        text = (
            f"{report.changed} of {count_text(report.decisions, unit)} changed; probabilities differ by up to "
            f"{_small(report.difference)}"
        )
    return f"{text} ({_allowed(report)} allowed)"


def _allowed(report: ExportReport) -> str:
    if report.measured == "changed":
        return f"{number_text(100 * report.allowed, 1)} % of labels"
    if report.measured == "relative":
        return f"{number_text(report.allowed, 3)} standard deviations"
    return f"a difference of {_small(report.allowed)}"


def _small(value: float) -> str:
    """With as many digits as it takes to see it."""
    return number_text(value, 4) if value >= 0.001 or not value else f"{value:.1g}"


def _megabytes(size: int) -> str:
    return f"{integer_text(max(round(size / 1e6), 1))} MB" if size else "unknown"
