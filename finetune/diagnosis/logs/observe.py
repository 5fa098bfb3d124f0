"""A log -> observations of its run. Training losses are never compared with evaluation losses here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from finetune.diagnosis.logs.evaluations import evaluations_of, rows_of, up_to_the_best
from finetune.diagnosis.logs.log import Log, Record, number
from finetune.diagnosis.logs.scores import score_name
from finetune.diagnosis.logs.settings import notes_on_settings, techniques_of
from finetune.diagnosis.observations import Numbers, Observed, Point, gap_estimate, score_estimate, without_test_score
from finetune.diagnosis.trend import FEW, FITS, STILL, is_level, noise, objective_rose
from finetune.errors import Change, OutputError, RecipeError
from finetune.measurement.units import number_text, percent_text, scale
from finetune.records.diagnosis import Estimate

TOO_LARGE, AT_CHANCE = 1.5, 0.05  # times the loss of a guess; above the score of a guess
# A calibrated model that is wrong with probability e has an entropy of at least 2 e ln 2, since entropy is concave; on
# the rows that it is trained on a model is rarely surer than that. One error costs ln 2 in any case.
LOSS_OF_AN_ERROR = 2 * math.log(2)


def observe_log(log: Log, numbers: Numbers, evaluation: str | None = None, metric: str | None = None) -> Observed:
    """The observations of a log.

    Args:
        log: The log of one run.
        numbers: Numbers from the user; they take precedence over those in the log.
        evaluation: Name of the evaluation set, if there are several (`eval_NAME_loss`).
        metric: Name of the score, without `eval_`.

    Raises:
        OutputError: The log holds no evaluation, several to choose from, or not the requested score.
    """
    prefix = _prefix(log, evaluation)
    score, about_score = score_name(log.records, prefix, metric, log.file)
    known = evaluations_of(log.records, prefix)
    notes = [*about_score, *known.notes()]
    has_clean = bool(_values(log.records, f"clean_{score}"))
    points = _points(log.records, known.of_validation, prefix, score)
    points, ends_at_best, about_best = up_to_the_best(points, log, known.again, has_clean)
    test, test_rows = _test(log.records, known.of_other_rows, prefix, score)
    test = test if numbers.test_accuracy is None else numbers.test_accuracy
    if numbers.test_size is not None and test is None:
        raise RecipeError([without_test_score(numbers.test_size)])
    test_rows = numbers.test_size or test_rows
    estimated = rows_of(known.of_validation[-1][1], prefix) if log.validation_rows is None else None
    rows = numbers.validation_size or log.validation_rows or estimated
    if numbers.validation_size is None and estimated is not None:
        notes.append(f"validation has about {rows} rows, by rate and time in the log; --validation-size corrects it")
    techniques = numbers.techniques or techniques_of(log.settings)
    observed = Observed(
        source=str(log.file),
        score=score or "accuracy",
        test=score_estimate(test, score or "", test_rows),
        train_rows=numbers.train_size or log.train_rows,
        validation_rows=rows,
        test_rows=test_rows,
        classes=numbers.classes,
        chance=numbers.majority if numbers.majority is not None else 1 / numbers.classes if numbers.classes else None,
        epochs=points[-1].epoch if numbers.epochs is None else numbers.epochs,
        train_loss=_clean(log.records, "loss", points[-1].step) if numbers.train_loss is None else numbers.train_loss,
        validation_loss=points[-1].loss if numbers.validation_loss is None else numbers.validation_loss,
        curve=tuple(points),
        ends_at_best=ends_at_best,
        unfitted=_unfitted(log),
        began_as_guess=_began_as_guess(log, numbers),
        is_level=log.objective == "mean" and is_level(_values(log.records, "loss")),
        running=_running(log, score),
        diverged=_divergence(log),
        stopped_early=log.stopped,
        techniques=techniques,
        notes=(
            *log.notes,
            *notes,
            *about_best,
            *notes_on_settings(log.settings),
            *_notes_on_scale(points, numbers, log),
        ),
    )
    return _with_scores(observed, numbers, log)


def _notes_on_scale(points: Sequence[Point], numbers: Numbers, log: Log) -> list[str]:
    """Where losses are larger than a guess costs, which is ln of the number of classes."""
    if numbers.classes is None:
        return []
    guess, first = math.log(numbers.classes), points[0]
    losses = _values(log.records, "loss")
    notes = []
    if losses and log.objective != "sum" and losses[0] > TOO_LARGE * guess:
        notes.append(
            f"the first training loss is {number_text(losses[0], 3)}, where a guess has {number_text(guess, 3)}: most "
            "likely gradient accumulation or several processes multiply it; its size says nothing"
        )
    at_chance = first.score is not None and first.score <= (numbers.majority or 1 / numbers.classes) + AT_CHANCE
    if first.loss is not None and first.loss > TOO_LARGE * guess and at_chance:
        notes.append(
            f"the first validation loss is {number_text(first.loss, 3)} with the score of a guess, whose loss is "
            f"{number_text(guess, 3)}: most likely several processes multiply it; its trend counts, not its size"
        )
    return notes


def _prefix(log: Log, evaluation: str | None) -> str:
    """`eval_`, or that of one of several evaluation sets."""
    keys = {key for record in log.records for key in record if key.startswith("eval_")}
    losses = {key for key in keys if key.endswith("_loss")}
    names = sorted(key.removeprefix("eval_").removesuffix("loss").rstrip("_") for key in losses)
    several = [name for name in names if name]
    if evaluation is not None:
        if evaluation not in several:
            known = f" The log has: {', '.join(several)}." if several else " The log has one set, without a name."
            raise OutputError(
                f"{log.file}: no evaluation set has this name.{known}", argument="evaluation", found=evaluation
            )
        return f"eval_{evaluation}_"
    if not keys:
        why = "the log has no evaluation, so nothing is known about new texts."
        way = 'Evaluate on rows that are not trained on (transformers: eval_strategy="epoch" and compute_metrics).'
        raise OutputError(f"{log.file}: {why}", Change(text=way))
    if several and "" not in names:
        ways = [Change(arguments={"evaluation": name}) for name in several]
        raise OutputError(f"{log.file}: has {len(several)} evaluation sets.", *ways)
    return "eval_"


def _points(
    records: Sequence[Record], kept: Sequence[tuple[int, Record]], prefix: str, score: str | None
) -> list[Point]:
    upto, of_step = _objectives(records)
    points = []
    for index, record in kept:
        place, later = of_step.get(record.get("step"), (index, None))
        points.append(
            Point(
                step=int(record.get("step") or 0),
                epoch=record.get("epoch") if record.get("epoch") is not None else _epoch_before(records, index),
                score=number(record.get(f"{prefix}{score}")),
                loss=number(record.get(f"{prefix}loss")),
                objective=later if place > index else upto[index],
            )
        )
    return points


def _objectives(records: Sequence[Record]) -> tuple[list[float | None], dict[Any, tuple[int, float]]]:
    """The last training loss up to each record, and step -> place and value of the last one at that step.

    A step has one of its own since some programs write the training loss of an epoch after its evaluation.
    """
    upto: list[float | None] = []
    of_step: dict[Any, tuple[int, float]] = {}
    last = None
    for place, record in enumerate(records):
        loss = number(record.get("loss"))
        if loss is not None:
            last = loss
            if record.get("step") is not None:
                of_step[record["step"]] = (place, loss)
        upto.append(last)
    return upto, of_step


def _values(records: Sequence[Record], key: str) -> list[float]:
    """The finite numbers under a key, in their order."""
    return [value for record in records if (value := number(record.get(key))) is not None]


def _epoch_before(records: Sequence[Record], index: int) -> float | None:
    """Of another record at the same step, since trackers write a value at a time."""
    step = records[index].get("step")
    near = (entry.get("epoch") for entry in records[max(0, index - 5) : index + 5] if entry.get("step") == step)
    return next((epoch for epoch in near if epoch is not None), None)


def _clean(records: Sequence[Record], name: str, step: int) -> float | None:
    """Of training rows in eval mode, such as `trainer.evaluate(train_rows, metric_key_prefix="train")`.

    At this step, where it was measured at several; else the last, which was measured after training.
    """
    values = _values(records, f"clean_{name}")
    of_step = _values([record for record in records if record.get("step") == step], f"clean_{name}")
    return next(iter([*of_step[-1:], *values[-1:]]), None)


def _test(
    records: Sequence[Record], others: Sequence[Record], prefix: str, score: str | None
) -> tuple[float | None, int | None]:
    """Score and rows of test: of an evaluation after training, or under its own name."""
    named = [(record, "test_") for record in records]
    for record, before in reversed([*named, *((other, prefix) for other in others)]):
        value = number(record.get(f"{before}{score}"))
        if value is not None:
            return value, rows_of(record, before)
    return None, None


def _divergence(log: Log) -> str:
    for record in log.records:
        norm, loss = record.get("grad_norm"), record.get("loss")
        where = f"at step {record.get('step')}"
        if isinstance(norm, float) and not math.isfinite(norm):
            return f"the gradient was not finite {where}"
        if isinstance(loss, float) and not math.isfinite(loss):
            return f"the training loss was not finite {where}"
        if loss == 0.0 and not norm:
            return f"the training loss is exactly 0 {where}, which is how a NaN is logged"
        evaluated = record.get("eval_loss")
        if isinstance(evaluated, float) and not math.isfinite(evaluated):
            return f"the validation loss was not finite {where}"
    losses = _values(log.records, "loss")
    if log.objective == "mean" and objective_rose(losses):
        lowest = number_text(min(losses), 3)
        return f"the training loss fell to {lowest} and came back to {number_text(losses[-1], 3)}"
    return ""


def _with_scores(observed: Observed, numbers: Numbers, log: Log) -> Observed:
    """With the last validation score, and the best that is known of the training score."""
    last = next((point.score for point in reversed(observed.curve) if point.score is not None), None)
    value = numbers.validation_accuracy if numbers.validation_accuracy is not None else last
    if value is None:
        missing = "a validation score: the log has losses only (in transformers, compute_metrics gives one)"
        return replace(observed, missing=(missing,))
    unit, rows = scale(observed.score), observed.validation_rows
    clean = _clean(log.records, observed.score, observed.curve[-1].step)
    known = numbers.train_accuracy if numbers.train_accuracy is not None else clean
    train_rows = observed.train_rows
    is_proportion = observed.score == "accuracy" and rows is not None
    validation = score_estimate(value, observed.score, rows)
    if known is not None:
        gap = gap_estimate(known, train_rows, value, rows) if is_proportion and rows else Estimate(mean=known - value)
        return replace(observed, train=Estimate(mean=known), validation=validation, gap=gap)
    missing = (
        f"the training {unit.name} in eval mode (in transformers: trainer.evaluate(train_rows, "
        'metric_key_prefix="train")); --train-accuracy adds it'
    )
    least, why = _bound(observed, log)
    if least is None or least - value <= noise(rows):
        return replace(observed, validation=validation, missing=(missing,))
    gap = gap_estimate(least, train_rows, value, rows) if is_proportion and rows else Estimate(mean=least - value)
    return replace(
        observed,
        train=Estimate(mean=least),
        validation=validation,
        gap=gap,
        is_at_least=True,
        notes=(*observed.notes, why),
        missing=(missing,),
    )


def _unfitted(log: Log) -> float | None:
    losses = _values(log.records, "loss")
    return losses[-1] / losses[0] if log.objective == "mean" and len(losses) >= FEW and losses[0] > 0 else None


def _began_as_guess(log: Log, numbers: Numbers) -> bool:
    losses = _values(log.records, "loss")
    return log.objective == "mean" and bool(losses) and losses[0] >= FITS * math.log(numbers.classes or 2)


def _running(log: Log, score: str | None) -> float | None:
    values = _values(log.records, f"running_{score}")
    has_stopped = log.has_means and len(values) >= FEW and values[-1] - values[-2] < STILL
    return values[-1] if has_stopped else None


def _bound(observed: Observed, log: Log) -> tuple[float | None, str]:
    """What the training score is at least, and why: by the loss, or by the score that was logged in training mode."""
    unit = scale(observed.score)
    running = _values(log.records, f"running_{observed.score}")
    last = running[-1] if running and log.has_means else None
    objective = observed.curve[-1].objective
    by_loss = None
    if observed.score == "accuracy" and log.objective == "mean" and objective is not None:
        by_loss = 1 - objective / LOSS_OF_AN_ERROR
    if last is not None and last >= (by_loss or 0.0):
        return last, (
            f"the training {unit.name} of the log, {unit.level(last)}, was measured in training mode, while the model "
            "changed: in eval mode it is usually at least that"
        )
    if by_loss is None:
        return None, ""
    return by_loss, (
        f"the training accuracy is at least {percent_text(by_loss, 1)}: the last training loss is "
        f"{number_text(objective, 3)}, and each error of a model that is not too sure costs 1.39 nats or more (of "
        "cross-entropy; accumulation, several processes and smoothing only raise the loss)"
    )
