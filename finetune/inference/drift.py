"""How labelled rows differ from a model's training rows, as described in its finetune.json."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finetune.data.labels import count_labels
from finetune.data.rows import Rows
from finetune.data.tokens import Encoder, Tokens
from finetune.measurement.shift import (
    ALARM,
    NOTABLE,
    SMALLEST,
    against_quantiles,
    chi_square,
    fisher,
    total_variation,
)
from finetune.measurement.units import percent_text
from finetune.models.served import TrainingRows
from finetune.records.schema import Finding
from finetune.tasks import Task

TESTS = 2  # of labels and of lengths: p-values count twice
LONGER = 0.05  # of texts that are cut, more than in training, that is worth a look
UNKNOWN = 0.01  # of tokens that the tokenizer does not know, more than in training
SOURCE = "Check where the texts come from: another source or time, or other preprocessing"


def find_drift(training: TrainingRows, rows: Rows, task: Task, encoder: Encoder) -> list[Finding]:
    """Compare labels, lengths, cut texts and unknown tokens with those of training; similar ones are reported, too.

    Args:
        training: Description of the model's training rows.
        rows: Rows that are measured.
        task: single_label, multi_label or regression.
        encoder: Encoder of the model.
    """
    tokens = encoder.encode(rows.texts, rows.pairs)
    found = [_labels(training, rows, task), _lengths(training, tokens), _cut(training, tokens, encoder.max_length)]
    unknown = _unknown(training, tokens, encoder)
    return [*found, *([] if unknown is None else [unknown])]


def _labels(training: TrainingRows, rows: Rows, task: Task) -> Finding:
    """Chi-square test of classes, Fisher's of each of several labels, Kolmogorov-Smirnov of numbers."""
    if len(rows) < SMALLEST or training.rows < SMALLEST:
        return _finding("label_shift", False, _too_few("Labels", rows), {})
    if training.labels is None:
        p, size = against_quantiles(training.targets or [], training.rows, rows.labels)
        middle = f"median {np.median(rows.labels):.4g} against {_median(training.targets or []):.4g}"
        text = f"{middle} in training; the distributions differ by up to {percent_text(size)}"
    else:
        trained, measured = training.labels, count_labels(rows)
        counts = np.array([[trained[name], measured[name]] for name in trained])
        if task == "multi_label":
            p, size = fisher(counts, (training.rows, len(rows)))
        else:
            p, size = chi_square(counts), total_variation(counts)
        shares = {name: (measured[name] / len(rows), trained[name] / training.rows) for name in trained}
        name = max(shares, key=lambda each: abs(shares[each][0] - shares[each][1]))
        text = f"{percent_text(shares[name][0])} '{name}' against {percent_text(shares[name][1])} in training, the "
        text += "largest difference"
    is_shift = p * TESTS < ALARM and size >= NOTABLE
    return _finding("label_shift", is_shift, f"{_differ('Labels', is_shift)}: {text} (p = {p:.1g}).", _pair(p, size))


def _lengths(training: TrainingRows, tokens: Tokens) -> Finding:
    lengths = tokens.lengths.tolist()
    if len(lengths) < SMALLEST or training.rows < SMALLEST:
        return _finding("length_shift", False, _too_few("Text lengths", lengths), {})
    p, size = against_quantiles(training.lengths, training.rows, lengths)
    is_shift = p * TESTS < ALARM and size >= 2 * NOTABLE
    text = f"a median of {np.median(lengths):g} tokens against {_median(training.lengths):g} in training; the "
    text += f"distributions differ by up to {percent_text(size)} (p = {p:.1g})"
    return _finding("length_shift", is_shift, f"{_differ('Text lengths', is_shift)}: {text}.", _pair(p, size), SOURCE)


def _cut(training: TrainingRows, tokens: Tokens, most: int) -> Finding:
    now = float(np.mean(tokens.lengths > most))
    before = float(np.mean(np.array(training.lengths) > most))
    text = (
        f"{percent_text(now)} of the texts have more than the {most} tokens that are read, {percent_text(before)} in "
    )
    figures: dict[str, float | None] = {"fraction": now, "training": before}
    return _finding("truncation", now >= before + LONGER, f"{text}training.", figures, SOURCE)


def _unknown(training: TrainingRows, tokens: Tokens, encoder: Encoder) -> Finding | None:
    """None where the tokenizer knows everything."""
    now, before = tokens.share(encoder.tokenizer.unk_token_id), training.unknown
    if now is None or before is None:
        return None
    text = f"{percent_text(now, 1)} of the tokens are unknown to the tokenizer, {percent_text(before, 1)} in training."
    figures: dict[str, float | None] = {"fraction": now, "training": before}
    return _finding("tokens", now >= before + UNKNOWN, text, figures, SOURCE)


def _finding(check: str, is_warning: bool, text: str, figures: dict[str, float | None], advice: str = "") -> Finding:
    level = "warning" if is_warning else "info"
    return Finding(check=check, level=level, text=text, figures=figures, advice=advice if is_warning else "")


def _differ(what: str, is_shift: bool) -> str:
    return f"{what} differ from training" if is_shift else f"{what}: no notable difference from training"


def _pair(p: float, size: float) -> dict[str, float | None]:
    return {"p": p, "size": size}


def _too_few(what: str, rows: Sequence[object] | Rows) -> str:
    return f"{what}: fewer than {SMALLEST} rows here or in training ({len(rows)} here): not tested."


def _median(quantiles: Sequence[float]) -> float:
    return quantiles[len(quantiles) // 2]
