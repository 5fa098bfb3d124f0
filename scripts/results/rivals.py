#!/usr/bin/env python3
"""What others would do with the same rows: a plain Trainer, SetFit, a frozen encoder with logistic regression.

Usage: PYTHON scripts/results/rivals.py RIVAL ROWS --model FOLDER --seed 0 --output FILE.npz

ROWS is a folder that scripts/reproduce_results made. FILE.npz gets the logits of train_probe, validation and test;
stdout one line of JSON: steps, learning rate, epochs, seconds without imports, peak memory, versions. It imports
nothing of finetune, so that it runs in another environment.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

MAX_LENGTH = 128
STRENGTHS = (0.1, 1.0, 10.0, 100.0)  # inverse L2 penalties
FOLDS = 5
LEAST = 1e-12  # probability: a logarithm has to be finite


@dataclass(frozen=True)
class Split:
    """Texts (and second texts), and targets: (rows,) classes, (rows, labels) zeros and ones, or (rows,) numbers."""

    texts: list[str]
    pairs: list[str] | None
    targets: Any

    def take(self, rows: list[int]) -> Split:
        pairs = None if self.pairs is None else [self.pairs[row] for row in rows]
        return Split([self.texts[row] for row in rows], pairs, self.targets[rows])


@dataclass(frozen=True)
class Problem:
    task: str
    labels: list[str] | None
    train: Split
    measured: dict[str, Split]


@dataclass(frozen=True)
class Fitted:
    """Of a rival: split -> logits, and what it took."""

    logits: dict[str, Any]
    steps: int | None = None
    learning_rate: float | None = None
    epochs: float | None = None


def read_problem(rows: Path) -> Problem:
    about = json.loads((rows / "about" / "rows.json").read_text(encoding="utf-8"))
    splits = {name: _read_split(rows / f"{name}.csv", about) for name in ("train", "validation", "test")}
    probe = splits["train"].take(about["probe"])
    measured = {"train_probe": probe, "validation": splits["validation"], "test": splits["test"]}
    return Problem(about["task"], about["labels"], splits["train"], measured)


def _read_split(path: Path, about: dict[str, Any]) -> Split:
    import pandas

    frame = pandas.read_csv(path, keep_default_na=False, dtype=str)
    pairs = frame["text_pair"].tolist() if "text_pair" in frame else None
    return Split(frame["text"].tolist(), pairs, _targets(frame["label"].tolist(), about["task"], about["labels"]))


def _targets(cells: list[str], task: str, labels: list[str] | None) -> Any:
    if task == "regression":
        return np.array(cells, dtype=np.float64)
    index = {label: position for position, label in enumerate(labels or ())}
    if task == "single_label":
        return np.array([index[cell] for cell in cells])
    return np.array([[float(label in cell.split("|")) for label in index] for cell in cells])


# --- a frozen encoder with logistic regression ------------------------------------------------------------------------


def frozen_lr(problem: Problem, model: str, seed: int) -> Fitted:
    """Embeddings of the frozen encoder; the strength of the regression is chosen by folds of the training rows."""
    embed = _embedder(model)
    fitted = _linear(problem.task, _features(embed, problem.train), problem.train.targets, seed)
    return Fitted({name: fitted(_features(embed, split)) for name, split in problem.measured.items()})


def _features(embed: Callable[[list[str]], Any], split: Split) -> Any:
    """Of a pair: both embeddings, their absolute difference and their product."""
    first = embed(split.texts)
    if split.pairs is None:
        return first
    second = embed(split.pairs)
    return np.concatenate([first, second, np.abs(first - second), first * second], axis=1)


def _embedder(folder: str) -> Callable[[list[str]], Any]:
    """A function from texts to (texts, hidden): the mean of the last layer over the tokens, of length 1."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, encoder = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    def embed(texts: list[str]) -> Any:
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))  # texts of like length: less padding
        result = np.empty((len(texts), encoder.config.hidden_size))
        for start in range(0, len(texts), 64):
            rows = order[start : start + 64]
            batch = tokenizer(
                [texts[row] for row in rows],
                truncation=True,
                max_length=MAX_LENGTH,
                padding=True,
                return_tensors="pt",
            )
            with torch.inference_mode():
                hidden = encoder(**batch).last_hidden_state
            result[rows] = mean_of_tokens(hidden.numpy(), batch["attention_mask"].numpy())
        return result

    return embed


