"""Write a saved model in the format of another runtime, and check that it predicts the same."""

from __future__ import annotations

import importlib.metadata
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import torch

from finetune.analysis.evaluation import Measured, plain_scores
from finetune.atomic import replaced_folder
from finetune.data.train_set import Collator
from finetune.errors import Change, DataError, ModelError, OutputError, RecipeError, RunFailed
from finetune.exports.base import Format
from finetune.exports.graph import write_graph
from finetune.exports.registry import WEIGHTS, choose_format
from finetune.inference.agreement import agreement, beside_others, median_times
from finetune.inference.classifier import BATCH, Classifier, load
from finetune.inference.labelled import read_labelled
from finetune.inference.predictions import Predictions
from finetune.inference.tables import read_input
from finetune.listener import Listener
from finetune.measurement.scores import MEASURES
from finetune.measurement.units import count_text, number_text
from finetune.models.load import load_exported
from finetune.models.served import FILE as SERVED
from finetune.recipe import DataSection
from finetune.records.export import ExportReport, Timing
from finetune.workflows.default_listener import chosen_listener
from finetune.workflows.evaluate import FOR_LABELS
from finetune.workflows.model_results import ExportResult
from finetune.workflows.origins import find_run, find_training_data
from finetune.workflows.predict import FOR_TEXTS, data_section

QUANTIZATIONS = ("int8",)
ALLOWED_DIFFERENCE = 0.001  # of a probability; of numbers in standard deviations: the same model up to rounding
ALLOWED_CHANGES = 0.05  # of labels, in int8
ALLOWED_RELATIVE = 0.1  # root mean square difference of numbers in standard deviations, in int8
MOST_ROWS = 2000  # that are compared
REPORT = "export.json"


@dataclass(frozen=True)
class Compared:
    """Rows that both models predict.

    Attributes:
        texts, pairs: First and second text of each row.
        labels: Label of each row; None if unknown.
        name: Description of the rows.
    """

    texts: Sequence[str]
    pairs: Sequence[str] | None
    labels: Sequence[Any] | None
    name: str


def export(
    model: str | PathLike[str],
    format: str = "onnx",
    *,
    quantize: str | None = None,
    data: Any = None,
    output: str | PathLike[str] | None = None,
    tolerance: float | None = None,
    overrides: Any = (),
    batch_size: int = BATCH,
    listener: Listener | None = None,
) -> ExportResult:
    """Write a saved model for ONNX Runtime or OpenVINO: a folder that `predict` and `evaluate` accept like any model.

    Before the folder appears, both models predict the same rows. Where they differ by more than is allowed, nothing is
    kept.

    Args:
        model: Folder of a run or comparison, a model folder, or a hub id.
        format: onnx or openvino.
        quantize: int8 stores the weights as 8-bit integers; None keeps fp32.
        data: Rows to compare, as `finetune.evaluate` takes them; labels are optional. By default the validation rows
            of the run.
        output: A new folder; by default one beside the model's: model-onnx, model-openvino-int8.
        tolerance: For fp32, the largest allowed difference of a probability, or of predicted numbers in standard
            deviations (default 0.001). For int8, the fraction of labels that may change (default 0.05), or the root
            mean square difference of numbers in standard deviations (default 0.1).
        overrides: How `data` is read, where it differs from training.
        batch_size: Texts per forward pass.
        listener: As for `compare`.

    Raises:
        FinetuneError: The model or the data cannot be read, a package is missing, the architecture cannot be exported,
            or the output exists.
        RunFailed: The exported model differs by more than the tolerance.
    """
    listener = chosen_listener(listener)
    chosen = _checked(format, quantize, tolerance)
    chosen.check_installed(chosen.to_write)
    classifier = load(fspath(model))
    if classifier.format is not None:
        why = f"is exported already ({classifier.format.title}). Export the model that it was made from."
        raise ModelError(why, argument="model", found=fspath(model))
    for note in classifier.notes:
        listener.notice(note)
    target = _target(classifier, chosen, quantize, output)
    compared = _compared(classifier, data, overrides, listener)
    with replaced_folder(target) as partial:
        partial.mkdir(parents=True)
        changes = _write(classifier, chosen, quantize, compared, partial)
        report = _Comparison(classifier, load(partial), compared, batch_size).report(
            chosen, quantize, changes, tolerance
        )
        _refuse(report, tolerance)
        (partial / REPORT).write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return ExportResult(target, report)


def _checked(format: str, quantize: str | None, tolerance: float | None) -> Format:
    """
    Raises:
        RecipeError: One of them is unknown, or out of range.
    """
    if quantize is not None and quantize not in QUANTIZATIONS:
        ways = [Change(arguments={"quantize": each}) for each in QUANTIZATIONS]
        raise RecipeError(
            "is not a known precision. Leave it out for fp32.", *ways, argument="quantize", found=quantize
        )
    if tolerance is not None and not 0 < tolerance <= 1:
        raise RecipeError("expected a fraction, such as 0.01.", argument="tolerance", found=tolerance)
    return choose_format(format)


