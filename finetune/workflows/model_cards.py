"""README.md in a model folder: the model card of the run that made it."""

from __future__ import annotations

from pathlib import Path

from finetune.analysis import evaluation
from finetune.analysis.evaluation import Measured
from finetune.atomic import write_text
from finetune.errors import ModelError, OutputError
from finetune.listener import Listener
from finetune.measurement.scores import measure_of
from finetune.models.served import read_served
from finetune.recipe import ModelSection
from finetune.records.evaluation import EvaluationReport, Recorded
from finetune.records.predictions import Arrays, read_run
from finetune.records.schema import FinishedRecord
from finetune.records.store import RunFolder

CARD = "README.md"


def write_card(run: RunFolder, model: Path, listener: Listener) -> None:
    """Write the card of a finished run into the folder of its model; if it cannot be written, the listener is told.

    Args:
        run: Folder of the run, with record and predictions.
        model: The run's own model folder, or a copy of it.
        listener: As for `compare`.
    """
    from finetune.reports.model_card import model_card

    try:
        record, arrays = read_run(run)
        served = read_served(ModelSection(id=str(model)), str(model))
        if not isinstance(record, FinishedRecord) or served is None:
            return
        card = model_card(
            record, own_evaluation(record, arrays, model), served.pipeline_arguments, served.pipeline_sees_the_same
        )
        write_text(model / CARD, card)
    except (OSError, ModelError, OutputError) as error:  # the model itself is complete
        listener.notice(f"{model / CARD} could not be written: {error}", "warning")


def own_evaluation(record: FinishedRecord, arrays: Arrays, model: Path) -> EvaluationReport:
    """The evaluation of the run's test rows, from its predictions; of its validation rows if it has no test rows."""
    recorded = Recorded.of(record)
    logits, targets = arrays[f"selected_{recorded.split}_logits"], arrays[f"{recorded.split}_targets"]
    temperature = None if record.calibration is None else record.calibration.temperature
    thresholds = None if record.thresholds is None else record.thresholds.values
    measured = Measured(record.data.task, record.data.labels, logits, targets, temperature, thresholds)
    score = measure_of(record.data.task, record.data.score).score
    _, wrong = evaluation.mistakes(measured, 0)
    return EvaluationReport(
        model=str(model),
        record=record.id,
        data=f"the {recorded.split} rows of the run",
        score=score,
        read=recorded.rows,
        left_out={},
        recorded=recorded,
        mistakes=[],
        wrong=wrong,
        drift=[],
        notes=[],
        warnings=[],
        missing=[],
        **evaluation.numbers_of(measured),
    )
