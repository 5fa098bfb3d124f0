"""The data section of a record. Light to import: `finetune check` needs it without a model."""

from __future__ import annotations

from finetune.checks import Inspection
from finetune.data.load import class_counts
from finetune.data.rows import Data
from finetune.measurement.scores import Measure
from finetune.records.schema import DataFacts


def data_facts(data: Data, measure: Measure, inspection: Inspection | None = None) -> DataFacts:
    """The data section; without an inspection, it has neither findings nor baselines."""
    splits = {"train": data.train, **data.measured_splits()}
    splits |= {} if data.unlabelled is None else {"unlabelled": data.unlabelled}
    return DataFacts(
        task=data.task,
        labels=data.labels,
        columns=data.columns,
        rows={name: len(rows) for name, rows in splits.items()},
        classes=class_counts(data),
        dropped=data.dropped,
        notes=data.notes,
        warnings=data.warnings,
        fingerprint=data.fingerprint,
        score=measure.score,
        findings=[] if inspection is None else [finding.for_record() for finding in inspection.findings],
        baselines=[] if inspection is None else inspection.baselines,
    )
