"""What is known about a training run, whoever measured it: scores with intervals, rows, evaluations over time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

from finetune.diagnosis.intervals import difference_interval
from finetune.errors import Change, Problem, RecipeError
from finetune.measurement.intervals import proportion_interval
from finetune.measurement.units import is_fraction
from finetune.records.diagnosis import Estimate

CONFIDENCE = 0.95
NEAR = 0.02  # a baseline within two points of the model shows what texts and labels allow
LEAST_PERCENT = 2  # an accuracy from which on a percentage is meant: 1.5 is a typing error
ROUNDED = 0.005  # of a fraction with two digits: 0.33 for one of three classes
SHARES = ("accuracy", "f1", "precision", "recall")  # so do names of scores in logs begin or end: f1_weighted
OF_SPACY = "cats_score"  # macro-F1, or another share


def is_share(score: str) -> bool:
    """Whether a score, by its name in a log, lies between 0 and 1, and is 1 for a model without errors."""
    return is_fraction(score) or score.startswith(SHARES) or score.endswith((*SHARES, OF_SPACY))


def epochs_text(epochs: float) -> str:
    """`3.33`; below one with three significant digits: `0.0041`."""
    return f"{round(epochs, 2):g}" if epochs >= 1 else f"{epochs:.3g}"


@dataclass(frozen=True)
class Point:
    """One evaluation.

    Attributes:
        step: Optimizer steps done.
        epoch: Passes over the training rows; None where the log has none.
        score: Validation score; None if only a loss was measured.
        loss: Validation log loss.
        train: Score on training rows, in eval mode.
        objective: Training loss as logged since the evaluation before: in training mode, with its label smoothing and
            scale.
    """

    step: int
    epoch: float | None
    score: float | None
    loss: float | None
    train: float | None = None
    objective: float | None = None

    @property
    def when(self) -> str:
        """`epoch 3.33`, or its step where the log has no epochs."""
        return f"step {self.step}" if self.epoch is None else f"epoch {epochs_text(self.epoch)}"


@dataclass(frozen=True)
class Observed:
    """Observations of one run.

    Attributes:
        source: Name of the source.
        score: Name of the score.
        train, validation: Values of the score; None where unknown.
        gap: train − validation.
        test: Score on rows that were not used to choose anything.
        train_rows, validation_rows, test_rows: Numbers of rows; None where unknown.
        train_measured: Training rows of the training score; None: all of them, or unknown.
        classes: Number of classes; None where unknown, and for tasks without classes.
        chance: Score of the same answer for all texts; None where unknown.
        epochs: Epochs trained; None where unknown.
        train_loss, validation_loss: Log losses in eval mode, which can be compared.
        curve: Evaluations in their order.
        ends_at_best: The curve ends at its best point, because that checkpoint was chosen; later evaluations are not in
            it.
        unfitted: The last training loss as a fraction of the first that was logged; None where losses are not means.
        began_as_guess: The first training loss of a log is that of guessing, or a multiple of it.
        is_level: The training losses of a log are means that no longer fall.
        running: Score on training rows in training mode, if it has stopped rising; None where unknown.
        diverged: How and where the training diverged; empty if it did not.
        stopped_early: Ended before its planned steps, on purpose.
        did_not_learn: Why a record counts as no better than the same answer for every text; empty if it does not.
        is_at_least: `train` and `gap` are lower bounds.
        techniques: Regularization that was used, as far as known.
        tfidf: Validation score of TF-IDF with logistic regression; None if not measured.
        findings: Check -> finding of the data check about training and validation rows.
        checked: Whether the data checks ran.
        data: How to name the data on the command line.
        has_own_test: Whether test is a split of its own, so that folds are not possible.
        notes: Facts to know about the numbers.
        missing: Numbers that would make a verdict more certain.
    """

    source: str
    score: str = "accuracy"
    train: Estimate | None = None
    validation: Estimate | None = None
    gap: Estimate | None = None
    test: Estimate | None = None
    train_rows: int | None = None
    train_measured: int | None = None
    validation_rows: int | None = None
    test_rows: int | None = None
    classes: int | None = None
    chance: float | None = None
    epochs: float | None = None
    train_loss: float | None = None
    validation_loss: float | None = None
    curve: tuple[Point, ...] = ()
    ends_at_best: bool = False
    unfitted: float | None = None
    began_as_guess: bool = False
    is_level: bool = False
    running: float | None = None
    diverged: str = ""
    stopped_early: bool = False
    did_not_learn: str = ""
    is_at_least: bool = False
    techniques: tuple[str, ...] = ()
    tfidf: float | None = None
    findings: tuple[tuple[str, str], ...] = ()
    checked: bool = False
    data: str = "--data DATA"
    has_own_test: bool = False
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def is_behind_tfidf(self) -> bool:
        """Whether TF-IDF with logistic regression is clearly better on the same validation rows."""
        validation = None if self.validation is None else self.validation.mean
        return self.tfidf is not None and validation is not None and self.tfidf > validation + NEAR

    @property
    def is_share(self) -> bool:
        """Whether the score lies between 0 and 1, and is 1 for a model that makes no error."""
        return is_share(self.score)

    @property
    def per_class(self) -> float | None:
        """Training rows per class, at most: if the number of classes is unknown, it is at least two."""
        has_classes = bool(self.classes) or self.score == "accuracy"
        return None if self.train_rows is None or not has_classes else self.train_rows / (self.classes or 2)


def without_test_score(rows: int) -> Problem:
    """The problem of a test size without a test score."""
    why = "applies to a test score, and none is given: it would have no effect."
    return Problem(why, argument="test_size", found=rows)


@dataclass(frozen=True)
class Numbers:
    """Accuracies given by the user, with their numbers of rows.

    Attributes:
        train_accuracy, validation_accuracy, test_accuracy: Fractions.
        train_size, validation_size, test_size: Rows.
        classes: Number of classes.
        majority: Fraction of the largest class.
        train_loss, validation_loss: Mean log losses in eval mode, nats.
        epochs: Epochs trained.
        techniques: Names of the regularizers that were used.
    """

    train_accuracy: float | None = None
    validation_accuracy: float | None = None
    train_size: int | None = None
    validation_size: int | None = None
    classes: int | None = None
    majority: float | None = None
    train_loss: float | None = None
    validation_loss: float | None = None
    epochs: float | None = None
    techniques: tuple[str, ...] | None = None
    test_accuracy: float | None = None
    test_size: int | None = None

    @classmethod
    def among(cls, arguments: Mapping[str, Any]) -> Numbers:
        """The arguments of a call that are numbers of a run."""
        return cls(**{field.name: arguments[field.name] for field in fields(cls)})

    def given(self) -> dict[str, Any]:
        """The numbers that are known."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def check(self) -> None:
        """Check the numbers that are added to a log.

        Raises:
            RecipeError: A number is impossible.
        """
        if problems := self._impossible():
            raise RecipeError(problems)

    def observed(self) -> Observed:
        """Raises:
        RecipeError: Numbers are missing or impossible; names all of them.
        """
        problems = [*self._missing(), *self._impossible()]
        if self.test_size is not None and self.test_accuracy is None:
            problems.append(without_test_score(self.test_size))
        if problems:
            raise RecipeError(problems)
        assert self.train_accuracy is not None  # checked above, as the next three
        assert self.validation_accuracy is not None
        assert self.validation_size is not None
        assert self.train_size is not None
        notes, missing = [], []
        chance = self.majority
        if chance is None and self.classes is not None:
            chance = 1 / self.classes
            notes.append(
                f"chance is taken as 1 in {self.classes}, as for classes of equal size; --majority says how large the "
                "largest is"
            )
        if chance is None:
            missing.append("the number of classes (--classes) and the fraction of the largest (--majority)")
        if self.test_accuracy is not None and self.test_size is None:
            missing.append("the number of test rows (--test-size), which determines how precise the test accuracy is")
        return Observed(
            source="the numbers given",
            train=accuracy_estimate(self.train_accuracy, self.train_size),
            validation=accuracy_estimate(self.validation_accuracy, self.validation_size),
            gap=gap_estimate(self.train_accuracy, self.train_size, self.validation_accuracy, self.validation_size),
            test=score_estimate(self.test_accuracy, "accuracy", self.test_size),
            train_rows=self.train_size,
            validation_rows=self.validation_size,
            test_rows=self.test_size,
            classes=self.classes,
            chance=chance,
            epochs=self.epochs,
            techniques=self.techniques or (),
            train_loss=self.train_loss,
            validation_loss=self.validation_loss,
            notes=tuple(notes),
            missing=tuple(missing),
        )

    def _missing(self) -> list[Problem]:
        needed = {
            "train_accuracy": (0.98, "measured on the training rows in eval mode"),
            "validation_accuracy": (0.75, "measured on the rows that were not trained on"),
            "train_size": (1000, "number of rows that were trained on"),
            "validation_size": (
                200,
                "number of rows behind the validation accuracy; it determines how certain a verdict is",
            ),
        }
        return [
            Problem(f"is missing: {what}.", argument=name, changes=(Change(arguments={name: example}),))
            for name, (example, what) in needed.items()
            if getattr(self, name) is None
        ]

    def _no_numbers(self) -> list[Problem]:
        return [
            Problem("is not a number, such as 0.98.", argument=name, found=value)
            for name, value in self.given().items()
            if name != "techniques" and (isinstance(value, bool) or not isinstance(value, Real))
        ]

    def _impossible(self) -> list[Problem]:
        problems = self._no_numbers()
        if problems:
            return problems
        for name in ("train_accuracy", "validation_accuracy", "test_accuracy", "majority"):
            value = getattr(self, name)
            if value is None or (math.isfinite(value) and 0 <= value <= 1):
                continue
            percent = math.isfinite(value) and LEAST_PERCENT <= value <= 100
            changes = (Change(arguments={name: round(value / 100, 6)}),) if percent else ()
            why = "must be a fraction between 0 and 1" + (", and this looks like a percentage." if percent else ".")
            problems.append(Problem(why, argument=name, found=value, changes=changes))
        for name, least in (("train_size", 1), ("validation_size", 1), ("test_size", 1), ("classes", 2)):
            value = getattr(self, name)
            if value is not None and value < least:
                problems.append(Problem(f"must be at least {least}.", argument=name, found=value))
        for name in ("train_loss", "validation_loss", "epochs"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                problems.append(Problem("must be a number of at least 0.", argument=name, found=value))
            elif name == "epochs" and value == 0:
                problems.append(
                    Problem("must be more than 0: these are scores of a trained model.", argument=name, found=0)
                )
        if self.majority is not None and self.classes is not None and self.majority < 1 / self.classes - ROUNDED:
            why = f"the largest of {self.classes} classes has at least {1 / self.classes:.3f} of the rows."
            problems.append(Problem(why, argument="majority", found=self.majority))
        return problems


def accuracy_estimate(accuracy: float, rows: int) -> Estimate:
    """The accuracy with its Wilson interval."""
    low, high = proportion_interval(accuracy, rows, CONFIDENCE)
    return Estimate(mean=accuracy, low=low, high=high)


def score_estimate(value: float | None, score: str, rows: int | None) -> Estimate | None:
    """The score, with an interval if it is an accuracy and its number of rows is known; None if it is unknown."""
    if value is None:
        return None
    return accuracy_estimate(value, rows) if score == "accuracy" and rows else Estimate(mean=value)


def gap_estimate(train: float, train_rows: int | None, validation: float, validation_rows: int) -> Estimate:
    """train − validation, with Newcombe's interval; if the training rows are unknown, with that of validation alone."""
    low, high = difference_interval(train, train_rows, validation, validation_rows, CONFIDENCE)
    return Estimate(mean=train - validation, low=low, high=high)
