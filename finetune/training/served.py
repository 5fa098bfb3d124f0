"""A finished training -> the description in its model folder (`models/served.py`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.data.labels import count_labels
from finetune.measurement.scores import softmax
from finetune.models.outputs import Outputs
from finetune.models.served import Confidences, ServedInput, ServedLabels, ServedModel, TargetScale, TrainingRows
from finetune.records.schema import RunRecord
from finetune.training.prepare import Prepared
from finetune.training.version import ALGORITHM_VERSION

CUT_ALIKE = ("head", "tail")  # ways to cut long texts that a plain tokenizer knows
QUANTILES = 101  # of lengths and targets: a percent each
MOST_POINTS = 200  # of confidences that are kept


def describe_served(prepared: Prepared, record: RunRecord, validation: Outputs) -> ServedModel:
    """The description saved beside the weights.

    Args:
        prepared: Preparation of the run.
        record: Record with the metrics of the final weights.
        validation: Outputs of the final weights on validation.
    """
    data, section, encoder = prepared.data, prepared.recipe.data, prepared.encoder
    chosen_on = prepared.chosen_on(validation)
    temperature = None if record.calibration is None or chosen_on is None else record.calibration.temperature
    return ServedModel(
        task=data.task,
        labels=data.labels,
        input=ServedInput(
            text=None if section.template is not None else data.columns.get("text"),
            template=section.template,
            text_pair=data.columns.get("text_pair"),
            id=data.columns.get("id"),
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
        temperature=temperature,
        target=None if prepared.scale is None else TargetScale(**prepared.scale._asdict()),
        label=ServedLabels(
            columns=section.label or data.columns.get("label"),
            separator=section.label_separator,
            names=section.label_map,
        ),
        training=_training_rows(prepared),
        confidences=None if temperature is None or chosen_on is None else confidences_of(*chosen_on, temperature),
        data_fingerprint=data.fingerprint,
        record=record.id,
        algorithm_version=ALGORITHM_VERSION,
    )


def _pipeline_arguments(task: str) -> dict[str, Any]:
    """It never cuts texts by itself, and shows the likeliest label alone."""
    return {"truncation": True, **({"top_k": None} if task == "multi_label" else {})}


def _training_rows(prepared: Prepared) -> TrainingRows:
    rows, encoder = prepared.data.train, prepared.encoder
    tokens = encoder.encode_once(rows.texts, rows.pairs)
    is_number = prepared.data.labels is None
    return TrainingRows(
        rows=len(rows),
        labels=None if is_number else dict(count_labels(rows)),
        targets=_quantiles(np.array(rows.labels)) if is_number else None,
        lengths=_quantiles(tokens.lengths),
        unknown=tokens.share(encoder.tokenizer.unk_token_id),
    )


def _quantiles(values: NDArray[Any]) -> list[float]:
    found: list[float] = np.quantile(values, np.linspace(0, 1, QUANTILES), method="inverted_cdf").tolist()
    return found


def confidences_of(logits: NDArray[Any], targets: NDArray[Any], temperature: float) -> Confidences:
    """Cumulative rows and correct predictions by descending confidence, at no more than `MOST_POINTS` confidences.

    Args:
        logits: (rows, K).
        targets: (rows,) class indices.
        temperature: Divides the logits.
    """
    probabilities = softmax(logits.astype(np.float64) / temperature)
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum(probabilities.argmax(axis=1)[order] == targets[order])
    last = np.flatnonzero(np.diff(confidence[order], append=-1.0))  # of equal confidences, which are answered together
    kept = last[np.unique(np.linspace(0, len(last) - 1, min(MOST_POINTS, len(last))).round().astype(int))]
    return Confidences(
        rows=len(targets),
        confidence=confidence[order][kept].tolist(),
        answered=(kept + 1).tolist(),
        right=right[kept].tolist(),
    )
