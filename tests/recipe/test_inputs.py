"""Recipes, presets and overrides from Python: dicts, paths and objects, and what is refused of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune.errors import Change, Problem, RecipeError
from finetune.recipe import Recipe, load_recipe, preset_name, resolve
from finetune.recipe.library import preset_names, recipe_names
from finetune.techniques.aeda import AEDA
from finetune.techniques.dropout import Dropout
from finetune.techniques.label_smoothing import LabelSmoothing

MINIMAL: dict[str, Any] = {"model": {"id": "m"}, "data": {"source": "d.csv"}}
Write = Callable[..., Path]


def problems_of(*arguments: Any, **options: Any) -> list[Problem]:
    with pytest.raises(RecipeError) as caught:
        resolve(*arguments, **options)
    return caught.value.problems


def only_problem_of(*arguments: Any, **options: Any) -> Problem:
    problems = problems_of(*arguments, **options)
    assert len(problems) == 1, problems
    return problems[0]


# --- a recipe as a dict or an object ----------------------------------------------------------------------------


@pytest.mark.parametrize("preset", [None, *preset_names()])
@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_comes_back_from_its_dict(name: str, preset: str | None) -> None:
    recipe = resolve(name, preset).recipe
    again = resolve(recipe.to_dict()).recipe
    assert again == recipe
    assert again.to_dict() == recipe.to_dict()
    assert resolve(recipe).recipe == recipe


def test_a_dict_has_the_keys_of_a_file(write_recipe: Write) -> None:
    sections: dict[str, Any] = {**MINIMAL, "training": {"epochs": 7}, "techniques": {"dropout": {"hidden": 0.2}}}
    resolved = resolve(sections)
    assert resolved.recipe.training.epochs == 7
    assert resolved.recipe.techniques == {"dropout": Dropout(hidden=0.2)}
    assert (resolved.recipe.name, resolved.recipe.preset) == ("recipe", None)
    assert resolved.origins["training.epochs"] == "the recipe"
    assert resolved.origins["training.batch_size"] == "default"
    assert resolve({**sections, "name": "mine"}).recipe.name == "mine"


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"choices": "auto"}, "choices"),
        ({"choices": {"origin": "mine.yaml", "rules": {"more": {"when": {}}}}}, "choices.rules.more.because"),
        ({"decisions": {"rule": "more"}}, "decisions"),
        ({"decisions": [5]}, "decisions.0"),
    ],
)
def test_a_damaged_record_of_what_a_preset_chose_is_a_problem_by_key(part: dict[str, Any], place: str) -> None:
    problem = only_problem_of({**MINIMAL, **part})
    assert problem.key == next(iter(part))
    assert f"expected what Recipe.to_dict writes: {place}: " in problem.why


def test_a_dict_is_not_changed() -> None:
    given: dict[str, Any] = {**MINIMAL, "name": "mine", "techniques": {"dropout": {"hidden": 0.2}}}
    resolve(given, overrides={"techniques.dropout.hidden": 0.3, "data.text": "t"})
    assert given == {**MINIMAL, "name": "mine", "techniques": {"dropout": {"hidden": 0.2}}}
    assert MINIMAL == {"model": {"id": "m"}, "data": {"source": "d.csv"}}


def test_problems_of_a_dict_name_the_recipe() -> None:
    problems = problems_of({"data": {"source": "d.csv"}, "trainig": {}, "training": {"epochs": "3"}})
    assert {(problem.where, problem.key) for problem in problems} == {
        ("the recipe", "trainig"),
        ("the recipe", "training.epochs"),
        ("the recipe", "model.id"),
    }


def test_overrides_and_a_preset_apply_to_a_recipe_object() -> None:
    recipe = resolve(MINIMAL, "medium").recipe
    changed = resolve(recipe, overrides={"training.epochs": 5, "techniques.ema": "off"}).recipe
    assert changed.training.epochs == 5
    assert set(recipe.techniques) - set(changed.techniques) <= {"ema"}
    assert "ema" not in changed.techniques | changed.rules
    assert resolve(recipe, "none").recipe.techniques == {}
    assert recipe == resolve(MINIMAL, "medium").recipe
    assert only_problem_of(recipe, overrides={"training.epochs": 0}).key == "training.epochs"


def test_rules_survive_a_dict_and_can_be_overridden() -> None:
    recipe = resolve(MINIMAL, "strong").recipe
    assert "rules" in recipe.to_dict()
    changed = resolve(recipe.to_dict(), overrides={"techniques.r_drop.strength": 2.0}).recipe
    assert changed.to_dict()["techniques"]["r_drop"]["strength"] == 2.0
    assert changed.rules["ema"] == recipe.rules["ema"]


def test_a_preset_that_a_dict_only_names_is_refused() -> None:
    problem = only_problem_of({**MINIMAL, "preset": "strong"})
    assert problem.key == "preset"
    assert problem.changes == (Change(arguments={"preset": "strong"}),)


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/b", "a\\b", "../up", "a\nb", 5, None])
def test_a_name_that_cannot_be_part_of_a_folder_is_refused(name: Any) -> None:
    assert only_problem_of({**MINIMAL, "name": name}).key == "name"
    assert "can be a folder name" in only_problem_of(MINIMAL, {name: {"l2": {}}}).why


@pytest.mark.parametrize("recipe", [5, ["tweets"], 0.5])
def test_what_cannot_be_a_recipe_or_preset_is_refused_by_its_type(recipe: Any) -> None:
    assert "expected a name, a path, a dict or a Recipe, found " in only_problem_of(recipe).why
    assert "expected a name, a path or a dict, found " in only_problem_of(MINIMAL, recipe).why


def test_paths_are_taken_as_their_texts(write_recipe: Write, tmp_path: Path) -> None:
    path = write_recipe()
    preset = tmp_path / "mine.yaml"
    preset.write_text("l2: {}\n", encoding="utf-8")
    assert resolve(path, preset) == resolve(str(path), str(preset))
    recipe = resolve(MINIMAL, model=Path("a/model"), data=Path("b.csv"), metrics=[Path("own.py")]).recipe
    assert (recipe.model.id, recipe.data.source, recipe.training.metrics) == ("a/model", "b.csv", ["own.py"])


def test_data_that_is_no_path_is_refused_by_its_type() -> None:
    problem = only_problem_of(MINIMAL, data=np.arange(3))
    assert (problem.key, problem.where, problem.where_in_python) == ("data.source", "--data", "data")
    assert "ndarray" in problem.why


def test_a_reference_to_data_in_memory_is_a_source() -> None:
    assert resolve(data="memory:0f3a").recipe.data.source == "memory:0f3a"


# --- overrides as a dict ----------------------------------------------------------------------------------------


def test_typed_overrides_equal_written_ones() -> None:
    typed = {
        "training.epochs": 5,
        "training.learning_rate": 2e-5,
        "data.labels": ["0", "1"],
        "data.label_map.a": "0",
        "data.label_map.b": "1",
        "data.text": None,
        "techniques.aeda": {},
        "techniques.label_smoothing": {"smoothing": 0.2},
        "techniques.dropout": "off",
    }
    written = [
        "training.epochs=5",
        "training.learning_rate=2e-5",
        'data.labels=["0", "1"]',
        "data.label_map.a='0'",
        "data.label_map.b='1'",
        "data.text=null",
        "techniques.aeda={}",
        "techniques.label_smoothing={smoothing: 0.2}",
        "techniques.dropout=off",
    ]
    one, two = resolve(MINIMAL, "medium", overrides=typed), resolve(MINIMAL, "medium", overrides=written)
    assert one.recipe == two.recipe
    assert one.recipe.techniques["aeda"] == AEDA()
    assert one.recipe.techniques["label_smoothing"] == LabelSmoothing(smoothing=0.2)
    assert one.origins["training.epochs"] == "overrides"
    assert two.origins["training.epochs"] == "--set training.epochs"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("training.epochs", np.int64(5), 5),
        ("training.learning_rate", np.float64(1e-4), 1e-4),
        ("training.learning_rate", np.float32(0.5), 0.5),
        ("training.group_by_length", np.bool_(True), True),
        ("training.seeds", np.arange(3), [0, 1, 2]),
        ("training.seeds", range(2), [0, 1]),
        ("training.seeds", (np.int32(7), 8), [7, 8]),
        ("training.metrics", [Path("own.py")], ["own.py"]),
        ("data.text", np.str_("Review"), "Review"),
        ("data.label_map", {0: "bad", np.int64(1): "good"}, {"0": "bad", "1": "good"}),
        ("data.template", "{title}: {body}", "{title}: {body}"),
        ("data.delimiter", "|", "|"),
        ("data.text", "5", "5"),
        ("data.text", "null", "null"),
    ],
)
def test_values_of_python_become_plain_and_texts_stay_texts(key: str, value: Any, expected: Any) -> None:
    recipe = resolve(MINIMAL, overrides={key: value}).recipe
    section, name = key.split(".")
    found = getattr(getattr(recipe, section), name)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.epochs", "5"),
        ("training.epochs", True),
        ("training.epochs", np.float64(5)),
        ("training.learning_rate", "2e-5"),
        ("training.seeds", 3),
        ("data.labels", [0, 1]),
        ("data.text", 5),
        ("training.epoch", 5),
        ("techniques.dropot", {}),
        ("techniques.dropout.hiden", 0.1),
        ("techniques.dropout", True),
        ("techniques.r_drop", "off"),
    ],
)
def test_a_wrong_override_is_refused_by_key(key: str, value: Any) -> None:
    problem = only_problem_of(MINIMAL, overrides={key: value})
    assert (problem.key, problem.where) == (key, "overrides")


@pytest.mark.parametrize("key", ["", "training", "training.", ".epochs", "epochs", "trainig.epochs", 5, ("a", "b")])
def test_a_key_that_is_none_is_refused(key: Any) -> None:
    assert only_problem_of(MINIMAL, overrides={key: 5}).where == "overrides"


def test_numbers_where_texts_belong_are_refused_with_texts_to_write() -> None:
    problem = only_problem_of(MINIMAL, overrides={"data.labels": [0, 1]})
    (change,) = problem.changes
    assert dict(change.settings) == {"data.labels": ["0", "1"]}
    assert resolve(MINIMAL, overrides=dict(change.settings)).recipe.data.labels == ["0", "1"]


def test_every_override_that_is_wrong_is_reported() -> None:
    problems = problems_of(MINIMAL, overrides={"training.epochs": 0, "nonsense": 1, "data.labels": []})
    assert len(problems) == 3


def test_one_text_is_one_override_and_nothing_is_none() -> None:
    assert resolve(MINIMAL, overrides="training.epochs=5").recipe.training.epochs == 5
    assert resolve(MINIMAL, overrides=None).recipe == resolve(MINIMAL).recipe


def test_a_cross_check_names_the_place_in_the_words_of_the_caller() -> None:
    problem = only_problem_of(MINIMAL, seeds=[1, 1])
    assert problem.for_command_line().startswith("--seed: training.seeds: ")
    assert problem.for_python().startswith("seed: training.seeds: ")
    assert only_problem_of(MINIMAL, overrides={"data.subset_seed": 1}).where == "overrides"


# --- a preset as a dict -----------------------------------------------------------------------------------------


def test_a_preset_is_one_name_with_its_techniques() -> None:
    recipe = {**MINIMAL, "techniques": {"aeda": {}}}
    resolved = resolve(recipe, {"mine": {"dropout": {"hidden": np.float64(0.2)}}})
    assert resolved.recipe.techniques == {"dropout": Dropout(hidden=0.2)}
    assert resolved.recipe.preset == "mine"
    assert resolved.origins["techniques.dropout.hidden"] == "preset mine"
    assert resolve(recipe, {"empty": {}}).recipe.techniques == {}


def test_a_preset_may_have_rules() -> None:
    rule = {"by_rows": {"from 0": "off", "from 100": {"hidden": 0.3}}}
    assert resolve(MINIMAL, {"mine": {"dropout": rule}}).recipe.rules == {"dropout": rule}


@pytest.mark.parametrize("preset", [{}, {"a": {}, "b": {}}, {"mine": 5}, {"mine": None}, {"mine": ["dropout"]}])
def test_a_preset_of_another_form_is_refused_with_the_form(preset: Any) -> None:
    assert '{"mine": {"dropout": {"hidden": 0.2}}}' in only_problem_of(MINIMAL, preset).why


def test_techniques_without_a_name_are_refused_with_the_form() -> None:
    problem = only_problem_of(MINIMAL, {"dropout": {"hidden": 0.2}})
    assert "'hidden' is not a technique" in problem.why
    assert any("mine" in change.text for change in problem.changes)


def test_problems_of_a_preset_name_it() -> None:
    problem = only_problem_of(MINIMAL, {"mine": {"dropout": {"hidden": 2}}})
    assert (problem.where, problem.key) == ("preset mine", "techniques.dropout.hidden")


@pytest.mark.parametrize(
    ("preset", "name"),
    [("strong", "strong"), ("a/b.yaml", "b"), (Path("a/b.yml"), "b"), ({"mine": {}}, "mine"), ("v1.2", "v1.2")],
)
def test_what_a_preset_is_called(preset: Any, name: str) -> None:
    assert preset_name(preset) == name


# --- the public function ----------------------------------------------------------------------------------------


def test_load_recipe_is_the_recipe_of_a_run() -> None:
    recipe = load_recipe(MINIMAL, preset="light", overrides={"training.epochs": 5}, seed=3, metric="own.py")
    assert isinstance(recipe, Recipe)
    expected = resolve(MINIMAL, "light", overrides={"training.epochs": 5}, seeds=[3], metrics=["own.py"]).recipe
    assert recipe == expected
    assert load_recipe(MINIMAL, seed=np.int64(3)).training.seeds == [3]
    assert load_recipe(MINIMAL, seed=range(2)).training.seeds == [0, 1]
    assert load_recipe().name == "tweets"
