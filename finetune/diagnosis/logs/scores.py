"""Which metrics of a log are scores: numbers of which higher values are better."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from finetune.diagnosis.logs.log import ERROR_RATES, NOT_SCORES, Record, number
from finetune.diagnosis.observations import is_share
from finetune.errors import Change, OutputError
from finetune.measurement.units import listed

SCORES = (
    "accuracy",
    "f1",
    "macro_f1",
    "f1_macro",
    "micro_f1",
    "cats_score",
    "matthews_correlation",
    "mcc",
    "pearson",
    "spearmanr",
)
# Names that end in these words (`overall_f1`, `balanced_accuracy`, `cohen_kappa`), in this order of preference.
LAST_WORDS = ("f1", "accuracy", "mcc", "correlation", "kappa", "pearsonr", "spearman", "r2", "auc", "auroc", "score")
LOWER = (  # last words of errors, losses and costs
    *("mse", "rmse", "mae", "mape", "error", "err", "wer", "cer", "perplexity", "ppl", "entropy", "ece", "brier"),
    *("nll", "deviance", "divergence", "kl", "fpr", "fnr", "latency", "seconds", "time"),
)
COUNTS = ("tokens", "samples", "number", "count", "support", "seen", "size", "rows", "lr", "memory", "std")
RATES = ("learning_rate", "false_positive_rate", "false_negative_rate", *ERROR_RATES)  # that are no scores


def score_name(
    records: Sequence[Record], prefix: str, metric: str | None, file: object
) -> tuple[str | None, list[str]]:
    """The score that is judged, None if there is none; and notes on the choice.

    Args:
        records: Of the log.
        prefix: Of the evaluation set: `eval_`.
        metric: What the user asks for.
        file: The log, for errors.

    Raises:
        OutputError: There is no such metric, or its lower values are better.
    """
    numeric = list(dict.fromkeys(key.removeprefix(prefix) for key in _numeric(records, prefix)))
    names = [name for name in numeric if rises(name)]
    if metric is not None:
        if metric in names:
            return metric, []
        if metric in ERROR_RATES and "accuracy" in names:
            why = "an error rate is read as an accuracy, 1 − error rate."
            raise OutputError(
                f"{file}: {why}", Change(arguments={"metric": "accuracy"}), argument="metric", found=metric
            )
        if metric in numeric:
            why = "a verdict needs a score of which higher values are better; the losses are judged without one."
            raise OutputError(f"{file}: {why}{_known(names)}", argument="metric", found=metric)
        raise OutputError(f"{file}: no score has this name.{_known(names)}", argument="metric", found=metric)
    if not names:
        errors = [name for name in numeric if _last(name) in LOWER]
        why = f"lower values of {listed(errors)} are better: no score is known, and the losses are judged"
        return None, [why] if errors else []
    best = min(names, key=_rank)
    if _rank(best) < len(SCORES) + len(LAST_WORDS) or is_share(best):
        return best, []
    return best, [f"{best} is not known to this program: its higher values are taken to be better"]


def rises(name: str) -> bool:
    """Whether higher values of a metric are better, as far as its name tells: not an error, a cost or a count."""
    return not f"_{name}".endswith(NOT_SCORES) and not name.endswith(RATES) and _last(name) not in (*LOWER, *COUNTS)


def errors_as_accuracies(records: Iterable[Record]) -> tuple[list[Record], list[str]]:
    """The records with error rates, which fastai logs, as accuracies; where both are there, as they are."""
    records = list(records)
    if any(key.endswith("_accuracy") for record in records for key in record):
        return records, []
    renamed = [{_side_of_error(key): _right(key, value) for key, value in record.items()} for record in records]
    if renamed == records:
        return records, []
    return renamed, ["the error rate of the log is read as an accuracy: 1 − error rate"]


def _side_of_error(key: str) -> str:
    side, _, name = key.partition("_")
    return f"{side}_accuracy" if name in ERROR_RATES else key


def _right(key: str, value: object) -> object:
    found = number(value)
    return 1 - found if key.partition("_")[2] in ERROR_RATES and found is not None else value


def _numeric(records: Sequence[Record], prefix: str) -> list[str]:
    """Keys that hold a number somewhere; some programs log a dict or a list of each class beside them."""
    return [
        key
        for record in records
        for key, value in record.items()
        if key.startswith(prefix) and not key.endswith(NOT_SCORES) and isinstance(value, int | float)
    ]


def _known(names: Sequence[str]) -> str:
    return f" The log has: {', '.join(names)}." if names else " The log has no score."


def _last(name: str) -> str:
    return re.split(r"[_\W]+", name.lower())[-1]


def _rank(name: str) -> int:
    if name in SCORES:
        return SCORES.index(name)
    places = [place for place, word in enumerate(LAST_WORDS) if _last(name) == word]
    return len(SCORES) + (places[0] if places else len(LAST_WORDS))
