"""One frozen recipe from file, preset and options: who wins, what is refused, and that every problem is named."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from finetune.errors import RecipeError
from finetune.recipe import Recipe, differences, flatten, resolve
from finetune.recipe.library import preset_names, recipe_names, recipes_folder
from tests.raising import typed

Write = Callable[..., str]
MINIMAL = "model: {id: m}\ndata: {source: d.csv}\n"
PRESETS = recipes_folder() / "presets"
ALL_YAML = sorted([*recipes_folder().glob("*.yaml"), *recipes_folder().glob("presets/*.yaml")])
RECIPE_FILES = [path for path in ALL_YAML if path.parent != PRESETS]
PRESET_FILES = [path for path in ALL_YAML if path.parent == PRESETS]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a YAML file and return its path."""

    def write_file(content: str = MINIMAL, name: str = "mine.yaml") -> str:
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return str(path)

    return write_file


def problems_of(
    recipe: str | None = None,
    preset: str | None = None,
    overrides: Iterable[str] = (),
    seeds: Iterable[int] = (),
    metrics: Iterable[str] = (),
) -> list[str]:
    """Every problem of a command line that must be refused."""
    with pytest.raises(RecipeError) as caught:
        resolve(recipe, preset, overrides=overrides, seeds=seeds, metrics=metrics)
    problems = [problem.for_command_line() for problem in caught.value.problems]
    assert typed(caught.value) == "\n".join(problems)
    return problems


def only_problem_of(*arguments: Any, **options: Any) -> str:
    problems = problems_of(*arguments, **options)
    assert len(problems) == 1, problems
    return problems[0]


# --- shipped files ---------------------------------------------------------------------------------------------


def test_recipes_and_presets_are_shipped_and_all_found_by_name() -> None:
    assert len(RECIPE_FILES) >= 2
    assert len(PRESET_FILES) >= 4
    assert sorted(path.stem for path in RECIPE_FILES) == sorted(recipe_names())
    assert sorted(path.stem for path in PRESET_FILES) == sorted(preset_names())


@pytest.mark.parametrize("preset", [None, *PRESET_FILES], ids=lambda path: path.stem if path else "own")
@pytest.mark.parametrize("recipe", RECIPE_FILES, ids=lambda path: path.stem)
def test_every_shipped_recipe_resolves_with_every_shipped_preset(recipe: Path, preset: Path | None) -> None:
    by_path = resolve(str(recipe), None if preset is None else str(preset))
    by_name = resolve(recipe.stem, None if preset is None else preset.stem)
    assert by_path == by_name
    assert by_path.recipe.name == recipe.stem
    assert by_path.recipe.preset == (None if preset is None else preset.stem)


def test_without_arguments_the_demo_is_resolved() -> None:
    assert resolve().recipe.name == "tweets"


def test_own_data_without_a_recipe_takes_the_template() -> None:
    recipe = resolve(data="reviews.csv").recipe
    assert (recipe.name, recipe.data.source) == ("your-data", "reviews.csv")


def test_resolving_reads_neither_data_nor_model(write: Write) -> None:
    recipe = resolve(write("model: {id: /no/such/model}\ndata: {source: /no/such/file.csv}\n")).recipe
    assert recipe.data.source == "/no/such/file.csv"


# --- precedence and origins ------------------------------------------------------------------------------------


def test_what_nobody_writes_has_the_schema_default(write: Write) -> None:
    resolved = resolve(write())
    assert resolved.recipe.training.epochs == 10
    assert resolved.origins["training.epochs"] == "default"
    assert resolved.recipe.techniques == {}


def test_the_recipe_wins_over_the_default(write: Write) -> None:
    resolved = resolve(write(MINIMAL + "training: {epochs: 7}\n"))
    assert resolved.recipe.training.epochs == 7
    assert resolved.origins["training.epochs"] == "mine.yaml"
    assert resolved.origins["training.batch_size"] == "default"
    assert resolved.origins["model.id"] == "mine.yaml"


