"""Runs with known truth for scripts/bench_diagnosis: small networks, trained on made-up rows whose population is known.

Assumptions, written down before any rule was changed for them:
- A row is a vector of Gaussian features, few of which differ between the classes; the others are noise that a network
  can learn by heart. A linear model or one hidden layer, Adam, mini-batches: what overfits here does so by itself, as
  does what underfits. Nothing of a curve is drawn by hand but divergence, which is planted.
- The truth is of the population, measured on 3,000 fresh rows, and of all training rows, in eval mode. What a program
  is shown is what a log shows: scores of `validation_rows` rows (8 to 1,000), a training loss in training mode, with
  dropout and smoothing, times a factor for accumulation and processes.
- `truth_of` says which verdict is right, by order, with the limits of docs/diagnosis.md (5 points of gap, 90 % of
  training score, 0.01 nats of rise of the loss). Runs within a band around a limit (BAND) are left out before anybody
  judges them: there both names would be right.
- With at most 30 rows of validation and a true gap below 10 points nobody can tell.
- A case is shown as numbers, as the state of a Trainer with or without a clean training score, or as a CSV of Keras.
  Numbers without a curve are used only for truths that they can show.
- A quarter of the logs has early stopping, a test evaluation appended, smoothing, accumulation or processes.
- `half` is by a hash of the case's name: cases of one half never decide about the rules that the other half judges.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

POPULATION = 3000
BATCH = 32
TINY = 30  # rows of validation
Array = np.ndarray
PLANTED = ("diverged", "nan", "filtered")


@dataclass(frozen=True)
class World:
    """What is trained, and on what.

    Attributes:
        family: What it was made for; the truth is measured, not taken from here.
        informative, noise: Features that tell the classes apart, and others.
        distance: Of the class means, in standard deviations.
        majority: Fraction of the first class.
        wrong: Fraction of wrong labels, in all splits.
        wrong_train: In the training rows only.
        leaked: Fraction of validation rows that are copies of training rows.
        hidden: Units; 0 for a linear model.
        planted: How the training breaks, or nothing.
        scale: Factor of the training loss that is logged; `processes` that of all losses.
    """

    family: str
    seed: int
    rows: int = 500
    validation: int = 200
    classes: int = 2
    informative: int = 10
    noise: int = 40
    distance: float = 2.5
    majority: float = 0.0
    wrong: float = 0.0
    wrong_train: float = 0.0
    leaked: float = 0.0
    hidden: int = 32
    epochs: int = 8
    rate: float = 3e-3
    dropout: float = 0.1
    decay: float = 0.0
    smoothing: float = 0.0
    planted: str = ""
    scale: float = 1.0
    processes: float = 1.0
    patience: int = 0
    appended: bool = False
    form: str = "state"


@dataclass(frozen=True)
class Case:
    """A run, what a program is shown of it, and which verdict is right.

    Attributes:
        epochs: Per evaluation: objective and score in training mode (`running`), validation `score` and `loss`, `train`
            and `train_loss` in eval mode, and `truth` and `truth_loss` of the population.
    """

    name: str
    world: World
    truth: str
    chance: float
    epochs: list[dict[str, float]] = field(default_factory=list)

    @property
    def half(self) -> str:
        return "rules" if hashlib.sha256(self.name.encode()).digest()[0] % 2 == 0 else "report"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Case:
        return cls(**{**found, "world": World(**found["world"])})


class Net:
    """One hidden layer or none, softmax, Adam; dropout on inputs and hidden units."""

    def __init__(self, world: World, features: int, random: np.random.Generator) -> None:
        sizes = [features, *([world.hidden] if world.hidden else []), world.classes]
        self.world, self.random, self.step = world, random, 0
        self.weights = [random.normal(0, a**-0.5, (a, b)).astype(np.float32) for a, b in itertools.pairwise(sizes)]
        self.weights[-1] *= 0.1  # as a fresh classification head
        self.biases = [np.zeros(size, dtype=np.float32) for size in sizes[1:]]
        self.moments = [[np.zeros_like(p), np.zeros_like(p)] for p in self.weights + self.biases]

    def logits(self, x: Array) -> Array:
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = np.maximum(x @ weight + bias, 0)
        return x @ self.weights[-1] + self.biases[-1]

    def train(self, x: Array, y: Array, rate: float) -> tuple[float, float]:
        """One step; returns the objective, and the accuracy in training mode."""
        inputs, masks = [x], []
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = np.maximum(self._drop(x, masks) @ weight + bias, 0)
            inputs.append(x)
        logits = self._drop(x, masks) @ self.weights[-1] + self.biases[-1]
        targets = np.full_like(logits, self.world.smoothing / logits.shape[1])
        targets[np.arange(len(y)), y] += 1 - self.world.smoothing
        log_p = _log_softmax(logits)
        back = (np.exp(log_p) - targets) / len(y)
        gradients: list[Array] = []
        biases: list[Array] = []
        for layer in range(len(self.weights) - 1, -1, -1):
            gradients.insert(0, (inputs[layer] * masks[layer]).T @ back)
            biases.insert(0, back.sum(0))
            back = (back @ self.weights[layer].T) * masks[layer] * (inputs[layer] > 0)
        self._update([*gradients, *biases], rate)
        return float(-(targets * log_p).sum(1).mean()), float((log_p.argmax(1) == y).mean())

    def _drop(self, x: Array, masks: list[Array]) -> Array:
        keep = np.float32(1 - self.world.dropout)
        masks.append((self.random.random(x.shape, dtype=np.float32) < keep) / keep)
        return x * masks[-1]

    def _update(self, gradients: list[Array], rate: float) -> None:
        self.step += 1
        for number, (parameter, gradient) in enumerate(zip(self.weights + self.biases, gradients, strict=True)):
            first, second = self.moments[number]
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            step = first / (1 - 0.9**self.step) / (np.sqrt(second / (1 - 0.999**self.step)) + 1e-8)
            shrink = self.world.decay if number < len(self.weights) else 0.0
            parameter -= rate * (step + shrink * parameter)


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def _draw(world: World, rows: int, means: Array, random: np.random.Generator, wrong: float) -> tuple[Array, Array]:
    rest = (1 - world.majority) / (world.classes - 1)
    share = None if not world.majority else [world.majority, *[rest] * (world.classes - 1)]
    y = random.choice(world.classes, rows, p=share)
    x = random.normal(0, 1, (rows, means.shape[1])) + means[y]
    flip = random.random(rows) < wrong
    shown = np.where(flip, (y + random.integers(1, world.classes, rows)) % world.classes, y)
    return x.astype(np.float32), shown


def _measured(net: Net, x: Array, y: Array) -> tuple[float, float]:
    """Accuracy and loss, smoothed as the Trainer's eval_loss is."""
    log_p = _log_softmax(net.logits(x))
    smoothing = net.world.smoothing
    loss = -((1 - smoothing) * log_p[np.arange(len(y)), y] + smoothing * log_p.mean(1)).mean()
    return float((log_p.argmax(1) == y).mean()), float(loss)


