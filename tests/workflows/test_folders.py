"""Two commands never write the same run: folders are claimed before anything is loaded, and looked at again then."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune.atomic import PARTIAL
from finetune.errors import OutputError
from finetune.records.store import LOCK, RunFolder
from finetune.workflows import folders
from finetune.workflows.asking import Request
from finetune.workflows.folders import LONGEST_NAME, folder_name
from finetune.workflows.run import _OneSeed
from tests.cli.invoking import error_lines, invoke, listing
from tests.cli.test_bad_input import write_record

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def while_one_runs(monkeypatch: pytest.MonkeyPatch, act: Callable[[RunFolder], Any]) -> None:
    """Instead of a training, do this."""

    def run(one: _OneSeed) -> None:
        act(one.folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(_OneSeed, "run", run)


def test_a_second_command_gets_neither_the_named_folder_nor_the_default_one_of_the_first(
    write_recipe: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, seen = write_recipe(), []

    def second(first: RunFolder) -> None:
        named = invoke("run", recipe, "--output", first.path)
        assert error_lines(named.stderr) == [f"error: --output {first.path}: another process is running there."]
        seen.append(first.path.name)
        if len(seen) == 1:
            assert invoke("run", recipe).exit_code == 130

    while_one_runs(monkeypatch, second)
    assert invoke("run", recipe).exit_code == 130
    assert seen == ["tiny-own-seed0", "tiny-own-seed0-2"]
    assert not Path("runs").exists(), "nothing came of them"


@pytest.mark.parametrize("output", [None, "out"])
def test_a_run_that_finished_while_this_one_looked_for_a_folder_is_not_overwritten(
    write_recipe: Write, monkeypatch: pytest.MonkeyPatch, output: str | None
) -> None:
    recipe, find, used = write_recipe(), folders.find_runs, []

    def find_and_be_late(*asked: Any) -> list[RunFolder]:
        found = find(*asked)
        write_record(found[0].path, recipe, "finished")
        return found

    monkeypatch.setattr(folders, "find_runs", find_and_be_late)
    while_one_runs(monkeypatch, lambda folder: used.append(folder.path.name))
    result = invoke("run", recipe, *([] if output is None else ["--output", output]))
    if output is None:
        assert used == ["tiny-own-seed0-2"]
    else:
        assert used == []
        assert "holds a finished run" in result.stderr
    assert len([name for name in listing(Path.cwd()) if name.endswith("run.json")]) == 1


def test_an_experiment_looks_again_at_its_folder(here: Path) -> None:
    (here / "out").mkdir()
    (here / "out" / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="is not empty and holds no comparison"):
        folders._check_experiment(folders.ComparisonFolder(here / "out"), "compare")


# --- what a kill leaves -----------------------------------------------------------------------------------------


def test_a_folder_in_which_the_first_record_was_half_written_is_free(
    write_recipe: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Path] = []
    while_one_runs(monkeypatch, lambda folder: used.append(folder.path))
    Path("out").mkdir()
    for name in (LOCK, f"{PARTIAL}run.json"):
        (Path("out") / name).write_text("{", encoding="utf-8")
    assert invoke("run", write_recipe(), "--output", "out").exit_code == 130
    assert used == [Path("out")]


def test_resume_passes_over_a_default_folder_that_a_kill_left_empty(
    write_recipe: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, used = write_recipe(), []
    write_record(Path("runs/tiny-own-seed0"), recipe, "interrupted")
    Path("runs/tiny-own-seed0-2").mkdir()
    (Path("runs/tiny-own-seed0-2") / LOCK).touch()
    while_one_runs(monkeypatch, lambda folder: used.append(folder.path.name))
    assert invoke("run", recipe, "--resume").exit_code == 130
    assert used == ["tiny-own-seed0"]


# --- names ------------------------------------------------------------------------------------------------------


def test_data_preset_model_and_settings_are_in_the_name_and_columns_are_not() -> None:
    settings = ["data.text=Review", "training.epochs=5", "techniques.dropout.hidden=0.2"]
    request = Request("tweets", model="owner/small model", data="sets/reviews.csv", overrides=settings)
    name = folder_name("tweets", request.data_name(), "strong", changed=request.changed())
    assert name == "tweets-reviews-strong-small-model-epochs-5-hidden-0.2"
    as_mapping = Request("tweets", overrides={"training.epochs": 5})
    assert folder_name("tweets", as_mapping.data_name(), changed=as_mapping.changed()) == "tweets-epochs-5"


def test_long_names_are_cut_and_stay_apart() -> None:
    many = [f"setting{number}-{number}" for number in range(20)]
    one, two = folder_name("a", changed=many), folder_name("a", changed=[*many[:-1], "other-1"])
    assert one != two
    assert len(one) == len(two) == len("a-") + LONGEST_NAME
