"""What transformers' training arguments, where a tracker keeps them, say about the numbers of a log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

# Argument -> technique, and the value from which on it acts: a weight decay of 0.01 takes less than 0.1 % of a weight.
TECHNIQUES = {
    "weight_decay": ("weight_decay", 0.1),
    "label_smoothing_factor": ("label_smoothing", 0.01),
    "neftune_noise_alpha": ("neftune", 1.0),
}
NOTES: dict[str, tuple[Callable[[float], bool], str]] = {
    "gradient_accumulation_steps": (
        lambda value: value > 1,
        "gradient accumulation over {value:g} batches: the training loss of the log may be {value:g} times the mean",
    ),
    "label_smoothing_factor": (
        lambda value: value > 0,
        "label smoothing of {value:g}: training and validation losses both include it, and neither can reach 0",
    ),
}


def techniques_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of regularizers that the arguments turn on."""
    return tuple(name for key, (name, least) in TECHNIQUES.items() if (_number(settings.get(key)) or 0.0) >= least)


def notes_on_settings(settings: Mapping[str, Any]) -> list[str]:
    """Notes on how the arguments change the meaning of the numbers."""
    found = [(_number(settings.get(key)), holds, text) for key, (holds, text) in NOTES.items()]
    return [text.format(value=value) for value, holds, text in found if value is not None and holds(value)]


def _number(value: Any) -> float | None:
    """Trackers keep arguments as numbers or as their texts."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
