"""What `finetune explain` says of a text, version 1."""

from __future__ import annotations

from pydantic import Field

from finetune.records.evaluation import Neighbour
from finetune.records.explained import Deletion, WordContribution
from finetune.records.frozen import Frozen
from finetune.tasks import Task

EXPLANATION_VERSION = 1


class Explanation(Frozen):
    """Of one text."""

    version: int = EXPLANATION_VERSION
    model: str
    row: str | None = Field(None, description="Number in its file, from 1; null for a text that was typed.")
    text: str
    pair: str | None
    task: Task
    label: str | None = Field(description="That is explained; null for numbers.")
    against: str | None = Field(description="The label it is compared with: of classes the next likely one; else null.")
    probability: float | None = Field(description="Of the label, calibrated; null for numbers.")
    value: float = Field(
        description="What the words contribute to. Classes: log-odds of the label against the other one, calibrated; "
        "several labels: log-odds of the label; numbers: the number."
    )
    blank: float = Field(description="The same where every word is replaced by the mask token.")
    error: float = Field(description="value - blank - the sum of all contributions: of the numerical integration.")
    pieces: int = Field(description="Windows that the text is cut into; 1: it is read at once.")
    unread: int = Field(description="Characters that the model does not read, spaces aside.")
    words: list[WordContribution] = Field(description="In the order of the text.")
    deletion: Deletion | None = Field(description="Null where the text has too few words.")
    nearest: list[Neighbour] = Field([], description="Training texts, the nearest first.")
    missing: list[str] = Field([], description="What cannot be said, and why.")
