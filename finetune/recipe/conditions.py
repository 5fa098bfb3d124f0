"""Facts that the rules of a preset may use, and the conditions on them.

when: {rows: from 150 below 600, pooling: mean}        # both must hold
when: {task: [multi_label, regression]}                # one of them
when: {largest_class: from 0.6}                        # a fraction
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finetune.errors import suggest

Facts = Mapping[str, Any]  # name in FACTS -> number, name or yes/no; None: not known, or not defined for this task


@dataclass(frozen=True)
class Fact:
    """A fact about data or model that is known before training.

    Attributes:
        about: Description, with its unit.
        names: Possible values, if it is one of a few names; empty for a number.
    """

    about: str
    names: tuple[str, ...] = ()


# A new fact: one line here, and its value in `finetune/training/choice_facts.py`.
FACTS: dict[str, Fact] = {
    "task": Fact("What is predicted.", ("single_label", "multi_label", "regression")),
    "rows": Fact("Training rows."),
    "validation_rows": Fact("Validation rows."),
    "classes": Fact("Number of classes, or of labels if a row may have several; not for numbers."),
    "rows_per_class": Fact("Training rows per class, averaged over the classes; not for numbers."),
    "rarest_class": Fact("Training rows of the smallest class; not for numbers."),
    "largest_class": Fact("Fraction of the training rows in the most frequent class; one label per row only."),
    "score": Fact("Main score, which selects checkpoints.", ("accuracy", "macro_f1", "mcc", "other")),
    "words": Fact("Median number of words, between spaces, of the training texts."),
    "long_texts": Fact("Fraction of the training texts with more words than data.max_length; at least these are cut."),
    "unlabelled": Fact("Texts without labels in addition to the rows (data.unlabelled)."),
    "pooling": Fact("Pooling that the head reads.", ("cls", "mean", "attention")),
    "width": Fact("Hidden units of the encoder: 384 of MiniLM, 768 of BERT-base."),
}
_NUMBER = r"(\d+(?:\.\d+)?)"
_RANGE = re.compile(rf"(?=.)(?:from {_NUMBER})?(?:(?:^| )below {_NUMBER})?")


def condition_problem(name: str, condition: Any) -> str:
    """Problem of one condition; "" if there is none."""
    if name not in FACTS:
        return f"unknown fact.{suggest(name, FACTS)}"
    names = FACTS[name].names
    if not names:
        low, high = _bounds(condition)
        if low is None:
            return f"expected 'from 150', 'below 600' or 'from 150 below 600', found {condition!r}."
        return "" if high is None or low < high else f"can hold for no number: {condition}."
    given = condition if isinstance(condition, list) else [condition]
    unknown = [each for each in given if each not in names]
    if unknown or not given:
        return f"expected one of {', '.join(names)}, or a list of them, found {condition!r}."
    return ""


def holds(when: Mapping[str, Any], facts: Facts) -> bool:
    """Whether all conditions hold; a condition on an unknown fact does not. Without conditions, always true."""
    return all(_one_holds(condition, facts.get(name)) for name, condition in when.items())


def _one_holds(condition: Any, value: Any) -> bool:
    if value is None:
        return False
    if isinstance(value, str):
        return value in condition if isinstance(condition, list) else value == condition
    low, high = _bounds(condition)
    return low is not None and low <= value and (high is None or value < high)


def _bounds(condition: Any) -> tuple[float | None, float | None]:
    """(from, below) of a range; from is 0 where it is not given, and None where the text is no range."""
    match = _RANGE.fullmatch(condition) if isinstance(condition, str) else None
    if match is None:
        return None, None
    low, high = match.groups()
    return float(low or 0), None if high is None else float(high)


def describe_condition(when: Mapping[str, Any]) -> str:
    """`rows from 150 below 600, pooling mean`; "always" without conditions."""
    parts = [f"{name} {' or '.join(each) if isinstance(each, list) else each}" for name, each in when.items()]
    return ", ".join(parts) or "always"


def fact_text(value: Any) -> str:
    """`300`, `0.25`, `mean`; `not known`."""
    if value is None:
        return "not known"
    return value if isinstance(value, str) else f"{value:.3g}" if isinstance(value, float) else str(value)
