"""One arm on the rows of one cell -> its record."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import finetune
from finetune.checks.baselines import measure_baselines
from finetune.data.load import load_data
from finetune.measurement.gap import compute_gap
from finetune.measurement.scores import compute_scores
from finetune.models.configuration import locate_model
from finetune.recipe import DataSection, ModelSection, load_recipe
from finetune.records.environment import has_fast_bf16, read_code, read_device, read_versions
from scripts.results import rivals
from scripts.results.arms import Arm
from scripts.results.costs import Clock, processor
from scripts.results.records import measures
from scripts.results.sets import Cell, half_of, rows_with_validation

RECIPE = "your-data"
REASON = 600  # characters of an error


class NotApplicable(Exception):
    """The arm cannot do this task."""


@dataclass(frozen=True)
class Place:
    """Where things are, and what does not change while the program runs.

    Attributes:
        output: Folder of records, rows and runs.
        facts: Commit, versions, processor: of the program that is running, also if the checkout changes meanwhile.
    """

    output: Path
    facts: dict[str, Any]

    @classmethod
    def of(cls, output: Path) -> Place:
        code, device = read_code(), read_device()
        facts = {"commit": code.commit, "changed": code.changed, "versions": read_versions()}
        facts |= {"processor": processor(), "bf16": has_fast_bf16(), "threads": device.cpu_threads}
        return cls(output, facts)

    @property
    def records(self) -> Path:
        return self.output / "records"

    @property
    def rows(self) -> Path:
        return self.output / "data"


def encoder() -> ModelSection:
    """Of every arm."""
    return load_recipe(RECIPE, data="rows.csv").model


def run_arm(place: Place, cell: Cell, arm: Arm, rows: Path) -> dict[str, Any]:
    """The record. What goes wrong is in it; only an interruption is raised."""
    about = json.loads((rows / "about" / "rows.json").read_text(encoding="utf-8"))
    record = {"half": half_of(cell.set), **asdict(cell), "arm": arm.name, "task": about["task"], "rows": about["rows"]}
    record |= {"definition": arm.definition, **place.facts}
    try:
        found = _run_rival(place, cell, arm, rows) if arm.rival else _run_ours(place, cell, arm, rows, about["task"])
        return record | {"status": "finished", **_gaps(found)}
    except NotApplicable as reason:
        return record | {"status": "not applicable", "error": str(reason)}
    except Exception as error:
        return record | {"status": "failed", "error": f"{type(error).__name__}: {error}"[-REASON:]}


def _gaps(found: dict[str, Any]) -> dict[str, Any]:
    """With the gaps of what was measured; `score` is one, although compute_gap does not know the name."""
    splits = [
        {name: value for name, value in found["metrics"][split].items() if value is not None}
        for split in ("train_probe", "validation")
    ]
    return found | {"gaps": {name: round(value, 5) for name, value in compute_gap(*splits).items()}}


def _run_ours(place: Place, cell: Cell, arm: Arm, rows: Path, task: str) -> dict[str, Any]:
    """Through the Python API. Nothing is kept of the run's folder."""
    overrides = arm.overrides(cell.n, rows, task)
    rows = rows_with_validation(rows) if arm.with_validation else rows
    with tempfile.TemporaryDirectory(dir=place.output, prefix=f"run-{os.getpid()}-") as folder, Clock() as clock:
        result = finetune.run(
            RECIPE,
            preset=arm.preset,
            data=rows,
            overrides=overrides,
            seed=cell.seed,
            output=Path(folder) / "run",
            listener=finetune.Listener(),
        )
        record = result.record
    selected, training = record.selected, record.recipe["training"]
    splits = {"train_probe": selected.train_probe, "validation": selected.validation, "test": selected.test}
    return {
        "metrics": {name: measures(task, scores or {}) for name, scores in splits.items()},
        "selected_step": selected.step,
        "steps": record.budget.steps_done,
        "steps_planned": record.budget.steps,
        "learning_rate": training["learning_rate"],
        "epochs": training["epochs"],
        "precision": record.budget.precision,
        "overrides": {key: value for key, value in overrides.items() if value != str(rows)},
        "temperature": None if record.calibration is None else record.calibration.temperature,
        "warnings": record.warnings,
        "phases": {phase: round(seconds, 1) for phase, seconds in record.time.phases.items()},
        **clock.as_dict(),
    }


def _run_rival(place: Place, cell: Cell, arm: Arm, rows: Path) -> dict[str, Any]:
    problem = rivals.read_problem(rows)
    if arm.rival == "tfidf_lr":
        return _tfidf(rows, problem.task)
    if arm.venv is None:
        with Clock() as clock:
            fitted = rivals.RIVALS[str(arm.rival)](problem, locate_model(encoder()), cell.seed)
        return {"metrics": _scores(problem, fitted.logits), **clock.as_dict()}
    python = sys.executable if arm.venv == "same" else str(place.output / arm.venv / "bin" / "python")
    with tempfile.TemporaryDirectory(dir=place.output, prefix=f"run-{os.getpid()}-") as folder:
        told = _call_rival(python, str(arm.rival), rows, cell.seed, Path(folder))
        if "not_applicable" in told:
            raise NotApplicable(told["not_applicable"])
        with np.load(Path(folder) / "logits.npz") as logits:
            metrics = _scores(problem, dict(logits))
    told = {key: round(value, 1) if key.endswith(("seconds", "mib")) else value for key, value in told.items()}
    return {"metrics": metrics, "precision": "fp32", **told}


def _call_rival(python: str, rival: str, rows: Path, seed: int, folder: Path) -> dict[str, Any]:
    command = [python, str(Path(rivals.__file__)), rival, str(rows), "--model", locate_model(encoder())]
    command += ["--seed", str(seed), "--output", str(folder / "logits.npz"), "--end-with-parent"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{rival} ended with {done.returncode}: {done.stderr.strip()[-REASON:]}")
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def _scores(problem: rivals.Problem, logits: dict[str, Any]) -> dict[str, Any]:
    """With the code that measures our own runs."""
    return {
        name: measures(problem.task, compute_scores(problem.task, logits[name], split.targets))
        for name, split in problem.measured.items()
    }


def _tfidf(rows: Path, task: Any) -> dict[str, Any]:
    """The baseline that `finetune check` measures."""
    with Clock() as clock:
        data = load_data(DataSection(source=str(rows), task=task))
        (tfidf,) = (baseline for baseline in measure_baselines(data) if baseline.name == "tfidf")
    return {"metrics": {name: measures(task, scores) for name, scores in tfidf.scores.items()}, **clock.as_dict()}


def remove_leftovers(place: Place) -> None:
    """Folders of runs that were killed."""
    for folder in place.output.glob("run-*"):
        process = folder.name.split("-")[1]
        if not Path("/proc", process).exists():
            shutil.rmtree(folder, ignore_errors=True)
