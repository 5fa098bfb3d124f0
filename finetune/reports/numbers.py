"""Display of a report's numbers in the units that it states, and users' text made safe to show."""

import unicodedata

from finetune.measurement.units import Scale, metric_name
from finetune.records.curve import CurveReport
from finetune.records.frame import ReportFrame
from finetune.records.report import Difference, Group, Report, Summary, VariantReport
from finetune.records.schema import Baseline
from finetune.records.sweep import SweepReport

MAGNITUDES = [-7.875 + 0.25 * number for number in range(40)]  # centres of `WeightSummary.magnitudes`, log10 |w|


def scale_of(report: ReportFrame, metric: str) -> Scale:
    """The scale of a metric, as this report states it; a metric it does not know is a plain number."""
    unit = report.metrics.get(metric)
    if unit is None:
        return Scale(metric, fraction=False, unit="")
    return Scale(metric, unit.kind == "fraction", unit.unit)


def skipped(report: Report | CurveReport | SweepReport) -> list[str]:
    """Records that could not be read."""
    return [shorten(reason, 400) for reason in report.skipped]


def log_loss_note(loss: str) -> str:
    """Explains the loss of classifiers; empty for other losses."""
    if loss != "nll":
        return ""
    return f"{metric_name(loss).capitalize()} is the mean negative log-likelihood (NLL, key `nll`), in nats."


def why_no_interval(variant: VariantReport) -> str:
    """Why a difference of this variant has no interval."""
    if len(variant.pairs) == 1:
        return "one pair:\nno interval"
    if len(variant.pairs) == 2:
        return "two pairs: too few\nfor an interval"
    return "nothing to compare" if not variant.pairs else "no interval\nover rows"


def difference(variant: VariantReport, kind: str, metric: str) -> Difference | None:
    """The difference to the baseline; None if there is none."""
    return variant.differences.get(kind, {}).get(metric)


def finished(group: Group) -> list[VariantReport]:
    """Variants with at least one finished run."""
    return [variant for variant in group.variants if variant.train]


def mean_of(scores: dict[str, Summary], metric: str) -> float | None:
    return scores[metric].mean if metric in scores else None


def split_name(split: str) -> str:
    """The displayed name of a split: `train (sample)` for the fixed sample that is measured."""
    return "train (sample)" if split == "train_probe" else split.replace("_", " ")


def simple_name(baseline: Baseline) -> str:
    """The displayed name of a simple model in a table."""
    return {"tfidf": "TF-IDF"}.get(baseline.name, baseline.name)


def baseline_levels(group: Group, baseline: Baseline) -> list[float | None]:
    """The main score of a simple model on each split of a report; None where it was not measured."""
    splits = ("train_probe" if split == "train" else split for split in group.splits)
    return [baseline.scores.get(split, {}).get(group.score) for split in splits]


def setting_text(value: object) -> str:
    """A value of a recipe: `true`, `0.1`, `query/value`."""
    if isinstance(value, list | tuple):
        return "/".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def shorten(text: str, most: int = 200) -> str:
    """One line without control characters, of `most` characters at most. For text that users wrote."""
    kept = "".join(" " if character.isspace() else character for character in text[: 4 * most])
    kept = "".join(character for character in kept if _is_shown(character))
    words = " ".join(kept.split())
    return words if len(words) <= most and len(text) <= 4 * most else words[: most - 1].rstrip() + "…"


def isolated(text: str) -> str:
    """Isolate one of several users' texts, so that a right-to-left text does not reorder its neighbours."""
    return f"\u2068{text}\u2069"


def _is_shown(character: str) -> bool:
    """Neither a control character, nor one that turns the direction of all that follows."""
    turns = "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"
    return not turns and unicodedata.category(character) not in ("Cc", "Cs")
