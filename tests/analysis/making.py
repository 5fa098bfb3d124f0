"""Run records and comparisons written by hand: every figure of their report can be computed on paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.analysis.comparison import report_of
from finetune.measurement.gap import compute_gap
from finetune.measurement.scores import compute_scores
from finetune.records.comparison import ComparisonFolder, JobEntry, Manifest, VariantEntry
from finetune.records.facts import CodeVersion, Device, ModelFacts, RunBudget, RunTime
from finetune.records.report import Group, VariantReport
from finetune.records.schema import (
    Baseline,
    Calibration,
    Checkpoint,
    DataFacts,
    Finding,
    FinishedRecord,
    Gap,
    RunRecord,
    Status,
    WeightGroup,
)
from finetune.records.store import RunFolder

ROWS = 20  # of train sample, validation and test
TRAIN = 100
SPLITS = ("train_probe", "validation", "test")
Arrays = dict[str, NDArray[Any]]


def alternating(rows: int = ROWS) -> NDArray[np.int64]:
    return np.arange(rows) % 2


def two_class(wrong: int | Sequence[int], rows: int = ROWS, margin: float = 2.0) -> NDArray[np.float64]:
    """Logits of alternating classes that miss the first `wrong` rows, or these rows; NLL log(1 + exp(∓margin))."""
    missed = range(wrong) if isinstance(wrong, int) else wrong
    classes = alternating(rows)
    given = np.array([1 - klass if row in missed else klass for row, klass in enumerate(classes)])
    return np.eye(2)[given] * margin


@dataclass(frozen=True)
class Run:
    """What decides the figures of one written run.

    Attributes:
        wrong: Missed rows of train sample, validation and test at the selected checkpoint; a count or positions.
        last: The same of train sample and validation at the last one; as selected if None.
        logits: Instead of `wrong`: split -> logits.
        targets: Split -> targets; alternating classes if None.
    """

    variant: str = "none"
    seed: int = 0
    fold: int | None = None
    wrong: tuple[Any, ...] = (0, 4, 4)
    last: tuple[Any, Any] | None = None
    margin: float = 2.0
    logits: Mapping[str, NDArray[Any]] | None = None
    targets: Mapping[str, NDArray[Any]] | None = None
    task: str = "single_label"
    labels: tuple[str, ...] | None = ("bad", "good")
    status: Status = "finished"
    error: str | None = None
    temperature: float = 1.5
    seconds: float = 10.0
    cost: float = 1.0
    step: int = 30
    fingerprint: str = "data"
    techniques: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, dict[str, Any]] = field(default_factory=dict)  # section -> changed keys
    name: str = "made"
    train_rows: int = TRAIN
    weights: dict[str, WeightGroup] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: {"torch": "2"})
    baselines: list[Baseline] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def splits(self) -> list[str]:
        return list(self.logits) if self.logits is not None else list(SPLITS[: len(self.wrong)])

    def selected(self) -> Arrays:
        if self.logits is not None:
            return dict(self.logits)
        return {name: two_class(wrong, margin=self.margin) for name, wrong in zip(SPLITS, self.wrong, strict=False)}

    def at_end(self) -> Arrays:
        if self.last is None:
            return {name: value for name, value in self.selected().items() if name != "test"}
        return {name: two_class(wrong, margin=self.margin) for name, wrong in zip(SPLITS, self.last, strict=False)}

    def truth(self, split: str) -> NDArray[Any]:
        return alternating() if self.targets is None else self.targets[split]


def _scores(run: Run, logits: Arrays) -> dict[str, dict[str, float | None]]:
    found = {name: compute_scores(run.task, value, run.truth(name)) for name, value in logits.items()}
    return {
        split: {name: value if np.isfinite(value) else None for name, value in scores.items()}
        for split, scores in found.items()
    }


def _checkpoint(run: Run, logits: Arrays, step: int) -> Checkpoint:
    scores = _scores(run, logits)
    known = [
        {name: np.nan if value is None else value for name, value in scores[split].items()} for split in SPLITS[:2]
    ]
    gaps = compute_gap(*known)
    return Checkpoint(
        step=step,
        epoch=step / 10,
        train_probe=scores["train_probe"],
        validation=scores["validation"],
        test=scores.get("test"),
        gap={name: Gap(value=value if np.isfinite(value) else None) for name, value in gaps.items()},
    )


def _facts(run: Run) -> DataFacts:
    rows = {"train": run.train_rows, **{name: len(run.truth(name)) for name in run.splits()}}
    classes: dict[str, dict[str, int]] = {}
    if run.labels is not None:
        for name in run.splits():
            truth = run.truth(name)
            counts = np.bincount(truth, minlength=len(run.labels)) if truth.ndim == 1 else truth.sum(axis=0)
            classes[name] = {label: int(count) for label, count in zip(run.labels, counts, strict=True)}
    return DataFacts(
        task=run.task,
        labels=None if run.labels is None else list(run.labels),
        columns={"text": "text", "label": "label"},
        rows=rows,
        classes=classes,
        dropped={},
        notes=[],
        warnings=[],
        fingerprint=run.fingerprint,
        baselines=run.baselines,
        findings=run.findings,
    )


def record_of(run: Run) -> RunRecord:
    recipe: dict[str, Any] = {
        "name": run.name,
        "preset": run.variant,
        "model": {"id": "m"},
        "data": {"source": "d.csv", "folds": None if run.fold is None else 3, "fold": run.fold},
        "training": {"epochs": 3, "seeds": [run.seed]},
        "techniques": run.techniques,
    }
    for section, changes in run.recipe.items():
        recipe[section] = {**recipe[section], **changes}
    done = run.status == "finished"
    kind = FinishedRecord if done else RunRecord
    return kind(
        status=run.status,
        error=run.error,
        recipe=recipe,
        preset=run.variant,
        seed=run.seed,
        data=_facts(run),
        model=ModelFacts(architecture="Bert", parameters=10, dropout={}),
        techniques={},
        budget=RunBudget(steps=30, steps_per_epoch=10, warmup_steps=3, processes=1, precision="fp32", cost=run.cost),
        code=CodeVersion(version="1"),
        versions=run.versions,
        device=Device(kind="cpu", name="cpu", cpu_threads=1),
        selected=_checkpoint(run, run.selected(), run.step) if done else None,
        last=_checkpoint(run, run.at_end(), 30) if done else None,
        calibration=Calibration(temperature=run.temperature, test_nll=None)
        if done and run.task == "single_label"
        else None,
        weights=run.weights,
        time=RunTime(seconds=run.seconds),
    )


def write_run(folder: Path, run: Run) -> Path:
    """A run folder with its record and, when it is finished, its predictions."""
    RunFolder(folder).write(record_of(run))
    if run.status == "finished":
        arrays: dict[str, Any] = {}
        for split in run.splits():
            arrays[f"{split}_rows"] = np.array([str(row + 1) for row in range(len(run.truth(split)))])
            arrays[f"{split}_targets"] = run.truth(split)
        arrays |= {f"selected_{name}_logits": value for name, value in run.selected().items()}
        arrays |= {f"last_{name}_logits": value for name, value in run.at_end().items()}
        np.savez_compressed(RunFolder(folder).predictions, **arrays)
    return folder


def cell_folder(run: Run) -> str:
    return f"cells/{run.variant}-seed{run.seed}" + ("" if run.fold is None else f"-fold{run.fold}")


def write_comparison(folder: Path, runs: Sequence[Run], baselines: Mapping[str, str | None] | None = None) -> Path:
    """A comparison of these runs; each variant's baseline is `none` unless told otherwise."""
    baselines = baselines or {}
    names = list(dict.fromkeys(run.variant for run in runs))
    variants = [
        VariantEntry(
            name=name,
            baseline=baselines.get(name, None if name == "none" else "none"),
            technique=name.split()[-1] if " without " in name else name.split()[0] if " alone" in name else None,
            techniques=next(run.techniques for run in runs if run.variant == name),
        )
        for name in names
    ]
    cells = [
        JobEntry(variant=run.variant, seed=run.seed, fold=run.fold, key="k", folder=cell_folder(run)) for run in runs
    ]
    folds = len({run.fold for run in runs if run.fold is not None}) or None
    manifest = Manifest(
        kind="ablate" if any(" without " in name for name in names) else "compare",
        command="finetune compare",
        baseline="none",
        variants=variants,
        seeds=sorted({run.seed for run in runs}),
        folds=folds,
        cells=cells,
    )
    ComparisonFolder(folder).write(manifest)
    for run in runs:
        write_run(folder / cell_folder(run), run)
    return folder


def group_of(folder: Path, runs: Sequence[Run], baselines: Mapping[str, str | None] | None = None) -> Group:
    """Write a comparison and analyse it."""
    return report_of([write_comparison(folder, runs, baselines)]).groups[0]


def variant_of(group: Group, name: str) -> VariantReport:
    return next(variant for variant in group.variants if variant.name == name)
