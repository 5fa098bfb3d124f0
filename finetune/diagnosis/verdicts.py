"""Observations -> a verdict. Each rule states its numbers; none compares a training loss with an evaluation loss."""

from __future__ import annotations

import math

from finetune.diagnosis.observations import Observed, epochs_text
from finetune.diagnosis.trend import (
    FEW,
    FITS,
    best_score,
    loss_noise,
    loss_of_even_confidence,
    loss_of_one_answer,
    loss_rose,
    lowest_loss,
    score_fell,
    score_is_constant,
    score_rises,
    scored,
)
from finetune.measurement.units import (
    Scale,
    count_text,
    integer_text,
    listed,
    multiple_text,
    number_text,
    percent_text,
    scale,
)
from finetune.records.diagnosis import Estimate, VerdictName

MATTERS = 0.05  # a gap below 5 points is what models that generalise well have, too
TOO_WIDE = 0.10  # half of an interval of the gap that leaves everything open
DIGITS = 9  # 0.98 - 0.93 is 0.05, and a little less in binary
LOSS_GAP = 1.5  # a validation loss this many times the training loss, both in eval mode: more than scores explain
FEW_EPOCHS = 3
UNKNOWN = 0.10  # a gap that stands out where the rows of validation are not known: as for 60 of them
FITTED = 0.90  # a training score from which on the model has fitted its rows
LOW = FITTED - 2 * MATTERS  # a validation score that is too low for a model that has fitted its rows and has no gap
# Of two classes a loss of 0.8 times that of a guess is of 75 % (its entropy): 15 points below FITTED, which is room for
# what dropout and label smoothing add to a training loss.
FAR_FROM_FITTED = 0.8
OF_DROPOUT = 0.10  # of a score in training mode: more than dropout and a changing model cost, as a rule
TINY = 30  # rows of validation that tell nothing but a large gap
Verdict = tuple[VerdictName, str]


def judge(observed: Observed) -> Verdict:
    """The first rule that holds; the order is part of the rules."""
    for rule in (
        _diverged,
        _did_not_learn,
        _too_few_rows,
        _above_training,
        _overfits,
        _by_loss_alone,
        _by_two_losses,
        _without_gap,
        _small_gap,
    ):
        verdict = rule(observed)
        if verdict is not None:
            return verdict
    raise AssertionError("the last rule always holds")


def _diverged(observed: Observed) -> Verdict | None:
    if not observed.diverged:
        return None
    return "diverged", f"The training diverged: {observed.diverged}. Later measurements mean nothing."


def _did_not_learn(observed: Observed) -> Verdict | None:
    if observed.did_not_learn:
        return "did not learn", observed.did_not_learn
    unit, validation = scale(observed.score), observed.validation
    if validation is None or validation.mean is None:
        return None
    if score_is_constant(observed.curve) and not _has_learned(observed, validation.mean):
        return (
            "did not learn",
            f"All {len(scored(observed.curve))} evaluations gave exactly {unit.level(validation.mean)}: most likely "
            "the same answer for every text.",
        )
    chance = observed.chance
    if chance is None or validation.low is None or validation.low > chance:
        return None
    train, gap = observed.train, observed.gap
    if train is not None and train.low is not None and train.low > chance + MATTERS:
        return None  # it has learned the training rows by heart: a gap
    if gap is not None and gap.low is not None and gap.low >= MATTERS and not observed.is_at_least:
        return None  # the same answer for every text has none
    if validation.mean > chance + MATTERS:
        return None  # too few rows to say
    text = (
        f"Validation {unit.name} {_level(unit, validation)} does not exceed that of the same answer for every text "
        f"({unit.level(chance)}) beyond chance"
    )
    if train is not None and not observed.is_at_least:
        hardly = train.low is not None and train.low > chance
        level = unit.level(train.mean)
        also = (
            f"and that of training ({level}) is hardly above it" if hardly else f"nor does that of training ({level})"
        )
        return "did not learn", f"{text}, {also}."
    if not _has_learned_its_rows(observed, chance):
        return "did not learn", f"{text}."
    loss = percent_text(observed.unfitted)
    return "overfits", f"{text}, but the training loss is {loss} of the first: the model memorizes its rows."


