"""Training labels that are likely wrong."""

from __future__ import annotations

import importlib.util
import random
from collections import Counter
from typing import Any

import numpy as np

from finetune.checks.base import EXAMPLES, count, percent, show_row
from finetune.checks.baselines import STRENGTH, encode_targets
from finetune.checks.tfidf import TextFeatures
from finetune.data.rows import Data, Rows
from finetune.records.schema import Finding

FEWEST_ROWS, FEWEST_OF_CLASS = 50, 5
LOOKED_AT = 5_000  # training rows, drawn with a fixed seed
PROBABILITIES = 150_000  # rows × classes: time grows with both, and this many take seconds
FOLDS = 5
SKILL = 0.7
MANY = 0.05  # share of the rows that are looked at


def check_label_errors(data: Data) -> list[Finding]:
    """Confident learning (Northcutt et al. 2021, arXiv:1911.00068) on out-of-fold TF-IDF probabilities of train.

    Needs the extra `labels` (cleanlab); without it, and for multi-label or numbers, the finding says so. A warning from
    5 % of the rows, else to know. Not asked below 50 rows; classes with fewer than 5 rows are left out. Where TF-IDF
    gets right less than seven tenths of what the majority class gets wrong, it disputes good labels: then that is
    said instead.
    """
    if data.task != "single_label":
        return [_cannot("Likely label errors are looked for in single-label data only.", "")]
    if importlib.util.find_spec("cleanlab") is None:
        return [_cannot("Likely label errors were not looked for.", 'Try: pip install "finetune[labels]"')]
    rows = _usable(data.train)
    if len(rows) < FEWEST_ROWS or len(set(rows.labels)) < 2:
        return []
    names, targets = np.unique(encode_targets(data, rows), return_inverse=True)
    probabilities = out_of_fold(rows, targets)
    accuracy = float((probabilities.argmax(axis=1) == targets).mean())
    majority = float(np.bincount(targets).max() / len(targets))
    if not _is_skilled(accuracy, majority):
        return [
            _cannot(
                f"Likely label errors cannot be told: TF-IDF is right about {percent(accuracy)} of the training rows, "
                f"the majority class about {percent(majority)}.",
                "",
            )
        ]
    suspects = find_suspects(targets, probabilities)
    if len(suspects) == 0:
        return []
    share = len(suspects) / len(rows)
    assert data.labels is not None, "single-label data has classes"
    of = "" if len(rows) == len(data.train) else f" of the {len(rows):,} looked at"
    return [
        Finding(
            check="label_errors",
            level="warning" if share >= MANY else "info",
            text=f"{count(len(suspects), 'training row')} ({percent(share)}{of}) may have a wrong "
            "label: TF-IDF, fitted without them, is confident of another.",
            figures={"rows": len(suspects), "share": share, "looked_at": len(rows), "accuracy": accuracy},
            examples=[
                f"{show_row('train', rows, index, label=True)} — rather "
                f"{data.labels[names[probabilities[index].argmax()]]}"
                for index in suspects[:EXAMPLES]
            ],
            advice="Read them; correct what is wrong in the file",
        )
    ]


def _is_skilled(accuracy: float, majority: float) -> bool:
    """Whether seven tenths of what the majority class gets wrong are got right.

    With half, an eighth of SST-2 was suspected, whose labels are good: TF-IDF is right about 82 % there.
    """
    return accuracy >= majority + SKILL * (1 - majority)


def _usable(train: Rows) -> Rows:
    positions: Any = range(len(train))
    most = min(LOOKED_AT, PROBABILITIES // len(set(train.labels)))
    if len(train) > most:
        positions = sorted(random.Random(0).sample(positions, most))
    counts = Counter(train.labels[index] for index in positions)
    return train.take([index for index in positions if counts[train.labels[index]] >= FEWEST_OF_CLASS])


def find_suspects(targets: Any, probabilities: Any) -> list[int]:
    """Positions of likely wrong labels, the most suspicious first."""
    from cleanlab.filter import find_label_issues  # slow to import, and optional

    found = find_label_issues(targets, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    return [int(index) for index in found]


def out_of_fold(rows: Rows, targets: Any) -> Any:
    """Probabilities, (rows, classes), each from a model that has not seen the row."""
    from sklearn.linear_model import LogisticRegression  # slow to import, and needed here only
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    features = TextFeatures(rows, characters=False).of(rows)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    model = LogisticRegression(C=STRENGTH, tol=1e-3, max_iter=100)
    return cross_val_predict(model, features, targets, cv=folds, method="predict_proba")


def _cannot(text: str, advice: str) -> Finding:
    return Finding(check="label_errors", level="info", text=text, advice=advice)
