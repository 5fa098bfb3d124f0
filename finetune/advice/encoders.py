"""Verdict on the scores of frozen encoders, and the command to type next."""

from __future__ import annotations

from collections.abc import Sequence

from finetune.measurement.units import estimate_text, listed
from finetune.records.encoders import EncoderComparison, EncoderScore

LIMITS = (
    "Frozen features predict the order after fine-tuning only roughly, and another encoder is another model, not "
    "regularization: never credit its gain to a preset. Intervals hold for each pair, not for all pairs together."
)


def encoder_verdict(compared: EncoderComparison) -> list[str]:
    """Sentences: which encoder is better beyond sampling error, and what to type."""
    found = [entry for entry in compared.scored() if entry.score.mean is not None]
    if not found:
        return ["No encoder could be scored; each line says why."]
    best = found[0]
    return [*_among(compared, best, found[1:]), *_against_words(compared, best)]


def _among(compared: EncoderComparison, best: EncoderScore, others: Sequence[EncoderScore]) -> list[str]:
    own = next((entry for entry in others if entry.is_recipe), None)
    asked = best.is_recipe or own is not None
    missing = f" The recipe's model, {compared.recipe_model}, is not among them: add it to compare with it."
    if not others:
        return [f"Only {best.model} was measured: name other encoders to compare it with." + ("" if asked else missing)]
    close = [entry for entry in others if not is_worse(entry)]
    if own is not None and is_worse(own):
        change = estimate_text(compared.score, own.difference)
        said = f"{best.model} is better than the recipe's model ({own.model}: {change}). Next: --model {best.model}"
    elif own is not None:
        change = estimate_text(compared.score, own.difference)
        said = (
            f"The recipe's model is not distinguishable from the best, {best.model} ({change}). Keep it, or choose "
            "by size and speed."
        )
        close = [entry for entry in close if entry is not own]
    elif len(close) == len(others):
        return [
            f"Not distinguishable: {listed([entry.model for entry in [best, *close]])}. Choose by size and speed, or "
            "label more rows." + ("" if asked else missing)
        ]
    else:
        worse = listed([entry.model for entry in others if is_worse(entry)])
        keep = "It is the recipe's model: keep it." if best.is_recipe else f"Next: --model {best.model}"
        said = f"{best.model} is better than {worse} beyond sampling error. {keep}"
    lines = [said]
    if close:
        lines.append(f"Not distinguishable from {best.model}: {listed([entry.model for entry in close])}.")
    return lines if asked else [*lines, missing.strip()]


def _against_words(compared: EncoderComparison, best: EncoderScore) -> list[str]:
    """Where words alone do as well."""
    if compared.tfidf.difference is None or is_worse(compared.tfidf):
        return []
    return [
        f"TF-IDF is not below {best.model} beyond sampling error "
        f"({estimate_text(compared.score, compared.tfidf.difference)}): frozen features carry no more information "
        "about these labels than words do. Fine-tuned ones may."
    ]


def is_worse(entry: EncoderScore) -> bool:
    """Whether the whole interval of the difference to the best is below 0."""
    return entry.difference is not None and entry.difference.high is not None and entry.difference.high < 0
