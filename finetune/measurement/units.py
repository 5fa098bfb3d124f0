"""How figures are written: points with one decimal, nats with three, intervals in brackets."""

import math

from finetune.measurement.scores import LOSSES, MEASURES

NAMES = {
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "mcc": "MCC",
    "nll": "NLL",
    "ece": "ECE",
    "brier": "Brier",
    "mse": "MSE",
    "mae": "MAE",
    "pearson": "Pearson r",
    "spearman": "Spearman ρ",
    "exact_match": "exact match",
    "average_precision": "average precision",
}
SHARES = ("accuracy", "macro_f1", "micro_f1", "exact_match", "average_precision")  # in [0, 1]: shown in points


def is_share(metric: str) -> bool:
    """Whether a metric is shown in percent, and its differences in points."""
    return metric in SHARES


def higher_is_better(metric: str) -> bool:
    return metric not in LOSSES


def difference_unit(metric: str) -> str:
    """The unit of a difference or gap: points, nats, or none."""
    return "points" if is_share(metric) else "nats" if metric == "nll" else ""


def metric_name(metric: str) -> str:
    """As a person writes it."""
    return NAMES.get(metric, metric)


def titled(metric: str, task: str) -> str:
    """The name, and the unit of a loss."""
    return metric_name(metric) + (f" ({MEASURES[task].loss_unit})" if metric == MEASURES[task].loss else "")


def score_text(metric: str, value: float | None) -> str:
    """A score or loss; shares in percent, a dash for what is undefined."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{100 * value:.1f} %" if is_share(metric) else f"{value:.3f}"


def change_text(metric: str, value: float | None, unit: bool = True) -> str:
    """A signed difference or gap with its unit, such as `+0.6 points`; a real minus sign."""
    if value is None or not math.isfinite(value):
        return "-"
    scale, digits = (100, 1) if is_share(metric) else (1, 3)
    name = difference_unit(metric) if unit else ""
    return f"{signed(scale * value, digits)}{' ' + name if name else ''}"


def interval_text(metric: str, low: float | None, high: float | None) -> str:
    """`[−0.3, +1.5]`, or a dash."""
    if low is None or high is None:
        return "-"
    scale, digits = (100, 1) if is_share(metric) else (1, 3)
    return f"[{signed(scale * low, digits)}, {signed(scale * high, digits)}]"


def range_text(metric: str, low: float | None, high: float | None) -> str:
    """The interval of a level, without signs: `[78.1, 81.2]`, or a dash."""
    if low is None or high is None:
        return "-"
    scale, digits = (100, 1) if is_share(metric) else (1, 3)
    return f"[{scale * low:.{digits}f}, {scale * high:.{digits}f}]".replace("-", "−")


def signed(value: float, digits: int) -> str:
    """With its sign, a real minus; zero has none."""
    text = f"{value:+.{digits}f}"
    if float(text) == 0:
        text = f"{0:.{digits}f}"
    return text.replace("-", "−")