def test_a_preset_replaces_the_techniques_of_the_recipe(write: Write) -> None:
    recipe = write(MINIMAL + "techniques: {dropout: {hidden: 0.2, classifier: 0.1}, l2: {}}\n")
    assert list(resolve(recipe).recipe.techniques) == ["dropout", "l2"]
    assert resolve(recipe, "none").recipe.techniques == {}
    resolved = resolve(recipe, write("dropout: {classifier: 0.5}\n", "own.yaml"))
    assert resolved.recipe.to_dict()["techniques"] == {
        "dropout": {"hidden": None, "attention": None, "classifier": 0.5}
    }
    assert resolved.origins["techniques.dropout.classifier"] == "presets/own.yaml"
    assert resolved.recipe.preset == "own"


def test_set_wins_over_preset_and_recipe(write: Write) -> None:
    recipe = write(MINIMAL + "training: {epochs: 7}\n")
    resolved = resolve(recipe, "medium", overrides=["training.epochs=5", "techniques.dropout.classifier=0.25"])
    values = flatten(resolved.recipe.to_dict())
    assert values["training.epochs"] == 5
    assert values["techniques.dropout.classifier"] == 0.25
    assert resolved.origins["training.epochs"] == "--set training.epochs"
    assert resolved.origins["techniques.dropout.classifier"] == "--set techniques.dropout.classifier"
    assert resolved.origins["techniques.weight_decay.total_shrink"] == "presets/medium.yaml"


def test_the_last_of_two_sets_wins(write: Write) -> None:
    assert resolve(write(), overrides=["training.epochs=5", "training.epochs=6"]).recipe.training.epochs == 6


def test_seed_options_win_over_set_and_recipe(write: Write) -> None:
    recipe = write(MINIMAL + "training: {seeds: [7]}\n")
    resolved = resolve(recipe, overrides=["training.seeds=[8]"], seeds=[1, 2])
    assert resolved.recipe.training.seeds == [1, 2]
    assert resolved.origins["training.seeds"] == "--seed"


def test_metric_options_are_added_to_those_of_the_recipe(write: Write) -> None:
    resolved = resolve(write(MINIMAL + "training: {metrics: [a.py]}\n"), metrics=["b.py", "c.py"])
    assert resolved.recipe.training.metrics == ["a.py", "b.py", "c.py"]
    assert resolved.origins["training.metrics"] == "--metric"


def test_every_value_of_every_section_has_an_origin(write: Write) -> None:
    resolved = resolve(write(), "strong")
    assert set(resolved.origins) == {key for key in flatten(resolved.recipe.to_dict()) if "." in key}


def test_model_option_replaces_the_whole_section(write: Write) -> None:
    recipe = write("model: {id: m, revision: abc, sha256: " + "0" * 64 + "}\ndata: {source: d.csv}\n")
    resolved = resolve(recipe, model="other")
    plain = {"id": "other", "revision": None, "sha256": None, "pooling": "auto", "head": "auto"}
    assert resolved.recipe.model.model_dump() == plain
    assert resolved.origins["model.id"] == "--model"
    assert resolved.origins["model.sha256"] == "default"


def test_data_option_replaces_the_whole_section(write: Write) -> None:
    recipe = write(
        "model: {id: m}\n"
        "data: {source: d.csv, text: Review, label: Stars, minimum: {confidence: 0.5}, train_size: 10, test: t.csv}\n"
    )
    resolved = resolve(recipe, data="other.csv")
    assert resolved.recipe.data == resolve(write(MINIMAL, "plain.yaml"), data="other.csv").recipe.data
    assert resolved.recipe.data.text is None
    assert resolved.recipe.data.minimum == {}
    assert resolved.origins["data.source"] == "--data"
    assert resolved.origins["data.text"] == "default"
    assert resolved.recipe.model.id == "m"


def test_set_applies_after_the_section_was_replaced(write: Write) -> None:
    resolved = resolve(write(), data="other.csv", model="other", overrides=["data.text=Review", "model.revision=v1"])
    assert (resolved.recipe.data.source, resolved.recipe.data.text) == ("other.csv", "Review")
    assert (resolved.recipe.model.id, resolved.recipe.model.revision) == ("other", "v1")


def test_a_section_left_empty_is_all_defaults(write: Write) -> None:
    assert resolve(write(MINIMAL + "training:\ntechniques:\n")).recipe == resolve(write(MINIMAL)).recipe


