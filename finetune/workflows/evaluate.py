"""Measure a saved model on labelled rows: scores with intervals, classes, mistakes, and drift from training."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from finetune.analysis import evaluation
from finetune.analysis.disagreements import in_words, shortened
from finetune.analysis.evaluation import Measured
from finetune.analysis.quality_gates import Fields, parse_quality_gate
from finetune.checks.base import full_texts
from finetune.checks.nearest import copies_of, nearest_texts
from finetune.data.rows import Data
from finetune.errors import Change, OutputError
from finetune.inference.classifier import BATCH, Classifier, load
from finetune.inference.drift import find_drift
from finetune.inference.labelled import Labelled, read_labelled
from finetune.listener import Listener
from finetune.measurement.scores import MEASURES
from finetune.measurement.units import count_text, metric_name, score_text
from finetune.recipe import DataSection
from finetune.records.evaluation import EvaluationReport, Mistake, Neighbour, Recorded
from finetune.records.schema import FinishedRecord
from finetune.workflows.arguments import as_list
from finetune.workflows.default_listener import chosen_listener
from finetune.workflows.model_results import EvaluateResult
from finetune.workflows.origins import find_run, find_training_data
from finetune.workflows.predict import FOR_TEXTS, data_section

FOR_LABELS = ("label", "label_map", "label_separator", "decimal", "drop_labels", "keep", "minimum", "id")
MOST = 20  # mistakes that are shown
FILES = (".json", ".html", ".md", ".csv")  # names that somebody has in mind who means a file


def evaluate(
    model: str | PathLike[str],
    data: Any,
    *,
    id: str | None = None,
    output: str | PathLike[str] | None = None,
    overrides: Any = (),
    batch_size: int = BATCH,
    fail_on: str | Sequence[str] | None = None,
    listener: Listener | None = None,
) -> EvaluateResult:
    """Measure a model on labelled rows that it has not seen.

    Args:
        model: Folder of a run or comparison, a model folder, or a hub id.
        data: File, or data from memory as `finetune.run` takes it, with labels.
        id: Column that names the rows (as `data.id`); by default that of training, where the data has it.
        output: Folder for evaluation.json, evaluation.html and evaluation.md; nothing is written by default.
        overrides: How the data is read, where it differs from training: `{"data.label": "Rating"}`.
        batch_size: Texts per forward pass.
        fail_on: Quality gates, such as "test.accuracy < 0.8" for these rows, or "difference.test.accuracy < -0.05" for
            the difference to the run's own: see `EvaluateResult.raise_failures`.
        listener: As for `compare`.

    Raises:
        FinetuneError: The model or the data cannot be read, or no row can be measured.
    """
    listener = chosen_listener(listener)
    folder = None if output is None else _output_folder(Path(fspath(output)))
    section = data_section(data, overrides, (*FOR_TEXTS, *FOR_LABELS))
    classifier = load(fspath(model))
    reading = classifier.reading
    fields = Fields((), MEASURES[reading.task].names, has_test=True, may_set=False, kinds=("test",), counts=())
    gates = [parse_quality_gate(text, fields) for text in as_list(fail_on)]
    section = section if id is None else section.model_copy(update={"id": id})
    labelled = read_labelled(section, reading, None if classifier.served is None else classifier.served.label)
    for note in (*classifier.notes, *labelled.notes):
        listener.notice(note)
    for warning in labelled.warnings:
        listener.notice(warning, "warning")
    report = _Evaluation(classifier, section, labelled, batch_size).report()
    paths = []
    if folder is not None:
        from finetune.reports.evaluation import write_evaluation

        paths = write_evaluation(report, folder)
    return EvaluateResult(report, paths, gates)


def _output_folder(path: Path) -> Path:
    """
    Raises:
        OutputError: It is a file, or has the name of one.
    """
    if path.is_file() or (path.suffix.lower() in FILES and not path.is_dir()):
        other = Change(arguments={"output": str(path.with_name(f"{path.stem}-evaluation"))})
        raise OutputError("expected a folder, for the page and its JSON.", other, argument="output", found=str(path))
    return path


class _Evaluation:
    """Of one model on some rows.

    Args:
        classifier: The model.
        section: How the rows were read.
        labelled: The rows.
        batch_size: Of a forward pass.
    """

    def __init__(self, classifier: Classifier, section: DataSection, labelled: Labelled, batch_size: int) -> None:
        self.classifier, self.section, self.labelled = classifier, section, labelled
        reading, rows, served = classifier.reading, labelled.rows, classifier.served
        found = classifier.predict(rows.texts, rows.pairs, batch_size=batch_size)
        self.measured = Measured(
            task=reading.task,
            labels=reading.labels,
            logits=found.logits,
            targets=np.array([classifier.encoder.target(label) for label in rows.labels]),
            temperature=None if served is None else served.temperature,
            thresholds=None if served is None else served.thresholds,
        )
        self.record = find_run(classifier.origin, served)
        self.missing: list[str] = []
        self.warnings = list(labelled.warnings)

    def report(self) -> EvaluationReport:
        measured, rows, served = self.measured, self.labelled.rows, self.classifier.served
        training = self._training_data()
        wrong, count = evaluation.mistakes(measured, MOST)
        if training is not None:
            self._warn_of_copies(training)
        drift = []
        if served is None or served.training is None:
            why = "has no finetune.json" if served is None else "was saved by an older version"
            self.missing.append(f"drift: the model {why}, so its training rows are unknown")
        else:
            drift = find_drift(served.training, rows, measured.task, self.classifier.encoder)
        if served is None and measured.task == "single_label":
            self.missing.append("calibration: the model has no temperature")
        score = None if self.record is None else self.record.data.score
        return EvaluationReport(
            model=self.classifier.origin,
            record=None if served is None else served.record,
            data=self.section.source,
            score=score or MEASURES[measured.task].score,
            read=self.labelled.read,
            left_out=self.labelled.left_out,
            recorded=self._recorded(self.record),
            mistakes=self._mistakes(wrong, training),
            wrong=count,
            drift=drift,
            notes=[*self.classifier.notes, *self.labelled.notes],
            warnings=self.warnings,
            missing=self.missing,
            **evaluation.numbers_of(measured),
        )

    def _training_data(self) -> Data | None:
        if self.record is None:
            self.missing.append(
                "the run that trained the model, and with it the scores on its own rows and the nearest training "
                "texts: its run.json is not beside the model"
            )
            return None
        found = find_training_data(self.record)
        if isinstance(found, str):
            self.missing.append(f"nearest training texts: {found}")
            return None
        return found

    def _recorded(self, record: FinishedRecord | None) -> Recorded | None:
        if record is None:
            return None
        own = sorted(set(record.selected.validation) - set(MEASURES[record.data.task].names))
        if own:
            self.missing.append(f"the run's own metrics ({', '.join(own)}): they are measured in runs only")
        return Recorded.of(record)

    def _warn_of_copies(self, training: Data) -> None:
        """Scores on training texts show memory."""
        rows, measured = self.labelled.rows, self.measured
        copies = copies_of(training.train, rows)
        if not copies:
            return
        name = MEASURES[measured.task].score
        new = np.setdiff1d(np.arange(len(rows)), copies)
        have = "has a text" if len(copies) == 1 else "have texts"
        text = f"{len(copies)} of {count_text(len(rows), 'row')} {have} that the model was trained on"
        if len(new):
            others = Measured(measured.task, measured.labels, measured.logits[new], measured.targets[new])
            score = score_text(name, evaluation.plain_scores(others)[name])
            text += f"; {metric_name(name)} of the other {len(new)}: {score}"
        self.warnings.append(text)

    def _mistakes(self, wrong: Sequence[evaluation.Wrong], training: Data | None) -> list[Mistake]:
        rows = self.labelled.rows
        nearest: list[Neighbour | None] = [None] * len(wrong)
        if training is not None and wrong:
            train, texts = training.train, full_texts(training.train)
            found = nearest_texts(train, rows.take([each.index for each in wrong]))
            nearest = [
                Neighbour(
                    row=train.ids[position],
                    id=train.name(position),
                    text=shortened(texts[position]) or "",
                    label=self._named(train.labels[position]),
                    similarity=similarity,
                )
                for position, similarity in found
            ]
        return [
            Mistake(
                row=rows.ids[each.index],
                id=rows.name(each.index),
                text=shortened(rows.texts[each.index]) or "",
                pair=None if rows.pairs is None else shortened(rows.pairs[each.index]),
                target=each.target,
                prediction=each.prediction,
                confidence=each.confidence,
                error=each.error,
                nearest=neighbour,
            )
            for each, neighbour in zip(wrong, nearest, strict=True)
        ]

    def _named(self, label: Any) -> str:
        """A label of the training data in words."""
        measured = self.measured
        return in_words(measured.task, self.classifier.encoder.target(label), measured.labels)