Split = tuple[Array, Array]  # features, labels
Draw = Callable[[World, np.random.Generator], tuple[Split, Split, Split]]  # training, validation, population


def made_up(world: World, random: np.random.Generator) -> tuple[Split, Split, Split]:
    means = np.zeros((world.classes, world.informative + world.noise))
    means[:, : world.informative] = random.normal(0, 1, (world.classes, world.informative))
    means *= world.distance / 2 / np.linalg.norm(means - means.mean(0), axis=1).mean()
    train = _draw(world, world.rows, means, random, max(world.wrong, world.wrong_train))
    validation = _draw(world, world.validation, means, random, world.wrong)
    return train, validation, _draw(world, POPULATION, means, random, world.wrong)


def simulate(world: World, draw: Draw = made_up) -> list[dict[str, float]]:
    """Train, and measure after every epoch."""
    random = np.random.default_rng(world.seed)
    (x, y), (valid_x, valid_y), (all_x, all_y) = draw(world, random)
    copies = min(round(world.leaked * world.validation), world.rows)
    valid_x[:copies], valid_y[:copies] = x[:copies], y[:copies]
    net, found = Net(world, x.shape[1], random), []
    for epoch in range(1, world.epochs + 1):
        broken = bool(world.planted) and epoch > world.epochs * 0.6
        objectives = []
        order = random.permutation(world.rows)
        for start in range(0, world.rows, BATCH):
            batch = order[start : start + BATCH]
            objectives.append(net.train(x[batch], y[batch], world.rate * (300 if broken else 1)))
        score, loss = _measured(net, valid_x, valid_y)
        train, train_loss = _measured(net, x, y)
        truth, truth_loss = _measured(net, all_x, all_y)
        leaked = copies / world.validation
        truth = (1 - leaked) * truth + leaked * train
        found.append(
            {
                "objective": float(np.mean([objective for objective, _ in objectives])),
                "running": float(np.mean([score for _, score in objectives])),
                "score": score,
                "loss": loss,
                "train": train,
                "train_loss": train_loss,
                "truth": truth,
                "truth_loss": (1 - leaked) * truth_loss + leaked * train_loss,
            }
        )
        if world.patience and _has_stopped([each["loss"] for each in found], world.patience):
            break
    return found


