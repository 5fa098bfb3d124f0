"""Training labels that are likely wrong."""

from __future__ import annotations

import importlib.util
from collections import Counter
from typing import Any

import numpy as np

from finetune.checks.base import FoundRow, LocatedFinding, draw_positions, percent, shown_rows, verb
from finetune.checks.baselines import STRENGTH, encode_targets
from finetune.checks.tfidf import TextFeatures
from finetune.data.rows import Data, Rows
from finetune.measurement.units import count_text
from finetune.records.schema import Finding

FEWEST_ROWS, FEWEST_OF_CLASS = 50, 5
CHECKED = 5_000  # training rows, drawn with a fixed seed
PROBABILITIES = 150_000  # rows × classes: time grows with both, and this many take seconds
FOLDS = 5
SKILL = 0.7
MANY = 0.05  # fraction of the rows that are checked


def check_label_errors(data: Data) -> list[Finding]:
    """Confident learning (Northcutt et al. 2021, arXiv:1911.00068) on out-of-fold TF-IDF probabilities of train.

    Needs the extra `labels` (cleanlab); without it, and for multi-label or numbers, the finding says so. Warning from 5
    % of the rows, else information. Skipped below 50 rows; classes with fewer than 5 rows are left out. Where TF-IDF
    predicts correctly less than seven tenths of the rows that the majority class gets wrong, it disputes correct
    labels, and the finding says that instead.
    """
    if data.task != "single_label":
        return [_skipped("Label-error check skipped: it needs single-label data.", "")]
    if importlib.util.find_spec("cleanlab") is None:
        return [_skipped("Label-error check skipped (cleanlab not installed).", 'Try: pip install "finetune[labels]"')]
    positions = _usable(data.train)
    rows = data.train.take(positions)
    if len(rows) < FEWEST_ROWS or len(set(rows.labels)) < 2:
        return []
    names, targets = np.unique(encode_targets(data, rows), return_inverse=True)
    probabilities = out_of_fold(rows, targets)
    accuracy = float((probabilities.argmax(axis=1) == targets).mean())
    majority = float(np.bincount(targets).max() / len(targets))
    if not _is_skilled(accuracy, majority):
        return [
            _skipped(
                "Label-error check skipped: TF-IDF is not accurate enough to dispute labels. It predicts "
                f"{percent(accuracy)} of the training rows correctly, the majority class {percent(majority)}.",
                "",
            )
        ]
    suspects = find_suspects(targets, probabilities)
    if len(suspects) == 0:
        return []
    fraction = len(suspects) / len(rows)
    assert data.labels is not None, "single-label data has classes"
    checked = "" if len(rows) == len(data.train) else f" of the {len(rows):,} checked"
    found = [
        FoundRow("train", positions[index], f" — perhaps {data.labels[names[probabilities[index].argmax()]]}")
        for index in suspects
    ]
    return [
        LocatedFinding(
            check="label_errors",
            level="warning" if fraction >= MANY else "info",
            text=f"{count_text(len(suspects), 'training row')} ({percent(fraction)}{checked}) may have a wrong label: "
            f"TF-IDF, fitted without {verb(len(suspects), 'it', 'them')}, confidently predicts another.",
            figures={"rows": len(suspects), "share": fraction, "looked_at": len(rows), "accuracy": accuracy},
            **shown_rows({"train": data.train}, found, label=True),
            advice="Read these rows, and correct wrong labels in the file",
        )
    ]


def _is_skilled(accuracy: float, majority: float) -> bool:
    """Whether the model predicts correctly seven tenths of what the majority class gets wrong.

    With half, an eighth of SST-2 was suspected, whose labels are good: the accuracy of TF-IDF is about 82 % there.
    """
    return accuracy >= majority + SKILL * (1 - majority)


def _usable(train: Rows) -> list[int]:
    positions = draw_positions(train, min(CHECKED, PROBABILITIES // len(set(train.labels))))
    counts = Counter(train.labels[index] for index in positions)
    return [index for index in positions if counts[train.labels[index]] >= FEWEST_OF_CLASS]


def find_suspects(targets: Any, probabilities: Any) -> list[int]:
    """Positions of likely wrong labels, the most suspicious first."""
    from cleanlab.filter import find_label_issues  # slow to import, and optional

    issues = find_label_issues(targets, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    return [int(index) for index in issues]


def out_of_fold(rows: Rows, targets: Any) -> Any:
    """Probabilities, (rows, classes), each from a model that has not seen the row."""
    from sklearn.linear_model import LogisticRegression  # slow to import, and needed here only
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    features = TextFeatures(rows, characters=False).of(rows)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    model = LogisticRegression(C=STRENGTH, tol=1e-3, max_iter=100)
    return cross_val_predict(model, features, targets, cv=folds, method="predict_proba")


def _skipped(text: str, advice: str) -> Finding:
    return Finding(check="label_errors", level="info", text=text, advice=advice)
