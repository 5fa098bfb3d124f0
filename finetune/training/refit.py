"""The refit: the recommended preset trained again on train and validation together, for the selected part of its
schedule.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from finetune.data.rows import Data, Rows
from finetune.errors import Problem, RecipeError
from finetune.models.outputs import Outputs
from finetune.recipe import Recipe
from finetune.training.budgets import plan_budget
from finetune.training.prepare import Prepared, with_training_rows
from finetune.training.scale import target_scale


def refit_steps(recipe: Recipe, data: Data, fraction: float) -> int:
    """Optimizer steps of a refit: the fraction of its own schedule that was selected of the runs' schedule.

    The epochs are those of the runs, so more rows are more steps: the runs that were measured for docs/results.md
    (`auto-refit`) were trained in this way.

    Args:
        recipe: Recipe of the runs.
        data: Data of the runs.
        fraction: Fraction of the schedule, in (0, 1].
    """
    scheduled = plan_budget(recipe, refit_data(data)).steps
    assert scheduled is not None, "the rows are known"
    return max(1, round(fraction * scheduled))


def refitted(
    prepared: Prepared, steps: int, interpolation: float | None = None, held_out: Outputs | None = None
) -> Prepared:
    """Prepare a run whose training rows are train and validation, which stops after `steps` optimizer steps.

    Its schedule has the epochs of the original one, on more rows. No rows are left for selection, so the last weights
    are the final ones; the validation rows of its record were trained on.

    Args:
        prepared: Preparation of the run that is repeated.
        steps: See `refit_steps`.
        interpolation: If techniques interpolate with the pretrained weights: the fraction of the fine-tuned weights
            that validation chose before.
        held_out: Outputs of that run for validation, which it was not trained on; temperature, thresholds and
            confidences are chosen on them. None: there are none.

    Raises:
        RecipeError: `steps` is outside the schedule.
    """
    data = refit_data(prepared.data)
    joined = with_training_rows(prepared, data)
    scheduled = joined.budget.steps
    if scheduled is None or not 1 <= steps <= scheduled:
        raise RecipeError(
            f"{steps} steps are not within the {scheduled} of the schedule.", argument="final", found="refit"
        )
    return replace(
        joined,
        scale=None if prepared.scale is None else target_scale(data.train.labels),
        rule=None,
        metric=None,
        stop_at=steps,
        interpolation=interpolation,
        held_out=held_out,
        keeps_split=False,
        warnings=[
            *joined.warnings,
            Problem(
                f"refit: {len(data.validation)} validation rows were trained on; only test says how good this model is"
            ),
        ],
    )


def refit_data(data: Data) -> Data:
    """The data of a refit: train and validation are its training rows.

    The train sample's positions stay valid because validation is appended. The data has its own fingerprint: its record
    must never be compared with runs that were measured on validation.
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