def test_setting_one_entry_of_a_mapping_keeps_the_others(write: Write) -> None:
    recipe = write("model: {id: m}\ndata: {source: d.csv, minimum: {confidence: 0.5}}\n")
    resolved = resolve(recipe, overrides=["data.minimum.length=3"])
    assert resolved.recipe.data.minimum == {"confidence": 0.5, "length": 3.0}


# --- --set on techniques ---------------------------------------------------------------------------------------


def test_set_turns_a_technique_on_with_one_key(write: Write) -> None:
    recipe = resolve(write(), overrides=["techniques.dropout.classifier=0.3"]).recipe
    assert recipe.to_dict()["techniques"] == {"dropout": {"hidden": None, "attention": None, "classifier": 0.3}}


def test_set_turns_a_technique_on_with_all_defaults(write: Write) -> None:
    assert list(resolve(write(), overrides=["techniques.l2={}"]).recipe.techniques) == ["l2"]


@pytest.mark.parametrize("off", ["off", "null", "~", ""])
def test_set_off_takes_a_technique_out(write: Write, off: str) -> None:
    before = resolve(write(), "medium").recipe
    after = resolve(write(), "medium", overrides=[f"techniques.dropout={off}"]).recipe
    assert set(before.techniques) - set(after.techniques) == {"dropout"}


@pytest.mark.parametrize("where", ["recipe", "preset"])
def test_a_technique_named_without_settings_is_refused_not_turned_off(write: Write, where: str) -> None:
    """`aeda:` alone is null in YAML; whoever writes it wants it on."""
    if where == "recipe":
        problem = only_problem_of(write(MINIMAL + "techniques:\n  aeda:\n"))
    else:
        problem = only_problem_of(write(), write("aeda:\n", "own.yaml"))
    assert "techniques.aeda: is empty. Write aeda: {} for its defaults" in problem


def test_a_technique_that_is_taken_out_and_set_again_forgets_its_old_settings(write: Write) -> None:
    overrides = ["techniques.dropout=off", "techniques.dropout.hidden=0.3"]
    recipe = resolve(write(), "medium", overrides=overrides).recipe
    assert recipe.to_dict()["techniques"]["dropout"] == {"hidden": 0.3, "attention": None, "classifier": None}


def test_turning_off_what_is_not_on_is_refused_with_a_suggestion(write: Write) -> None:
    problem = only_problem_of(write(), "medium", overrides=["techniques.dropot=off"])
    assert problem.startswith("--set techniques.dropot: is not on")
    assert "Did you mean dropout?" in problem


def test_turning_off_a_misspelt_technique_in_a_recipe_is_refused(write: Write) -> None:
    problem = only_problem_of(write(MINIMAL + "techniques: {dropot: off}\n"))
    assert problem.startswith("mine.yaml: techniques.dropot")
    assert "Did you mean dropout or r_drop?" in problem


def test_order_of_techniques_follows_the_preset(write: Write) -> None:
    own = write("eda: {}\naeda: {}\nl2: {}\n", "own.yaml")
    assert list(resolve(write(), own).recipe.techniques) == ["eda", "aeda", "l2"]


# --- unknown names ---------------------------------------------------------------------------------------------


def test_unknown_recipe_names_the_closest() -> None:
    problem = only_problem_of("tweet")
    assert "'tweet' is not a recipe. Did you mean tweets?" in problem
    assert "finetune ls recipes" in problem


def test_unknown_recipe_without_a_close_match_lists_all() -> None:
    problem = only_problem_of("xyzzy")
    assert all(name in problem for name in recipe_names())


def test_missing_recipe_file_is_named(tmp_path: Path) -> None:
    assert only_problem_of(str(tmp_path / "nope.yaml")).startswith(f"{tmp_path / 'nope.yaml'}: no such recipe file.")


