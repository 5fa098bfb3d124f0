"""Where a saved model comes from: the run that trained it, and the rows that it was trained on."""

from __future__ import annotations

from pathlib import Path

from finetune.data.load import load_data
from finetune.data.locate import HubName, locate
from finetune.data.rows import Data
from finetune.errors import FinetuneError
from finetune.models.served import ServedModel
from finetune.recipe import DataSection
from finetune.records.comparison import ComparisonFolder
from finetune.records.schema import FinishedRecord
from finetune.records.store import RunFolder
from finetune.training.refit import refit_data


def find_run(model: str, served: ServedModel | None) -> FinishedRecord | None:
    """The run that made the model in a folder: beside it, or in the comparison that ended with it.

    Args:
        model: Folder of the model, or its hub id.
        served: The content of the model's finetune.json, which names the record.
    """
    above = Path(model).absolute().parent
    folders = [RunFolder(above)]
    comparison = ComparisonFolder(above)
    try:
        if comparison.exists() and (shipped := comparison.read().shipped) is not None:
            folders.append(RunFolder(above / shipped))
        for folder in folders:
            record = folder.read()
            if served is not None and isinstance(record, FinishedRecord) and record.id == served.record:
                return record
    except FinetuneError:  # a record that cannot be read is none
        return None
    return None


def find_training_data(record: FinishedRecord) -> Data | str:
    """The splits that a run was trained on (for a refit, with validation in train), or why they are not available.
    Nothing is downloaded."""
    section = DataSection.model_validate(record.recipe["data"])
    try:
        if isinstance(locate(section.source, "data.source"), HubName):
            return f"the training data is on the hub ({section.source}), and is not downloaded"
        data = load_data(section)
    except FinetuneError as error:
        return f"the training data cannot be read: {error.problems[0].why}"
    for each in (data, refit_data(data)):
        if each.fingerprint == record.data.fingerprint:
            return each
    return f"the training data has changed since: {section.source}"
