"""`finetune.json`: what a saved model was trained to read and to say, beside its weights.

config.json and the files of the tokenizer hold what plain transformers takes from them: names of the labels, kind of
the task, where and how far texts are cut. This file holds it in one place, with what they have no room for.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from finetune.errors import Change, ModelError
from finetune.models.json_files import read_json
from finetune.recipe import ModelSection
from finetune.tasks import Task

FILE = "finetune.json"
SCHEMA_VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")  # what a later version adds


class ServedInput(_Part):
    """How a row of data becomes tokens."""

    text: str | None = Field(description="Column with the text; null where a template makes it.")
    template: str | None = Field(description="Makes the text from columns, named in braces.")
    text_pair: str | None = Field(description="Column with the second text, which follows the first; null without.")
    id: str | None = Field(None, description="Column that names rows, where there was one.")
    pairs: bool = Field(False, description="Whether a row is two texts: of two columns, or of one with both in a cell.")
    max_length: int = Field(description="Tokens of a text, or of both together, special tokens included.")
    long_texts: str = Field(description="What is kept of a longer text: head, tail, head_tail or windows.")
    overlap: int | None = Field(description="Tokens that neighbouring windows share; null for the other ways.")
    truncation_side: str = Field(description="Where a plain tokenizer cuts: right keeps the start.")
    tokenizer_limit: int = Field(description="`model_max_length` of the tokenizer before training.")


class ServedLabels(_Part):
    """How a label cell is read."""

    columns: str | list[str] | None = Field(description="Column with the label, or one 0/1 column per label.")
    separator: str = Field("|", description="Between the labels of a cell (several labels).")
    names: dict[str, str] = Field({}, description="Label in the data -> its name, where `data.label_map` gave any.")


class TrainingRows(_Part):
    """What the training rows were like, to see whether other rows differ from them. No text is in it."""

    rows: int
    labels: dict[str, int] | None = Field(description="Label -> rows; null for numbers.")
    targets: list[float] | None = Field(description="Numbers: 101 quantiles, from the least to the largest.")
    lengths: list[float] = Field(description="101 quantiles of tokens of a text before anything is cut.")
    unknown: float | None = Field(
        description="Share of tokens that the tokenizer does not know; null where it has no such token."
    )


class Confidences(_Part):
    """How often validation was right, from the most confident row on: what a threshold of confidence is chosen by."""

    rows: int = Field(description="Of validation.")
    confidence: list[float] = Field(description="Calibrated probability of the predicted class, descending.")
    answered: list[int] = Field(description="Rows of at least this confidence.")
    right: list[int] = Field(description="Of these, how many are right.")


class TargetScale(_Part):
    """Of a number that is predicted. The head holds it already: outputs are in units of the data."""

    mean: float = Field(description="Of the training targets.")
    sd: float = Field(description="Their standard deviation.")


class ServedModel(_Part):
    """The content of the file."""

    schema_version: int = SCHEMA_VERSION
    task: Task
    labels: list[str] | None = Field(description="In the order of the logits; null for a number.")
    input: ServedInput
    pipeline_arguments: dict[str, Any] = Field(
        description="What transformers' text-classification pipeline has to be called with, to see and say the same."
    )
    pipeline_sees_the_same: bool = Field(
        description="Whether a text of any length becomes the same tokens there; false for head_tail and windows."
    )
    thresholds: dict[str, float] | None = Field(
        description="Several labels: probability above which a label is predicted, chosen on validation."
    )
    temperature: float | None = Field(
        description="Classes: number by which to divide logits for calibrated probabilities, fitted on validation."
    )
    target: TargetScale | None = Field(description="Numbers: what targets were scaled by in training.")
    label: ServedLabels | None = Field(None, description="How labels are read; absent in older files.")
    training: TrainingRows | None = Field(None, description="Absent in older files.")
    confidences: Confidences | None = Field(
        None,
        description="Classes: of validation (a refit: as predicted before it was trained on); absent in older files.",
    )
    data_fingerprint: str = Field(description="sha256 over texts and labels of all splits.")
    record: str = Field(description="Id of the run record: `RunRecord.id`.")
    algorithm_version: int


def read_served(section: ModelSection, location: str) -> ServedModel | None:
    """What the file of a model says; None where there is none.

    Args:
        section: The recipe's model.
        location: Folder of the model, or its hub id.

    Raises:
        ModelError: It is damaged, or of a later version.
    """
    content = read_json(section, location, FILE)
    if not isinstance(content, dict) or "schema_version" not in content:
        return None
    if content["schema_version"] != SCHEMA_VERSION:
        why = f"{FILE} of '{section.id}' has version {content['schema_version']}; this program reads {SCHEMA_VERSION}."
        raise ModelError(why, Change(text="Install a newer finetune."), key="model.id", found=section.id)
    try:
        return ServedModel.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        why = f"{FILE} of '{section.id}' cannot be read: {where}: {first['msg']}."
        raise ModelError(why, Change(text="Copy the folder again."), key="model.id", found=section.id) from error
