"""The output of `finetune runs`: a run or an experiment in a few numbers, and how two of them differ."""

from typing import Any, Literal

from pydantic import Field

from finetune.records.comparison import Kind
from finetune.records.frozen import Frozen
from finetune.records.report import ModelScore


class Listed(Frozen):
    """A folder below runs/."""

    path: str
    kind: Kind | Literal["run", "unreadable"]
    data: str = Field("", description="Name of the recipe, or of the file or package with the texts.")
    preset: str | None = Field(None, description="Preset; for a comparison, the recommended one.")
    presets: list[str] = Field([], description="Of an experiment: all that are in it.")
    metric: str | None = Field(None, description="The main score.")
    score: float | None = Field(None, description="On test, or on validation if there is no test split.")
    gap: float | None = Field(None, description="Gap of the main score at the selected checkpoint.")
    date: str | None = Field(None, description="UTC day of the start; of several runs, the last one.")
    size: int = Field(description="Total size of all files in bytes.")
    status: str = Field(description="finished, failed, …; for several runs, how many have finished.")
    report: str | None = Field(
        None, description="Report page in the folder, such as report.html; null if there is none."
    )


class ScoredTwice(Frozen):
    """One metric of two runs or experiments (for an experiment, the mean over seeds of one preset)."""

    split: Literal["train", "validation", "test", "gap"]
    metric: str
    first: float | None
    second: float | None
    difference: ModelScore = Field(
        description="Second - first, with a 95 % bootstrap interval over rows for two runs that measured the same rows."
    )


class TwoListed(Frozen):
    """Two runs or experiments side by side."""

    first: Listed
    second: Listed
    same_data: bool | None = Field(description="Whether all rows of all splits are the same; null if unknown.")
    scores: list[ScoredTwice] = Field(description="Metrics that both have.")
    settings: dict[str, tuple[Any, Any]] = Field(
        description="Dotted key -> values of both recipes, if they differ; null if one lacks the key."
    )
