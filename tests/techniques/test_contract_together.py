"""What every technique must keep in company: other techniques, architectures, processes, half precision."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.data.load import load_data
from finetune.errors import ModelError
from finetune.recipe import resolve
from finetune.records.store import read_record
from finetune.techniques import TECHNIQUES, conflicts
from finetune.training.prepare import check_run, prepare
from tests.conftest import ARCHITECTURES, add_masked_head, add_unlabelled, labelled_texts, save_tiny_model, write_csv
from tests.running import assert_same_weights, run_in_two_processes, train, weights
from tests.techniques.settings import make, make_helpers, settings_of

EPOCHS = 2
STEPS = 3  # of an epoch: 24 rows in batches of 8


@pytest.fixture(scope="module", autouse=True)
def helpers() -> None:
    make_helpers()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Architecture -> folder of a tiny model with dropout 0.1 everywhere it has one."""
    root = tmp_path_factory.mktemp("models")

    @cache
    def model(architecture: str) -> Path:
        return add_masked_head(save_tiny_model(root / architecture, architecture))

    return model


@pytest.fixture(scope="module")
def recipe_of(tmp_path_factory: pytest.TempPathFactory, models: Callable[[str], Path]) -> Callable[..., Path]:
    """Write a recipe of a few techniques, by name or with settings; a run of it takes 6 steps."""
    root = tmp_path_factory.mktemp("together")
    source = write_csv(root / "reviews.csv", ["text", "label"], labelled_texts(64))
    counter = itertools.count()

    def write(
        techniques: Iterable[str] | dict[str, Any],
        architecture: str = "bert",
        model: Path | None = None,
        train_size: int = STEPS * 8,
        **training: Any,
    ) -> Path:
        sizes = {"train_size": train_size, "validation_size": 8, "test_size": 8, "probe_size": 8, "max_length": 32}
        budget = {"epochs": EPOCHS, "batch_size": 8, "learning_rate": 0.005, "precision": "fp32"}
        named = techniques if isinstance(techniques, dict) else {name: settings_of(name) for name in techniques}
        recipe = {
            "model": {"id": str(model or models(architecture))},
            "data": {"source": str(source), **sizes},
            "training": {**budget, **training},
            "techniques": named,
        }
        add_unlabelled(recipe, root)
        path = root / f"recipe-{next(counter)}.yaml"
        path.write_text(json.dumps(recipe), encoding="utf-8")
        return path

    return write


# --- together -----------------------------------------------------------------------------------------------


def are_compatible(names: Iterable[str]) -> bool:
    return not conflicts({name: make(name) for name in names})


def groups_covering_all_pairs() -> list[list[str]]:
    """Sets of techniques that may be on together, such that every pair that may be is in one of them."""
    names = list(TECHNIQUES)
    allowed = {frozenset(pair) for pair in itertools.combinations(names, 2) if are_compatible(pair)}
    left, groups = set(allowed), []
    while left:
        group = sorted(min(left, key=lambda pair: sorted(map(names.index, pair))))
        while True:
            fitting = [n for n in names if n not in group and all({n, other} in allowed for other in group)]
            if not fitting:
                break
            new_pairs = {name: sum(frozenset({name, other}) in left for other in group) for name in fitting}
            group.append(max(fitting, key=new_pairs.__getitem__))
        left -= {frozenset(pair) for pair in itertools.combinations(group, 2)}
        groups.append(sorted(group, key=names.index))
    return groups


def groups_covering_all() -> list[list[str]]:
    """Each technique in one of few sets that may be on together."""
    left, groups = list(TECHNIQUES), []
    while left:
        group: list[str] = []
        for name in left:
            if are_compatible([*group, name]):
                group.append(name)
        left = [name for name in left if name not in group]
        groups.append(group)
    return groups


def test_the_groups_hold_every_pair_that_is_no_conflict() -> None:
    covered = {pair for group in groups_covering_all_pairs() for pair in itertools.combinations(group, 2)}
    for pair in itertools.combinations(TECHNIQUES, 2):
        assert (pair in covered) == are_compatible(pair), pair
    assert {name for group in groups_covering_all() for name in group} == set(TECHNIQUES)


@pytest.mark.parametrize("group", groups_covering_all_pairs(), ids=lambda group: f"{group[0]}-{len(group)}")
def test_techniques_that_may_be_on_together_train_together(
    group: list[str], recipe_of: Callable[..., Path], tmp_path: Path
) -> None:
    """In bf16: alone, and in other groups, they train in fp32."""
    record = train(recipe_of(group, precision="bf16"), tmp_path / "run")
    assert record.status == "finished"
    assert record.budget.precision == "bf16"
    assert list(record.techniques) == group
    assert all(value.dtype == torch.float32 for value in weights(tmp_path / "run").values())
    assert all(bool(torch.isfinite(value).all()) for value in weights(tmp_path / "run").values())


