"""export.json, version 1: predictions of an exported model compared with those of the model it was made from."""

from __future__ import annotations

from pydantic import Field

from finetune.records.frozen import Frozen
from finetune.tasks import Task

EXPORT_VERSION = 1


class Timing(Frozen):
    """Time of one call with texts in memory: tokens, model, and probabilities."""

    texts: int
    before_ms: float = Field(description="Median milliseconds of the torch model.")
    after_ms: float = Field(description="Median milliseconds of the exported model.")


class ExportReport(Frozen):
    """Everything that `finetune export` shows."""

    version: int = EXPORT_VERSION
    model: str = Field(description="The exported model: the last two parts of its folder, or its hub id.")
    record: str | None = Field(description="Id of the record of the run that trained the model; null if unknown.")
    format: str
    quantize: str | None = Field(description="int8, or null for fp32.")
    changes: str | None = Field(description="Which parts were quantized, and how; null for fp32.")
    data: str = Field(description="Rows that were compared.")
    rows: int
    task: Task
    difference: float = Field(
        description="Largest difference over rows and labels, of calibrated probabilities; for numbers in their unit."
    )
    relative: float | None = Field(
        description="Numbers: root mean square difference, in standard deviations of the model's own predictions; "
        "null for labels."
    )
    decisions: int | None = Field(
        description="Number of decisions: one per row, or for several labels one per label of a row; null for numbers."
    )
    changed: int | None = Field(description="Decisions that differ in the exported model; null for numbers.")
    beside: float = Field(
        description="Largest change, over some rows, of the exported model's own probabilities (or numbers) for a "
        "text when other texts are predicted with it."
    )
    allowed: float = Field(description="Limit for `measured`; more makes the export fail.")
    measured: str = Field(
        description="The limited quantity: difference, changed (a fraction of decisions) or relative."
    )
    score: str | None = Field(description="Main score; null if the rows have no labels.")
    scores_before: dict[str, float] = Field(description="Scores of the torch model, as measured in a run.")
    scores_after: dict[str, float]
    bytes_before: int = Field(description="Size of the weights on disk.")
    bytes_after: int
    threads: int = Field(description="CPU threads with which both were timed.")
    timings: list[Timing]
    torch: str = Field(description="Version.")
    runtime: str = Field(description="Version of the runtime.")
