"""The mean of the weights of several runs: what it is, what it needs, and that it is measured like a run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from finetune.errors import OutputError, RecipeError
from finetune.models.head import HeadStart
from finetune.recipe import Recipe, resolve
from finetune.records.predictions import read_run
from finetune.records.schema import FinishedRecord
from finetune.records.store import RunFolder
from finetune.training.building import build_model
from finetune.training.prepare import Prepared, prepare
from finetune.training.runner import run_seed
from finetune.training.soup import make_soup, mean_weights, start_problem, start_warnings
from tests.conftest import save_tiny_model
from tests.raising import refuses
from tests.running import clean_items, weights

Write = Callable[..., Path]
START = {"mine": {"head_start": {}}}


def recipe_of(path: Path, preset: object = "none") -> Recipe:
    overrides = ["training.epochs=1", "data.check=false", "data.train_size=24"]
    return resolve(str(path), preset, overrides=overrides).recipe


def trained(prepared: Prepared, folder: Path, seeds: tuple[int, ...] = (0, 1)) -> list[RunFolder]:
    members = [RunFolder(folder / f"seed{seed}") for seed in seeds]
    for seed, member in zip(seeds, members, strict=True):
        run_seed(prepared, seed, member)
    return members


@pytest.fixture
def start(write_recipe: Write) -> Prepared:
    return prepare(recipe_of(write_recipe(), START))


def test_the_mean_is_that_of_each_number() -> None:
    one = {"w": torch.tensor([1.0, -2.0]), "n": torch.tensor([3])}
    two = {"w": torch.tensor([2.0, 4.0]), "n": torch.tensor([3])}
    three = {"w": torch.tensor([6.0, 1.0]), "n": torch.tensor([3])}
    found = mean_weights([one, two, three])
    assert found["w"].tolist() == [3.0, 1.0]
    assert found["n"].tolist() == [3]
    assert found["w"].dtype == torch.float32


def test_a_soup_is_a_plain_model_with_the_record_of_a_run(start: Prepared, tmp_path: Path) -> None:
    members = trained(start, tmp_path)
    soup = RunFolder(tmp_path / "soup")
    record = make_soup(start, members, soup)

    one, two, found = (weights(member.path) for member in [*members, soup])
    assert any(not torch.equal(one[name], two[name]) for name in one), "the members differ"
    for name, value in found.items():
        torch.testing.assert_close(value, (one[name] + two[name]) / 2, rtol=1e-6, atol=1e-8)

    read, arrays = read_run(soup)
    assert isinstance(read, FinishedRecord)
    assert read == record
    assert (record.selected.step, record.budget.steps_done) == (0, 0)
    assert any("the mean of the weights of the runs with seeds 0, 1" in warning for warning in record.warnings)
    assert {"encoder", "head"} <= set(record.weights)
    model = AutoModelForSequenceClassification.from_pretrained(soup.model).eval()
    assert start.data.test is not None
    for split, rows in start.data.measured_splits().items():
        items = clean_items(start.encoder, rows)
        with torch.no_grad():
            logits = [model(input_ids=torch.tensor([item["input_ids"]])).logits[0].numpy() for item in items]
        np.testing.assert_allclose(arrays[f"selected_{split}_logits"], logits, atol=1e-5)
    accuracy = (arrays["selected_test_logits"].argmax(axis=1) == arrays["test_targets"]).mean()
    assert record.selected.test is not None
    assert record.selected.test["accuracy"] == pytest.approx(accuracy)


def test_adapters_are_averaged_as_they_are_exported(write_recipe: Write, tmp_path: Path) -> None:
    prepared = prepare(recipe_of(write_recipe(), {"mine": {"lora": {"r": 2}, "head_start": {}}}))
    members = trained(prepared, tmp_path)
    make_soup(prepared, members, RunFolder(tmp_path / "soup"))
    one, two, found = (weights(tmp_path / name) for name in ("seed0", "seed1", "soup"))
    assert one.keys() == found.keys()
    name = next(name for name in one if name.endswith("query.weight"))
    torch.testing.assert_close(found[name], (one[name] + two[name]) / 2)


# --- what it needs ---------------------------------------------------------------------------------------------


def test_heads_that_start_at_random_are_warned_of_and_what_avoids_them_is_named(write_recipe: Write) -> None:
    recipe = recipe_of(write_recipe())
    problem = start_problem(recipe, HeadStart(None))
    assert problem is not None
    assert problem.key == "techniques.head_start"
    assert "less confidence" in problem.for_command_line()
    assert "add 'head_start: {}'" in problem.for_command_line()
    kept = HeadStart((1, 0), "of the checkpoint")
    assert start_problem(recipe, kept) is None, "a head that every seed takes from the checkpoint is not random"


def models_of(prepared: Prepared) -> tuple[Any, Any]:
    return build_model(prepared, 0).model, build_model(prepared, 1).model


def test_runs_that_start_alike_are_not_warned_of(start: Prepared) -> None:
    assert start_warnings(start, models_of(start)) == []


def test_other_weights_that_are_drawn_at_random_are_found_and_named(write_recipe: Write) -> None:
    prepared = prepare(recipe_of(write_recipe(), {"mine": {"head_start": {}, "reinit": {"layers": 1}}}))
    (warning,) = start_warnings(prepared, models_of(prepared))
    assert "(bert.encoder.layer.1" in warning.why


def copies(member: RunFolder, folder: Path, count: int = 2) -> list[RunFolder]:
    return [RunFolder(shutil.copytree(member.path, folder / f"copy{number}")) for number in range(count)]


def test_members_must_be_alike_finished_and_have_their_models(start: Prepared, tmp_path: Path) -> None:
    member = trained(start, tmp_path, (0,))[0]
    soup = RunFolder(tmp_path / "soup")
    with refuses(RecipeError, match=r"the models of 2 seeds or more, and there is 1"):
        make_soup(start, [member], soup)

    other = copies(member, tmp_path / "labels")
    config = json.loads((other[1].model / "config.json").read_text(encoding="utf-8"))
    config["id2label"] = {"0": "good", "1": "bad"}
    (other[1].model / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with refuses(RecipeError, match="differ in id2label"):
        make_soup(start, other, soup)

    larger = copies(member, tmp_path / "larger")
    tensors = load_file(larger[1].model / "model.safetensors")
    save_file({**tensors, "further": torch.zeros(2)}, larger[1].model / "model.safetensors", {"format": "pt"})
    with refuses(RecipeError, match="the names or shapes of weights"):
        make_soup(start, larger, soup)

    gone = copies(member, tmp_path / "gone")
    shutil.rmtree(gone[1].model)
    with refuses(OutputError, match="no longer has a model, and soup needs it"):
        make_soup(start, gone, soup)

    failed = copies(member, tmp_path / "failed")
    failed[1].write(failed[1].read().model_copy(update={"status": "failed"}))  # type: ignore[union-attr]
    with refuses(OutputError, match="is failed, and soup is made from finished runs"):
        make_soup(start, failed, soup)
    assert not soup.model.exists()


def test_another_architecture_has_no_mean_with_it(start: Prepared, tmp_path: Path, write_recipe: Write) -> None:
    member = trained(start, tmp_path, (0,))[0]
    strange = copies(member, tmp_path / "strange", 1)[0]
    shutil.rmtree(strange.model)
    AutoModelForSequenceClassification.from_pretrained(
        save_tiny_model(tmp_path / "distilbert", "distilbert")
    ).save_pretrained(strange.model)
    with refuses(RecipeError, match="differ in architectures, model_type"):
        make_soup(start, [member, strange], RunFolder(tmp_path / "soup"))