def test_a_folder_is_no_recipe_file(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    assert "no such recipe file" in only_problem_of(str(tmp_path / "folder.yaml"))


def test_unknown_preset_names_the_closest(write: Write) -> None:
    problem = only_problem_of(write(), "strng")
    assert "'strng' is not a preset. Did you mean strong?" in problem
    assert "finetune ls presets" in problem


def test_missing_preset_file_is_named(write: Write, tmp_path: Path) -> None:
    assert "no such preset file" in only_problem_of(write(), str(tmp_path / "nope.yaml"))


def test_unknown_section_of_a_recipe(write: Write) -> None:
    problem = only_problem_of(write(MINIMAL + "trainig: {epochs: 3}\n"))
    assert problem == "mine.yaml: trainig: unknown section. Did you mean training?"


def test_unknown_key_of_a_section(write: Write) -> None:
    problem = only_problem_of(write(MINIMAL + "training: {epoch: 3}\n"))
    assert problem == "mine.yaml: training.epoch: unknown key. Did you mean epochs?"


def test_unknown_technique_of_a_recipe(write: Write) -> None:
    problem = only_problem_of(write(MINIMAL + "techniques: {dropot: {classifier: 0.1}}\n"))
    assert problem.startswith("mine.yaml: techniques.dropot: unknown technique. Did you mean dropout or r_drop?")


def test_unknown_key_of_a_technique(write: Write) -> None:
    problem = only_problem_of(write(MINIMAL + "techniques: {l1: {strenth: 1}}\n"))
    assert problem.startswith("mine.yaml: techniques.l1.strenth: unknown key. Did you mean strength")


def test_unknown_key_of_a_technique_set_on_the_command_line(write: Write) -> None:
    problem = only_problem_of(write(), "medium", overrides=["techniques.dropout.classifer=0.1"])
    assert problem.startswith("--set techniques.dropout.classifer: unknown key.")
    assert "Did you mean classifier?" in problem


@pytest.mark.parametrize("section", ["model", "data", "training", "techniques"])
def test_a_preset_with_a_section_is_refused(write: Write, section: str) -> None:
    problem = only_problem_of(write(), write(f"{section}: {{epochs: 3}}\nl2: {{}}\n", "own.yaml"))
    assert problem.startswith(f"presets/own.yaml: '{section}' is not a technique; a preset holds techniques only.")


def test_a_preset_with_an_unknown_technique_is_refused(write: Write) -> None:
    problem = only_problem_of(write(), write("dropot: {classifier: 0.1}\n", "own.yaml"))
    assert problem.startswith("presets/own.yaml: 'dropot' is not a technique")
    assert "Did you mean dropout or r_drop?" in problem


# --- wrong kinds and ranges ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.epochs=true", "valid integer; found True"),
        ("training.epochs=3.0", "valid integer; found 3.0"),
        ("training.epochs='3'", "valid integer; found '3'"),
        ("training.epochs=many", "valid integer; found 'many'"),
        ("training.epochs=", "valid integer; found None"),
        ("training.learning_rate='2e-5'", "valid number, above 0 and below 1, or auto; found '2e-5'"),
        ("training.learning_rate=true", "valid number; found True"),
        ("training.learning_rate=[1]", "valid number; found [1]"),
        ("training.group_by_length=yes", "valid boolean; found 'yes'"),
        ("training.group_by_length=1", "valid boolean; found 1"),
        ("training.seeds=1", "valid list; found 1"),
        ("training.seeds=[true]", "valid integer; found True"),
        ("training.precision=fp16", "'auto', 'fp32' or 'bf16'; found 'fp16'"),
        ("training.metrics=own.py", "valid list; found 'own.py'"),
        ("data.text=2020", "valid string; found 2020"),
        ("data.labels=[0, 1]", "valid string; found 0"),
        ("data.drop_labels=neutral", "valid list; found 'neutral'"),
        ("data.minimum=3", "valid dictionary; found 3"),
        ("data.minimum={a: x}", "valid number; found 'x'"),
        ("data.train_size=all", "valid integer; found 'all'"),
        ("data.train_size=true", "valid integer; found True"),
        ("data.task=classification", "'single_label', 'multi_label' or 'regression'; found 'classification'"),
        ("model.id=5", "valid string; found 5"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_key(write: Write, override: str, expected: str) -> None:
    key = override.split("=")[0]
    problem = only_problem_of(write(), overrides=[override])
    assert problem.startswith(f"--set {key}: ")
    assert expected in problem


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("data.template={title}: {body}", "{title}: {body}"),
        ("data.template={title}", "{title}"),
        ("data.template='{title}'", "{title}"),
        ("data.template=null", None),
        ("data.delimiter=,", ","),
        ("data.delimiter=|", "|"),
        ('data.delimiter="\\t"', "\t"),
    ],
)
def test_braces_and_delimiters_are_texts_without_quotes_of_yaml(write: Write, override: str, value: Any) -> None:
    key = override.split("=")[0].removeprefix("data.")
    assert getattr(resolve(write(), overrides=[override]).recipe.data, key) == value


