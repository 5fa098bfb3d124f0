"""An evaluation of a saved model: on a terminal, and as the blocks of a page and of a model card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from finetune.measurement.scores import LOSSES, measure_of
from finetune.measurement.units import (
    DASH,
    count_text,
    integer_text,
    metric_name,
    number_text,
    percent_text,
    row_text,
    scale,
)
from finetune.records.evaluation import EvaluationReport, Mistake
from finetune.records.report import ReliabilityBin
from finetune.reports.blocks import Block, Bullets, Cell, Column, Facts, Page, Plot, Section, Table
from finetune.reports.captions import sentence
from finetune.reports.files import write_files
from finetune.reports.numbers import shorten
from finetune.reports.palette import Palette
from finetune.reports.tables import long_column
from finetune.reports.terminal import labelled

if TYPE_CHECKING:
    from finetune.reports.rich_table import Adaptive

SHOWN_TEXT = 78  # characters of a text: a line of a narrow terminal
MATRIX = 6  # classes, up to which the whole confusion matrix fits a terminal
CONFUSED = 10  # pairs of classes that are shown where it does not
SHOWN_CLASSES = 15
SHOWN_MISTAKES = 8  # on a terminal
BOUND = [
    "Intervals (95 %) are over rows, for exactly this model: Wilson's for fractions of rows, else the percentile "
    "bootstrap."
]


def terminal_tables(report: EvaluationReport) -> list[Adaptive]:
    """Scores, classes, and confusions."""
    from finetune.reports.rich_table import rich_table

    tables = [scores_table(report)]
    if report.classes:
        tables.append(classes_table(report, SHOWN_CLASSES))
    if report.confusion is not None and report.wrong:
        labels = report.labels or []
        tables.append(confusion_table(report) if len(labels) <= MATRIX else confused_table(report))
    return [rich_table(table) for table in tables]


def summary(report: EvaluationReport) -> str:
    """The lines below the tables."""
    lines = ["", *(labelled(label, shorten(text, 600)) for label, text in facts(report))]
    if report.mistakes:
        lines += ["", mistakes_caption(report, SHOWN_MISTAKES)]
        for mistake in report.mistakes[:SHOWN_MISTAKES]:
            lines += _mistake_lines(mistake, report.task)
    return "\n".join(lines)


def write_evaluation(report: EvaluationReport, folder: Path) -> list[Path]:
    """Write evaluation.json, evaluation.html, and evaluation.md with its figures; returns the three paths."""
    page = Page(title(report), [("e1", report, sections(report))], [], Palette([]))
    return write_files("evaluation", report, page, folder)


def title(report: EvaluationReport) -> str:
    """The model, by the folder of its run, and the rows."""
    model = Path(report.model)
    name = model.parent.name if model.name == "model" else model.name
    return shorten(f"{name} on {report.data}", 160)


def sections(report: EvaluationReport) -> list[Section]:
    """All sections of the page."""
    entries = [(label, shorten(text, 600)) for label, text in _measured(report)]
    first: list[Block] = [scores_table(report), Facts(entries)]
    found = [Section("scores", "Result", first)]
    if report.classes:
        classes: list[Block] = [classes_table(report)]
        if report.confusion is not None:
            classes.append(confusion_table(report))
        found.append(Section("classes", "Classes", classes))
    if report.reliability:
        found.append(Section("calibration", "Calibration", [_reliability_plot(report)]))
    found.append(Section("mistakes", "Mistakes", [mistakes_table(report)]))
    if report.drift:
        items = [f"{sentence(each.level)}: {each.text} {each.advice}".strip() for each in report.drift]
        found.append(Section("drift", "Difference from the training rows", [Bullets(items, user=True)]))
    for slug, heading, texts in (("notes", "Notes", report.notes), ("missing", "Not available", report.missing)):
        if texts:
            found.append(Section(slug, heading, [Bullets([shorten(text, 500) for text in texts], user=True)]))
    return found


def scores_table(report: EvaluationReport) -> Table:
    """Every score with its interval, also with thresholds or temperature where that differs, and on the run's own
    rows."""
    recorded = report.recorded
    columns = [Column("", numeric=False, sortable=False), Column("These rows", note=count_text(report.rows, "row"))]
    columns.append(Column("95 % interval", sortable=False))
    if report.served:
        columns.append(Column("As predicted", note=_as_predicted(report)))
    if recorded is not None:
        columns.append(Column(f"Run's {recorded.split}", note=count_text(recorded.rows, "row")))
    rows = []
    for name in ordered_scores(report):
        unit, value = scale(name), report.scores[name]
        cells = [Cell(sentence(metric_name(name))), Cell(unit.level(value.value)), Cell(unit.range(value) or DASH)]
        if report.served:
            served = report.served.get(name)
            cells.append(Cell("" if served is None else f"{unit.level(served.value)} {unit.range(served)}".rstrip()))
        if recorded is not None:
            cells.append(Cell(unit.level(recorded.scores.get(name))))
        rows.append(cells)
    return Table("Scores", columns, rows, notes=BOUND)


def ordered_scores(report: EvaluationReport) -> list[str]:
    """The main score first, losses last."""
    measure = measure_of(report.task, report.score)
    names = [*measure.shown, *(name for name in report.scores if name not in measure.shown)]
    return sorted((name for name in names if name in report.scores), key=lambda name: name in LOSSES)


def _as_predicted(report: EvaluationReport) -> str:
    if report.temperature is not None:
        return f"temperature {number_text(report.temperature, 2)}"
    return "thresholds of labels"


def classes_table(report: EvaluationReport, most: int | None = None) -> Table:
    """Precision, recall and F1 of each label, the lowest F1 first."""
    columns = [Column("Label", numeric=False), Column("Rows"), Column("Predicted"), Column("Precision")]
    columns += [Column("Recall"), Column("F1"), Column("95 % interval", sortable=False)]
    unit = scale("macro_f1")
    rows = [
        [
            Cell(shorten(each.label, 40), sort=each.label, user=True),
            Cell(integer_text(each.support), sort=each.support),
            Cell(integer_text(each.predicted), sort=each.predicted),
            Cell(unit.level(each.precision), sort=each.precision),
            Cell(unit.level(each.recall), sort=each.recall),
            Cell(unit.level(each.f1.value), sort=each.f1.value),
            Cell(unit.range(each.f1) or DASH),
        ]
        for each in report.classes[:most]
    ]
    hidden = len(report.classes) - len(rows)
    notes = [f"{count_text(hidden, 'label')} with a higher F1 not shown here."] if hidden else []
    fold = SHOWN_CLASSES if most is None and len(rows) > SHOWN_CLASSES else None
    return Table("Labels, lowest F1 first", columns, rows, open_rows=fold, notes=notes)


def confusion_table(report: EvaluationReport) -> Table:
    """One row per class, one column per predicted class; on a page, cells with more of the class's rows are darker."""
    labels = [shorten(label, 30) for label in report.labels or []]
    columns = [Column("True \\ predicted", numeric=False), *(Column(label) for label in labels)]
    rows = [
        [Cell(label, user=True), *(_shaded(count, sum(counts)) for count in counts)]
        for label, counts in zip(labels, report.confusion or [], strict=True)
    ]
    return Table("Confusion matrix, in rows of the data", columns, rows)


