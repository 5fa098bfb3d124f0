"""Recipes of data sets on the hub, tried on saved copies with the hub's columns, classes and splits."""

from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from finetune.data.load import load_data
from finetune.recipe import load_recipe
from finetune.recipe.library import recipe_names

TEXT, INDEX = Value("string"), Value("int32")
HIDDEN = -1  # the label of every test row of GLUE


def rows(columns: tuple[str, ...], labels: list[Any]) -> list[dict[str, Any]]:
    return [
        {**{column: f"{column} {number} of {label}" for column in columns}, "label": label}
        for number, label in enumerate(labels)
    ]


def two_classes(names: list[str]) -> dict[str, Any]:
    return {"feature": ClassLabel(names=names), "labels": [0, 1] * 15}


SETS: dict[str, dict[str, Any]] = {
    "irony": {"columns": ("text",), "test": [0, 1] * 5, **two_classes(["non_irony", "irony"])},
    "cola": {"columns": ("sentence",), "test": [HIDDEN] * 10, **two_classes(["unacceptable", "acceptable"])},
    "mrpc": {
        "columns": ("sentence1", "sentence2"),
        "test": [0, 1] * 5,
        **two_classes(["not_equivalent", "equivalent"]),
    },
    "stsb": {
        "columns": ("sentence1", "sentence2"),
        "test": [float(HIDDEN)] * 10,
        "feature": Value("float32"),
        "labels": [number / 6 for number in range(30)],
    },
}


def saved(name: str, folder: Path) -> Path:
    about = SETS[name]
    features = Features({**dict.fromkeys(about["columns"], TEXT), "label": about["feature"]})
    splits = {"train": about["labels"], "validation": about["labels"][:10], "test": about["test"]}
    content = {
        split: Dataset.from_list(rows(about["columns"], labels), features=features) for split, labels in splits.items()
    }
    DatasetDict(content).save_to_disk(str(folder))
    return folder


def loaded(name: str, source: Path) -> Any:
    """The recipe's rows, of which there are fewer than it asks for."""
    section = load_recipe(name).data
    smaller = {"source": str(source), "config": None, "train_size": 12}
    if section.validation_size is not None:
        smaller["validation_size"] = 6
    return load_data(section.model_copy(update=smaller))


@pytest.mark.parametrize("name", SETS)
def test_a_recipe_of_the_hub_reads_a_set_with_these_columns(name: str, tmp_path: Path) -> None:
    data = loaded(name, saved(name, tmp_path / "set"))
    sizes = {split: len(getattr(data, split)) for split in ("train", "validation", "test")}
    has_hidden_test = SETS[name]["test"][0] == HIDDEN
    assert sizes == {"train": 12, "validation": 6 if has_hidden_test else 10, "test": 10}
    feature = SETS[name]["feature"]
    assert data.labels == (feature.names if isinstance(feature, ClassLabel) else None)
    assert (data.train.pairs is not None) == (len(SETS[name]["columns"]) == 2)


def test_banking77_takes_the_names_and_not_the_numbers(tmp_path: Path) -> None:
    names = [f"intent {number}" for number in range(3)]
    content = {
        split: Dataset.from_list(
            [{"text": f"text {row} of {split}", "label": row % 3, "label_text": names[row % 3]} for row in range(30)]
        )
        for split in ("train", "test")
    }
    DatasetDict(content).save_to_disk(str(tmp_path / "set"))
    data = loaded("banking77", tmp_path / "set")
    assert data.labels == names
    assert (len(data.train), len(data.validation), len(data.test)) == (12, 6, 30)


def test_every_recipe_of_the_hub_is_tried_here() -> None:
    of_hub = {name for name in recipe_names() if load_recipe(name, data=None).data.source.startswith("hub:")}
    assert of_hub == {*SETS, "banking77"}