def test_one_entry_of_a_mapping_keeps_the_others_and_a_mapping_replaces_them(write: Write) -> None:
    one_by_one = ["data.split_names.train=labelled", "data.split_names.test=null"]
    assert resolve(write(), overrides=one_by_one).recipe.data.split_names == {"train": "labelled", "test": None}
    assert resolve(write(), overrides=[*one_by_one, "data.split_names={}"]).recipe.data.split_names == {}


def test_a_number_where_a_text_belongs_is_refused_with_quotes_that_work(write: Write) -> None:
    assert "Put it in quotes" in only_problem_of(write(), overrides=["data.labels=[0, 1]"])
    assert resolve(write(), overrides=['data.labels=["0", "1"]']).recipe.data.labels == ["0", "1"]


@pytest.mark.parametrize(
    "override",
    [
        "training.epochs=0",
        "training.epochs=10001",
        "training.batch_size=0",
        "training.accumulation=0",
        "training.learning_rate=0",
        "training.learning_rate=1",
        "training.learning_rate=-1e-5",
        "training.learning_rate=.nan",
        "training.warmup=-0.1",
        "training.warmup=.nan",
        "training.warmup=.inf",
        "training.max_grad_norm=-1",
        "training.max_grad_norm=.inf",
        "training.seeds=[]",
        "training.seeds=[-1]",
        "training.seeds=[4294967296]",
        "data.train_size=0",
        "data.train_size=-0.5",
        "data.train_size=.nan",
        "data.train_size=.inf",
        "data.validation_size=0.0",
        "data.split_seed=-1",
        "data.split_seed=4294967296",
        "data.probe_size=0",
        "data.max_length=3",
        "data.labels=[]",
        "data.minimum={confidence: .nan}",
        "data.label_separator=''",
        "data.delimiter=''",
        "data.source=''",
        "model.id=''",
        "model.sha256=abc",
    ],
)
def test_a_value_out_of_range_is_refused_by_key(write: Write, override: str) -> None:
    key = override.split("=")[0]
    assert only_problem_of(write(), overrides=[override]).startswith(f"--set {key}: ")


@pytest.mark.parametrize(
    "override",
    [
        "techniques.dropout.classifier=1.0",
        "techniques.dropout.hidden=-0.1",
        "techniques.label_smoothing.smoothing=1.0",
        "techniques.l1.strength=0",
        "techniques.early_stopping.patience=0",
        "techniques.early_stopping.min_delta=.nan",
        "techniques.early_stopping.min_delta=.inf",
        "techniques.aeda.probability=1.5",
        "techniques.eda.delete=1",
    ],
)
def test_a_setting_of_a_technique_out_of_range_is_refused_by_key(write: Write, override: str) -> None:
    key = override.split("=")[0]
    assert only_problem_of(write(), overrides=[override]).startswith(f"--set {key}: ")


@pytest.mark.parametrize("value", ["5", "[]", "''", "false", "words"])
def test_a_section_that_is_no_mapping_is_refused(write: Write, value: str) -> None:
    problem = only_problem_of(write(MINIMAL + f"training: {value}\n"))
    assert problem.startswith("mine.yaml: training: expected keys with values, found ")


@pytest.mark.parametrize("value", ["0.3", "true", "on", "[0.3]", "0"])
def test_settings_of_a_technique_that_are_no_mapping_are_refused(write: Write, value: str) -> None:
    problem = only_problem_of(write(MINIMAL + f"techniques: {{dropout: {value}}}\n"))
    assert problem.startswith("mine.yaml: techniques.dropout: expected its settings, found ")
    assert "hidden, attention, classifier" in problem


def test_settings_below_a_technique_that_was_given_as_a_number_are_refused(write: Write) -> None:
    recipe = write(MINIMAL + "techniques: {dropout: 0.3}\n")
    problems = problems_of(recipe, overrides=["techniques.dropout.classifier=0.2"])
    assert any("techniques.dropout: expected its settings, found 0.3" in problem for problem in problems)


