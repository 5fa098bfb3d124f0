"""Where a saved model comes from: the rows that it was trained on."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from finetune.data.load import load_data
from finetune.recipe import DataSection
from finetune.training.refit import refit_data
from finetune.workflows.origins import find_training_data
from tests.conftest import labelled_texts, write_csv


def record_of(section: DataSection, fingerprint: str) -> Any:
    return SimpleNamespace(recipe={"data": section.model_dump()}, data=SimpleNamespace(fingerprint=fingerprint))


def test_the_rows_of_a_run_and_of_a_refit_are_found(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "rows.csv", ["text", "label"], labelled_texts(40))
    section = DataSection(source=str(source), text="text", label="label")
    data = load_data(section)
    found = find_training_data(record_of(section, data.fingerprint))
    assert not isinstance(found, str)
    assert len(found.train) == len(data.train)
    refit = find_training_data(record_of(section, refit_data(data).fingerprint))
    assert not isinstance(refit, str)
    assert refit.train.texts == [*data.train.texts, *data.validation.texts]
    assert find_training_data(record_of(section, "another")) == f"the training data has changed since: {source}"
