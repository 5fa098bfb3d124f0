"""The parts of a report below the main table: curves, classes, confidence, weights, disagreements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.analysis.collect import FinishedRun
from finetune.analysis.quantities import Place, Quantity, differ, summarise
from finetune.measurement.scores import row_terms, softmax
from finetune.records.report import ClassScore, Curve, Disagreement, ReliabilityBin, WeightSummary
from finetune.records.schema import RunRecord, WeightGroup

BINS = 10  # of the reliability diagram, equally filled
SHOWN_ROWS = 20
SHOWN_CHARACTERS = 300  # of a text; the rest of a long one says nothing about a table


def curves(run: FinishedRun, metrics: Sequence[str]) -> Curve:
    """The history of one run, of the metrics that are drawn."""
    record = run.record
    history = record.history
    return Curve(
        seed=run.seed,
        fold=run.fold,
        steps=[evaluation.step for evaluation in history],
        train={name: [evaluation.train_probe.get(name) for evaluation in history] for name in metrics},
        validation={name: [evaluation.validation.get(name) for evaluation in history] for name in metrics},
        selected_step=record.selected.step,
    )


def class_scores(
    runs: Sequence[FinishedRun], places: Sequence[Place], baseline: Sequence[FinishedRun], task: str, split: str
) -> list[ClassScore]:
    """F1 of each class, worst first; empty for regression and without runs.

    Differences have intervals over seeds alone.
    """
    if task == "regression" or not runs or runs[0].record.data.labels is None:
        return []
    ours = np.stack([_class_f1(task, run, split) for run in runs])
    theirs = {(run.seed, run.fold): _class_f1(task, run, split) for run in baseline}
    paired = [index for index, run in enumerate(runs) if (run.seed, run.fold) in theirs]
    found = []
    for number, label in enumerate(runs[0].record.data.labels):
        values = [Quantity(_defined(value)) for value in ours[:, number]]
        changes = [
            values[index].minus(Quantity(_defined(theirs[runs[index].seed, runs[index].fold][number])))
            for index in paired
        ]
        found.append(
            ClassScore(
                label=label,
                support=_support(runs, split, label),
                f1=summarise(values, places),
                difference=differ(changes, [places[index] for index in paired]) if paired else None,
            )
        )
    return sorted(found, key=lambda score: (score.f1.mean is None, score.f1.mean or 0.0))


def _class_f1(task: str, run: FinishedRun, split: str) -> NDArray[Any]:
    """F1 of each class on a split, (K,); nan for a class that is neither there nor predicted."""
    logits, targets = run.arrays[f"selected_{split}_logits"], run.arrays[f"{split}_targets"]
    terms = row_terms(task, logits, targets).sum(axis=0)
    hits, predicted, true = np.split(terms[-3 * logits.shape[1] :], 3)  # the last columns, see `row_terms`
    marked = predicted + true
    result: NDArray[Any] = np.where(marked > 0, 2 * hits / np.where(marked > 0, marked, 1), np.nan)
    return result


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _support(runs: Sequence[FinishedRun], split: str, label: str) -> int:
    """Rows of a class; each fold counted once."""
    of_fold = {run.fold: run.record.data.classes[split][label] for run in runs}
    return sum(of_fold.values())


def reliability(runs: Sequence[FinishedRun], task: str, split: str) -> list[ReliabilityBin]:
    """Confidence against accuracy in equally filled bins, all runs together; single-label only."""
    if task != "single_label" or not runs:
        return []
    confidences, hits = [], []
    for run in runs:
        probabilities = softmax(run.arrays[f"selected_{split}_logits"].astype(np.float64))
        confidences.append(probabilities.max(axis=1))
        hits.append(probabilities.argmax(axis=1) == run.arrays[f"{split}_targets"])
    confidence, hit = np.concatenate(confidences), np.concatenate(hits)
    order = np.argsort(confidence, kind="stable")
    return [
        ReliabilityBin(confidence=float(confidence[part].mean()), accuracy=float(hit[part].mean()), rows=len(part))
        for part in np.array_split(order, min(BINS, len(order)))
    ]


def weight_summaries(records: Sequence[RunRecord]) -> dict[str, WeightSummary]:
    """Means over runs of what training did to each group of weights."""
    if not records:
        return {}
    return {
        name: _weight_summary([record.weights[name] for record in records if name in record.weights])
        for name in records[0].weights
    }


def _weight_summary(groups: Sequence[WeightGroup]) -> WeightSummary:
    parameters = groups[0].parameters
    distances = [group.distance for group in groups if group.distance is not None]
    histograms = [group.magnitudes for group in groups if group.magnitudes]  # records before 0.2 have none
    return WeightSummary(
        parameters=parameters,
        norm=float(np.mean([group.norm for group in groups])),
        distance=float(np.mean(distances)) if distances else None,
        zero_share=float(np.mean([group.zeros / parameters for group in groups])),
        magnitudes=(np.mean(histograms, axis=0) / parameters).tolist() if histograms else [],
    )


def disagreements(
    variants: Mapping[str, Sequence[FinishedRun]], task: str, split: str, texts: Mapping[str, Any]
) -> list[Disagreement]:
    """The rows on which variants differ most: largest spread of the share of right runs (numbers: mean |error|)."""
    found: list[tuple[float, str, Disagreement]] = []
    for fold in sorted({run.fold for runs in variants.values() for run in runs}, key=str):
        of_fold = {name: [run for run in runs if run.fold == fold] for name, runs in variants.items()}
        of_fold = {name: runs for name, runs in of_fold.items() if runs}
        if len(of_fold) > 1:
            found += _of_fold(of_fold, fold, task, split, texts)
    found.sort(key=lambda entry: (-entry[0], entry[1]))
    return [entry for spread, _, entry in found[:SHOWN_ROWS] if spread > 0]


def _of_fold(
    variants: Mapping[str, Sequence[FinishedRun]],
    fold: int | None,
    task: str,
    split: str,
    texts: Mapping[str, Any],
) -> list[tuple[float, str, Disagreement]]:
    first = next(iter(variants.values()))[0]
    labels = first.record.data.labels
    targets, rows = first.arrays[f"{split}_targets"], first.arrays[f"{split}_rows"]
    answers = {name: np.stack([_answers(task, run, split) for run in runs]) for name, runs in variants.items()}
    right = {name: _rightness(task, given, targets) for name, given in answers.items()}
    spread = np.ptp(np.stack(list(right.values())), axis=0)
    kept = texts.get(first.record.data.fingerprint, {})
    found = []
    for index in np.argsort(-spread, kind="stable")[:SHOWN_ROWS]:
        text, pair = kept.get(str(rows[index]), (None, None))
        entry = Disagreement(
            row=str(rows[index]),
            fold=fold,
            text=_shortened(text),
            pair=_shortened(pair),
            target=_in_words(task, targets[index], labels),
            answers={name: _most_frequent(task, given[:, index], labels) for name, given in answers.items()},
            right={name: float(share[index]) for name, share in right.items()},
        )
        found.append((float(spread[index]), entry.row, entry))
    return found


def _answers(task: str, run: FinishedRun, split: str) -> NDArray[Any]:
    """(rows,) classes, (rows, K) marks, or (rows,) numbers."""
    logits = run.arrays[f"selected_{split}_logits"]
    if task == "single_label":
        return np.asarray(logits.argmax(axis=1))
    return np.asarray(logits > 0) if task == "multi_label" else logits.reshape(len(logits)).astype(np.float64)


def _rightness(task: str, answers: NDArray[Any], targets: NDArray[Any]) -> NDArray[Any]:
    """Share of runs that are right, or the mean absolute error; (runs, rows, …) -> (rows,)."""
    if task == "regression":
        return np.asarray(np.abs(answers - targets).mean(axis=0))
    hits = answers == targets if task == "single_label" else (answers == targets.astype(bool)).all(axis=2)
    return np.asarray(hits.mean(axis=0))


def _most_frequent(task: str, answers: NDArray[Any], labels: list[str] | None) -> str:
    if task == "regression":
        return f"{answers.mean():.3f}"
    return Counter(_in_words(task, answer, labels) for answer in answers).most_common(1)[0][0]


def _in_words(task: str, answer: Any, labels: list[str] | None) -> str:
    if task == "regression" or labels is None:
        return f"{float(answer):.3f}"
    if task == "single_label":
        return labels[int(answer)]
    return " | ".join(label for label, marked in zip(labels, answer, strict=True) if marked) or "(none)"


def _shortened(text: str | None) -> str | None:
    if text is None or len(text) <= SHOWN_CHARACTERS:
        return text
    return text[: SHOWN_CHARACTERS - 1] + "…"
