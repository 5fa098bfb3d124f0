"""`finetune tune` as users type it: what is trained, stopped, resumed, chosen, written and refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import finetune
from finetune.errors import RunFailed
from finetune.recipe.schema import TELLING_KEYS
from finetune.records.checksum import with_checksum
from finetune.records.tune import read_trials
from finetune.workflows.origins import find_run
from tests.cli.invoking import error_lines, invoke
from tests.cli.test_compare import write_recipe
from tests.experiments.inline import RecordingExecutor
from tests.raising import refuses

pytestmark = pytest.mark.usefixtures("workers")

SEARCHED = ("--range", "training.learning_rate=1e-6,0.02", "--range", "techniques.weight_decay.total_shrink")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tune")
    write_recipe(path, epochs=4)
    return path


def command(output: str, *more: object) -> tuple[object, ...]:
    asked = ("--preset", "light", "--trials", "3", "--folds", "2", "--seeds", "2", *SEARCHED)
    return ("tune", "small.yaml", *asked, "-o", output, *more)


@pytest.fixture(scope="module")
def made(place: Path, workers: type[RecordingExecutor]) -> Any:
    """Stopped after three trainings, and continued by the same command."""
    workers.stops_after = 3
    stopped = invoke(*command("made"))
    assert stopped.exit_code == 130
    first = list(workers.folders)
    assert len(first) == 3
    workers.stops_after, workers.folders = None, []
    done = invoke(*command("made", "--resume"))
    assert done.exit_code == 0, done.stderr
    assert not set(first) & set(workers.folders)
    return done


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "tune.json").read_text(encoding="utf-8"))
    return found


def records(folder: Path, pattern: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob(f"{pattern}/run.json"))]


def test_trials_are_trained_on_folds_that_never_see_test(place: Path, made: Any) -> None:
    found = report(place / "made")
    assert [trial["stage"] for trial in found["trials"]] == ["default", "learning rate", "strengths", "strengths"]
    inner = records(place / "made", "cells/*")
    assert len(inner) == found["trained"]
    for record in inner:
        assert record["recipe"]["data"]["folds_of"] == "train"
        assert "test" not in record["data"]["rows"]
        assert record["data"]["rows"]["validation"] == 24  # half of the 48 training rows
    assert not list((place / "made").glob("cells/*/model"))
    assert found["rows"] == {"train": 48, "validation": 16, "test": 16, "fold": 24}


def test_test_is_opened_at_the_end_for_the_default_and_the_best_alone(place: Path, made: Any) -> None:
    found = report(place / "made")
    names = {"default", found["best"]}
    tested = records(place / "made", "test/cells/*")
    assert len(tested) == 2 * len(names)
    assert all(record["data"]["rows"]["test"] == 16 for record in tested)
    assert {each["name"] for each in found["tested"]} == names
    for each in found["tested"]:
        inner = next(trial["score"] for trial in found["trials"] if trial["number"] == _number(each["name"]))
        assert each["inner"] == inner
        assert each["optimism"] == pytest.approx(inner - each["test"]["mean"])
    assert "optimism" in made.stdout


def test_the_choice_follows_its_rule_and_is_written_as_a_recipe_that_runs(place: Path, made: Any) -> None:
    found = report(place / "made")
    best = next(trial for trial in found["trials"] if trial["number"] == _number(found["best"]))
    is_beaten = bool(best["number"]) and best["low"] > 0
    assert found["chosen"] == (found["best"] if is_beaten else "default")
    written = finetune.load_recipe(place / "made" / "tuned.yaml")
    chosen = next(trial for trial in found["trials"] if trial["number"] == _number(found["chosen"]))
    assert written.training.learning_rate == chosen["settings"]["training.learning_rate"]
    assert (
        written.techniques["weight_decay"].total_shrink
        == (  # type: ignore[attr-defined]
            chosen["settings"]["techniques.weight_decay.total_shrink"]
        )
    )
    tested = records(place / "made", f"test/cells/{found['chosen']}-*")
    training = {key: value for key, value in written.to_dict()["training"].items() if key not in TELLING_KEYS}
    assert {**tested[0]["recipe"]["training"], "seeds": [0]} == {**training, "seeds": [0]}
    assert f"\n            $ finetune run {Path('made') / 'tuned.yaml'}\n" in made.stdout, "one line, to be copied"
    assert invoke("validate", "made/tuned.yaml").exit_code == 0
    assert (place / "made" / "model" / "config.json").is_file()


def test_the_rows_of_the_model_are_found(place: Path, made: Any) -> None:
    classifier = finetune.load(place / "made")
    record = find_run(classifier.origin, classifier.served)
    assert record is not None
    assert record.data.rows["train"] == 48


def _number(name: str) -> int:
    return 0 if name == "default" else int(name.partition("-")[2])


def test_the_page_and_the_table_show_every_setting(place: Path, made: Any) -> None:
    for name in ("tune.html", "tune.md"):
        text = (place / "made" / name).read_text(encoding="utf-8").replace("\\", "")
        assert "trial-3" in text
        assert "opened once" in text
        assert "finetune run made/tuned.yaml" in text
    assert "light, preset light" not in made.stdout
    assert made.stdout.count("trial-") >= 3
    assert "Searched    learning_rate 1e-06 to 0.02 (log; default 0.005)" in made.stdout


def test_the_same_command_again_trains_nothing_and_more_trials_only_their_own(
    place: Path, made: Any, workers: type[RecordingExecutor]
) -> None:
    before = report(place / "made")["trials"]
    workers.folders = []
    result = finetune.tune(
        "small.yaml",
        preset="light",
        trials=4,
        folds=2,
        seeds=2,
        ranges={"training.learning_rate": (1e-6, 0.02), "techniques.weight_decay.total_shrink": ()},
        output="made",
    )
    assert [folder.partition("-seed")[0] for folder in workers.folders if folder.startswith("trial-4")]
    assert not [
        folder
        for folder in workers.folders
        if folder.startswith(("trial-1", "trial-2", "trial-3")) and "fold" in folder
    ]
    settings = [trial.settings for trial in result.report.trials]
    assert settings[:4] == [trial["settings"] for trial in before]
    assert result.chosen in settings
    assert set(result.optimism) == {tested.name for tested in result.report.tested}
    assert result.recipe.is_file()
    assert "The choice" in result._repr_html_()
    again = invoke("report", "made", "-o", "elsewhere")
    assert again.exit_code == 0, again.stderr
    assert report(place / "elsewhere") == report(place / "made")
    assert "a tune compares with its default settings." in invoke("report", "made", "--baseline", "none").stderr
    listed = {entry["path"]: entry for entry in json.loads(invoke("runs", ".", "--json").stdout)}
    assert (listed["made"]["kind"], listed["made"]["status"]) == ("tune", "finished")


def test_a_dry_run_says_what_is_searched_and_how_long_it_takes(place: Path) -> None:
    dry = invoke(*command("dry", "--dry-run"))
    assert dry.exit_code == 0, dry.stderr
    assert "learning_rate 1e-06 to 0.02 (log; default 0.005)" in dry.stdout
    assert "At most 8 trainings on folds and 4 for test are left, 1 at a time: about " in dry.stdout
    assert not (place / "dry").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            ["--trials", "0"],
            "--trials 0: expected 1 to 1000 settings to try in addition to the default. Try: --trials 30",
        ),
        (["--folds", "1"], "--folds 1: expected two folds or more. Try: --folds 3"),
        (["--folds", "49"], "48 training rows cannot fill 49 folds. Try: --folds 48"),
        (["--preset", "lihgt"], "Did you mean light"),
        (["--set", "data.folds=5"], "data.folds: "),
        (["--set", "training.seeds=[1]"], "training.seeds: an experiment takes its seeds from an argument."),
        (["--range", "techniques.l1.strength=1,2"], "is not a number of this recipe and preset"),
        (["--seeds", "none"], "--seeds none: expected how many"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_anything_is_written(place: Path, more: list[str], told: str) -> None:
    result = invoke(*command("refused", *more))
    assert result.exit_code == 2, result.stderr
    assert told in "\n".join(error_lines(result.stderr))
    assert not (place / "refused").exists()


def test_without_a_test_split_there_is_no_optimism_and_no_tune(place: Path) -> None:
    (place / "held.csv").write_text((place / "reviews.csv").read_text(encoding="utf-8"), encoding="utf-8")
    more = ("--set", "data.validation=held.csv", "--set", "data.test_size=null", "--set", "data.validation_size=null")
    result = invoke(*command("refused", *more))
    assert result.exit_code == 2
    assert "data.test: there is no test split" in "\n".join(error_lines(result.stderr))


def test_without_optuna_it_says_what_to_install(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    result = invoke(*command("refused"))
    assert result.exit_code == 2
    assert 'Try: pip install "finetune[tune]"' in error_lines(result.stderr)[0]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--folds", "3"], "--output made: holds a tune of 2 folds, now 3"),
        (["--seeds", "7,8"], "holds a tune of seed 0, now 7"),
        (["--set", "training.epochs=5"], "holds a tune of another recipe, preset, model or data"),
        (["--range", "training.warmup=0.1,0.2"], "holds a tune of another search space"),
    ],
)
def test_the_trials_of_something_else_are_not_gone_on_with(place: Path, made: Any, more: list[str], told: str) -> None:
    result = invoke(*command("made", *more))
    assert result.exit_code == 2, result.stderr
    assert told in error_lines(result.stderr)[0]


def test_trials_of_another_version_or_damaged_ones_are_not_gone_on_with(place: Path, made: Any) -> None:
    path = place / "made" / "trials.json"
    kept = path.read_text(encoding="utf-8")
    found = read_trials(place / "made")
    assert found is not None
    older = with_checksum(found.model_copy(update={"algorithm": 1}).model_dump_json())
    for text, told in (
        (older, "holds a tune of version 1 of the algorithms, now "),
        (
            kept.replace('"tune_version": 1', '"tune_version": 9'),
            "version 9 of the list of trials; this program reads 1.",
        ),
        (kept[: len(kept) // 2], "is not a readable list of trials: "),
        (kept.replace('"folds": 2', '"folds": 4'), "is not a readable list of trials: "),
    ):
        path.write_text(text, encoding="utf-8")
        result = invoke(*command("made"))
        assert result.exit_code == 2
        assert told in error_lines(result.stderr)[0]
    path.write_text(kept, encoding="utf-8")


def test_a_default_that_fails_ends_it_and_the_same_command_tries_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import finetune.training.runner as runner

    def broken(*_: Any, **__: Any) -> None:
        raise RunFailed("out of luck.")

    asked = {"preset": "none", "trials": 1, "folds": 2, "seeds": 1, "output": "fails"}
    with monkeypatch.context() as patch:
        patch.setattr(runner, "run_seed", broken)
        with refuses(RunFailed, "the default settings failed.*out of luck"):
            finetune.tune("small.yaml", **asked)
    assert finetune.tune("small.yaml", **asked).report.trials[0].status == "complete"