def _has_stopped(losses: list[float], patience: int) -> bool:
    return len(losses) - 1 - losses.index(min(losses)) >= patience


def truth_of(world: World, epochs: list[dict[str, float]], chance: float) -> str | None:
    """The right verdict; None within a band around a limit."""
    last, truths, losses = epochs[-1], [e["truth"] for e in epochs], [e["truth_loss"] for e in epochs]
    gap, fall = last["train"] - last["truth"], max(truths) - last["truth"]
    rise = last["truth"] - max(truths[: (len(truths) + 1) // 2]) if len(truths) > 2 else 0.0
    ratio, rise_in_nats = losses[-1] / min(losses), losses[-1] - min(losses)
    if world.planted:
        return "diverged"
    if last["truth"] <= chance + 0.01 and last["train"] <= chance + 0.02:
        return "did not learn"
    if last["truth"] <= chance + 0.05:
        return None
    if world.validation <= TINY:
        return "cannot tell" if abs(gap) < 0.10 else "overfits" if gap > 0.35 else None
    if gap <= -0.08:
        return "validation above training"
    rises = rise >= 0.04
    if 0.03 < rise < 0.04 or gap < -0.03 or 0.035 < gap < 0.07 or 1.07 < ratio < 1.2:
        return None  # BAND
    if ratio >= 1.2 and 0.007 < rise_in_nats < 0.014:
        return None  # BAND, by the same factor as that of the gap
    has_risen = ratio >= 1.2 and rise_in_nats >= 0.014  # 0.013 -> 0.019 nats is of a healthy model that errs nowhere
    if gap >= 0.07:
        return "overconfident" if rises and has_risen else "overfits"
    if has_risen:
        return "overfits" if fall > 0.04 else "overconfident"
    if rises:
        return "still learning"
    if 0.87 < last["train"] < 0.93:
        return None
    if last["train"] < 0.90:
        return "over-regularized" if world.dropout >= 0.5 or world.decay >= 0.5 else "underfits"
    return "no sign of overfitting"


FAMILIES: dict[str, dict[str, Any]] = {
    "healthy": {"rows": (600, 4000), "distance": (3.8, 5.5), "noise": (5, 30), "epochs": (4, 10), "rate": (1e-3, 3e-3)},
    "three epochs": {
        "rows": (50, 600),
        "distance": (1.8, 3.5),
        "noise": (200, 500),
        "rate": (3e-3, 8e-3),
        "epochs": (3, 3),
    },
    "memorized": {
        "rows": (80, 1500),
        "distance": (1.5, 3.5),
        "noise": (60, 300),
        "epochs": (6, 14),
        "rate": (2e-3, 6e-3),
    },
    "flat accuracy": {
        "rows": (800, 2500),
        "distance": (4.4, 5.5),
        "noise": (60, 150),
        "epochs": (12, 20),
        "rate": (5e-3, 1e-2),
        "dropout": (0.0, 0.05),
    },
    "noise 10": {
        "rows": (300, 2000),
        "distance": (3.5, 5.0),
        "noise": (50, 200),
        "epochs": (8, 14),
        "wrong": (0.1, 0.1),
    },
    "noise 20": {
        "rows": (300, 2000),
        "distance": (3.5, 5.0),
        "noise": (50, 200),
        "epochs": (8, 14),
        "wrong": (0.2, 0.2),
    },
    "noise 40": {
        "rows": (300, 1500),
        "distance": (3.5, 5.0),
        "noise": (50, 200),
        "epochs": (8, 14),
        "wrong": (0.4, 0.4),
    },
    "underfits": {"rows": (1000, 4000), "distance": (0.8, 2.0), "noise": (0, 3), "epochs": (5, 9), "hidden": (0, 0)},
    "too much": {
        "rows": (800, 2500),
        "distance": (1.2, 2.2),
        "noise": (3, 15),
        "epochs": (5, 10),
        "dropout": (0.5, 0.7),
        "decay": (0.5, 2.0),
    },
    "undertrained": {
        "rows": (200, 1500),
        "distance": (3.0, 5.0),
        "noise": (5, 60),
        "epochs": (3, 6),
        "rate": (4e-5, 3e-4),
    },
    "single class": {
        "rows": (200, 1500),
        "distance": (0.3, 0.8),
        "noise": (20, 60),
        "epochs": (3, 6),
        "rate": (3e-5, 2e-4),
        "majority": (0.75, 0.93),
    },
    "diverged": {
        "rows": (200, 1500),
        "distance": (3.0, 5.0),
        "noise": (5, 60),
        "epochs": (5, 10),
        "rate": (2e-3, 6e-3),
    },
    "leak": {"rows": (400, 1500), "distance": (3.4, 4.5), "noise": (20, 60), "epochs": (4, 8), "leaked": (0.6, 1.0)},
    "above": {
        "rows": (600, 2500),
        "distance": (4.0, 5.5),
        "noise": (3, 10),
        "epochs": (3, 7),
        "wrong_train": (0.15, 0.3),
        "hidden": (0, 0),
    },
    "tiny validation": {
        "rows": (300, 2000),
        "distance": (3.0, 5.0),
        "noise": (5, 40),
        "epochs": (4, 8),
        "validation": (8, 30),
    },
}
WHOLE = ("rows", "noise", "epochs", "hidden", "validation")
FORMS = ("state", "state", "state with train", "state with train", "keras", "numbers")
NEED_A_CURVE = ("diverged", "overconfident", "still learning")
EACH = 32  # worlds tried for each family
MORE = {
    "healthy": 96,
    "flat accuracy": 96,
}  # so that false alarms, and a verdict that is rare, are counted on enough runs


def cases() -> Iterator[Case]:
    """All that are made up, always the same."""
    for family, ranges in FAMILIES.items():
        for number in range(MORE.get(family, EACH)):
            case = case_of(f"{family} {number}", world_of(family, ranges, number))
            if case is not None:
                yield case


def case_of(name: str, world: World, draw: Draw = made_up, chance: float | None = None) -> Case | None:
    """None where the truth is within a band, or cannot be shown in this form."""
    epochs = simulate(world, draw)
    chance = chance or world.majority or 1 / world.classes
    truth = truth_of(world, epochs, chance)
    if truth is None or (world.form == "numbers" and truth in NEED_A_CURVE):
        return None
    return Case(name, world, truth, chance, epochs)


def world_of(family: str, ranges: dict[str, Any], number: int) -> World:
    seed = int.from_bytes(hashlib.sha256(f"{family}/{number}".encode()).digest()[:4], "big")
    random = np.random.default_rng(seed)
    values = {name: _between(random, low, high, name in WHOLE) for name, (low, high) in ranges.items()}
    world = World(family, seed, **{"validation": int(random.choice([60, 100, 200, 300, 500, 1000])), **values})
    world = replace(
        world, form=str(random.choice(FORMS)), classes=int(random.choice([2, 2, 3, 6])) if not world.majority else 2
    )
    if family == "diverged":
        world = replace(world, planted=PLANTED[number % 3], form="state")
    twist = random.choice(["", "", "", "smoothing", "scale", "processes", "appended", "patience"])
    change: dict[str, Any] = {
        "smoothing": {"smoothing": 0.1},
        "scale": {"scale": float(random.choice([2, 4, 8]))},
        "processes": {"scale": 2.0, "processes": 2.0},
        "appended": {"appended": True},
        "patience": {"patience": 3},
    }.get(str(twist), {})
    return replace(world, **change)


def _between(random: np.random.Generator, low: float, high: float, whole: bool) -> Any:
    """Log-uniform above 0: sizes and rates differ by factors."""
    value = math.exp(random.uniform(math.log(low), math.log(high))) if low > 0 else random.uniform(low, high)
    return round(value) if whole else float(value)


def shown(case: Case, folder: Path) -> tuple[Path | None, dict[str, Any]]:
    """What a program gets: a log, and what its user adds; or numbers alone."""
    world, last = case.world, case.epochs[-1]
    techniques = [n for n, on in (("dropout", world.dropout >= 0.5), ("weight_decay", world.decay >= 0.5)) if on]
    known: dict[str, Any] = {"classes": world.classes, "techniques": techniques or None}
    if case.chance > 1 / world.classes:
        known["majority"] = case.chance
    if world.form == "numbers":
        sizes = {"train_size": world.rows, "validation_size": world.validation}
        losses = {"train_loss": last["train_loss"], "validation_loss": last["loss"]}
        scores = {"train_accuracy": last["train"], "validation_accuracy": last["score"]}
        return None, {**known, **sizes, **scores, **(losses if world.seed % 2 else {})}
    folder.mkdir(parents=True)
    if world.form == "keras":
        columns = ("epoch", "accuracy", "loss", "val_accuracy", "val_loss")
        keras = [[n, e["running"], e["objective"], e["score"], e["loss"]] for n, e in enumerate(case.epochs)]
        text = "\n".join([",".join(columns), *(",".join(map(str, row)) for row in keras)])
        (folder / "log.csv").write_text(f"{text}\n", encoding="utf-8")
        return folder / "log.csv", {**known, "validation_size": world.validation}
    (folder / "trainer_state.json").write_text(json.dumps(_state(case)), encoding="utf-8")
    return folder / "trainer_state.json", known


def _state(case: Case) -> dict[str, Any]:
    world, records, steps = case.world, [], math.ceil(case.world.rows / BATCH)
    for number, epoch in enumerate(case.epochs, 1):
        at = {"step": number * steps, "epoch": float(number)}
        records.append({"loss": epoch["objective"] * world.scale, "grad_norm": 1.0, **at, **_broken(world, number)})
        records.append(_evaluation(world, epoch["score"], epoch["loss"]) | at)
    records.append({"train_runtime": 9.0, "total_flos": 1e12, "train_loss": 0.4, **at})
    last = case.epochs[-1]
    if world.form == "state with train":
        loss = last["train_loss"] * world.processes
        records.append({"train_accuracy": last["train"], "train_loss": loss, "train_runtime": 1.0, **at})
    if world.appended:
        records.append(_evaluation(world, last["truth"] - 0.02, last["truth_loss"] * 1.1) | at)
    stopped = bool(world.patience) and len(case.epochs) < world.epochs
    control = {"args": {"should_training_stop": True}}
    callbacks = {"EarlyStoppingCallback": {}, "TrainerControl": control} if stopped else {}
    total = {"global_step": at["step"], "max_steps": steps * world.epochs, "stateful_callbacks": callbacks}
    return {**total, "log_history": records}


def _evaluation(world: World, score: float, loss: float) -> dict[str, float]:
    rate = {"eval_runtime": 0.5, "eval_samples_per_second": world.validation / 0.5}
    return {"eval_loss": loss * world.processes, "eval_accuracy": score, **rate}


def _broken(world: World, number: int) -> dict[str, float]:
    """From the epoch on in which a NaN appears."""
    if world.planted not in ("nan", "filtered") or number <= world.epochs * 0.6:
        return {}
    return {"loss": 0.0, "grad_norm": math.nan} if world.planted == "nan" else {"loss": 0.0, "grad_norm": 0.0}
