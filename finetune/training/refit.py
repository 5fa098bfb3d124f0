"""The recommended preset once more, on train and validation together, for the number of steps that was selected."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from finetune.data.rows import Data, Rows
from finetune.errors import Problem, RecipeError
from finetune.training.prepare import Prepared
from finetune.training.scale import target_scale


def refitted(prepared: Prepared, steps: int, interpolation: float | None = None) -> Prepared:
    """Prepare a run whose training rows are train and validation, which stops after `steps` optimizer steps.

    The learning rate of each step is that of the original schedule: nothing but the rows changes. There is nothing
    left to select with, so the last weights are the final ones; what the record calls validation are rows that were
    trained on. Where techniques interpolate with the pretrained weights, `interpolation` is the fraction of the
    fine-tuned weights that validation chose before.

    Raises:
        RecipeError: `steps` is outside the schedule.
    """
    scheduled = prepared.budget.steps
    if scheduled is None or not 1 <= steps <= scheduled:
        raise RecipeError(
            f"{steps} steps are not within the {scheduled} of the schedule.", argument="final", found="refit"
        )
    data = refit_data(prepared.data)
    return replace(
        prepared,
        data=data,
        scale=None if prepared.scale is None else target_scale(data.train.labels),
        rule=None,
        metric=None,
        stop_at=steps,
        interpolation=interpolation,
        keeps_split=False,
        warnings=[
            *prepared.warnings,
            Problem(
                f"refit: {len(data.validation)} validation rows were trained on; only test says how good this model is"
            ),
        ],
    )


def refit_data(data: Data) -> Data:
    """The data of a refit: train and validation are its training rows.

    The train sample's positions stay valid: validation is appended. It has its own fingerprint: a record of it must
    never stand beside runs that were measured on validation.
    """
    fingerprint = hashlib.sha256(f"train and validation of {data.fingerprint}".encode()).hexdigest()
    return replace(data, train=_joined(data.train, data.validation), fingerprint=fingerprint)


def _joined(first: Rows, second: Rows) -> Rows:
    pairs = None if first.pairs is None or second.pairs is None else [*first.pairs, *second.pairs]
    texts, ids = [*first.texts, *second.texts], [*first.ids, *second.ids]
    votes = None
    if first.votes is not None:
        votes = [*first.votes, *(second.votes or [[label] for label in second.labels])]
    names = None if first.names is None or second.names is None else first.names + second.names
    return Rows(texts, pairs, first.labels + second.labels, ids, votes=votes, names=names)