# In the first epoch of `sam` only the head climbs. With `head_first` gradients of the resting encoder are computed and
# thrown away: the exchange needs all of them. A dropout too rare to ever strike passes for one with `r_drop`, and makes
# both ways comparable.
STEPS_OF_ONE: dict[str, dict[str, Any]] = {
    "sam": {"head_first": {"epochs_alone": 1}, "sam": {"radius": 0.3}},
    "r_drop": {"dropout": {"hidden": 1e-12}, "r_drop": {}},
    "head_first": {"head_first": {"learning_rate": 0.01}},
    "head_start": {"head_start": {}},
    "match": {"match": settings_of("match")},
}


@pytest.fixture(scope="module")
def in_two_processes(
    tmp_path_factory: pytest.TempPathFactory, recipe_of: Callable[..., Path], still_model: Path
) -> dict[str, tuple[Path, Path]]:
    """Name -> recipe and folder of a run in two processes: each of the groups that cover all, and `STEPS_OF_ONE`.

    45 rows in batches of 8 leave an incomplete step of 5.
    """
    root = tmp_path_factory.mktemp("two")
    recipes = {f"group {number}": recipe_of(group) for number, group in enumerate(groups_covering_all())}
    options = {"model": still_model, "train_size": 45, "epochs": 2, "learning_rate": 0.001, "accumulation": 2}
    recipes |= {name: recipe_of(techniques, **options) for name, techniques in STEPS_OF_ONE.items()}
    run_in_two_processes(*(("run", recipe, "--output", root / name) for name, recipe in recipes.items()))
    return {name: (recipe, root / name) for name, recipe in recipes.items()}


@pytest.mark.parametrize(("number", "group"), list(enumerate(groups_covering_all())))
def test_two_processes_train_them_too(
    number: int, group: list[str], in_two_processes: dict[str, tuple[Path, Path]]
) -> None:
    """Every parameter gets a gradient in every process, or DDP would stop the run: also where each process skips layers
    of its own (`layer_drop`)."""
    _, folder = in_two_processes[f"group {number}"]
    record = read_record(folder / "run.json")
    assert (record.status, record.budget.processes, list(record.techniques)) == ("finished", 2, group)
    assert all(bool(torch.isfinite(value).all()) for value in weights(folder).values())


@pytest.mark.parametrize("name", STEPS_OF_ONE)
def test_two_processes_take_the_steps_of_one(
    name: str, in_two_processes: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    recipe, folder = in_two_processes[name]
    train(recipe, tmp_path / "one")
    assert read_record(folder / "run.json").budget.processes == 2
    assert_same_weights(tmp_path / "one", folder, tolerance=5e-6)


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "bert"])
def test_every_architecture_trains_with_all_techniques_that_it_does_not_refuse(
    architecture: str, recipe_of: Callable[..., Path], tmp_path: Path
) -> None:
    data = load_data(resolve(str(recipe_of([], architecture))).recipe.data)

    def refusal(names: list[str]) -> str | None:
        try:
            check_run(resolve(str(recipe_of(names, architecture))).recipe, data)
        except ModelError as error:
            return str(error)
        return None

    suspects = [name for group in groups_covering_all() if refusal(group) for name in group]
    refused = {name: text for name in suspects if (text := refusal([name]))}
    assert set(refused) <= MAY_REFUSE.get(architecture, set()), refused
    for name, text in refused.items():
        assert text.startswith(f"techniques.{name}"), text
        assert "Try: " in text, text
    for number, group in enumerate(groups_covering_all()):
        fitting = [name for name in group if name not in refused]
        record = train(recipe_of(fitting, architecture), tmp_path / str(number))
        assert record.status == "finished"


# Reasons are in the messages: no layers of their own, no dropout, no biases, no dropout in the head.
MAY_REFUSE = {
    "albert": {"dropout", "freeze", "hidden_noise", "layer_drop", "llrd", "lora", "mixout", "mixup", "reinit"},
    "modernbert": {"multi_sample_dropout", "r_drop", "train_only"},
}


def test_prepare_refuses_before_weights_are_read(recipe_of: Callable[..., Path]) -> None:
    recipe = resolve(str(recipe_of(["llrd"], "albert"))).recipe
    with pytest.raises(ModelError, match=r"techniques\.llrd"):
        prepare(recipe)
