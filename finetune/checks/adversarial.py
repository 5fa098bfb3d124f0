"""Can a classifier distinguish the training rows from those of validation or test?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.checks.base import (
    EXAMPLES,
    TWO_SIDED,
    FoundRow,
    LocatedFinding,
    advise_on_shift,
    draw_positions,
    draw_rows,
    full_texts,
    shown_rows,
)
from finetune.checks.tfidf import WORDS
from finetune.data.rows import Data, Rows
from finetune.records.schema import Finding

SIDE = 2_000  # rows of each side, drawn with a fixed seed
SMALLEST = 40  # rows of a side: five folds of it still hold eight
ALARM = 0.55  # low end of the 95 % interval of AUC
FOLDS = 5
TYPICAL_WORDS = 5  # named in the finding


def check_adversarial(data: Data) -> list[Finding]:
    """Adversarial validation: the AUC of TF-IDF and logistic regression between train and validation, and test.

    Out of fold (5 folds), at most 2,000 rows per side. The 95 % interval is DeLong's. A warning when its low end is
    above 0.55; an AUC of 0.5 means no difference. docs/checks.md says how often random splits alarm. Not computed below
    40 rows per side.
    """
    splits = data.whole_splits()
    findings = []
    for split, rows in splits.items():
        if split == "train" or min(len(rows), len(data.train)) < SMALLEST:
            continue
        finding = _compare(data, split, rows)
        findings += [finding] if finding is not None else []
    return findings


def _compare(data: Data, split: str, rows: Rows) -> Finding | None:
    from sklearn.feature_extraction.text import TfidfVectorizer  # slow to import, and needed here only
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    positions, whole = draw_positions(rows, SIDE), rows
    rows, train = draw_rows(rows, SIDE), draw_rows(data.train, SIDE)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=WORDS, max_features=20_000)
    features = vectorizer.fit_transform([*full_texts(train), *full_texts(rows)])
    sides = np.repeat([0, 1], [len(train), len(rows)])
    model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=200)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    scores = cross_val_predict(model, features, sides, cv=folds, method="decision_function")
    auc, low, high = auc_interval(scores[sides == 1], scores[sides == 0])
    if low <= ALARM:
        return None
    weights = model.fit(features, sides).coef_[0]
    words = vectorizer.get_feature_names_out()[np.argsort(-weights, kind="stable")[:TYPICAL_WORDS]]
    typical = np.argsort(-scores[len(train) :], kind="stable")[:EXAMPLES]
    return LocatedFinding(
        check="adversarial",
        level="warning",
        split=split,
        text=f"A classifier tells {split} rows from train rows: AUC {auc:.2f} (95 % CI {low:.2f} to {high:.2f}, "
        f"0.5: no difference), by words such as {', '.join(repr(str(word)) for word in words)}.",
        figures={"auc": auc, "low": low, "high": high},
        **shown_rows({split: whole}, [FoundRow(split, positions[int(index)]) for index in typical]),
        advice=advise_on_shift(data, split),
    )


def auc_interval(positive: NDArray[Any], negative: NDArray[Any]) -> tuple[float, float, float]:
    """AUC and its 95 % interval.

    DeLong et al. 1988, Biometrics 44:837: the variance, on each side, of the fraction of comparisons that a row wins.

    Args:
        positive: Scores, (m,), m ≥ 2.
        negative: Scores, (n,), n ≥ 2.
    """
    from scipy.stats import rankdata  # slow to import, and needed here only

    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    won = (ranks[:m] - rankdata(positive)) / n
    lost = 1 - (ranks[m:] - rankdata(negative)) / m
    auc = float(won.mean())
    half = TWO_SIDED * math.sqrt(float(won.var(ddof=1) / m + lost.var(ddof=1) / n))
    return auc, max(0.0, auc - half), min(1.0, auc + half)
