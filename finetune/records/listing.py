"""One line of `finetune runs`: a run, or an experiment of several, in a few numbers."""

from typing import Literal

from pydantic import Field

from finetune.records.comparison import Kind
from finetune.records.frozen import Frozen


class Listed(Frozen):
    """A folder below runs/."""

    path: str
    kind: Kind | Literal["run", "unreadable"]
    data: str = Field("", description="Name of the recipe, or of the file or package that the texts are from.")
    preset: str | None = Field(None, description="Of a comparison: the recommended one.")
    metric: str | None = Field(None, description="The main score.")
    score: float | None = Field(None, description="On test, or on validation where there is no test split.")
    gap: float | None = Field(None, description="Of the main score, at the selected checkpoint.")
    date: str | None = Field(None, description="UTC day on which it was started; of several runs, the last.")
    size: int = Field(description="Bytes of all files.")
    status: str = Field(description="finished, failed, …; of several runs how many have finished.")