def test_two_sets_of_which_one_gives_a_technique_as_a_number_are_refused(write: Write) -> None:
    problems = problems_of(write(), overrides=["techniques.dropout=0.3", "techniques.dropout.classifier=0.2"])
    assert any("techniques.dropout: expected its settings, found 0.3" in problem for problem in problems)


@pytest.mark.parametrize("metrics", ["a.py", "5", ""], ids=["text", "number", "nothing"])
def test_metrics_of_a_recipe_that_are_no_list_are_refused_beside_a_metric_option(write: Write, metrics: str) -> None:
    problem = only_problem_of(write(MINIMAL + f"training: {{metrics: {metrics}}}\n"), metrics=["b.py"])
    assert "training.metrics: input should be a valid list" in problem


def test_a_recipe_without_model_and_data_names_both_with_the_file(write: Write) -> None:
    problems = problems_of(write("training: {epochs: 3}\n"))
    assert len(problems) == 2
    assert "model.id: is missing" in problems[0]
    assert "data.source: is missing" in problems[1]
    assert all(problem.startswith("mine.yaml: ") for problem in problems)


@pytest.mark.parametrize("text", ["", "=", "training.epochs", "training..epochs=3", ".epochs=3", "training.=3", "=3"])
def test_an_override_that_is_no_dotted_key_is_refused(write: Write, text: str) -> None:
    problem = only_problem_of(write(), overrides=[text])
    assert problem.startswith(f"--set {text}: expected dotted.key=value")


def test_an_override_of_an_unknown_section_is_refused(write: Write) -> None:
    problem = only_problem_of(write(), overrides=["trainig.epochs=3"])
    assert problem == "--set trainig.epochs: 'trainig' is not a section of a recipe. Did you mean training?"


@pytest.mark.parametrize("text", ["training=3", "techniques=off", "model=bert"])
def test_an_override_of_a_whole_section_is_refused_and_does_not_suggest_itself(write: Write, text: str) -> None:
    problem = only_problem_of(write(), overrides=[text])
    section = text.split("=")[0]
    assert problem.startswith(f"--set {section}: names a whole section")
    assert f"Did you mean {section}?" not in problem


def test_an_override_that_is_no_yaml_names_its_key(write: Write) -> None:
    problem = only_problem_of(write(), overrides=["training.seeds=[1, 2"])
    assert problem.startswith("--set training.seeds line 1, column ")
    assert "not valid YAML" in problem


# --- all problems at once --------------------------------------------------------------------------------------


def test_every_problem_is_reported_at_once_with_its_file_and_key(write: Write) -> None:
    recipe = write(
        "mdel: {id: x}\n"
        "model: {id: m}\n"
        "data: {source: d.csv, txt: Review}\n"
        "training: {epoch: 3, batch_size: 0, learning_rate: fast}\n"
        "techniques: {dropot: {classifier: 0.1}, l1: {strenth: 1}}\n"
    )
    preset = write("trainng: {}\ndropout: {classifier: 2}\n", "own.yaml")
    problems = problems_of(recipe, preset, overrides=["training.warmup=-1", "foo.bar=1", "nonsense"], seeds=[])
    beginnings = [
        "mine.yaml: mdel: unknown section. Did you mean model?",
        "mine.yaml: data.txt: unknown key. Did you mean text",
        "mine.yaml: training.epoch: unknown key. Did you mean epochs?",
        "mine.yaml: training.batch_size: ",
        "mine.yaml: training.learning_rate: ",
        "mine.yaml: techniques.dropot: unknown technique. Did you mean dropout or r_drop?",
        "presets/own.yaml: 'trainng' is not a technique",
        "presets/own.yaml: techniques.dropout.classifier: ",
        "--set training.warmup: ",
        "--set foo.bar: 'foo' is not a section",
        "--set nonsense: expected dotted.key=value",
    ]
    for beginning in beginnings:
        assert sum(problem.startswith(beginning) for problem in problems) == 1, (beginning, problems)
    assert len(problems) == len(beginnings)