def _has_learned(observed: Observed, share: float) -> bool:
    """Whether a constant score, the share, is not that of one answer for every text."""
    low, chance = None if observed.validation is None else observed.validation.low, observed.chance
    if low is not None and chance is not None and low > chance:
        return True
    lowest = lowest_loss(observed.curve)
    tells_rows_apart = lowest is not None and lowest.loss is not None and lowest.loss < FITS * loss_of_one_answer(share)
    return share == 1 or tells_rows_apart or _has_learned_its_rows(observed, share)


def _has_learned_its_rows(observed: Observed, share: float) -> bool:
    """Whether the training loss has fallen below that of the one answer that is right for this share.

    From the loss of a guess to that of the most frequent class it falls without anything learned of texts.
    """
    if observed.unfitted is None or not 0 < share < 1:
        return False
    return observed.unfitted < FITS * min(1.0, loss_of_one_answer(share) / math.log(observed.classes or 2))


def _too_few_rows(observed: Observed) -> Verdict | None:
    rows, gap, validation = observed.validation_rows, observed.gap, observed.validation
    if rows is None or rows > TINY or validation is None or validation.mean is None:
        return None
    if gap is not None and gap.low is not None and gap.low >= MATTERS:
        return None
    unit = scale(observed.score)
    return (
        "cannot tell",
        f"Validation has {count_text(rows, 'row')}, each worth {unit.amount(1 / rows)}: {unit.name} "
        f"{_level(unit, validation)} can show overfitting only if the gap is large.",
    )


def _above_training(observed: Observed) -> Verdict | None:
    gap, unit = observed.gap, scale(observed.score)
    if gap is None:
        return _above_training_mode(observed, unit)
    if observed.is_at_least or gap.high is None or gap.high >= 0:
        return None
    return (
        "validation above training",
        f"Validation {unit.name} is above training by more than chance explains (gap {unit.estimated_change(gap)}). "
        "Either the training score was measured with dropout on or on changed texts, or validation is easier or "
        "overlaps with the training rows.",
    )


def _above_training_mode(observed: Observed, unit: Scale) -> Verdict | None:
    """Without a training score of eval mode: the rows that are trained on are not fitted, and those of validation are.

    Not where regularization is known to be on, which costs in training mode what it costs.
    """
    validation = observed.validation
    if not observed.is_share or validation is None or validation.mean is None or observed.techniques:
        return None
    if observed.running is not None:
        least = validation.mean if validation.low is None else validation.low
        if least - observed.running < OF_DROPOUT:
            return None
    elif validation.mean < FITTED or not (observed.began_as_guess and _stays_above(observed, FAR_FROM_FITTED)):
        return None
    return (
        "validation above training",
        f"{_fit_in_training_mode(observed, unit)}, while validation {unit.name} is {unit.level(validation.mean)}. "
        "Either labels of training rows are wrong, or training makes them harder (strong dropout, mixup, "
        "augmentation), or validation is easier or overlaps with the training rows. The training score in eval mode "
        "would tell.",
    )


def _overfits(observed: Observed) -> Verdict | None:
    gap = observed.gap
    from_gap = UNKNOWN if gap is None or gap.low is None else MATTERS
    if gap is None or gap.mean is None or round(gap.mean, DIGITS) < from_gap:
        return None
    if gap.low is not None and gap.low <= 0:
        return None
    rows = observed.validation_rows
    if loss_rose(observed.curve, rows) is not None and score_rises(observed.curve, rows):
        return None  # the score is still gaining: told by `_by_loss_alone`
    unit = scale(observed.score)
    least = "at least " if observed.is_at_least else ""
    sentences = [
        f"Training {unit.name} is {least}{unit.amount(gap.mean)} above validation{_interval(unit, gap)}"
        + (", which chance does not explain." if gap.low is not None else f"; {_without_interval(observed)}.")
    ]
    sentences += _validation_sentence(observed, unit) + _trend_sentences(observed, unit)
    if observed.train_loss is not None and observed.validation_loss is not None:
        sentences.append(f"{_loss_gap(observed)[:1].upper()}{_loss_gap(observed)[1:]}")
    return "overfits", " ".join(sentences)


