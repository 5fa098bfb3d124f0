"""Which of several finished runs is the best on validation."""

from finetune.measurement.scores import measure_of
from finetune.records.schema import FinishedRecord


def validation_order(record: FinishedRecord) -> tuple[float, float, int]:
    """Sort key of runs by validation: score, then loss, then the lower seed."""
    measure = measure_of(record.data.task, record.data.score)
    score, loss = (record.selected.validation[name] for name in (measure.score, measure.loss))
    worst = float("-inf")
    return worst if score is None else score, worst if loss is None else -loss, -record.seed
