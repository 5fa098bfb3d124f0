"""Words that influenced a prediction, as kept in the folder and the report of a comparison, version 1."""

from __future__ import annotations

from pydantic import Field

from finetune.records.frozen import Frozen

EXPLAINED_VERSION = 1


class WordContribution(Frozen):
    """Contribution of a word that the model reads."""

    word: str
    part: int = Field(description="0: in the text; 1: in the second text of a pair.")
    start: int = Field(description="Position of its first character in its text, from 0.")
    stop: int = Field(description="Position after its last character.")
    contribution: float = Field(description="Contribution to `value`: positive favours the label (or a larger number).")


class Deletion(Frozen):
    """Predictions of the model without the words named as most important, and without random ones."""

    words: list[str] = Field(description="Removed words, the most important first.")
    before: float = Field(description="Calibrated probability of the label, or the number.")
    after: float
    random: float = Field(description="Mean when as many random words are removed.")
    random_low: float = Field(description="Minimum over the random draws.")
    random_high: float
    draws: int


class ExplainedAnswer(Frozen):
    """The part of an explanation that is kept."""

    label: str | None = Field(description="Label that the model predicts; null for numbers.")
    against: str | None = Field(description="For classes, the second most likely one; else null.")
    probability: float | None = Field(description="Calibrated probability of the label; null for numbers.")
    value: float = Field(description="The quantity that the words contribute to, as in `finetune explain`.")
    words: list[WordContribution] = Field(description="Words with the largest contributions, the largest first.")
    deletion: Deletion | None = Field(description="Null if the text has too few words.")


class ExplainedRows(Frozen):
    """`explanations.json`: rows on which presets disagree, explained with the final model of the comparison."""

    version: int = EXPLAINED_VERSION
    run: str = Field(description="Folder of the run whose model it is, relative to the comparison.")
    fold: int | None
    answers: dict[str, ExplainedAnswer] = Field(description="Row -> words that influenced its prediction.")
