"""A finished training -> what its model folder says about itself (`models/served.py`)."""

from __future__ import annotations

from typing import Any

from finetune.models.served import ServedInput, ServedModel, TargetScale
from finetune.records.schema import RunRecord
from finetune.training.prepare import Prepared
from finetune.training.version import ALGORITHM_VERSION

CUT_ALIKE = ("head", "tail")  # ways to cut long texts that a plain tokenizer knows


def describe_served(prepared: Prepared, record: RunRecord) -> ServedModel:
    """What goes beside the weights.

    Args:
        prepared: Of the run.
        record: With what was measured of the final weights.
    """
    data, section, encoder = prepared.data, prepared.recipe.data, prepared.encoder
    is_refit = prepared.stop_at is not None  # on validation rows that were trained on nothing can be fitted
    return ServedModel(
        task=data.task,
        labels=data.labels,
        input=ServedInput(
            text=None if section.template is not None else data.columns.get("text"),
            template=section.template,
            text_pair=data.columns.get("text_pair"),
            pairs=data.has_pairs,
            max_length=encoder.max_length,
            long_texts=section.long_texts,
            overlap=encoder.overlap,
            truncation_side=encoder.truncation_side,
            tokenizer_limit=encoder.tokenizer.model_max_length,
        ),
        pipeline_arguments=_pipeline_arguments(data.task),
        pipeline_sees_the_same=section.long_texts in CUT_ALIKE,
        thresholds=None if record.thresholds is None else record.thresholds.values,
        temperature=None if record.calibration is None or is_refit else record.calibration.temperature,
        target=None if prepared.scale is None else TargetScale(**prepared.scale._asdict()),
        data_fingerprint=data.fingerprint,
        record=record.id,
        algorithm_version=ALGORITHM_VERSION,
    )


def _pipeline_arguments(task: str) -> dict[str, Any]:
    """It never cuts texts by itself, and shows the likeliest label alone."""
    return {"truncation": True, **({"top_k": None} if task == "multi_label" else {})}
