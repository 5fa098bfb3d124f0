"""Values that a preset scales with the size of the data."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune.errors import RecipeError
from finetune.experiments.executors import EXECUTORS
from finetune.recipe import apply_rules, find_budget_problems, recipe_budget, resolve
from finetune.recipe.scaling import Size, counted_classes, describe_rule, has_rule, settings_at
from finetune.techniques.dropout import Dropout
from finetune.techniques.label_smoothing import LabelSmoothing
from finetune.training.plan import describe_plan
from finetune.training.prepare import prepare
from tests.cli.invoking import invoke
from tests.conftest import labelled_texts, write_csv
from tests.experiments.inline import REFERENCE
from tests.raising import refuses
from tests.running import train

Write = Callable[..., Path]
SMOOTHING = {"smoothing": {"by_classes": {"from 2": 0.05, "from 3": 0.1, "from 20": 0.2}}}
HEAD = {"by_rows": {"from 0": "off", "from 40": {"classifier": 0.2}, "from 5000": {"classifier": 0.5}}}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(0, 1), (299, 1), (300, 4), (4999, 4), (5000, 2), (10**6, 2)],
)
def test_the_range_that_a_size_falls_into_decides(rows: int, expected: int) -> None:
    settings = {"alpha": {"by_rows": {"from 0": 1, "from 300": 4, "from 5000": 2}}, "other": 7}
    assert settings_at(settings, Size(rows, 2)) == {"alpha": expected, "other": 7}


def test_one_label_takes_the_settings_of_the_fewest() -> None:
    """Multi-label data may have one label alone; what a technique says to that is for the technique to say."""
    assert settings_at(SMOOTHING, Size(100, 1)) == {"smoothing": 0.05}


def test_a_whole_technique_may_be_off_for_a_size() -> None:
    assert settings_at(HEAD, Size(39, 2)) is None
    assert settings_at(HEAD, Size(40, 2)) == {"classifier": 0.2}


def test_rules_may_stand_inside_the_ranges_of_another() -> None:
    nested = {"by_rows": {"from 0": "off", "from 100": SMOOTHING}}
    assert has_rule(nested)
    assert settings_at(nested, Size(99, 3)) is None
    assert settings_at(nested, Size(100, 3)) == {"smoothing": 0.1}


def test_a_rule_in_words() -> None:
    assert describe_rule(SMOOTHING["smoothing"]) == "0.05 from 2 classes, 0.1 from 3, 0.2 from 20"
    assert describe_rule({"by_rows": {"from 0": False, "from 600": True}}) == "false from 0 rows, true from 600"
    assert describe_rule(HEAD) == "off from 0 rows, classifier 0.2 from 40, classifier 0.5 from 5000"


def test_the_recipe_takes_the_settings_for_its_data(write_recipe: Write) -> None:
    recipe = resolve(str(write_recipe(techniques={"label_smoothing": SMOOTHING, "dropout": HEAD}))).recipe
    small, large = apply_rules(recipe, 10, 3), apply_rules(recipe, 6000, 2)
    assert small.techniques == {"label_smoothing": LabelSmoothing(smoothing=0.1)}
    assert large.techniques == {"label_smoothing": LabelSmoothing(smoothing=0.05), "dropout": Dropout(classifier=0.5)}
    assert list(apply_rules(small, 6000, 2).techniques) == ["label_smoothing", "dropout"]  # none is lost on the way


@pytest.mark.parametrize(
    ("data", "on"), [({"train_size": 30}, False), ({"train_size": 48}, True), ({"train_size": 48, "subset": 30}, False)]
)
def test_before_the_data_is_read_the_recipe_says_how_many_rows_are_trained_on(
    write_recipe: Write, data: dict[str, int], on: bool
) -> None:
    recipe = resolve(str(write_recipe(data=data, techniques={"dropout": HEAD}))).recipe
    assert bool(recipe.techniques) is on
    assert recipe_budget(recipe).steps_per_epoch == math.ceil(min(data.values()) / recipe.training.batch_size)


def test_without_rules_nothing_changes(write_recipe: Write) -> None:
    recipe = resolve(str(write_recipe(techniques={"label_smoothing": {}}))).recipe
    assert apply_rules(recipe, 5, 5) is recipe
    assert "rules" not in recipe.to_dict()


def test_a_run_uses_and_records_what_its_rows_ask_for(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(techniques={"dropout": HEAD})  # 48 training rows
    record = train(recipe, tmp_path / "run")
    assert record.techniques["dropout"].settings["classifier"] == 0.2
    assert record.model.dropout["dropout"] == 0.2
    assert record.recipe["techniques"]["dropout"]["classifier"] == 0.2
    assert record.recipe["rules"] == {"dropout": HEAD}
    few = prepare(resolve(str(write_recipe(data={"train_size": 20}, techniques={"dropout": HEAD}))).recipe)
    assert few.recipe.techniques == {}


def test_a_run_with_rules_resumes(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(techniques={"dropout": HEAD}, training={"epochs": 1})
    first = invoke("run", recipe, "--output", tmp_path / "run")
    assert first.exit_code == 0, first.stderr
    again = invoke("run", recipe, "--output", tmp_path / "run", "--resume")
    assert again.exit_code == 0, again.stderr
    assert "finished already" in again.stderr
    write_recipe(techniques={"dropout": {"classifier": 0.2}}, training={"epochs": 1})
    other = invoke("run", recipe, "--output", tmp_path / "run", "--resume")
    assert other.exit_code == 2
    assert "rules.dropout" in other.stderr


def test_show_prints_the_value_and_its_rule(write_recipe: Write) -> None:
    resolved = resolve(str(write_recipe(techniques={"label_smoothing": SMOOTHING, "dropout": HEAD})))
    plan = describe_plan(resolved)
    assert plan["values"]["techniques.label_smoothing.smoothing"] == {"value": 0.05, "origin": "tiny.yaml"}
    assert plan["values"]["techniques.dropout.classifier"] == {"value": 0.2, "origin": "tiny.yaml"}
    assert plan["rules"]["techniques.dropout"].startswith("off from 0 rows, classifier 0.2 from 40")
    shown = invoke("show", write_recipe(techniques={"dropout": HEAD}))
    assert "Rules of the preset" in shown.stdout
    assert plan["rules"]["techniques.dropout"] in shown.stdout


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"smoothing": {"by_rows": {"from 0": 0.1, "from 300": 1.5}}}, "smoothing: input should be less than 1"),
        ({"smoothing": {"by_rows": {"from 10": 0.1}}}, "has no range for the smallest data"),
        ({"smoothing": {"by_classes": {"from 3": 0.1}}}, "has no range for the smallest data"),
        ({"smoothing": {"by_rows": {"300": 0.1}}}, "expected ranges such as"),
        ({"smoothing": {"by_rows": {}}}, "expected ranges such as"),
        ({"smoothing": {"by_rows": 3}}, "expected ranges such as"),
        ({"smoothing": {"by_rows": {"from 0": 0.1}, "by_classes": {"from 2": 0.1}}}, "by_rows cannot be combined with"),
        ({"by_rows": {"from 0": {}}, "smoothing": 0.2}, "write the values of smoothing inside"),
        ({"by_rows": {"from 0": 3}}, "expected settings or off for each range"),
        ({"by_rows": {"from 0": {"smothing": 0.1}}}, "smothing: unknown key"),
        ({"by_rows": {"from 0": "off", "from 9": {"smoothing": {"by_classes": {"from 2": 1.5}}}}}, "less than 1"),
        ({"by_rows": {"from 0": {"smoothing": {"by_classes": {"from 9": 0.5}}}}}, "has no range for the smallest data"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said(write_recipe: Write, settings: Any, complaint: str) -> None:
    with refuses(RecipeError, match=complaint):
        resolve(str(write_recipe(techniques={"label_smoothing": settings})))


def test_an_override_replaces_a_rule(write_recipe: Write) -> None:
    recipe = str(write_recipe(techniques={"label_smoothing": SMOOTHING}))
    resolved = resolve(recipe, overrides=["techniques.label_smoothing.smoothing=0.3"])
    assert resolved.recipe.techniques == {"label_smoothing": LabelSmoothing(smoothing=0.3)}
    assert resolved.recipe.rules == {}


def test_a_comparison_scales_its_presets_and_ablation_leaves_out_what_is_off(
    tmp_path: Path, write_recipe: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXECUTORS, "local", REFERENCE)
    preset = tmp_path / "sized.yaml"
    far = {"by_rows": {"from 0": "off", "from 5000": {"smoothing": 0.1}}}
    content = {"dropout": HEAD, "label_smoothing": far, "l2": {}}
    preset.write_text(f"# sized\n{json.dumps(content)}", encoding="utf-8")
    recipe = write_recipe(training={"epochs": 1})
    found = invoke("ablate", recipe, "--preset", preset, "--seeds", "1", "--dry-run", "--json")
    assert found.exit_code == 0, found.stderr
    variants = {cell["variant"] for cell in json.loads(found.stdout)["cells"]}
    assert variants == {"none", "sized", "sized without dropout", "dropout alone", "sized without l2", "l2 alone"}
    compared = invoke(
        "compare",
        recipe,
        "--presets",
        f"none,{preset}",
        "--seeds",
        "1",
        "-o",
        tmp_path / "c",
        "--quiet",
        "--final",
        "best",
    )
    assert compared.exit_code == 0, compared.stderr
    manifest = json.loads((tmp_path / "c" / "comparison.json").read_text(encoding="utf-8"))
    (sized,) = [variant for variant in manifest["variants"] if variant["name"] == "sized"]
    assert sized["techniques"]["dropout"]["classifier"] == 0.2
    assert "label_smoothing" not in sized["techniques"]
    report = json.loads((tmp_path / "c" / "report.json").read_text(encoding="utf-8"))
    assert len(report["groups"]) == 1


def test_large_data_gets_the_settings_of_large_data(tmp_path: Path, write_recipe: Write) -> None:
    source = write_csv(tmp_path / "many.csv", ["text", "label"], labelled_texts(200))
    many = {"by_rows": {"from 0": "off", "from 100": {"classifier": 0.4}}}
    recipe = write_recipe(data={"source": str(source)}, techniques={"dropout": many})
    assert prepare(resolve(str(recipe)).recipe).recipe.techniques == {"dropout": Dropout(classifier=0.4)}


def test_a_value_set_for_a_run_wins_over_the_rule_that_turns_its_technique_off(write_recipe: Write) -> None:
    recipe = str(write_recipe(techniques={"dropout": HEAD}))
    resolved = resolve(recipe, overrides=["techniques.dropout.classifier=0.4"])
    assert apply_rules(resolved.recipe, 50, 2).techniques == {"dropout": Dropout(classifier=0.4)}
    assert apply_rules(resolved.recipe, 10, 2).techniques == {"dropout": Dropout(classifier=0.4)}
    assert apply_rules(resolve(recipe).recipe, 10, 2).techniques == {}
    assert resolve(recipe).recipe.rules == {"dropout": HEAD}  # the next command starts from the file again
    off = resolve(recipe, overrides=["techniques.dropout=off"]).recipe
    assert apply_rules(off, 50, 2).techniques == {}


def test_a_value_set_for_a_run_reaches_into_nested_rules(write_recipe: Write) -> None:
    nested = {"by_rows": {"from 0": "off", "from 100": {"by_classes": {"from 2": {}, "from 3": "off"}}}}
    recipe = str(write_recipe(techniques={"label_smoothing": nested}))
    resolved = resolve(recipe, overrides=["techniques.label_smoothing.smoothing=0.3"]).recipe
    for rows, classes in ((10, 2), (100, 2), (100, 3)):
        assert apply_rules(resolved, rows, classes).techniques == {"label_smoothing": LabelSmoothing(smoothing=0.3)}


def test_label_smoothing_set_for_numbers_is_refused_though_the_preset_leaves_it_out(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "numbers.csv", ["text", "label"], [(f"text {row}", row / 7) for row in range(60)])
    overrides = ["techniques.label_smoothing.smoothing=0.2", "data.task=regression"]
    with refuses(RecipeError, match="label_smoothing"):
        prepare(resolve(None, "strong", data=str(source), overrides=overrides).recipe)
    assert "label_smoothing" not in prepare(resolve(None, "strong", data=str(source)).recipe).recipe.techniques


def test_rules_of_two_kinds_may_switch_one_technique() -> None:
    both = {"by_rows": {"from 0": "off", "from 100": {"by_classes": {"from 2": {"smoothing": 0.05}, "from 3": "off"}}}}
    assert settings_at(both, Size(99, 2)) is None
    assert settings_at(both, Size(100, 2)) == {"smoothing": 0.05}
    assert settings_at(both, Size(100, 3)) is None


def test_rules_by_classes_tell_numbers_from_several_labels() -> None:
    rule = {"by_classes": {"from 0": "off", "from 1": {"strength": 1}, "from 3": {"strength": 2}}}
    found = [settings_at(rule, Size(100, counted_classes(task, 5))) for task in ("regression", "multi_label")]
    assert found == [None, {"strength": 1}]
    assert settings_at(rule, Size(100, counted_classes("single_label", 5))) == {"strength": 2}


def test_strong_leaves_out_for_numbers_what_costs_them_most(tmp_path: Path) -> None:
    """R-Drop, high dropout, slow and frozen layers; docs/results.md has the figures. Several labels keep them."""
    texts = [f"text {row}" for row in range(60)]
    numbers = write_csv(tmp_path / "numbers.csv", ["text", "label"], zip(texts, range(60), strict=True))
    tags = write_csv(
        tmp_path / "tags.csv", ["text", "label"], [(text, "a|b" if n % 3 else "b") for n, text in enumerate(texts)]
    )
    left_out = {"r_drop", "multi_sample_dropout", "llrd", "freeze"}
    found = prepare(resolve(None, "strong", data=str(numbers), overrides=["data.task=regression"]).recipe).recipe
    assert not left_out & set(found.techniques)
    assert found.techniques["dropout"] == Dropout(hidden=0.1, attention=0.1, classifier=0.1)
    kept = prepare(resolve(None, "strong", data=str(tags), overrides=["data.task=multi_label"]).recipe).recipe
    assert left_out < set(kept.techniques)
    assert kept.techniques["dropout"] == Dropout(hidden=0.2, attention=0.1, classifier=0.4)


def test_diff_tells_presets_apart_that_differ_by_a_rule_only(tmp_path: Path) -> None:
    paths = []
    for name, last in (("one", 2), ("two", 8)):
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"# {name}\nr_drop: {{strength: {{by_rows: {{from 0: 1, from 5000: {last}}}}}}}\n")
        paths.append(path)
    shown = invoke("diff", *paths)
    assert "2 from 5000" in shown.stdout
    assert "8 from 5000" in shown.stdout


def test_an_ablation_sees_what_is_on_for_this_size_only(tmp_path: Path, write_recipe: Write) -> None:
    """At the nominal 1,000 rows it is off; here it is on, and has to be taken apart like the others."""
    few = {"by_rows": {"from 0": {"smoothing": 0.1}, "from 100": "off"}}
    preset = tmp_path / "few.yaml"
    preset.write_text(f"# few\n{json.dumps({'label_smoothing': few, 'l2': {}})}", encoding="utf-8")
    found = invoke("ablate", write_recipe(), "--preset", preset, "--seeds", "1", "--dry-run", "--json")
    assert found.exit_code == 0, found.stderr
    variants = {cell["variant"] for cell in json.loads(found.stdout)["cells"]}
    parts = {"few without l2", "few without label_smoothing", "l2 alone", "label_smoothing alone"}
    assert variants == {"none", "few", *parts}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"by_rows": {"from 0": {}}, "classifier": 0.2}, "write the values of classifier inside"),
        ({"by_rows": 3}, "expected ranges such as"),
        ({"by_rows": {}}, "expected ranges such as"),
        ({"by_rows": {"from 0": 3}}, "expected settings or off for each range"),
    ],
)
def test_an_override_beside_a_malformed_rule_leaves_the_complaint_to_it(
    write_recipe: Write, settings: Any, complaint: str
) -> None:
    recipe = str(write_recipe(techniques={"dropout": settings}))
    with refuses(RecipeError, match=complaint):
        resolve(recipe, overrides=["techniques.dropout.classifier=0.4"])


def test_overrides_that_write_a_rule_beside_a_value_are_refused(write_recipe: Write) -> None:
    overrides = [f"techniques.dropout.{each}" for each in ("classifier=0.1", "by_rows={from 0: {}}", "classifier=0.2")]
    with refuses(RecipeError, match="write the values of classifier inside"):
        resolve(str(write_recipe()), overrides=overrides)


def test_a_technique_named_like_a_rule_is_unknown(write_recipe: Write) -> None:
    with refuses(RecipeError, match="techniques.by_rows: unknown technique"):
        resolve(str(write_recipe(techniques={"by_rows": 3})), overrides=["techniques.l2.strength=0.1"])


@pytest.mark.parametrize(
    ("technique", "model", "key"),
    [("match", {}, "techniques.match"), ("head_start", {"head": "kept"}, "model.head")],
)
def test_what_a_size_turns_on_is_checked_as_what_is_always_on(technique: str, model: dict[str, str], key: str) -> None:
    """On below 500 rows, and off at the 1,000 of a recipe whose data is not read yet."""
    sections = {"model": {"id": "m", **model}, "data": {"source": "d.csv"}}
    recipe = resolve(sections, {"mine": {technique: {"by_rows": {"from 0": {}, "from 500": "off"}}}}).recipe
    assert find_budget_problems(recipe, recipe_budget(recipe)) == []
    small = apply_rules(recipe, 48, 2)
    assert [problem.key for problem in find_budget_problems(small, recipe_budget(small))] == [key]
