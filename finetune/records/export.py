"""export.json, version 1: what an exported model says, compared with the model that it was made from."""

from __future__ import annotations

from pydantic import Field

from finetune.records.frozen import Frozen
from finetune.tasks import Task

EXPORT_VERSION = 1


class Timing(Frozen):
    """Of one call with texts in memory: tokens, model, and probabilities."""

    texts: int
    before_ms: float = Field(description="Median milliseconds of the model of torch.")
    after_ms: float = Field(description="Median milliseconds of the exported one.")


class ExportReport(Frozen):
    """Everything that `finetune export` shows."""

    version: int = EXPORT_VERSION
    model: str = Field(description="What was exported: the last two parts of its folder, or its hub id.")
    record: str | None = Field(description="Id of the record of the run that trained it; null where it is unknown.")
    format: str
    quantize: str | None = Field(description="int8, or null for fp32.")
    changes: str | None = Field(description="What was quantized, and how; null for fp32.")
    data: str = Field(description="Rows that were compared.")
    rows: int
    task: Task
    difference: float = Field(
        description="The largest, over rows and labels, of calibrated probabilities; of numbers in their unit."
    )
    relative: float | None = Field(
        description="Numbers: root mean square difference, in standard deviations of the model's own predictions; "
        "null for labels."
    )
    decisions: int | None = Field(
        description="One for each row; of several labels one for each label of a row; null for numbers."
    )
    changed: int | None = Field(description="Decisions that the exported model takes otherwise; null for numbers.")
    beside: float = Field(
        description="How far the exported model's own probabilities (or numbers) of a text move when other texts are "
        "predicted with it; the largest over some rows."
    )
    allowed: float = Field(description="Of `measured`; more makes the export fail.")
    measured: str = Field(description="What is allowed: difference, changed (a fraction of decisions) or relative.")
    score: str | None = Field(description="Main score; null where the rows have no labels.")
    scores_before: dict[str, float] = Field(description="Of the model of torch, as a run measures them.")
    scores_after: dict[str, float]
    bytes_before: int = Field(description="Of the weights on disk.")
    bytes_after: int
    threads: int = Field(description="With which both were timed.")
    timings: list[Timing]
    torch: str = Field(description="Version.")
    runtime: str = Field(description="Version of the runtime.")
