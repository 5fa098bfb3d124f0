"""From out-of-fold predictions at every learning rate to the rate that a run uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.checks.baselines import encode_targets
from finetune.data.rows import Data
from finetune.errors import RunFailed
from finetune.measurement.beyond_chance import LEVEL, better_p
from finetune.measurement.scores import compute_scores
from finetune.recipe import DEFAULT_RATE, RATES
from finetune.records.facts import RateChoice, RateScore
from finetune.training.prepare import Prepared
from finetune.training.rate_folds import Fit, nothing_to_choose


@dataclass(frozen=True)
class Outcome:
    """Result of one training.

    Attributes:
        fit: The training.
        logits: Logits of the rows left out, (rows, K); None if the training diverged, and in all but the main process.
        steps: Optimizer steps taken.
        failure: Why it diverged.
    """

    fit: Fit
    logits: NDArray[Any] | None
    steps: int
    failure: str | None = None


def decide(prepared: Prepared, outcomes: Sequence[Outcome], how: str) -> RateChoice:
    """From out-of-fold predictions to the learning rate.

    The score of a value is the main score over the rows of all folds together. The best value is taken if it is better
    than the default beyond chance, that is, if the one-sided p-value of `better_p` times the number of other values
    (Bonferroni) is below 0.05. Otherwise the default is taken. If the default diverged, the best value is taken without
    a test.

    Args:
        prepared: Preparation of the run.
        outcomes: Results of all trainings; for a value that diverged, up to that training.
        how: How the folds were cut.
    """
    data, metric = prepared.data, prepared.measure.score
    targets = encode_targets(data, data.train)
    pooled = {rate: _pooled([each for each in outcomes if each.fit.rate == rate], data) for rate in RATES}
    complete = {rate: logits for rate, logits in pooled.items() if logits is not None}
    default = complete.get(DEFAULT_RATE)
    scores = {rate: _score(prepared, metric, logits, targets) for rate, logits in complete.items()}
    ps = {
        rate: min(1.0, better_p(data.task, metric, logits, default, targets, data.train.groups) * (len(complete) - 1))
        for rate, logits in complete.items()
        if default is not None and rate != DEFAULT_RATE
    }
    # Of equal scores the one nearest to the default.
    best = max(scores, key=lambda rate: (scores[rate], -abs(np.log(rate / DEFAULT_RATE))))
    value = best if default is None or ps.get(best, 1.0) < LEVEL else DEFAULT_RATE
    failures = {each.fit.rate: each.failure for each in outcomes if each.failure}
    return RateChoice(
        value=value,
        default=DEFAULT_RATE,
        metric=metric,
        folds=1 + max(each.fit.fold for each in outcomes),
        rows=len(data.train),
        how=how,
        tried=[
            RateScore(value=rate, score=_finite(scores.get(rate)), p=ps.get(rate), failure=failures.get(rate))
            for rate in RATES
        ],
        steps=sum(each.steps for each in outcomes),
        reason=_reason(value, best, default is None),
    )


def refuse_divergence(outcomes: Sequence[Outcome]) -> None:
    """
    Raises:
        RunFailed: All values diverged.
    """
    failures = {each.fit.rate: each.failure for each in outcomes if each.failure}
    if len(failures) == len(RATES):
        lowest = min(failures)
        raise RunFailed(
            f"training diverged at every learning rate tried. At {lowest:g}: {failures[lowest]}",
            key="training.learning_rate",
        )


def _reason(value: float, best: float, is_default_out: bool) -> str:
    if is_default_out:
        return f"the best of those that did not diverge; the default of {DEFAULT_RATE:g} did"
    if value != DEFAULT_RATE:
        return f"better than the default of {DEFAULT_RATE:g} beyond chance"
    if best == DEFAULT_RATE:
        return "the default; no other value is better"
    return f"the default: {best:g} is not better beyond chance"


def _pooled(outcomes: Sequence[Outcome], data: Data) -> NDArray[Any] | None:
    """Out-of-fold logits in the order of the training rows; None if a fold diverged."""
    pooled: NDArray[Any] | None = None
    for outcome in outcomes:
        if outcome.logits is None:
            return None
        logits = outcome.logits.reshape(len(outcome.logits), -1)
        pooled = np.zeros((len(data.train), logits.shape[1])) if pooled is None else pooled
        pooled[list(outcome.fit.left_out)] = logits
    return pooled


def _score(prepared: Prepared, metric: str, logits: NDArray[Any], targets: NDArray[Any]) -> float:
    """An undefined score (the correlation of a constant) is the worst."""
    value = compute_scores(prepared.data.task, logits, targets)[metric]
    return value if np.isfinite(value) else -np.inf


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def unchosen(prepared: Prepared, fixing: Sequence[str]) -> RateChoice:
    """The default, if techniques set the rate of all trained weights."""
    return RateChoice(
        value=DEFAULT_RATE,
        default=DEFAULT_RATE,
        metric=prepared.measure.score,
        folds=0,
        rows=len(prepared.data.train),
        how="",
        tried=[],
        steps=0,
        reason=nothing_to_choose(fixing),
    )