def test_a_broken_override_does_not_hide_the_other_problems(write: Write) -> None:
    problems = problems_of(write(MINIMAL + "training: {epoch: 3}\n"), overrides=["training.seeds=[1", "foo.bar=1"])
    assert len(problems) == 3


def test_an_unknown_preset_does_not_hide_the_problems_of_the_recipe(write: Write) -> None:
    problems = problems_of(write(MINIMAL + "training: {epoch: 3}\n"), "strng")
    assert len(problems) == 2


def test_every_cross_check_is_reported_at_once(write: Write) -> None:
    overrides = [
        "training.epochs=3",
        "training.batch_size=4",
        "training.accumulation=8",
        "training.seeds=[1, 1]",
        "data.task=regression",
        "techniques.label_smoothing={}",
        "techniques.early_stopping.min_epochs=3",
    ]
    problems = problems_of(write(), "light", overrides=overrides)
    keys = ["early_stopping.min_epochs", "label_smoothing", "training.accumulation", "training.seeds"]
    assert len(problems) == len(keys)
    for key in keys:
        assert sum(key in problem for problem in problems) == 1, (key, problems)


# --- settings that cannot act ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("epochs", "patience"), [(3, 2), (3, 3), (3, 4), (1, 1)])
def test_patience_as_long_as_the_run_is_fine(write: Write, epochs: int, patience: int) -> None:
    overrides = [f"training.epochs={epochs}", f"techniques.early_stopping.patience={patience}"]
    assert "early_stopping" in resolve(write(), overrides=overrides).recipe.techniques


def test_min_epochs_that_leave_nothing_to_stop_are_refused(write: Write) -> None:
    overrides = ["training.epochs=5", "techniques.early_stopping.min_epochs=5"]
    assert "techniques.early_stopping.min_epochs" in only_problem_of(write(), overrides=overrides)


@pytest.mark.parametrize("warmup", ["70", "1000", "0.999"])
def test_warmup_that_fills_the_whole_run_is_refused(write: Write, warmup: str) -> None:
    overrides = ["data.train_size=100", "training.epochs=10", f"training.warmup={warmup}"]  # 7 steps an epoch
    problem = only_problem_of(write(), overrides=overrides)
    assert problem.startswith("--set training.warmup: ")
    assert "in a run of 70 steps" in problem


def test_warmup_that_leaves_one_step_is_fine(write: Write) -> None:
    overrides = ["data.train_size=100", "training.epochs=10", "training.warmup=69"]
    assert resolve(write(), overrides=overrides).recipe.training.warmup == 69


@pytest.mark.parametrize("task", ["regression", "multi_label"])
def test_smoothing_without_classes_is_refused(write: Write, task: str) -> None:
    """Where it is asked for; presets leave it out (tests/training/test_tasks.py)."""
    problem = only_problem_of(write(), overrides=[f"data.task={task}", "techniques.label_smoothing={}"])
    assert problem.startswith("--set techniques.label_smoothing: ")
    assert task in problem
    assert "--set techniques.label_smoothing=off" in problem


def test_class_weights_without_classes_are_refused(write: Write) -> None:
    overrides = ["data.task=regression", "training.class_weights=balanced"]
    assert "training.class_weights: balanced has no meaning for regression" in only_problem_of(
        write(), overrides=overrides
    )


def test_weights_of_labels_and_what_replaces_the_loss_of_a_row_are_refused_together(write: Write) -> None:
    overrides = ["data.task=multi_label", "training.class_weights=balanced"]
    assert resolve(str(write()), overrides=overrides).recipe.training.class_weights == "balanced"
    problem = only_problem_of(write(), overrides=[*overrides, "techniques.focal={}"])
    assert "training.class_weights: with several labels per row, focal and class weights" in problem
    assert "--set techniques.focal=off" in problem


def test_label_names_for_regression_are_refused(write: Write) -> None:
    overrides = ["data.task=regression", "data.labels=[a, b]"]
    assert "data.labels" in only_problem_of(write(), overrides=overrides)


def test_repeated_seeds_are_refused_with_the_option_that_gave_them(write: Write) -> None:
    assert only_problem_of(write(), seeds=[3, 1, 3]).startswith("--seed: training.seeds: [3, 1, 3] repeats a seed")


