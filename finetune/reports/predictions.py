"""Predictions for single texts, and the place of those for a file, as lines on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finetune.measurement.units import count_text, number_text, percent_text, time_text
from finetune.reports.numbers import shorten

SHOWN = 60  # characters of a text


def render_predictions(texts: Sequence[str], columns: Mapping[str, Sequence[Any]]) -> str:
    """A line for each text: its prediction, probabilities, and the beginning of the text."""
    names = [name for name in columns if name.startswith("probability_")]
    lines = []
    for row, text in enumerate(texts):
        parts = [_answer(columns["prediction"][row], row, columns)]
        if "probability" in columns:
            parts.append(percent_text(columns["probability"][row]))
        parts += [f"{name.removeprefix('probability_')} {percent_text(columns[name][row])}" for name in names]
        lines.append("  ".join([*parts, shorten(text, SHOWN)]))
    return "\n".join(lines)


def _answer(prediction: Any, row: int, columns: Mapping[str, Sequence[Any]]) -> str:
    if prediction is None:
        return columns["reason"][row].partition(",")[0]  # `no text`, or `unsure, perhaps …`
    if isinstance(prediction, list):
        return ", ".join(prediction) or "no label"
    return number_text(prediction, 3) if isinstance(prediction, float) else str(prediction)


def render_written(path: Path, rows: int, seconds: float) -> str:
    """Where the predictions of a file are, and how long they took."""
    rate = f", {rows / seconds:.0f} a second" if seconds > 0 else ""
    return f"Predictions {path}   ({count_text(rows, 'row')} in {time_text(seconds)}{rate})"
