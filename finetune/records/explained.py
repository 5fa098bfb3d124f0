"""Words that moved an answer, and what of it the folder and the report of a comparison keep, version 1."""

from __future__ import annotations

from pydantic import Field

from finetune.records.frozen import Frozen

EXPLAINED_VERSION = 1


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


class ExplainedAnswer(Frozen):
    """What is kept of the explanation of an answer."""

    label: str | None = Field(description="That the model predicts; null for numbers.")
    against: str | None = Field(description="Of classes the next likely one; else null.")
    probability: float | None = Field(description="Of the label, calibrated; null for numbers.")
    value: float = Field(description="What the words contribute to, as `finetune explain` says it.")
    words: list[WordContribution] = Field(description="Those that moved it most, the largest contribution first.")
    deletion: Deletion | None = Field(description="Null where the text has too few words.")


class ExplainedRows(Frozen):
    """`explanations.json`: rows on which presets disagree, by the model that the comparison ended with."""

    version: int = EXPLAINED_VERSION
    run: str = Field(description="Folder of the run whose model it is, below that of the comparison.")
    fold: int | None
    answers: dict[str, ExplainedAnswer] = Field(description="Row -> what moved its answer.")
