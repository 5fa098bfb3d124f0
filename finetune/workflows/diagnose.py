"""Say what scores of a training run mean, how sure that is, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import get_args

from finetune.diagnosis.look_alikes import look_alikes_of
from finetune.diagnosis.observations import Numbers, Observed
from finetune.diagnosis.plan import plan_for
from finetune.diagnosis.run_records import observe_record
from finetune.diagnosis.trainer_logs import find_state, observe_state
from finetune.diagnosis.verdicts import judge
from finetune.errors import Change, OutputError, RecipeError, suggest
from finetune.records.diagnosis import Diagnosis, VerdictName
from finetune.records.store import RunFolder
from finetune.workflows.arguments import as_list
from finetune.workflows.results import DiagnoseResult


def diagnose(
    source: str | PathLike[str] | None = None,
    *,
    train_accuracy: float | None = None,
    validation_accuracy: float | None = None,
    train_size: int | None = None,
    validation_size: int | None = None,
    classes: int | None = None,
    majority: float | None = None,
    train_loss: float | None = None,
    validation_loss: float | None = None,
    epochs: float | None = None,
    evaluation: str | None = None,
    metric: str | None = None,
    fail_on: str | Sequence[str] | None = None,
) -> DiagnoseResult:
    """Diagnose numbers, a run of this program, or the log of a `transformers.Trainer`.

    Args:
        source: Folder of a run of this program, folder of a Trainer or of its checkpoint, or a trainer_state.json;
            None: the numbers below are all that is known.
        train_accuracy, validation_accuracy: Fractions, measured in eval mode.
        train_size, validation_size: Rows.
        classes: Number of classes.
        majority: Fraction of the largest class: the accuracy of one answer for every text.
        train_loss, validation_loss: Mean log losses in eval mode, in nats.
        epochs: Trained.
        evaluation: Of a log with several evaluation sets, the name of the one that is validation.
        metric: Of a log, the score to go by, such as f1; accuracy by default.
        fail_on: Verdicts that make `DiagnoseResult.raise_failures` raise.

    Raises:
        RecipeError: Numbers are missing or impossible.
        OutputError: The source cannot be read, or measured nothing.
    """
    numbers = Numbers.among(locals())
    watched = as_list(fail_on)
    _check_verdicts(watched)
    observed = numbers.observed() if source is None else _read(Path(source), numbers, evaluation, metric)
    return DiagnoseResult(diagnosis_of(observed), watched)


def diagnosis_of(observed: Observed) -> Diagnosis:
    """Verdict, look-alikes and plan of what was observed."""
    verdict, text = judge(observed)
    return Diagnosis(
        source=observed.source,
        verdict=verdict,
        text=text,
        score=observed.score,
        train=observed.train,
        validation=observed.validation,
        gap=observed.gap,
        train_rows=observed.train_rows,
        validation_rows=observed.validation_rows,
        notes=list(observed.notes),
        missing=list(observed.missing),
        look_alikes=look_alikes_of(verdict, observed),
        plan=plan_for(verdict, observed),
    )


def _read(path: Path, numbers: Numbers, evaluation: str | None, metric: str | None) -> Observed:
    """Raises OutputError for what is not there, or nothing that is known."""
    if not path.exists():
        raise OutputError(f"{path}: no such file or folder.")
    record = RunFolder(path).read() if path.is_dir() else None
    if record is not None:
        given = {
            **numbers.given(),
            **{k: v for k, v in (("evaluation", evaluation), ("metric", metric)) if v is not None},
        }
        if given:
            name, value = next(iter(given.items()))
            raise RecipeError("the record of the run says it. Leave it out.", argument=name, found=value)
        return observe_record(record, path)
    if find_state(path) is not None:
        return observe_state(path, numbers, evaluation, metric)
    runs = sorted(file.parent for file in path.glob("*/run.json")) if path.is_dir() else []
    if runs:
        ways = [Change(command=f"finetune diagnose {run}") for run in runs[:3]]
        raise OutputError(f"{path}: holds {len(runs)} runs, and one is diagnosed.", *ways)
    known = "a run folder of finetune (run.json), and the folder or trainer_state.json of a transformers Trainer"
    raise OutputError(f"{path}: nothing that can be diagnosed. Known: {known}.")


def _check_verdicts(names: Sequence[str]) -> None:
    for name in names:
        if name not in get_args(VerdictName):
            why = f"is no verdict.{suggest(name, get_args(VerdictName))}"
            raise RecipeError(why, argument="fail_on", found=name)
