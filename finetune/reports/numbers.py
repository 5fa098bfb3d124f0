"""How a report writes its figures: by the units that the report itself states, with a dash for what is not known."""

import math
import unicodedata

from finetune.measurement.units import metric_name, signed
from finetune.records.report import Difference, Group, Summary, Unit, VariantReport
from finetune.records.schema import Baseline

DASH = "–"
MINUS = "−"


class Scale:
    """Writes the figures of one metric.

    Args:
        metric: Its name in the report.
        unit: How the report says it is to be read; unknown metrics are plain numbers.
    """

    def __init__(self, metric: str, unit: Unit | None) -> None:
        self.metric = metric
        self.name = metric_name(metric)
        self.share = unit is not None and unit.kind == "share"
        self.higher_is_better = unit is None or unit.higher_is_better
        self.factor, self.digits = (100.0, 1) if self.share else (1.0, 3)
        self.level_unit = "%" if self.share else unit.unit if unit else ""
        self.change_unit = "points" if self.share else unit.unit if unit else ""

    @property
    def title(self) -> str:
        """`accuracy, %` or `NLL, nats`: for axes and columns of levels."""
        return f"{self.name}, {self.level_unit}" if self.level_unit else self.name

    @property
    def change_title(self) -> str:
        """`accuracy, points`: for axes and columns of gaps and differences."""
        return f"{self.name}, {self.change_unit}" if self.change_unit else self.name

    def scaled(self, value: float | None) -> float | None:
        """In percent or as it is; None for what is undefined."""
        return self.factor * value if value is not None and math.isfinite(value) else None

    def level(self, value: float | None, unit: bool = True) -> str:
        """`78.9 %`, `0.612`."""
        scaled = self.scaled(value)
        if scaled is None:
            return DASH
        return f"{scaled:.{self.digits}f}{' %' if unit and self.share else ''}".replace("-", MINUS)

    def spread(self, summary: Summary | None) -> str:
        """`78.9 ± 0.4`; a dash where one run has no spread."""
        if summary is None or summary.mean is None:
            return DASH
        sd = self.scaled(summary.sd)
        return f"{self.level(summary.mean, unit=False)} ± {DASH if sd is None else f'{sd:.{self.digits}f}'}"

    def change(self, value: float | None, unit: bool = True) -> str:
        """`+0.6 points`, `−0.041 nats`."""
        scaled = self.scaled(value)
        if scaled is None:
            return DASH
        return signed(scaled, self.digits) + (f" {self.change_unit}" if unit and self.change_unit else "")

    def interval(self, of: Summary | Difference | None) -> str:
        """`[−0.3, +1.5]`, or a dash."""
        low, high = (None, None) if of is None else (self.scaled(of.low), self.scaled(of.high))
        return DASH if low is None or high is None else f"[{signed(low, self.digits)}, {signed(high, self.digits)}]"

    def full(self, of: Summary | Difference | None) -> str:
        """`+0.6 points [−0.3, +1.5]`; without an interval it says so."""
        if of is None or of.mean is None:
            return "unknown"
        interval = self.interval(of)
        return f"{self.change(of.mean)} {interval if interval != DASH else '(no interval)'}"


def scale_of(group: Group, metric: str) -> Scale:
    """The scale of a metric of this group."""
    return Scale(metric, group.metrics.get(metric))


def why_no_interval(variant: VariantReport) -> str:
    """Why a difference of this variant has no interval."""
    if len(variant.pairs) == 1:
        return "one pair\nno interval"
    return "nothing to compare" if not variant.pairs else "no interval\nover rows"


def reported(group: Group, variant: VariantReport) -> dict[str, Summary]:
    """The scores of the split that the group reports on."""
    return variant.test if group.reported == "test" else variant.validation


def difference(variant: VariantReport, of: str, metric: str) -> Difference | None:
    """To the baseline; None where there is none."""
    return variant.differences.get(of, {}).get(metric)


def finished(group: Group) -> list[VariantReport]:
    """Variants with at least one finished run."""
    return [variant for variant in group.variants if variant.train]


def mean_of(scores: dict[str, Summary], metric: str) -> float | None:
    return scores[metric].mean if metric in scores else None


def simple_name(baseline: Baseline) -> str:
    """What a simple model is called in a table."""
    return {"tfidf": "TF-IDF"}.get(baseline.name, baseline.name)


def number_text(value: float | None, digits: int, before: str = "") -> str:
    """A plain number after a sign such as ×, or a dash."""
    return DASH if value is None or not math.isfinite(value) else f"{before}{value:.{digits}f}".replace("-", MINUS)


def time_text(seconds: float | None) -> str:
    """`41 s`, `12.3 min`, `3.1 h`."""
    if seconds is None:
        return DASH
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def count_text(count: int, one: str, many: str | None = None) -> str:
    """`1 run`, `3 runs`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def shorten(text: str, most: int = 200) -> str:
    """One line without control characters, of `most` characters at most. For text that users wrote."""
    kept = "".join(" " if character.isspace() else character for character in text[: 4 * most])
    kept = "".join(character for character in kept if _is_shown(character))
    words = " ".join(kept.split())
    return words if len(words) <= most and len(text) <= 4 * most else words[: most - 1].rstrip() + "…"


def isolated(text: str) -> str:
    """For a list of users' texts: one that runs from right to left does not turn its neighbours around."""
    return f"\u2068{text}\u2069"


def _is_shown(character: str) -> bool:
    """Neither a control character, nor one that turns the direction of all that follows."""
    turns = "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"
    return not turns and unicodedata.category(character) not in ("Cc", "Cs")