def _target(classifier: Classifier, form: Format, quantize: str | None, output: Any) -> Path:
    """
    Raises:
        OutputError: It exists.
    """
    origin = Path(classifier.origin)
    ending = "-".join([form.name, *([] if quantize is None else [quantize])])
    beside = Path(os.path.normpath(origin / os.pardir)) if origin.is_dir() else Path()  # of "." it is ".."
    target = beside / f"{origin.resolve().name if origin.is_dir() else origin.name}-{ending}"
    if output is not None:
        target = Path(fspath(output)).expanduser()
    if target.exists() or target.is_symlink():
        other = Change(arguments={"output": str(target.with_name(f"{target.name}-2"))})
        raise OutputError("exists. Choose another name, or remove it.", other, argument="output", found=str(target))
    return target


def _compared(classifier: Classifier, data: Any, overrides: Any, listener: Listener) -> Compared:
    """The rows of `data`, or the validation rows of the model's run; of very many some that are spread over all.

    Raises:
        DataError: There are none.
    """
    if data is None:
        found = _validation(classifier)
    else:
        found = _given(classifier, data_section(data, overrides, (*FOR_TEXTS, *FOR_LABELS)), listener)
    count = len(found.texts)
    if count <= MOST_ROWS:
        return found
    rows = [index * count // MOST_ROWS for index in range(MOST_ROWS)]
    return Compared(
        [found.texts[row] for row in rows],
        None if found.pairs is None else [found.pairs[row] for row in rows],
        None if found.labels is None else [found.labels[row] for row in rows],
        f"{MOST_ROWS} of {count} rows of {found.name}",
    )


def _validation(classifier: Classifier) -> Compared:
    record = find_run(classifier.origin, classifier.served)
    found = (
        "run.json of the run that trained it is not beside the model" if record is None else find_training_data(record)
    )
    if isinstance(found, str):
        why = f"there are no rows to compare the exported model on: {found}."
        raise DataError(why, Change(arguments={"data": "FILE"}, note="with texts, and labels if there are any"))
    rows = found.validation
    return Compared(rows.texts, rows.pairs, rows.labels, "validation")


def _given(classifier: Classifier, section: DataSection, listener: Listener) -> Compared:
    served = classifier.served
    try:
        labelled = read_labelled(section, classifier.reading, None if served is None else served.label)
    except DataError as error:
        if error.problems[0].key != "data.label":
            raise
        unlabelled = read_input(section, classifier.reading)
        listener.notice(f"no score is compared: {error.problems[0].why}", "warning")
        kept = [row for row, text in enumerate(unlabelled.texts) if text.strip()]
        if not kept:
            raise DataError("no row has a text.", argument="data", found=section.source) from error
        pairs = unlabelled.pairs
        return Compared(
            [unlabelled.texts[row] for row in kept],
            None if pairs is None else [pairs[row] for row in kept],
            None,
            section.source,
        )
    for warning in labelled.warnings:
        listener.notice(warning, "warning")
    return Compared(labelled.rows.texts, labelled.rows.pairs, labelled.rows.labels, section.source)


def _write(classifier: Classifier, form: Format, quantize: str | None, rows: Compared, folder: Path) -> str | None:
    """All files but the report; says what was quantized."""
    plain = load_exported(classifier.origin).eval()
    plain.config.save_pretrained(folder)
    _plain_tokenizer(classifier.origin).save_pretrained(folder)
    if classifier.served is not None:
        text = classifier.served.model_dump_json(indent=2)
        (folder / SERVED).write_text(text + "\n", encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        graph = Path(inside) / "model.onnx"
        write_graph(plain, _example(classifier, rows), graph)
        if quantize is None:
            form.write(graph, folder)
            return None
        return form.quantize(graph, folder)


def _plain_tokenizer(location: str) -> Any:
    """As it lies beside the model, with the settings by which it cuts texts."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(location, trust_remote_code=False)


def _example(classifier: Classifier, rows: Compared) -> dict[str, torch.Tensor]:
    """A batch of two pieces of texts, as the model is called."""
    texts = [*rows.texts[:2], *rows.texts[:1]][:2]
    pairs = None if rows.pairs is None else [*rows.pairs[:2], *rows.pairs[:1]][:2]
    items = [{**item, "labels": 0} for item in classifier.encoder.encode(texts, pairs)][:2]
    batch = Collator(classifier.encoder.tokenizer)(items)
    del batch["labels"]
    return batch


class _Comparison:
    """Both models on the same rows.

    Args:
        before: The model of torch.
        after: The exported one.
        rows: What they are asked.
        batch_size: Of a forward pass.
    """

    def __init__(self, before: Classifier, after: Classifier, rows: Compared, batch_size: int) -> None:
        self.before, self.after, self.rows, self.batch_size = before, after, rows, batch_size

    def report(self, form: Format, quantize: str | None, changes: str | None, tolerance: float | None) -> ExportReport:
        texts, pairs, reading = self.rows.texts, self.rows.pairs, self.before.reading
        first = self.before.predict(texts, pairs, batch_size=self.batch_size)
        second = self.after.predict(texts, pairs, batch_size=self.batch_size)
        found = agreement(first, second)
        measured, allowed = _limit(first, quantize, tolerance)
        before, after = self._scores(first), self._scores(second)
        timings = median_times((self.before, self.after), texts, pairs)
        return ExportReport(
            model=_origin_name(self.before.origin),
            record=None if self.before.served is None else self.before.served.record,
            format=form.name,
            quantize=quantize,
            changes=changes,
            data=self.rows.name,
            rows=len(texts),
            task=reading.task,
            **vars(found),
            beside=beside_others(self.after, texts, pairs),
            allowed=allowed,
            measured=measured,
            score=MEASURES[reading.task].score if before else None,
            scores_before=before,
            scores_after=after,
            bytes_before=_size(self.before.origin, WEIGHTS),
            bytes_after=_size(self.after.origin, (f"{Path(form.file).stem}.*",)),
            threads=torch.get_num_threads(),
            timings=[
                Timing(texts=count, before_ms=1000 * seconds[0], after_ms=1000 * seconds[1])
                for count, seconds in timings.items()
            ],
            torch=torch.__version__,
            runtime=importlib.metadata.version(next(iter(form.to_open.values()))),
        )

    def _scores(self, found: Predictions) -> dict[str, float]:
        """As a run measures them; empty without labels."""
        if self.rows.labels is None:
            return {}
        targets = np.array([self.before.encoder.target(label) for label in self.rows.labels])
        reading = self.before.reading
        scores = plain_scores(Measured(reading.task, reading.labels, found.logits, targets))
        return {name: value for name, value in scores.items() if np.isfinite(value)}


def _limit(first: Predictions, quantize: str | None, tolerance: float | None) -> tuple[str, float]:
    """What is measured, and how much of it is allowed."""
    if quantize is None:
        spread = 1.0 if first.probabilities is not None else float(first.logits.std()) or 1.0
        return "difference", (tolerance or ALLOWED_DIFFERENCE) * spread
    if first.probabilities is None:
        return "relative", tolerance or ALLOWED_RELATIVE
    return "changed", tolerance or ALLOWED_CHANGES


def _refuse(report: ExportReport, tolerance: float | None) -> None:
    """
    Raises:
        RunFailed: The exported model differs by more than is allowed.
    """
    if not math.isfinite(report.difference):
        raise RunFailed(f"one of the two models predicts nan for some of {report.rows} rows. Nothing was kept.")
    if report.measured == "changed":
        found, usual = (report.changed or 0) / (report.decisions or 1), ALLOWED_CHANGES
        text = f"{report.changed} of {count_text(report.decisions or 0, 'label')} change, a fraction of {found:.2g}"
    elif report.measured == "relative":
        found, usual = report.relative or 0.0, ALLOWED_RELATIVE
        text = f"predictions differ by {found:.2g} of their standard deviation"
    else:
        found, usual = report.difference, ALLOWED_DIFFERENCE
        text = f"predictions differ by up to {found:.2g}"
    if found <= report.allowed:
        return
    scores = ""
    if report.score is not None:
        ends = [number_text(each.get(report.score), 4) for each in (report.scores_before, report.scores_after)]
        scores = f"; {report.score} {ends[0]} before, {ends[1]} after"
    rows = count_text(report.rows, "row")
    why = f"the exported model differs too much: {text}, and {report.allowed:.2g} is allowed, on {rows}{scores}"
    enough = _above((tolerance or usual) * found / report.allowed)
    ways = [Change(arguments={"tolerance": enough}, note="to keep it all the same")] if enough <= 1 else []
    raise RunFailed(f"{why}. Nothing was kept.", *ways)


def _above(found: float) -> float:
    """The next number of two digits that is not less."""
    unit = 10.0 ** (math.floor(math.log10(found)) - 1)
    return float(f"{math.ceil(found / unit) * unit:.2g}")


def _size(folder: str, patterns: Sequence[str]) -> int:
    """Bytes of these files; 0 for a hub id."""
    return sum(file.stat().st_size for pattern in patterns for file in Path(folder).glob(pattern))


def _origin_name(origin: str) -> str:
    """The last two parts of a folder: paths of a machine are nobody else's concern."""
    path = Path(origin)
    return "/".join(path.resolve().parts[-2:]) if path.is_dir() else origin
