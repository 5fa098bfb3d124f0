"""Texts that are too long for the model."""

from __future__ import annotations

from collections import Counter

import numpy as np

from finetune.checks.base import FoundRow, LocatedFinding, draw_positions, percent, show_label, shown_rows, verb
from finetune.data.rows import Data, names_of
from finetune.data.tokens import Encoder
from finetune.measurement.units import count_text
from finetune.recipe import DataSection
from finetune.records.schema import Finding

COUNTED = 20_000  # rows of a split, drawn with a fixed seed
MANY = 0.01  # fraction of the texts
STEP = 8  # tokens to which an advised length is rounded up: tensor cores like multiples of eight


def check_truncation(data: Data, section: DataSection, encoder: Encoder) -> list[Finding]:
    """Texts of all splits that lose tokens at `data.max_length`, and the label that loses most.

    A warning when 1 % of the texts lose tokens, else information. Windows lose none.
    """
    if section.long_texts == "windows":
        return []
    lengths: list[int] = []
    cut: list[FoundRow] = []
    of_label: Counter[str] = Counter()
    cut_of_label: Counter[str] = Counter()
    for name, rows in data.whole_splits().items():
        positions = draw_positions(rows, COUNTED)
        part = rows.take(positions)
        of_split = encoder.lengths(part.texts, part.pairs)
        lengths += of_split
        too_long = {index for index, length in enumerate(of_split) if length > encoder.max_length}
        cut += [FoundRow(name, positions[index]) for index in sorted(too_long)]
        for index, label in enumerate(part.labels if data.labels is not None else []):
            of_label.update(names_of(label))
            cut_of_label.update(names_of(label) if index in too_long else [])
    if not cut:
        return []
    fraction = len(cut) / len(lengths)
    lost = sum(max(0, length - encoder.max_length) for length in lengths) / sum(lengths)
    label = max(cut_of_label, key=lambda name: (cut_of_label[name] / of_label[name], name), default=None)
    most = (
        ""
        if label is None or len(of_label) < 2
        else f". Label '{show_label(label)}' is cut most often ({percent(cut_of_label[label] / of_label[label])})"
    )
    splits = data.whole_splits()
    longest = max(lengths)
    return [
        LocatedFinding(
            check="truncation",
            level="warning" if fraction >= MANY else "info",
            text=f"{len(cut):,} of {count_text(len(lengths), 'text')} ({percent(fraction)}) "
            f"{verb(len(cut), 'is', 'are')} cut at {encoder.max_length} tokens, which loses {percent(lost)} "
            f"of all tokens{most}. The longest has {longest:,} tokens.",
            figures={"texts": len(cut), "share": fraction, "tokens_lost": lost, "longest": longest},
            **shown_rows(splits, cut, label=True),
            advice=_advice(lengths, encoder, section, data),
        )
    ]


def _advice(lengths: list[int], encoder: Encoder, section: DataSection, data: Data) -> str:
    """The length that 99 % of the texts fit into, or 95 %, if the model takes it; else another way to read them."""
    for quantile in (99, 95):
        needed = int(np.percentile(lengths, quantile, method="higher"))
        rounded = min(encoder.limit, -(-needed // STEP) * STEP)
        if encoder.max_length < needed <= encoder.limit:
            return f"Try: --set data.max_length={rounded} ({quantile} % of the texts fit; slower)"
    if np.mean(np.array(lengths) <= encoder.max_length) >= 0.99:
        return "So few texts hardly matter"
    if data.train.pairs is not None:  # which are cut at the end of the longer text only
        return "Shorten the texts, or use a model that reads longer ones: --model …"
    others = ["windows"] if section.long_texts == "head_tail" else ["head_tail", "windows"]
    return "Try: " + " or ".join(f"--set data.long_texts={other}" for other in others)