def _shaded(count: int, of_class: int) -> Cell:
    return Cell(integer_text(count), sort=count, shade=count / of_class if of_class else 0.0)


def confused_table(report: EvaluationReport) -> Table:
    """The most frequent confusions."""
    labels, matrix = report.labels or [], report.confusion or []
    pairs = [
        (count, labels[true], labels[predicted])
        for true, counts in enumerate(matrix)
        for predicted, count in enumerate(counts)
        if true != predicted and count
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    columns = [Column("True", numeric=False), Column("Predicted", numeric=False), Column("Rows")]
    rows = [
        [Cell(shorten(true, 35), user=True), Cell(shorten(predicted, 35), user=True), Cell(integer_text(count))]
        for count, true, predicted in pairs[:CONFUSED]
    ]
    more = len(pairs) - len(rows)
    notes = [f"{count_text(more, 'pair')} of labels with fewer rows not shown here."] if more else []
    return Table("Most frequent confusions", columns, rows, notes=notes)


def reliability_table(bins: list[ReliabilityBin]) -> Table:
    """Confidence and accuracy of rows with similar confidence."""
    columns = [Column("Confidence", note="mean"), Column("Accuracy"), Column("Rows")]
    rows = [
        [Cell(percent_text(each.confidence, 1)), Cell(percent_text(each.accuracy, 1)), Cell(integer_text(each.rows))]
        for each in bins
    ]
    return Table("Calibrated confidence of the predicted class, and how often it is right", columns, rows)


def mistakes_caption(report: EvaluationReport, most: int | None = None) -> str:
    """How many mistakes there are, and which are shown.

    Args:
        most: How many are shown at most; all that the report has by default.
    """
    if report.wrong is None:
        return "Largest errors"
    verb = "is" if report.wrong == 1 else "are"
    shown = len(report.mistakes[:most])
    which = "the most confident first" if shown == report.wrong else f"the {shown} most confident ones"
    return f"{integer_text(report.wrong)} of {count_text(report.rows, 'row')} {verb} wrong; {which}"


def mistakes_table(report: EvaluationReport) -> Table:
    """The most confident mistakes, with the nearest training text where that is known."""
    is_number = report.task == "regression"
    has_nearest = any(mistake.nearest for mistake in report.mistakes)
    amount = Column("Error" if is_number else "Confidence", note=_of_what(report))
    columns = [Column("Row", numeric=False), long_column("Text"), Column("Target", numeric=False)]
    columns += [Column("Prediction", numeric=False), amount]
    columns += [long_column("Nearest training text")] if has_nearest else []
    rows = []
    for each in report.mistakes:
        shown = number_text(each.error, 3) if is_number else percent_text(each.confidence, 1)
        cells = [
            Cell(row_text(each.row, each.id), sort=each.row, user=True),
            Cell(shorten(each.text, 160), shorten(each.pair or "", 160), user=True),
            Cell(shorten(each.target, 60), sort=each.target, user=True),
            Cell(shorten(each.prediction, 60), sort=each.prediction, user=True),
            Cell(shown, sort=each.error if is_number else each.confidence),
        ]
        if has_nearest:
            cells.append(Cell(_nearest(each, 160), user=True))
        rows.append(cells)
    return Table(mistakes_caption(report), columns, rows, as_cards=True)


def _of_what(report: EvaluationReport) -> str:
    return "of the most confident wrong label" if report.task == "multi_label" else ""


def _nearest(mistake: Mistake, most: int) -> str:
    near = mistake.nearest
    if near is None:
        return DASH
    similarity = number_text(near.similarity, 2)
    head = f"row {row_text(near.row, near.id)}, {shorten(near.label, 40)}, similarity {similarity}"
    return f"{head}: {shorten(near.text, most)}"


def _mistake_lines(mistake: Mistake, task: str) -> list[str]:
    amount = {
        "single_label": percent_text(mistake.confidence),
        "multi_label": f"most confident wrong label {percent_text(mistake.confidence)}",
        "regression": f"error {number_text(mistake.error, 3)}",
    }[task]
    head = f"row {row_text(mistake.row, mistake.id)}: {shorten(mistake.prediction, 50)} ({amount}), not "
    lines = [f"{head}{shorten(mistake.target, 50)}", f"  {shorten(mistake.text, SHOWN_TEXT)}"]
    if mistake.pair:
        lines.append(f"  {shorten(mistake.pair, SHOWN_TEXT)}")
    if mistake.nearest is not None:
        lines.append(f"  {shorten(f'nearest in training: {_nearest(mistake, SHOWN_TEXT)}', SHOWN_TEXT)}")
    return lines


def facts(report: EvaluationReport) -> list[tuple[str, str]]:
    """Label and sentence: what was measured, drift, and what is not available."""
    drift = [("Drift", f"{each.level}: {each.text} {each.advice}".rstrip()) for each in report.drift]
    return [*_measured(report), *drift, *(("Not known", f"{text}.") for text in report.missing)]


def _measured(report: EvaluationReport) -> list[tuple[str, str]]:
    """Data, with what was left out, model, calibration and warnings."""
    measured = f"{count_text(report.rows, 'row')} of {integer_text(report.read)} measured"
    if report.left_out:
        measured += f"; left out: {'; '.join(f'{n} × {reason}' for reason, n in report.left_out.items())}"
    entries = [("Data", f"{report.data}: {measured}."), ("Model", report.model)]
    entries += [("Calibration", text) for text in calibration(report)]
    return entries + [("Warning", f"{text.rstrip('.')}.") for text in report.warnings]


def calibration(report: EvaluationReport) -> list[str]:
    """Calibration, for single-label models."""
    error = report.served.get("ece", report.scores.get("ece"))
    if error is None:
        return []
    text = f"Expected calibration error {number_text(error.value, 3)} {scale('ece').range(error)}".rstrip()
    if not report.reliability:
        return [f"{text}; too few rows for a reliability diagram."]
    over = sum(each.rows for each in report.reliability if each.accuracy < each.confidence)
    rows = count_text(report.rows, "row")
    return [f"{text}; {integer_text(over)} of {rows} are in groups with more confidence than accuracy."]


def _reliability_plot(report: EvaluationReport) -> Plot:
    from finetune.reports.figures.reliability import reliability_of_bins

    text = " ".join(calibration(report))
    picture = reliability_of_bins("these rows", text, report.reliability)
    caption = f"Below the diagonal the model is overconfident; the area of a dot is its number of rows. {text}"
    return Plot("reliability", "Reliability diagram", picture, caption)