def _by_loss_alone(observed: Observed) -> Verdict | None:
    """The validation loss has risen, and no gap of scores is known, or none that matters."""
    ratio = loss_rose(observed.curve, observed.validation_rows)
    lowest, last = lowest_loss(observed.curve), observed.curve[-1] if observed.curve else None
    if ratio is None or lowest is None or last is None:
        return None
    rise = (
        f"The validation loss has risen to {multiple_text(ratio, 1)} its lowest value "
        f"({number_text(lowest.loss, 3)} at {lowest.when})"
    )
    fell = score_fell(observed.curve, observed.validation_rows)
    unit = scale(observed.score)
    if observed.validation is None:
        return "overfits", f"{rise}. Whether the score suffers was not measured."
    if fell is not None:
        return "overfits", f"{rise}, and validation {unit.name} has fallen by {unit.amount(fell)} from its best."
    return (
        "overconfident",
        f"{rise}, while validation {unit.name} has not fallen ({unit.level(observed.validation.mean)}): the model is "
        "too confident in its errors, and makes no more of them.",
    )


def _by_two_losses(observed: Observed) -> Verdict | None:
    """Both losses were measured alike, and the gap of scores is none that matters."""
    train, validation = observed.train_loss, observed.validation_loss
    if train is None or validation is None or observed.gap is None or validation < LOSS_GAP * train:
        return None
    score = None if observed.validation is None else observed.validation.mean
    chance = loss_noise((score,), observed.validation_rows)
    if validation - train < MATTERS + chance:
        return None
    if observed.is_share and score is not None:
        explained = loss_of_even_confidence(score, observed.classes)
        if validation <= explained + chance:
            return None
    unit = scale(observed.score)
    return (
        "overconfident",
        f"The gap of {unit.name} is {unit.estimated_change(observed.gap)}, but {_loss_gap(observed)} The model is too "
        "confident in its errors, and makes few more of them on new texts.",
    )


def _without_gap(observed: Observed) -> Verdict | None:
    if observed.gap is not None and not observed.is_at_least:
        return None
    unit = scale(observed.score)
    if observed.validation is None:
        return "cannot tell", "No validation score was measured, and the validation loss has not risen."
    fell = score_fell(observed.curve, observed.validation_rows)
    if fell is not None:
        best = best_score(observed.curve)
        assert best is not None  # there is none better otherwise
        return (
            "overfits",
            f"Validation {unit.name} was {unit.level(best.score)} at {best.when} and has fallen by "
            f"{unit.amount(fell)} since.",
        )
    if _is_learning(observed):
        return "still learning", _rising(observed, unit)
    if _hardly_fits(observed):
        return _underfits(observed, _fit_in_training_mode(observed, unit))
    if len(observed.curve) < FEW:
        few = count_text(len(observed.curve), "evaluation")
        return "cannot tell", f"The training score was not measured, and there is no trend in {few}."
    loss = "; its loss is not in the log" if lowest_loss(observed.curve) is None else ", nor has its loss risen"
    level = f"Validation {unit.name} {_level(unit, observed.validation)} has not fallen{loss}."
    if observed.is_share and observed.validation.mean is not None and observed.validation.mean < FITTED - MATTERS:
        return "cannot tell", f"{level} The training score was not measured: a constant gap would not show."
    return "no sign of overfitting", f"{level} The training score was not measured: a small gap would not show."


def _hardly_fits(observed: Observed) -> bool:
    """By training losses among themselves, or by the score in training mode; neither is compared with validation."""
    validation = observed.validation
    if not observed.is_share or validation is None or validation.mean is None or len(observed.curve) < FEW:
        return False
    if observed.running is not None:
        is_level = observed.running - validation.mean < MATTERS
        return is_level and max(observed.running, validation.mean) < FITTED
    return validation.mean < LOW and _stays_above(observed, FITS)


def _stays_above(observed: Observed, fraction: float) -> bool:
    """Whether the training loss no longer falls, and has not fallen to this fraction of its first value."""
    return observed.is_level and observed.unfitted is not None and observed.unfitted > fraction


def _fit_in_training_mode(observed: Observed, unit: Scale) -> str:
    if observed.running is not None:
        return f"Training {unit.name} in training mode is {unit.level(observed.running)} and no longer rises"
    return f"The training loss is still {percent_text(observed.unfitted)} of the first that was logged"


