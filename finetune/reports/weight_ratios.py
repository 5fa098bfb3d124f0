"""Distributions of weights that nearly coincide are shown as ratios to the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from finetune.measurement.units import multiple_text, number_text, percent_text
from finetune.records.report import VariantReport, WeightSummary
from finetune.reports.numbers import MAGNITUDES, shorten

ALIKE = 0.9  # common area of two distributions from which their lines cannot be told apart
LEAST = 0.002  # fraction of the baseline's weights in a bin, below which a ratio is noise
NOTABLE = 0.0005  # fraction of exact zeros that is shown
PARTS = ("encoder", "head")
Ratios = dict[str, list[tuple[float, float]]]  # preset -> (log10 |w|, multiple of the baseline's fraction)


def magnitude_ratios(shown: Sequence[VariantReport], baseline: str, part: str) -> Ratios:
    """Frequency of each magnitude as a multiple of the baseline; empty if the distributions themselves differ visibly,
    or there is nothing to compare."""
    found = {variant.name: variant.weights[part].magnitudes for variant in shown if part in variant.weights}
    base = found.pop(baseline, [])
    if not any(base) or not found or not all(_overlap(base, other) >= ALIKE for other in found.values()):
        return {}
    bins = [number for number, fraction in enumerate(base) if fraction >= LEAST]
    return {name: [(MAGNITUDES[at], other[at] / base[at]) for at in bins] for name, other in found.items()}


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Common part of two distributions, in [0, 1]: of weights that are not zero."""
    if not any(other):
        return 0.0
    return sum(min(a / sum(one), b / sum(other)) for a, b in zip(one, other, strict=True))


def ratios_text(ratios: Ratios, baseline: str) -> str:
    """For each preset, the magnitude at which it differs most."""
    words = []
    for name, points in ratios.items():
        at, ratio = max(points, key=lambda point: abs(point[1] - 1))
        most = f"{shorten(name, 60)}: differs most near 10^{number_text(at, 2)}, "
        words.append(f"{most}where it has {multiple_text(ratio, 2)} the weights of {shorten(baseline, 60)}.")
    return " ".join(words)


def has_zeros(shown: Sequence[VariantReport]) -> bool:
    """Whether any preset has a notable number of weights that are exactly zero."""
    return any(part.zero_share > NOTABLE for variant in shown for part in _parts(variant).values())


def zeros_text(shown: Sequence[VariantReport]) -> str:
    """The bars in words."""
    return " ".join(
        f"{shorten(variant.name, 60)}: {percent_text(weights.zero_share, 1)} of the {part}."
        for variant in shown
        for part, weights in _parts(variant).items()
    )


def _parts(variant: VariantReport) -> Mapping[str, WeightSummary]:
    return {part: variant.weights[part] for part in PARTS if part in variant.weights}
