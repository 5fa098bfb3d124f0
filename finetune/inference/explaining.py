"""Which words moved an answer, and whether the answer moves when they are removed."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from finetune.data.located import Word, locate_words
from finetune.errors import ModelError, RecipeError, suggest
from finetune.inference.answers import is_empty
from finetune.inference.attribution import contributions
from finetune.inference.predictions import Predictions
from finetune.measurement.scores import Floats
from finetune.measurement.thresholds import HALF
from finetune.records.explained import Deletion, WordContribution
from finetune.records.explanation import Explanation

if TYPE_CHECKING:
    from finetune.inference.classifier import Classifier

REMOVED = 0.2  # of the words
MOST_REMOVED = 5
DRAWS = 20  # of random words
FEW_DRAWS = 5  # where a text has many windows
MANY_PIECES = 8


class Target(NamedTuple):
    """The output that is explained.

    Attributes:
        label: The label; None for numbers.
        against: For classes, the other class.
        weights: (outputs,) weights of the logits; their weighted sum is explained.
        position: Position of the label among the probabilities.
    """

    label: str | None
    against: str | None
    weights: Floats
    position: int


def explain(classifier: Classifier, text: str, pair: str | None = None, label: str | None = None) -> Explanation:
    """Contributions of the words, and the check by deletion.

    Args:
        classifier: The model; not an exported one.
        text, pair: The texts of a row.
        label: A label of the model; None: the predicted one, or for multi-label the most confident one.

    Raises:
        RecipeError: There is no text, or the label is unknown.
        ModelError: The model is an exported one, or cannot be explained; or captum is not installed.
    """
    if classifier.format is not None:
        why = f"is exported ({classifier.format.title}) and has no gradients. Explain the model that it was made from."
        raise ModelError(why, argument="model", found=classifier.origin)
    if is_empty(text, pair):
        raise RecipeError("there is no text to explain.", argument="text", found=text)
    found = classifier.predict([text], None if pair is None else [pair])
    target = _target(found, label)
    spans, pieces = locate_words(classifier.encoder, text, pair)
    if not spans:
        raise RecipeError("the tokenizer finds no word in the text.", argument="text", found=text)
    parts, value, blank = contributions(
        classifier.model, classifier.encoder.tokenizer, pieces, target.weights, len(spans)
    )
    texts = (text, pair or "")
    words = [
        WordContribution(
            word=texts[span.part][span.start : span.stop].strip(),
            part=span.part,
            start=span.start,
            stop=span.stop,
            contribution=float(amount),
        )
        for span, amount in zip(spans, parts, strict=True)
    ]
    return Explanation(
        model=classifier.origin,
        text=text,
        pair=pair,
        task=classifier.reading.task,
        label=target.label,
        against=target.against,
        probability=None if found.probabilities is None else _amounts(found, target)[0],
        value=value,
        blank=blank,
        error=value - blank - float(parts.sum()),
        pieces=len(pieces),
        unread=_unread(texts, spans, {number for piece in pieces for number in piece.words}),
        words=words,
        deletion=_deletion(classifier, texts, pair is not None, spans, parts, target, len(pieces)),
    )


def _target(found: Predictions, label: str | None) -> Target:
    """
    Raises:
        RecipeError: The model has no such label.
    """
    names = found.reading.labels
    if names is None or found.probabilities is None:
        if label is not None:
            raise RecipeError("this model predicts numbers. Leave it out.", argument="label", found=label)
        return Target(None, None, np.ones(1), 0)
    if label is not None and label not in names:
        raise RecipeError(f"the model has no such label.{suggest(label, names)}", argument="label", found=label)
    probabilities = found.probabilities[0]
    if found.reading.task == "multi_label":
        beyond = probabilities - np.array([found.reading.thresholds.get(name, HALF) for name in names])
        index = int(beyond.argmax()) if label is None else names.index(label)
        return Target(names[index], None, np.eye(len(names))[index], index)
    index = int(probabilities.argmax()) if label is None else names.index(label)
    others = np.where(np.arange(len(names)) == index, -1.0, probabilities)
    other = int(others.argmax())
    weights = (np.eye(len(names))[index] - np.eye(len(names))[other]) / found.reading.temperature
    return Target(names[index], names[other], weights, index)


def _amounts(found: Predictions, target: Target) -> list[float]:
    """Of each row the probability of the label, or the number."""
    values = found.logits if found.probabilities is None else found.probabilities
    return [float(row[target.position]) for row in values]


def _deletion(
    classifier: Classifier,
    texts: tuple[str, str],
    has_pair: bool,
    spans: Sequence[Word],
    parts: Floats,
    target: Target,
    pieces: int,
) -> Deletion | None:
    """Remove the words that speak most for the answer (numbers: that move it most), and as many random ones."""
    count = min(MOST_REMOVED, max(1, round(REMOVED * len(spans))))
    weights = np.abs(parts) if target.label is None else parts
    named = [int(index) for index in np.argsort(-weights, kind="stable")[:count] if weights[index] > 0]
    if not named or len(spans) < 2 * count + 1:
        return None
    random = np.random.default_rng(0)
    draws = DRAWS if pieces <= MANY_PIECES else FEW_DRAWS
    removed = [[], named, *(random.choice(len(spans), len(named), replace=False).tolist() for _ in range(draws))]
    rows = [[_without(text, part, spans, some) for part, text in enumerate(texts)] for some in removed]
    first, second = [row[0] for row in rows], [row[1] for row in rows]
    before, after, *others = _amounts(classifier.predict(first, second if has_pair else None), target)
    words = [texts[spans[index].part][spans[index].start : spans[index].stop].strip() for index in named]
    return Deletion(
        words=words,
        before=before,
        after=after,
        random=float(np.mean(others)),
        random_low=min(others),
        random_high=max(others),
        draws=draws,
    )


def _without(text: str, part: int, spans: Sequence[Word], removed: Collection[int]) -> str:
    """The text without some words; two spaces become one."""
    if not removed:
        return text
    kept, end = [], 0
    for span in sorted(spans[index] for index in removed if spans[index].part == part):
        kept.append(text[end : span.start])
        end = span.stop
    return re.sub(r"\s{2,}", " ", "".join([*kept, text[end:]]))


def _unread(texts: tuple[str, str], spans: Sequence[Word], read: set[int]) -> int:
    """Characters between, before and after the words that are read, spaces aside."""
    characters = sum(len("".join(text.split())) for text in texts)
    known = [texts[span.part][span.start : span.stop] for index, span in enumerate(spans) if index in read]
    return max(characters - sum(len("".join(text.split())) for text in known), 0)
