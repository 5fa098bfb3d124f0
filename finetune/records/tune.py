"""The records of a tune: trials.json, the trials so far, and tune.json, the content of its report.

Scores are as in `records.report`. A trial is one combination of the searched settings, trained on folds of the training
rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from finetune.atomic import write_text
from finetune.errors import Change, OutputError
from finetune.records.checksum import checked, read_object, with_checksum
from finetune.records.frame import ReportFrame
from finetune.records.frozen import Frozen, what_is_wrong
from finetune.records.report import Difference, Summary

TUNE_VERSION = 1
TRIALS = "trials.json"

Stage = Literal["default", "learning rate", "strengths"]
TrialStatus = Literal["running", "complete", "stopped", "failed"]


class Dimension(Frozen):
    """One setting that is searched."""

    key: str = Field(description="Dotted key of the recipe.")
    low: float
    high: float
    is_log: bool = Field(description="Whether equal ratios count as equal steps; otherwise equal differences do.")
    default: float = Field(description="Value of the preset, or of the recipe.")
    is_rate: bool = Field(description="Whether it is a learning rate, which is searched before the strengths.")


class Trial(Frozen):
    """One setting, and its outcome."""

    number: int = Field(description="0 is the default setting.")
    stage: Stage
    settings: dict[str, float] = Field(description="Key -> value of everything that is searched.")
    status: TrialStatus = "running"
    fold_scores: list[float] = Field([], description="Main score on each trained fold, in order.")
    score: float | None = Field(None, description="Main score over the rows of all folds together; null until then.")
    reason: str = Field("", description="Why it was stopped or failed.")
    can_run: bool = Field(
        True,
        description="False if the recipe refuses these settings; then it does not count as one of the requested "
        "trials.",
    )

    @property
    def name(self) -> str:
        """Name of its variant."""
        return "default" if self.number == 0 else f"trial-{self.number}"


class Trials(Frozen):
    """trials.json: the request and the trials so far. A killed tune continues from it."""

    tune_version: int = TUNE_VERSION
    identity: str = Field(description="Content key of the first fold of the default: recipe, data, model, algorithm.")
    algorithm: int = Field(description="Version of the training algorithms.")
    folds: int
    seed: int
    rate_trials: int = Field(description="Trials of the learning rate, before those of the strengths.")
    space: list[Dimension]
    trials: list[Trial] = Field([], description="The default first.")


class TrialReport(Trial):
    """A trial compared with the default."""

    difference: float | None = Field(None, description="Score - score of the default, on the same rows.")
    low: float | None = Field(None, description="Ends of the interval, at 95 % for all tried settings together.")
    high: float | None = None
    p: float | None = Field(None, description="Two-sided p-value, times the number of tried settings (Bonferroni).")


class Tested(Frozen):
    """A setting on the data's own splits, measured on test after the choice."""

    name: str
    inner: float | None = Field(description="Score over the folds of the training rows, by which the choice was made.")
    test: Summary
    optimism: float | None = Field(description="Inner - test score: the optimism of choosing by it.")
    difference: Difference | None = Field(None, description="Test score - test score of the default, paired by seed.")


class TuneReport(Frozen):
    """tune.json, version 1: everything that the report of a tune shows."""

    tune_version: int = TUNE_VERSION
    title: str
    name: str = Field(description="Of the recipe.")
    preset: str
    command: str = Field(description="Command that reproduces it.")
    task: str
    score: str = Field(description="Main score, which the search optimises.")
    folds: int
    seed: int = Field(description="Of the trainings on the folds.")
    seeds: list[int] = Field(description="Of the trainings that were measured on test.")
    rows: dict[str, int] = Field(description="Rows of train, validation and test; and of a fold's training, 'fold'.")
    space: list[Dimension]
    trials: list[TrialReport] = Field(description="The default first.")
    tried: int = Field(
        description="Number of measured settings other than the default, for which intervals are adjusted."
    )
    trained: int = Field(description="Number of trainings on folds.")
    spared: int = Field(description="Number of trainings on folds saved by stopping trials early.")
    best: str = Field(description="The setting with the best score over all folds.")
    chosen: str = Field(description="The best setting, if it beats the default beyond chance; else the default.")
    rule: str
    tested: list[Tested] = Field(description="The default, and the best setting if it differs.")
    headline: str
    caveats: list[str] = Field([], description="Limits of the evidence.")
    conditions: ReportFrame = Field(description="Data, versions and device of the trainings measured on test.")
    recipe: str = Field(description="File with the chosen settings.")
    model: str | None = Field(
        None, description="Folder of the chosen setting's model, from its best seed on validation."
    )


def read_trials(folder: Path) -> Trials | None:
    """The trials of a tune in this folder; None if there is none.

    Raises:
        OutputError: The file is damaged, or of a version that this program does not read.
    """
    path = folder / TRIALS
    if not path.is_file():
        return None
    elsewhere = Change(text="Choose another folder, or delete the file: finished runs are kept.")
    try:
        content = read_object(path.read_text(encoding="utf-8"))
        version = content.get("tune_version")
        if version != TUNE_VERSION:
            why = f"{path}: version {version} of the list of trials; this program reads {TUNE_VERSION}."
            raise OutputError(why, elsewhere)
        return Trials.model_validate(checked(content))
    except OutputError:
        raise
    except Exception as error:  # whatever JSON of others makes of it
        raise OutputError(f"{path}: is not a readable list of trials: {what_is_wrong(error)}.", elsewhere) from error


def write_trials(folder: Path, trials: Trials) -> None:
    """Replace the file in one step: a kill leaves the old or the new one."""
    write_text(folder / TRIALS, with_checksum(trials.model_dump_json(indent=1)))


def read_report(folder: Path) -> TuneReport:
    """tune.json of a tune that has ended.

    Raises:
        OutputError: There is none, or it is damaged.
    """
    path = folder / "tune.json"
    again = Change(text="Type the command of the tune again: it runs what is missing, and writes the file.")
    try:
        return TuneReport.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise OutputError(f"{path}: no such file: the tune has not ended.", again) from error
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read: {what_is_wrong(error)}.", again) from error
