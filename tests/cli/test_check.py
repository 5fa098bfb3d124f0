"""`finetune check`: what it names, prints, writes and returns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetune.listener import Listener
from finetune.workflows.check import recipe_or_data
from tests.cli.invoking import invoke
from tests.conftest import labelled_texts, save_tiny_model, write_csv
from tests.running import REPOSITORY, python


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    """A folder with train, validation and test files, in which one test text is also in train."""
    folder = tmp_path / "set"
    folder.mkdir()
    for name, start, rows in (("train", 0, 40), ("validation", 40, 10), ("test", 50, 10)):
        labelled = labelled_texts(rows, start)
        if name == "test":
            labelled[3] = labelled_texts(1, 6)[0]
        write_csv(folder / f"{name}.csv", ["text", "label"], labelled)
    return folder


def test_a_leak_is_a_problem_with_its_row_and_what_to_type(leaking: Path, tiny_model: Path) -> None:
    result = invoke("check", leaking, "--model", tiny_model, "--set", "data.max_length=32")
    assert result.exit_code == 0, result.output
    assert "PROBLEM  leaks: " in result.stdout
    assert "test row 4: " in result.stdout
    assert "--set data.drop_leaks=true" in result.stdout
    assert "TF-IDF" in result.stdout
    assert "problem" in result.stdout.splitlines()[-1]


def test_advice_that_several_findings_share_is_said_once(leaking: Path, tiny_model: Path) -> None:
    """Train in validation, train in test, validation in test: one setting for all of them; few rows, twice."""
    train, validation = labelled_texts(40), labelled_texts(10, 40)
    write_csv(leaking / "validation.csv", ["text", "label"], [*validation[:9], train[0]])
    write_csv(leaking / "test.csv", ["text", "label"], [*labelled_texts(8, 50), train[1], validation[1]])
    result = invoke("check", leaking, "--model", tiny_model, "--set", "data.max_length=32")
    assert result.stdout.count("PROBLEM  leaks: ") == 3
    assert result.stdout.count("drop_leaks") == 1
    assert result.stdout.count("Label more rows") == 1


def test_strict_turns_findings_into_exit_1(leaking: Path, tiny_model: Path) -> None:
    result = invoke("check", leaking, "--model", tiny_model, "--set", "data.max_length=32", "--strict")
    assert result.exit_code == 1
    assert "error: --strict: " in result.stderr


def test_a_check_that_is_accepted_does_not_fail_strict(leaking: Path, tiny_model: Path) -> None:
    options = ["check", leaking, "--model", tiny_model, "--set", "data.max_length=32"]
    found = {finding["check"] for finding in json.loads(invoke(*options, "--json").stdout)["findings"]}
    accepted = [part for name in found for part in ("--accept", name)]
    assert invoke(*options, "--strict", *accepted).exit_code == 0
    without_leaks = [part for name in found - {"leaks"} for part in ("--accept", name)]
    assert invoke(*options, "--strict", *without_leaks).exit_code == 1
    assert "Did you mean leaks?" in invoke(*options, "--strict", "--accept", "leak").stderr
    assert (
        "--accept leaks: has no meaning without strict. Try: --strict" in invoke(*options, "--accept", "leaks").stderr
    )


def test_that_runs_are_not_checked_does_not_stop_it_and_is_said(leaking: Path, tiny_model: Path) -> None:
    options = ["--set", "data.max_length=32", "--set", "data.check=false"]
    result = invoke("check", leaking, "--model", tiny_model, *options)
    assert "PROBLEM  leaks: " in result.stdout
    assert "data.check=false has no effect on this command" in result.stderr


def test_a_model_that_is_not_there_leaves_out_the_checks_of_tokens(leaking: Path, tmp_path: Path) -> None:
    result = invoke("check", leaking, "--model", tmp_path / "no-model", "--json")
    assert result.exit_code == 0, result.output
    findings = {finding["check"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert "Truncation and language were not checked" in findings["tokens"]["text"]
    assert findings["leaks"]["level"] == "problem"


def test_what_the_positions_of_the_model_do_not_hold_is_refused_as_in_a_run(leaking: Path, tmp_path: Path) -> None:
    """Its tokenizer knows no limit, as those of many models."""
    model = save_tiny_model(tmp_path / "model")
    settings = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))
    del settings["model_max_length"]
    (model / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    for command in (["check", leaking], ["run", "--data", leaking, "--dry-run"]):
        refused = invoke(*command, "--model", model, "--set", "data.max_length=67")
        assert refused.exit_code == 2, refused.output
        assert "data.max_length: 67 tokens, but this model takes at most 66. Try: --set data.max_length=66" in (
            refused.stderr
        )


def test_the_split_is_written_once_and_read_again(reviews: Path, tiny_model: Path, tmp_path: Path) -> None:
    written = tmp_path / "split.json"
    first = invoke(
        "check", reviews, "--model", tiny_model, "--set", "data.max_length=32", "--json", "--write-split", written
    )
    assert first.exit_code == 0, first.output
    assert set(json.loads(written.read_text())) == {"train", "validation", "test"}
    options = ["--set", "data.max_length=32", "--set", f"data.split_file={written}"]
    again = invoke("check", reviews, "--model", tiny_model, *options, "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["fingerprint"] == json.loads(first.stdout)["fingerprint"]
    refused = invoke("check", reviews, "--model", tiny_model, "--set", "data.max_length=32", "--write-split", written)
    assert (refused.exit_code, "exists. Choose another name" in refused.stderr) == (2, True)


@pytest.mark.parametrize("option", ["--output", "--write-split"])
def test_a_file_in_a_folder_that_is_not_there_is_said_before_anything_is_checked(
    reviews: Path, tmp_path: Path, option: str
) -> None:
    refused = invoke("check", reviews, option, tmp_path / "nowhere" / "file.csv")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert f"{option} {tmp_path}/nowhere/file.csv: there is no folder {tmp_path}/nowhere" in refused.stderr


def test_a_folder_that_is_called_like_a_recipe_gives_way_to_it_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tweets").mkdir()
    monkeypatch.chdir(tmp_path)
    told = Told()
    assert recipe_or_data("tweets", None, told) == ("tweets", None)
    assert told.notices == ["'tweets' is taken as the recipe of this name; the folder is ./tweets"]
    assert recipe_or_data("./tweets", None, told) == (None, "./tweets")


class Told(Listener):
    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str, level: str = "note") -> None:
        self.notices.append(text)


def test_names_that_are_nothing_or_too_much_are_refused(reviews: Path) -> None:
    unknown = invoke("check", "twets")
    assert unknown.exit_code == 2
    assert "Did you mean tweets?" in unknown.stderr
    both = invoke("check", reviews, "--data", reviews)
    assert (both.exit_code, "Leave one out" in both.stderr) == (2, True)


def test_a_check_imports_no_code_of_models_and_draws_nothing(leaking: Path, tiny_model: Path, tmp_path: Path) -> None:
    """They would take most of its time."""
    script = tmp_path / "lean.py"
    script.write_text(
        "import sys\n"
        "from finetune.cli.app import app\n"
        "code = app(['check', *sys.argv[1:], '--set', 'data.max_length=32'], standalone_mode=False)\n"
        "heavy = {'transformers.modeling_utils', 'accelerate', 'peft', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported: {sorted(heavy)}' if heavy else code)\n",
        encoding="utf-8",
    )
    result = python(script, leaking, "--model", str(tiny_model), PYTHONPATH=str(REPOSITORY))
    assert result.returncode == 0, result.stderr
