"""The rows on which variants differ most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.analysis.collection import FinishedRun
from finetune.records.explained import ExplainedRows
from finetune.records.report import Disagreement
from finetune.tasks import Task

SHOWN_ROWS = 20
SHOWN_CHARACTERS = 300  # of a text; the rest of a long one says nothing about a table

Runs = Mapping[str, Sequence[FinishedRun]]  # variant -> finished runs


def disagreements(variants: Runs, task: Task, split: str, texts: Mapping[str, Any]) -> list[Disagreement]:
    """The rows with the largest spread over variants of the fraction of correct runs (numbers: mean |error|).

    Args:
        variants: Variant -> finished runs.
        task: What is predicted.
        split: Split of the rows.
        texts: Fingerprint of the data -> row -> its text, pair and name.
    """
    spreads: list[tuple[float, Disagreement]] = []
    for fold in sorted({run.fold for runs in variants.values() for run in runs}, key=str):
        runs_of_fold = {name: [run for run in runs if run.fold == fold] for name, runs in variants.items()}
        runs_of_fold = {name: runs for name, runs in runs_of_fold.items() if runs}
        if len(runs_of_fold) > 1:
            spreads += _in_fold(runs_of_fold, fold, task, split, texts)
    spreads.sort(key=lambda entry: (-entry[0], entry[1].row))
    return [entry for spread, entry in spreads[:SHOWN_ROWS] if spread > 0]


def with_explained(rows: Sequence[Disagreement], explained: ExplainedRows | None) -> list[Disagreement]:
    """The rows with the explained predictions of the final model, if known."""
    if explained is None:
        return list(rows)
    return [
        row.model_copy(update={"explained": explained.answers.get(row.row)}) if row.fold == explained.fold else row
        for row in rows
    ]


def _in_fold(
    variants: Runs, fold: int | None, task: Task, split: str, texts: Mapping[str, Any]
) -> list[tuple[float, Disagreement]]:
    """Spread and row, for the rows of one fold that could be shown."""
    first = next(iter(variants.values()))[0]
    labels = first.record.data.labels
    targets, rows = first.arrays[f"{split}_targets"], first.arrays[f"{split}_rows"]
    predictions = {name: np.stack([_predictions(task, run, split) for run in runs]) for name, runs in variants.items()}
    correct = {name: _correctness(task, predicted, targets) for name, predicted in predictions.items()}
    spread = np.ptp(np.stack(list(correct.values())), axis=0)
    kept = texts.get(first.record.data.fingerprint, {})
    entries = []
    for index in np.argsort(-spread, kind="stable")[:SHOWN_ROWS]:
        text, pair, *names = kept.get(str(rows[index]), (None, None))
        entry = Disagreement(
            row=str(rows[index]),
            id=names[0] if names else None,  # folders of earlier versions have none
            fold=fold,
            text=shortened(text),
            pair=shortened(pair),
            target=in_words(task, targets[index], labels),
            answers={
                name: _majority_prediction(task, predicted[:, index], labels) for name, predicted in predictions.items()
            },
            right={name: float(fraction[index]) for name, fraction in correct.items()},
        )
        entries.append((float(spread[index]), entry))
    return entries


def _predictions(task: Task, run: FinishedRun, split: str) -> NDArray[Any]:
    """(rows,) classes, (rows, K) marks, or (rows,) numbers."""
    logits = run.arrays[f"selected_{split}_logits"]
    if task == "single_label":
        return np.asarray(logits.argmax(axis=1))
    return np.asarray(logits > 0) if task == "multi_label" else logits.reshape(len(logits)).astype(np.float64)


def _correctness(task: Task, predictions: NDArray[Any], targets: NDArray[Any]) -> NDArray[Any]:
    """Fraction of runs that are correct, or the mean absolute error; (runs, rows, …) -> (rows,)."""
    if task == "regression":
        return np.asarray(np.abs(predictions - targets).mean(axis=0))
    hits = predictions == targets if task == "single_label" else (predictions == targets.astype(bool)).all(axis=2)
    return np.asarray(hits.mean(axis=0))


def _majority_prediction(task: Task, predictions: NDArray[Any], labels: list[str] | None) -> str:
    """Of all runs; numbers: their mean."""
    if task == "regression":
        return f"{predictions.mean():.3f}"
    return Counter(in_words(task, predicted, labels) for predicted in predictions).most_common(1)[0][0]


def in_words(task: Task, label: Any, labels: list[str] | None) -> str:
    """A target or prediction in words: the class, the labels, or the number."""
    if task == "regression" or labels is None:
        return f"{float(label):.3f}"
    if task == "single_label":
        return labels[int(label)]
    return " | ".join(name for name, marked in zip(labels, label, strict=True) if marked) or "(none)"


def shortened(text: str | None) -> str | None:
    """A text as reports show it."""
    if text is None or len(text) <= SHOWN_CHARACTERS:
        return text
    return text[: SHOWN_CHARACTERS - 1] + "…"