def test_more_accumulation_than_rows_in_a_batch_is_refused(write: Write) -> None:
    recipe = write(MINIMAL + "training: {batch_size: 4, accumulation: 5}\n")
    problem = only_problem_of(recipe)
    assert problem.startswith("mine.yaml: training.accumulation: ")
    assert "training.accumulation=4" in problem


def test_one_row_per_accumulation_step_is_fine(write: Write) -> None:
    assert resolve(write(MINIMAL + "training: {batch_size: 4, accumulation: 4}\n")).recipe.training.accumulation == 4


@pytest.mark.parametrize("other", ["label", "text_pair"])
def test_one_column_as_text_and_something_else_is_refused(write: Write, other: str) -> None:
    assert "column 'a'" in only_problem_of(write(), overrides=["data.text=a", f"data.{other}=a"])


def test_the_label_column_as_second_text_is_refused(write: Write) -> None:
    """The model would read the answer."""
    assert "column 'a'" in only_problem_of(write(), overrides=["data.label=a", "data.text_pair=a"])


def test_a_label_name_given_twice_is_refused(write: Write) -> None:
    assert "data.labels: a name is given twice" in only_problem_of(write(), overrides=["data.labels=[a, b, a]"])


def test_a_conflict_names_both_techniques_and_how_to_keep_one(write: Write) -> None:
    problem = only_problem_of(write(), overrides=["techniques.l1={}", "techniques.elastic_net={}"])
    assert "techniques.elastic_net" in problem
    assert "l1" in problem.removeprefix("--set techniques.elastic_net: techniques.elastic_net")
    assert "--set techniques.l1=off" in problem
    kept = resolve(write(), overrides=["techniques.l1={}", "techniques.elastic_net={}", "techniques.l1=off"])
    assert list(kept.recipe.techniques) == ["elastic_net"]


@pytest.mark.parametrize("settings", ["{}", "{strength: 1.0, total_shrink: 0.1}"])
def test_weight_decay_takes_exactly_one_of_strength_and_shrink(write: Write, settings: str) -> None:
    problem = only_problem_of(write(), overrides=[f"techniques.weight_decay={settings}"])
    assert "techniques.weight_decay: give either strength or total_shrink" in problem


def test_dropout_that_sets_nothing_is_refused(write: Write) -> None:
    assert "set at least one of hidden, attention, classifier" in only_problem_of(
        write(), overrides=["techniques.dropout={}"]
    )


# --- the resolved recipe ---------------------------------------------------------------------------------------


def test_a_resolved_recipe_cannot_be_changed(write: Write) -> None:
    recipe = resolve(write()).recipe
    with pytest.raises(ValidationError):
        recipe.training.epochs = 99


def test_resolving_twice_gives_the_same_recipe(write: Write) -> None:
    assert resolve(write(), "strong") == resolve(write(), "strong")


def test_one_resolution_leaves_no_trace_in_the_next(write: Write) -> None:
    before = resolve(write()).recipe
    resolve(write(), "strong", overrides=["training.epochs=7", "data.drop_labels=[a]", "training.metrics=[x.py]"])
    assert resolve(write()).recipe == before


# --- differences -----------------------------------------------------------------------------------------------


def _recipe(write: Write, *overrides: str) -> Recipe:
    return resolve(write(), overrides=overrides).recipe


def test_a_recipe_does_not_differ_from_itself(write: Write) -> None:
    assert differences(_recipe(write), _recipe(write)) == {}


def test_differences_name_the_changed_values_and_nothing_else(write: Write) -> None:
    found = differences(_recipe(write), _recipe(write, "training.epochs=5", "data.drop_labels=[a]"))
    assert found == {"training.epochs": (10, 5), "data.drop_labels": ([], ["a"])}


def test_a_technique_of_one_side_shows_none_on_the_other(write: Write) -> None:
    plain, with_l1 = _recipe(write), _recipe(write, "techniques.l1={strength: 2.0}")
    assert differences(plain, with_l1)["techniques.l1.strength"] == (None, 2.0)
    assert differences(with_l1, plain)["techniques.l1.strength"] == (2.0, None)


def test_the_same_value_from_another_origin_is_no_difference(write: Write) -> None:
    assert differences(_recipe(write), _recipe(write, "training.epochs=10", "training.learning_rate=5e-5")) == {}
