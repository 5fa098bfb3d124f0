"""A text -> the values that the page shows for it, as plain data."""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from finetune.inference.answers import is_empty
from finetune.inference.classifier import Classifier
from finetune.inference.predictions import Predictions
from finetune.measurement.scores import label_probabilities
from finetune.measurement.thresholds import HALF

# More about one text: a name that page.js has a function for, and what that shows. What explains an answer is one, too.
Detail = Callable[[str, str | None, Predictions], tuple[str, Any]]


@dataclass(frozen=True)
class Answers:
    """A model that answers one text at a time, for any number of clients.

    Attributes:
        classifier: The model.
        about: What the page says about it.
        details: Further information on each text.
    """

    classifier: Classifier
    about: Sequence[str]
    details: Sequence[Detail] = ()
    _lock = threading.Lock()

    def model(self) -> dict[str, Any]:
        """What the page needs to know about the model."""
        reading = self.classifier.reading
        return {
            "name": self.classifier.origin,
            "task": reading.task,
            "pairs": reading.has_pairs,
            "about": [*self.about, *self.classifier.notes],
        }

    def answer(self, text: str, pair: str | None) -> dict[str, Any]:
        """Prediction, probabilities, confidence, and which part of the text was read.

        Args:
            text: First, or only, text.
            pair: Second text, for a model that reads pairs.
        """
        if is_empty(text, pair):
            return {"empty": True}
        encoder = self.classifier.encoder
        with self._lock:
            pairs = None if pair is None else [pair]
            found = self.classifier.predict([text], pairs)
            tokens = int(encoder.encode([text], pairs).lengths[0])
            details = dict(detail(text, pair, found) for detail in self.details)
        return {
            "prediction": found.labels[0],
            "labels": self._labels(found),
            "confidence": self._confidence(found),
            "tokens": tokens,
            "limit": encoder.max_length,
            "windows": encoder.overlap is not None,
            "details": details,
        }

    def _labels(self, found: Predictions) -> list[dict[str, Any]]:
        """Probability of each label, the likeliest first, and the threshold above which it is predicted, if any."""
        if found.probabilities is None:
            return []
        reading = self.classifier.reading
        several = reading.task == "multi_label"
        rows = [
            {
                "name": name,
                "probability": float(value),
                "threshold": reading.thresholds.get(name, HALF) if several else None,
            }
            for name, value in zip(reading.labels or (), found.probabilities[0], strict=True)
        ]
        return sorted(rows, key=lambda row: -row["probability"])

    def _confidence(self, found: Predictions) -> dict[str, Any] | None:
        """Of one class: before and after calibration, and how often validation was right at least this sure."""
        if found.confidence is None:
            return None
        reading, served = self.classifier.reading, self.classifier.served
        plain = label_probabilities(reading.task, found.logits, 1.0)
        assert plain is not None, "of classes"
        known: dict[str, Any] = {
            "calibrated": found.confidence[0],
            "plain": float(plain[0].max()),
            "temperature": None if served is None else served.temperature,
        }
        if served is not None and (sure := served.confidences) is not None:
            reached = bisect_right([-value for value in sure.confidence], -found.confidence[0])
            if reached:
                known |= {"validation_rows": sure.answered[reached - 1], "validation_right": sure.right[reached - 1]}
        return {name: value for name, value in known.items() if value is None or math.isfinite(value)}
