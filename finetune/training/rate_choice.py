"""The choice of `training.learning_rate: auto`: trains with every value on every fold."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from finetune.atomic import write_text
from finetune.checks import Inspection
from finetune.data.sorted_sets import MeasuredSet
from finetune.errors import OutputError, first_line
from finetune.recipe import is_auto
from finetune.records.checksum import read_checked, with_checksum
from finetune.records.facts import RateChoice
from finetune.records.predictions import read_run
from finetune.records.schema import FinishedRecord
from finetune.records.store import RunFolder
from finetune.training.budgets import plan_budget
from finetune.training.distributed import agree, is_main
from finetune.training.finite import NotFinite
from finetune.training.prepare import Prepared, with_budget
from finetune.training.rate_decision import Outcome, decide, refuse_divergence, unchosen
from finetune.training.rate_folds import Fit, fixing_techniques, fold_recipe, plan_fits
from finetune.training.scale import target_scale

logger = logging.getLogger(__name__)

FOLDER = "learning_rate"  # in that of the run: what has been trained for the choice so far, and then its result
RESULT = "choice.json"
PROBE = 8  # training rows that are measured in a fold; nothing looks at them, and an evaluation needs some
Train = Callable[[Prepared, int, RunFolder, Sequence[Any], bool], FinishedRecord]  # of `runner.run_seed`


def is_to_choose(prepared: Prepared) -> bool:
    """Whether the learning rate has not been chosen yet."""
    return prepared.rate is None and is_auto(prepared.recipe)


def with_choice(prepared: Prepared, choice: RateChoice) -> Prepared:
    """The run at the chosen learning rate; its recipe still says auto."""
    budget = replace(prepared.budget, learning_rate=choice.value)
    return replace(with_budget(prepared, budget), rate=choice)


def choose_rate(
    prepared: Prepared, seed: int, folder: RunFolder, callbacks: Sequence[Any], resume: bool, train: Train
) -> RateChoice:
    """Train with every value on every fold, and take the default unless another value is better beyond chance.

    Every training is a run in its own folder: a complete one is not repeated, an interrupted one continues from its
    checkpoint, and each has the seed of the run itself. Only the result is kept in the folder.

    Args:
        prepared: Preparation of the run.
        seed: Seed of the run, and of the folds.
        folder: Folder of the run.
        callbacks: Callbacks of the run. Those with a method `for_fit(title, done, total, of_run)` give a callback for
            one of the trainings, before which `done` of `total` optimizer steps of the choice were taken; `of_run`
            steps follow the choice.
        resume: Continue from existing results.
        train: Trains a prepared run.

    Raises:
        RunFailed: A training could not go on; or all values diverged.
    """
    fixing = fixing_techniques(prepared.recipe, prepared.budget)
    if fixing:
        return unchosen(prepared, fixing)
    place = folder.path / FOLDER
    known = agree(_read(place / RESULT) if resume and is_main() else None)
    if known is not None:
        _keep_result(place)  # a kill may have come before
        return known
    fits, how = plan_fits(prepared.data, seed)
    runs = [(fit, prepared_fit(prepared, fit)) for fit in fits]
    total, done, of_run = sum(run.budget.steps or 0 for _, run in runs), 0, prepared.budget.steps or 0
    outcomes: list[Outcome] = []
    for fit, run in runs:
        if not any(each.failure for each in outcomes if each.fit.rate == fit.rate):  # out of the choice already
            heard = [each.for_fit(fit.title, done, total, of_run) for each in callbacks if hasattr(each, "for_fit")]
            outcomes.append(_outcome(fit, run, seed, RunFolder(place / fit.name), heard, train))
        done += run.budget.steps or 0
    refuse_divergence(outcomes)
    choice = agree(decide(prepared, outcomes, how) if is_main() else None)
    assert choice is not None, "the main process has decided"
    if is_main():
        write_text(place / RESULT, with_checksum(choice.model_dump_json(indent=2)))
        _keep_result(place)
    return choice


def _keep_result(place: Path) -> None:
    """Remove the trainings that it came from."""
    if is_main():
        for path in place.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)


def _outcome(fit: Fit, run: Prepared, seed: int, folder: RunFolder, callbacks: Sequence[Any], train: Train) -> Outcome:
    record = agree(_finished(folder) if is_main() else None)
    if record is None:
        try:
            with contextlib.ExitStack() as around:
                for each in callbacks:
                    around.callback(getattr(each, "close", lambda: None))
                record = train(run, seed, folder, callbacks, True)
        except NotFinite as failure:  # too high for this recipe: out of the choice
            left = agree(folder.read() if is_main() else None)
            steps = left.history[-1].step if left is not None and left.history else 0
            return Outcome(fit, None, steps, failure.for_command_line())
    logits = None
    if is_main():
        logits = read_run(folder)[1]["selected_validation_logits"]
    return Outcome(fit, logits, record.budget.steps_done or 0)


def _finished(folder: RunFolder) -> FinishedRecord | None:
    """The record of a training that is complete; a damaged one is said, and trained again."""
    if not folder.record_path.exists():
        return None
    try:
        record, _ = read_run(folder)
    except OutputError as error:
        logger.warning("%s This training of the choice is done again", error.for_command_line())
        shutil.rmtree(folder.path)
        return None
    return record if isinstance(record, FinishedRecord) else None


def prepared_fit(prepared: Prepared, fit: Fit) -> Prepared:
    """A run on the training rows of one fold. The rows left out are its validation; it has no test split.

    Checkpoints are selected on the rows left out, as they are on validation in the run itself.
    """
    data = prepared.data
    left_out = set(fit.left_out)
    kept = [row for row in range(len(data.train)) if row not in left_out]
    part = replace(
        data,
        train=data.train.take(kept),
        validation=data.train.take(list(fit.left_out)),
        test=None,
        probe=list(range(min(PROBE, len(kept)))),
        fingerprint=hashlib.sha256(f"{fit.name} of {data.fingerprint}".encode()).hexdigest(),
        tables={},
    )
    recipe = fold_recipe(prepared.recipe, fit.rate, len(kept))
    return replace(
        prepared,
        recipe=recipe,
        data=part,
        budget=plan_budget(recipe, part),
        measured={name: MeasuredSet(rows, prepared.encoder) for name, rows in part.measured_splits().items()},
        scale=None if prepared.scale is None else target_scale(part.train.labels),
        keeps_split=False,
        keeps_model=False,
        warnings=[],
        inspection=Inspection(findings=[], baselines=[]),
    )


def _read(path: Path) -> RateChoice | None:
    """The result of an earlier segment of the run; None if there is none, or if it cannot be read, which is said."""
    if not path.exists():
        return None
    try:
        return RateChoice.model_validate(read_checked(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        logger.warning("%s: cannot be read: %s. The learning rate is chosen again", path, first_line(error))
        return None
