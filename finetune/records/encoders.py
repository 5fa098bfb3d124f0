"""Scores of frozen encoders on the training rows, from `finetune check --models`."""

from __future__ import annotations

from pydantic import Field

from finetune.records.frozen import Frozen
from finetune.records.schema import Scores


class Interval(Frozen):
    """A value with the ends of its 95 % bootstrap interval over rows (over groups, if the data has them)."""

    mean: float | None
    low: float | None = None
    high: float | None = None


class EncoderScore(Frozen):
    """A linear model on the frozen features of one encoder."""

    model: str = Field(
        description="As the user named it: a folder, package:NAME/folder, or a hub id; TF-IDF for words."
    )
    is_recipe: bool = Field(False, description="Whether it is the model of the recipe.")
    error: str | None = Field(None, description="Why it has no score.")
    score: Interval = Field(Interval(mean=None), description="Main score, out of fold.")
    difference: Interval | None = Field(
        None, description="Paired difference of the main score: this encoder − the best one."
    )
    scores: Scores = Field({}, description="All scores, out of fold.")
    pooling: str | None = Field(None, description="Pooling of the features: cls, mean or attention.")
    pooling_reason: str | None = None
    parameters: int | None = Field(None, description="Parameters of the encoder.")
    dimension: int | None = Field(None, description="Dimension of the features.")
    max_tokens: int | None = Field(None, description="Maximum number of tokens of a text that it takes.")
    truncated: float | None = Field(None, description="Fraction of the texts that data.max_length cuts.")
    seconds: float | None = Field(None, description="Seconds for loading, reading and fitting.")
    warnings: list[str] = Field([])


class EncoderComparison(Frozen):
    """Frozen encoders side by side, on the training rows alone."""

    score: str = Field(description="The main score.")
    rows: int = Field(description="Training rows that were used.")
    of_rows: int = Field(description="Training rows available.")
    folds: int
    how: str = Field(description="How rows were cut into folds.")
    seed: int = Field(description="Seed of sample, folds and bootstrap.")
    max_length: int = Field(description="Number of tokens that texts were cut to.")
    recipe_model: str
    models: list[EncoderScore] = Field(description="The best first; those without a score last.")
    tfidf: EncoderScore = Field(description="TF-IDF in place of an encoder, in the same folds.")

    def scored(self) -> list[EncoderScore]:
        """The encoders that have a score, the best first."""
        return [entry for entry in self.models if entry.error is None]
