"""Other explanations of the same numbers as a verdict, with the evidence for or against each."""

from __future__ import annotations

from collections.abc import Callable

from finetune.diagnosis.observations import NEAR, Observed
from finetune.diagnosis.trend import FEW, noise, score_fell
from finetune.measurement.units import integer_text, scale, score_text
from finetune.records.diagnosis import LookAlike, VerdictName

LEARNED = 0.9  # a training score from which on rows may be learned by heart
FEW_ROWS = 300  # of validation
Rule = Callable[[Observed], LookAlike]


def look_alikes_of(verdict: VerdictName, observed: Observed) -> list[LookAlike]:
    """The look-alikes of a verdict, the likely ones first."""
    found = [rule(observed) for rule in _RULES.get(verdict, ())]
    order = ("likely", "possible", "not checked", "ruled out")
    return sorted(found, key=lambda each: order.index(each.status))


def _small_validation(observed: Observed) -> LookAlike:
    name, rows = "an unlucky validation split", observed.validation_rows
    gap = observed.gap
    if gap is not None and gap.low is not None and gap.low > 0:
        return LookAlike(name=name, status="ruled out", why="the whole interval of the gap is above 0")
    why = "the number of validation rows is not known" if rows is None else f"validation has {integer_text(rows)} rows"
    status = "possible" if rows is None or rows < FEW_ROWS else "ruled out"
    folds = f"finetune compare {observed.data} --presets none,strong --folds 5"
    check = f"finetune check {observed.data}" if observed.has_own_test else folds
    return LookAlike(name=name, status=status, why=why, check=check)


def _by_finding(name: str, checks: tuple[str, ...], clean: str) -> Rule:
    """A look-alike that checks of the data find, or rule out."""

    def rule(observed: Observed) -> LookAlike:
        texts = [text for check, text in observed.findings if check in checks]
        if texts:
            return LookAlike(name=name, status="likely", why=texts[0], check=f"finetune check {observed.data}")
        if observed.checked:
            return LookAlike(name=name, status="ruled out", why=clean)
        why = "no check of the data is known"
        return LookAlike(name=name, status="not checked", why=why, check=f"finetune check {observed.data}")

    return rule


def _noise(observed: Observed) -> LookAlike:
    found = _by_finding("wrong labels", ("label_errors", "conflicts"), "the checks found no suspicious labels")
    fell = score_fell(observed.curve, observed.validation_rows)
    known = found(observed)
    if fell is None or known.status == "likely":
        return known
    unit = scale(observed.score)
    why = f"validation {unit.name} has fallen by {unit.amount(fell)} from its best, as when wrong labels are memorized"
    return known.model_copy(update={"status": "possible", "why": why})


def _ceiling(observed: Observed) -> LookAlike:
    name = "a limit of texts and labels"
    validation = None if observed.validation is None else observed.validation.mean
    check = f"finetune check {observed.data}"
    if observed.tfidf is None or validation is None:
        why = "no baseline is known: TF-IDF with logistic regression on the same rows would show it"
        return LookAlike(name=name, status="not checked", why=why, check=check)
    text = f"TF-IDF with logistic regression reaches {score_text(observed.score, observed.tfidf)} on the same rows"
    if observed.is_behind_tfidf:
        why = f"{text}, more than the model: the texts allow a better score"
        return LookAlike(name=name, status="ruled out", why=why)
    if observed.tfidf >= validation - NEAR:
        return LookAlike(name=name, status="likely", why=f"{text}, as much as the model", check=check)
    return LookAlike(name=name, status="ruled out", why=f"{text}, less than the model")


_SHIFT_CHECKS = _by_finding(
    "a shift between the splits",
    ("adversarial", "label_shift", "length_shift", "language", "tokens"),
    "the checks found no shift",
)


def _shift(observed: Observed) -> LookAlike:
    """By the checks, or by the gap over time: rows that differ have it from the start, memory makes it grow."""
    known = _SHIFT_CHECKS(observed)
    measured = [(p, p.train, p.train - p.score) for p in observed.curve if p.train is not None and p.score is not None]
    if known.status != "not checked" or len(measured) < FEW or measured[-1][2] <= noise(observed.validation_rows):
        return known
    (first, train, before), after = measured[0], measured[-1][2]
    unit = scale(observed.score)
    course = f"the gap was {unit.amount(before)} at {first.when} and is {unit.amount(after)}"
    if before >= after / 2 and train < LEARNED:
        return known.model_copy(
            update={"status": "likely", "why": f"{course}: it was there before rows were memorized"}
        )
    if before < after / 2:
        course = f"{course}: it has grown, as when rows are memorized"
    return known.model_copy(update={"status": "possible", "why": course})


_LEAK = _by_finding(
    "a leak: rows of validation in training", ("leaks", "duplicates", "groups"), "the checks found none"
)
_RULES: dict[VerdictName, tuple[Rule, ...]] = {
    "overfits": (_small_validation, _shift, _noise, _ceiling),
    "overconfident": (_noise,),
    "underfits": (_ceiling, _noise),
    "over-regularized": (_ceiling, _noise),
    "validation above training": (_LEAK, _SHIFT_CHECKS),
    "no sign of overfitting": (_LEAK, _small_validation),
    "did not learn": (_noise, _ceiling),
}