def mean_of_tokens(hidden: Any, mask: Any) -> Any:
    """(texts, tokens, hidden) and (texts, tokens) -> (texts, hidden), each of length 1; masked tokens do not count."""
    weights = mask[:, :, None].astype(np.float64)
    mean = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def _linear(task: str, features: Any, targets: Any, seed: int) -> Callable[[Any], Any]:
    """A function from features to logits."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
    from sklearn.multiclass import OneVsRestClassifier

    if task == "regression":
        grid = {"alpha": [1 / strength for strength in STRENGTHS]}
        ridge = GridSearchCV(Ridge(), grid, cv=KFold(FOLDS, shuffle=True, random_state=seed)).fit(features, targets)
        return lambda rows: ridge.predict(rows).reshape(-1, 1)
    logistic = LogisticRegression(max_iter=1000)
    if task == "multi_label":
        folds = KFold(FOLDS, shuffle=True, random_state=seed)
        many = GridSearchCV(OneVsRestClassifier(logistic), {"estimator__C": STRENGTHS}, cv=folds, scoring="f1_micro")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a label that no row of a fold has: expected with few rows
            return _label_logits(many.fit(features, targets.astype(int)).predict_proba)
    folds = StratifiedKFold(number_of_folds(targets), shuffle=True, random_state=seed)
    one = GridSearchCV(logistic, {"C": STRENGTHS}, cv=folds).fit(features, targets)
    return lambda rows: _log_of_classes(one.predict_proba(rows), one.classes_, int(targets.max()) + 1)


def number_of_folds(targets: Any) -> int:
    """Five, or as many as the rarest class has rows; two at least."""
    return int(max(2, min(FOLDS, np.unique(targets, return_counts=True)[1].min())))


def _log_of_classes(probabilities: Any, present: Any, classes: int) -> Any:
    logits = np.full((len(probabilities), classes), np.log(LEAST))
    logits[:, present] = np.log(np.maximum(probabilities, LEAST))
    return logits


def _label_logits(predict: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def logits(rows: Any) -> Any:
        probabilities = np.clip(np.asarray(predict(rows), dtype=np.float64), LEAST, 1 - LEAST)
        return np.log(probabilities / (1 - probabilities))

    return logits


# --- transformers' Trainer --------------------------------------------------------------------------------------------


def plain_trainer(problem: Problem, model: str, seed: int) -> Fitted:
    """What Trainer does by default (5e-5, 3 epochs, batches of 8, fp32, the last weights).

    Its text classification example pads all texts to the maximum length; here a batch is padded to its longest text,
    which changes the time and not the result.
    """
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    tokenizer = AutoTokenizer.from_pretrained(model)
    kind = "single_label_classification" if problem.task == "single_label" else problem.task
    kind = "multi_label_classification" if kind == "multi_label" else kind
    set_seed(seed)  # of the head
    network = AutoModelForSequenceClassification.from_pretrained(
        model, num_labels=len(problem.labels or [0]), problem_type=kind, dtype=torch.float32
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            seed=seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
        )
        trainer = Trainer(
            network,
            arguments,
            train_dataset=_tokenised(tokenizer, problem.train, problem.task),
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        trainer.train()
        logits = {
            name: trainer.predict(_tokenised(tokenizer, split, problem.task)).predictions
            for name, split in problem.measured.items()
        }
    return Fitted(logits, trainer.state.global_step, arguments.learning_rate, arguments.num_train_epochs)


def _tokenised(tokenizer: Any, split: Split, task: str) -> list[dict[str, Any]]:
    encoded = tokenizer(split.texts, split.pairs, truncation=True, max_length=MAX_LENGTH)
    labels = split.targets.tolist() if task == "single_label" else split.targets.astype(np.float32).tolist()
    return [{**{key: encoded[key][row] for key in encoded}, "label": labels[row]} for row in range(len(labels))]


# --- SetFit -----------------------------------------------------------------------------------------------------------


def setfit(problem: Problem, model: str, seed: int) -> Fitted:
    """One epoch of 20 iterations of pairs, then its logistic regression; everything else by default.

    Raises:
        NotImplementedError: The task is regression.
    """
    if problem.task == "regression":
        raise NotImplementedError("SetFit has no regression")
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    several = {"multi_target_strategy": "one-vs-rest"} if problem.task == "multi_label" else {}
    network = SetFitModel.from_pretrained(model, local_files_only=True, **several)
    network.model_body.max_seq_length = MAX_LENGTH
    targets = problem.train.targets.astype(int)
    rows = Dataset.from_dict({"text": _joined(problem.train), "label": targets.tolist()})
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, seed=seed, num_iterations=20, save_strategy="no", report_to="none"
        )
        trainer = Trainer(model=network, args=arguments, train_dataset=rows)
        trainer.train()
    as_logits = (
        _label_logits(_probabilities(network))
        if several
        else lambda texts: _log_of_classes(
            _probabilities(network)(texts), network.model_head.classes_, len(problem.labels or ())
        )
    )
    logits = {name: as_logits(_joined(split)) for name, split in problem.measured.items()}
    return Fitted(logits, trainer.st_trainer.state.global_step, arguments.body_learning_rate[0], 1)


def _probabilities(network: Any) -> Callable[[list[str]], Any]:
    return lambda texts: np.asarray(network.predict_proba(texts, as_numpy=True), dtype=np.float64)


def _joined(split: Split) -> list[str]:
    """A pair as one text: SetFit knows no pairs."""
    if split.pairs is None:
        return split.texts
    return [f"{text} [SEP] {pair}" for text, pair in zip(split.texts, split.pairs, strict=True)]


RIVALS: dict[str, Callable[[Problem, str, int], Fitted]] = {
    "frozen_lr": frozen_lr,
    "plain_trainer": plain_trainer,
    "setfit": setfit,
}
IMPORTED = {"frozen_lr": ("sklearn",), "plain_trainer": ("torch", "transformers"), "setfit": ("setfit",)}
PACKAGES = ("torch", "transformers", "sentence-transformers", "setfit", "scikit-learn", "numpy")


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def end_with_parent() -> None:
    """End as soon as the process that started this one has: nobody waits for the result."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("rival", choices=RIVALS)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--model", required=True, help="folder of the encoder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--end-with-parent", action="store_true", help="so that a kill of the caller ends this, too")
    arguments = parser.parse_args()
    if arguments.end_with_parent:
        end_with_parent()
    for module in IMPORTED[arguments.rival]:  # not part of the time
        __import__(module)
    problem = read_problem(arguments.rows)
    started, cpu = time.perf_counter(), time.process_time()
    try:
        fitted = RIVALS[arguments.rival](problem, arguments.model, arguments.seed)
    except NotImplementedError as error:
        print(json.dumps({"not_applicable": str(error)}))
        return
    took = {"wall_seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
    np.savez(arguments.output, **fitted.logits)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    about = {"steps": fitted.steps, "learning_rate": fitted.learning_rate, "epochs": fitted.epochs}
    print(json.dumps({**about, **took, "peak_rss_mib": peak, "versions": _versions()}))


if __name__ == "__main__":
    sys.exit(main())
