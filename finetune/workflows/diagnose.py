"""Diagnose the scores of a training run, with the certainty of the verdict and a plan."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import get_args

from finetune.diagnosis.held_out import note_on_test
from finetune.diagnosis.logs.observe import observe_log
from finetune.diagnosis.logs.registry import folders_with_logs, read_log, readers
from finetune.diagnosis.look_alikes import look_alikes_of
from finetune.diagnosis.observations import Numbers, Observed
from finetune.diagnosis.plan import plan_for
from finetune.diagnosis.run_records import observe_record
from finetune.diagnosis.typed_data import with_commands
from finetune.diagnosis.verdicts import judge
from finetune.errors import Change, OutputError, RecipeError, suggest
from finetune.records.diagnosis import Diagnosis, VerdictName
from finetune.records.store import RunFolder
from finetune.techniques import TECHNIQUES
from finetune.workflows.arguments import as_list
from finetune.workflows.results import DiagnoseResult


def diagnose(
    source: str | PathLike[str] | None = None,
    *,
    train_accuracy: float | None = None,
    validation_accuracy: float | None = None,
    test_accuracy: float | None = None,
    train_size: int | None = None,
    validation_size: int | None = None,
    test_size: int | None = None,
    classes: int | None = None,
    majority: float | None = None,
    train_loss: float | None = None,
    validation_loss: float | None = None,
    epochs: float | None = None,
    techniques: str | Sequence[str] | None = None,
    run: str | None = None,
    evaluation: str | None = None,
    metric: str | None = None,
    fail_on: str | Sequence[str] | None = None,
) -> DiagnoseResult:
    """Diagnose given numbers, a run of this program, or the log of another one.

    Args:
        source: Folder of a run of this program, or a log that docs/diagnosis.md names: of a transformers Trainer, of
            TensorBoard, MLflow, Trackio, Weights & Biases, Lightning, Keras, fastai, spaCy, flair, simpletransformers;
            a file or its folder. None: use the numbers below only.
        train_accuracy, validation_accuracy, test_accuracy: Fractions, measured in eval mode.
        train_size, validation_size, test_size: Rows.
        classes: Number of classes.
        majority: Fraction of rows in the largest class: the accuracy of the same answer for every text.
        train_loss, validation_loss: Mean log losses in eval mode, in nats.
        epochs: Epochs trained.
        techniques: Regularizers that were used, by their names in `finetune ls techniques`.
        run: Name of the run to read, if the log holds several.
        evaluation: Name of the evaluation set that is validation, if the log holds several.
        metric: Metric of the log to use, such as f1; accuracy by default.
        fail_on: Verdicts that make `DiagnoseResult.raise_failures` raise.

    Raises:
        RecipeError: Numbers are missing or impossible.
        OutputError: The source cannot be read, or holds no measurements.
    """
    used = as_list(techniques)
    numbers = Numbers.among({**locals(), "techniques": tuple(used) or None})
    watched = as_list(fail_on)
    _check_names("fail_on", watched, get_args(VerdictName), "verdict")
    _check_names("techniques", used, list(TECHNIQUES), "technique")
    choices = {"run": run, "evaluation": evaluation, "metric": metric}
    observed = _of_numbers(numbers, choices) if source is None else _read(Path(source), numbers, choices)
    return DiagnoseResult(diagnosis_of(observed), watched)


def diagnosis_of(observed: Observed) -> Diagnosis:
    """Verdict, look-alikes and plan for the observations."""
    verdict, text = judge(observed)
    about_test = note_on_test(observed)
    return Diagnosis(
        source=observed.source,
        verdict=verdict,
        text=text,
        score=observed.score,
        train=observed.train,
        validation=observed.validation,
        gap=observed.gap,
        test=observed.test,
        at_least=observed.is_at_least,
        train_rows=observed.train_rows,
        train_measured=observed.train_measured,
        validation_rows=observed.validation_rows,
        test_rows=observed.test_rows,
        notes=[*observed.notes, *([] if about_test is None else [about_test])],
        missing=list(observed.missing),
        look_alikes=look_alikes_of(verdict, observed),
        plan=plan_for(verdict, observed),
    )


def _of_numbers(numbers: Numbers, choices: dict[str, str | None]) -> Observed:
    for name, value in choices.items():
        if value is not None:
            raise RecipeError("applies to a log, and no log was given.", argument=name, found=value)
    return numbers.observed()


def _read(path: Path, numbers: Numbers, choices: dict[str, str | None]) -> Observed:
    """Raises OutputError for what is not there, or nothing that is known."""
    if not path.exists():
        raise OutputError(f"{path}: no such file or folder.")
    record = RunFolder(path).read() if path.is_dir() else None
    if record is not None:
        given = {**numbers.given(), **{name: value for name, value in choices.items() if value is not None}}
        if given:
            name, value = next(iter(given.items()))
            raise RecipeError("the record of the run has this value. Leave it out.", argument=name, found=value)
        return with_commands(observe_record(record, path), record)
    numbers.check()
    log = read_log(path, choices["run"])
    if log is not None:
        return observe_log(log, numbers, choices["evaluation"], choices["metric"])
    runs = sorted(file.parent for file in path.glob("*/run.json")) if path.is_dir() else []
    runs = runs or folders_with_logs(path)
    if runs:
        ways = [Change(command=f"finetune diagnose {run}") for run in runs[:3]]
        raise OutputError(f"{path}: holds {len(runs)} runs, but only one can be diagnosed.", *ways)
    known = "; ".join(["a run folder of finetune (run.json)", *(reader.name for reader in readers())])
    raise OutputError(f"{path}: holds nothing that can be diagnosed. Known: {known}.")


def _check_names(argument: str, names: Sequence[str], known: Sequence[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise RecipeError(f"is not a {what}.{suggest(name, known)}", argument=argument, found=name)
