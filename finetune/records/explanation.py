"""What `finetune explain` says of a text, version 1."""

from __future__ import annotations

from pydantic import Field

from finetune.records.evaluation import Neighbour
from finetune.records.frozen import Frozen
from finetune.tasks import Task

EXPLANATION_VERSION = 1


class WordContribution(Frozen):
    """Of a word that the model reads."""

    word: str
    part: int = Field(description="0: in the text; 1: in the second text of a pair.")
    start: int = Field(description="Its first character in its text, from 0.")
    stop: int = Field(description="The character after its last one.")
    contribution: float = Field(description="To `value`: positive speaks for the label (or a larger number).")


class Deletion(Frozen):
    """What the model says without the words that are named as most important, and without random ones."""

    words: list[str] = Field(description="That were removed, the most important first.")
    before: float = Field(description="Calibrated probability of the label, or the number.")
    after: float
    random: float = Field(description="The mean without as many random words.")
    random_low: float = Field(description="The least of all draws.")
    random_high: float
    draws: int


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
