"""The explanation of a text by `finetune explain`, version 1."""

from __future__ import annotations

from pydantic import Field

from finetune.records.evaluation import Neighbour
from finetune.records.explained import Deletion, WordContribution
from finetune.records.frozen import Frozen
from finetune.tasks import Task

EXPLANATION_VERSION = 1


class Explanation(Frozen):
    """Explanation of one text."""

    version: int = EXPLANATION_VERSION
    model: str
    row: str | None = Field(None, description="Row number in its file, from 1; null for a typed text.")
    text: str
    pair: str | None
    task: Task
    label: str | None = Field(description="Label that is explained; null for numbers.")
    against: str | None = Field(
        description="The label it is compared with: for classes, the second most likely one; else null."
    )
    probability: float | None = Field(description="Calibrated probability of the label; null for numbers.")
    value: float = Field(
        description="The quantity that the words contribute to. Classes: log-odds of the label against the other one, "
        "calibrated; "
        "several labels: log-odds of the label; numbers: the number."
    )
    blank: float = Field(description="`value` with every word replaced by the mask token.")
    error: float = Field(
        description="value - blank - the sum of all contributions: error of the numerical integration."
    )
    pieces: int = Field(description="Number of windows that the text is cut into; 1: it is read at once.")
    unread: int = Field(description="Characters that the model does not read, spaces excluded.")
    words: list[WordContribution] = Field(description="Words in the order of the text.")
    deletion: Deletion | None = Field(description="Null if the text has too few words.")
    nearest: list[Neighbour] = Field([], description="Nearest training texts, the nearest first.")
    missing: list[str] = Field([], description="What could not be determined, and why.")
