"""What `finetune runs` says: a run, or an experiment of several, in a few numbers; and how two of them differ."""

from typing import Any, Literal

from pydantic import Field

from finetune.records.comparison import Kind
from finetune.records.frozen import Frozen
from finetune.records.report import ModelScore


class Listed(Frozen):
    """A folder below runs/."""

    path: str
    kind: Kind | Literal["run", "unreadable"]
    data: str = Field("", description="Name of the recipe, or of the file or package that the texts are from.")
    preset: str | None = Field(None, description="Of a comparison: the recommended one.")
    presets: list[str] = Field([], description="Of an experiment: all that are in it.")
    metric: str | None = Field(None, description="The main score.")
    score: float | None = Field(None, description="On test, or on validation where there is no test split.")
    gap: float | None = Field(None, description="Of the main score, at the selected checkpoint.")
    date: str | None = Field(None, description="UTC day on which it was started; of several runs, the last.")
    size: int = Field(description="Bytes of all files.")
    status: str = Field(description="finished, failed, …; of several runs how many have finished.")
    report: str | None = Field(None, description="Its page in the folder, such as report.html; null without one.")


class ScoredTwice(Frozen):
    """One number of two runs or experiments (of an experiment the mean over seeds of one preset)."""

    split: Literal["train", "validation", "test", "gap"]
    metric: str
    first: float | None
    second: float | None
    difference: ModelScore = Field(
        description="Second - first; with a 95 % bootstrap interval over rows for two runs that measured the same rows."
    )


class TwoListed(Frozen):
    """Two runs or experiments side by side."""

    first: Listed
    second: Listed
    same_data: bool | None = Field(description="Whether all rows of all splits are the same; null where unknown.")
    scores: list[ScoredTwice] = Field(description="Numbers that both have.")
    settings: dict[str, tuple[Any, Any]] = Field(
        description="Dotted key -> values of both recipes, where they differ; null where one lacks the key."
    )