def _small_gap(observed: Observed) -> Verdict:
    unit, gap, train = scale(observed.score), observed.gap, observed.train
    assert gap is not None  # the rule before
    assert train is not None
    gap_text = unit.estimated_change(gap)
    if gap.low is not None and gap.high is not None and gap.low <= 0 and (gap.high - gap.low) / 2 > TOO_WIDE:
        rows = "" if observed.validation_rows is None else f" of {integer_text(observed.validation_rows)} rows"
        return (
            "cannot tell",
            f"The gap is {gap_text}: validation{rows} is too small to tell overfitting from none.",
        )
    if _is_learning(observed):
        return "still learning", f"{_rising(observed, unit)} The gap is {gap_text}."
    if observed.is_share and train.mean is not None and train.mean < FITTED:
        return _underfits(observed, f"Training {unit.name} is {unit.level(train.mean)} itself and the gap {gap_text}")
    small = "differs from 0, but is below 5 points" if (gap.low or 0.0) > 0 else "does not differ from 0 beyond chance"
    return "no sign of overfitting", f"The gap is {gap_text}: it {small}."


def _underfits(observed: Observed, why: str) -> Verdict:
    name: VerdictName = "over-regularized" if observed.techniques else "underfits"
    suspect = f" With {listed(observed.techniques)} on, too much regularization is the first suspect."
    return (
        name,
        f"{why}: the model does not fit its training rows.{_few_epochs(observed)}"
        f"{suspect if observed.techniques else ''} Regularization can only lower the training score further.",
    )


def _few_epochs(observed: Observed) -> str:
    if observed.epochs is None or observed.epochs > FEW_EPOCHS:
        return ""
    number = epochs_text(observed.epochs)
    epochs = f"{number} epoch{'' if number == '1' else 's'}"
    if observed.stopped_early:
        return f" Training was stopped early, after {epochs}."
    return f" It was trained for {epochs} only, which may be too few."


def _loss_gap(observed: Observed) -> str:
    train, validation = number_text(observed.train_loss, 3), number_text(observed.validation_loss, 3)
    return f"the loss is {validation} on validation and {train} on training rows."


def _is_learning(observed: Observed) -> bool:
    """Not by a curve that ends where it is best by choice: it rises to its end in any case."""
    return not observed.ends_at_best and score_rises(observed.curve, observed.validation_rows)


def _rising(observed: Observed, unit: Scale) -> str:
    known = scored(observed.curve)
    middle = known[(len(known) - 1) // 2]
    return (
        f"Validation {unit.name} was still rising at the end: {unit.level(middle.score)} at {middle.when}, "
        f"{unit.level(known[-1].score)} at {known[-1].when}."
    )


def _validation_sentence(observed: Observed, unit: Scale) -> list[str]:
    validation, rows = observed.validation, observed.validation_rows
    if validation is None or validation.low is None or rows is None:
        return []
    text = f"The 95 % interval of the validation score itself ({integer_text(rows)} rows) is {unit.range(validation)}."
    if observed.chance is not None and validation.low <= observed.chance:
        text += " It does not exceed that of the same answer for every text: the model has memorized its rows, no more."
    return [text]


def _without_interval(observed: Observed) -> str:
    if observed.score == "accuracy" and observed.validation_rows is None:
        return "the number of rows is not known"
    return f"no interval of {scale(observed.score).name} is known"


def _trend_sentences(observed: Observed, unit: Scale) -> list[str]:
    """What longer training did."""
    texts = []
    ratio, lowest = loss_rose(observed.curve, observed.validation_rows), lowest_loss(observed.curve)
    fell, best = score_fell(observed.curve, observed.validation_rows), best_score(observed.curve)
    if ratio is not None and lowest is not None:
        texts.append(f"The validation loss was lowest at {lowest.when} and is now {multiple_text(ratio, 1)} that.")
    if fell is not None and best is not None:
        texts.append(f"Validation {unit.name} was best at {best.when}, and has fallen by {unit.amount(fell)} since.")
    elif ratio is not None:
        texts.append(
            f"Validation {unit.name} has not fallen beyond chance: longer training only makes the probabilities worse."
        )
    return texts


def _level(unit: Scale, estimate: Estimate) -> str:
    return f"{unit.level(estimate.mean)} {unit.range(estimate)}".rstrip()


def _interval(unit: Scale, estimate: Estimate) -> str:
    text = unit.interval(estimate)
    return f" {text}" if text else ""
