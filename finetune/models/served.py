"""`finetune.json`: description of the inputs and outputs of a saved model, beside its weights.

config.json and the files of the tokenizer hold the parts that plain transformers reads: names of the labels, kind of
the task, side and length of truncation. This file holds everything in one place, with facts that do not fit there.
"""

from __future__ import annotations

from pathlib import Path
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

    text: str | None = Field(description="Column with the text; null if a template builds it.")
    template: str | None = Field(description="Template that builds the text from columns, named in braces.")
    text_pair: str | None = Field(
        description="Column with the second text, which follows the first; null if there is none."
    )
    id: str | None = Field(None, description="Column that names rows, if there was one.")
    pairs: bool = Field(
        False, description="Whether a row is two texts: from two columns, or from one with both in a cell."
    )
    max_length: int = Field(
        description="Maximum number of tokens of a text, or of both texts together, special tokens included."
    )
    long_texts: str = Field(description="Part of a longer text that is kept: head, tail, head_tail or windows.")
    overlap: int | None = Field(description="Tokens that neighbouring windows share; null for the other modes.")
    truncation_side: str = Field(description="Truncation side of a plain tokenizer: right keeps the start.")
    tokenizer_limit: int = Field(description="`model_max_length` of the tokenizer before training.")


class ServedLabels(_Part):
    """How a label cell is read."""

    columns: str | list[str] | None = Field(description="Column with the label, or one 0/1 column per label.")
    separator: str = Field("|", description="Separator between the labels of a cell (several labels).")
    names: dict[str, str] = Field({}, description="Label in the data -> its name, if `data.label_map` gave any.")


class TrainingRows(_Part):
    """Statistics of the training rows, to detect whether other rows differ from them. Contains no text."""

    rows: int
    labels: dict[str, int] | None = Field(description="Label -> rows; null for numbers.")
    targets: list[float] | None = Field(description="Numbers: 101 quantiles, from the smallest to the largest.")
    lengths: list[float] = Field(description="101 quantiles of the number of tokens of a text before truncation.")
    unknown: float | None = Field(description="Share of unknown tokens; null if the tokenizer has no unknown token.")


class Confidences(_Part):
    """Correct predictions on validation by descending confidence, for choosing a confidence threshold."""

    rows: int = Field(description="Of validation.")
    confidence: list[float] = Field(description="Calibrated probability of the predicted class, descending.")
    answered: list[int] = Field(description="Rows of at least this confidence.")
    right: list[int] = Field(description="Number of these that are correct.")


class TargetScale(_Part):
    """Scale of a predicted number. The head already contains it: outputs are in units of the data."""

    mean: float = Field(description="Mean of the training targets.")
    sd: float = Field(description="Their standard deviation.")


class ServedModel(_Part):
    """The content of the file."""

    schema_version: int = SCHEMA_VERSION
    task: Task
    labels: list[str] | None = Field(description="Label names in the order of the logits; null for a number.")
    input: ServedInput
    pipeline_arguments: dict[str, Any] = Field(
        description="Arguments for transformers' text-classification pipeline to read and output the same."
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
    target: TargetScale | None = Field(description="Numbers: scale of the targets in training.")
    label: ServedLabels | None = Field(None, description="How labels are read; absent in older files.")
    training: TrainingRows | None = Field(None, description="Absent in older files.")
    confidences: Confidences | None = Field(
        None,
        description="Classes: confidences on validation (refit: predicted before it was trained on); absent in older "
        "files.",
    )
    data_fingerprint: str = Field(description="sha256 over texts and labels of all splits.")
    record: str = Field(description="Id of the run record: `RunRecord.id`.")
    algorithm_version: int


def read_served(section: ModelSection, location: str) -> ServedModel | None:
    """The content of the file of a model; None if there is none.

    Args:
        section: The model section of the recipe.
        location: Folder of the model, or its hub id.

    Raises:
        ModelError: The file is damaged, or of a later version.
    """
    content = read_json(section, location, FILE)
    copy = Change(text="Copy the folder again.")
    if content is None and (Path(location) / FILE).is_file():
        raise ModelError(f"{FILE} of '{section.id}' is not JSON.", copy, key="model.id", found=section.id)
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
        raise ModelError(why, copy, key="model.id", found=section.id) from error
