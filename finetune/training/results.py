"""Outputs of a model -> the record of a checkpoint: scores, gaps with their intervals, calibration."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from finetune.measurement.gap import compute_gap, gap_intervals
from finetune.measurement.scores import compute_scores, fit_temperature
from finetune.measurement.thresholds import Threshold, choose_thresholds, scores_above
from finetune.models.outputs import Outputs
from finetune.records.schema import Calibration, Checkpoint, Gap, Thresholds

Measuring = Callable[[NDArray[Any], NDArray[Any]], Mapping[str, float]]  # logits and targets -> name -> value


def checkpoint_record(
    step: int, epoch: float, outputs: Mapping[str, Outputs], task: str, measure: Measuring
) -> Checkpoint:
    """Metrics of one checkpoint.

    Args:
        step: Optimizer steps done.
        epoch: The same in epochs.
        outputs: Outputs on train_probe and validation, and on test if there is one and this checkpoint is measured on
            it.
        task: single_label, multi_label or regression.
        measure: Scores and losses of a split.
    """
    scores = {name: measure(*split) for name, split in outputs.items()}
    return Checkpoint(
        step=step,
        epoch=epoch,
        train_probe=defined(scores["train_probe"]),
        validation=defined(scores["validation"]),
        test=defined(scores["test"]) if "test" in scores else None,
        gap=gap_records(outputs["train_probe"], outputs["validation"], task, scores),
    )


def gap_records(
    train_probe: Outputs, validation: Outputs, task: str, scores: Mapping[str, Mapping[str, float]]
) -> dict[str, Gap]:
    """The gap of every score and loss, with the bootstrap interval of those that have one.

    Args:
        train_probe: Outputs.
        validation: Outputs.
        task: As above.
        scores: Split -> its scores and losses.
    """
    intervals = gap_intervals(task, train_probe, validation)
    gaps = compute_gap(scores["train_probe"], scores["validation"])
    none = (None, None)
    return {
        name: Gap(value=value, low=intervals.get(name, none)[0], high=intervals.get(name, none)[1])
        for name, value in defined(gaps).items()
    }


def calibration_record(
    outputs: Mapping[str, Outputs], task: str, held_out: Outputs | None = None
) -> Calibration | None:
    """Temperature scaling, fitted on validation or `held_out` outputs; None for tasks other than single_label."""
    if task != "single_label":
        return None
    temperature = fit_temperature(*(outputs["validation"] if held_out is None else held_out))
    if "test" not in outputs:
        return Calibration(temperature=temperature, test_nll=None)
    logits, targets = outputs["test"]
    scaled = compute_scores("single_label", logits / temperature, targets)
    return Calibration(temperature=temperature, test_nll=scaled["nll"])


def threshold_record(
    outputs: Mapping[str, Outputs],
    task: str,
    labels: Sequence[str] | None,
    chosen: Sequence[Threshold] | None = None,
) -> Thresholds | None:
    """Scores with thresholds of labels; None for tasks other than multi_label.

    Args:
        outputs: Outputs on validation, and on test if there is one.
        task: As above.
        labels: In the order of the logits.
        chosen: One threshold per label; None: they are chosen on validation.
    """
    if task != "multi_label" or labels is None:
        return None
    thresholds = choose_thresholds(*outputs["validation"]) if chosen is None else chosen
    named = dict(zip(labels, thresholds, strict=True))
    return Thresholds(
        values={name: threshold.probability for name, threshold in named.items()},
        origins={name: threshold.origin for name, threshold in named.items()},
        validation=defined(scores_above(*outputs["validation"], thresholds)),
        test=defined(scores_above(*outputs["test"], thresholds)) if "test" in outputs else None,
    )


def defined(scores: Mapping[str, float | None]) -> dict[str, float | None]:
    """Replace nan, which JSON lacks, by None."""
    return {name: value if value is not None and math.isfinite(value) else None for name, value in scores.items()}
