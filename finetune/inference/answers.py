"""The output for each row: its prediction, probabilities, and the reason if there is no prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from finetune.inference.abstaining import Threshold
from finetune.inference.classifier import BATCH, Classifier
from finetune.measurement.units import number_text

NO_TEXT = "no text"
KINDS = {
    "single_label": "text",
    "multi_label": "list",
    "regression": "number",
}  # of predictions


@dataclass(frozen=True)
class Answering:
    """A model with the options for its output.

    Attributes:
        classifier: The model.
        every: Whether to give each label's probability.
        threshold: Confidence below which a row has no prediction; None: all have one.
        reasons: Whether to give the reason for rows without a prediction.
        batch_size: Pieces of texts in a forward pass.
    """

    classifier: Classifier
    every: bool = False
    threshold: Threshold | None = None
    reasons: bool = False
    batch_size: int = BATCH

    def kinds(self) -> dict[str, str]:
        """Column -> kind of its cells (see `tables.opened`), in order."""
        pairs: list[str] | None = [] if self.classifier.reading.has_pairs else None
        names = self.classifier.predict([], pairs).columns(self.every)
        kind = KINDS[self.classifier.reading.task]
        kinds = {name: kind if name == "prediction" else "number" for name in names}
        return kinds | ({"reason": "text"} if self.reasons else {})

    def rows(self, texts: Sequence[str], pairs: Sequence[str] | None) -> list[list[Any]]:
        """The cells of each row; without a text there is nothing to predict."""
        filled = [row for row in range(len(texts)) if not is_empty(texts[row], None if pairs is None else pairs[row])]
        asked = [texts[row] for row in filled], None if pairs is None else [pairs[row] for row in filled]
        found = self.classifier.predict(*asked, batch_size=self.batch_size)
        columns = found.columns(self.every)
        cells = [[None] * len(columns) + [NO_TEXT] * self.reasons for _ in texts]
        for row, values in zip(filled, zip(*columns.values(), strict=True), strict=True):
            cells[row] = [*values, *([None] * self.reasons)]
        if self.threshold is not None:
            least = self.threshold.confidence
            for row, confidence in zip(filled, found.confidence or [], strict=True):
                if confidence < least:
                    cells[row][-1] = f"unsure, perhaps {cells[row][0]}: confidence below {number_text(least, 3)}"
                    cells[row][0] = None
        return cells


def is_empty(text: str, pair: str | None) -> bool:
    """Whether there is no text to predict."""
    return not text.strip() and (pair is None or not pair.strip())
