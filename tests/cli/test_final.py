"""`finetune compare --final`: which model a comparison ends with, which models stay for it, and what is refused."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune.experiments.executors import EXECUTORS
from finetune.experiments.finals import reads_models
from finetune.records.comparison import ComparisonFolder, FinalName
from tests.cli.invoking import invoke
from tests.conftest import BLANK_PNG, BLANK_SVG, labelled_texts, save_tiny_model, write_csv
from tests.experiments.inline import REFERENCE, RecordingExecutor
from tests.running import assert_same_weights, weights

PRESETS = "start.yaml,smooth.yaml"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a recipe, presets whose heads start alike, and a comparison `made` that ends with a soup."""
    path = tmp_path_factory.mktemp("final")
    recipe = {
        "model": {"id": str(save_tiny_model(path / "tiny"))},
        "data": {
            "source": str(write_csv(path / "reviews.csv", ["text", "label"], labelled_texts(60))),
            "validation_size": 12,
            "test_size": 12,
            "max_length": 16,
            "check": False,
        },
        "training": {"epochs": 2, "batch_size": 8, "learning_rate": 0.005, "precision": "fp32"},
    }
    (path / "small.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    (path / "start.yaml").write_text(json.dumps({"head_start": {}}), encoding="utf-8")
    (path / "smooth.yaml").write_text(json.dumps({"head_start": {}, "label_smoothing": {}}), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finetune.reports.figures.canvas.to_svg", lambda *_: BLANK_SVG)
        patch.setattr("finetune.reports.figures.canvas.to_png", lambda *_: BLANK_PNG)
        patch.setitem(EXECUTORS, "local", REFERENCE)
        patch.chdir(path)
        result = compare("made", "soup")
        assert result.exit_code == 0, result.stderr
        yield path


@pytest.fixture
def runs() -> list[str]:
    """Names of the folders of what is run."""
    RecordingExecutor.folders.clear()
    return RecordingExecutor.folders


def compare(output: str, final: str, *more: object) -> Any:
    arguments = ("--presets", PRESETS, "--baseline", "start", "--seeds", "2", "-o", output, "--final", final)
    return invoke("compare", "small.yaml", *arguments, *more)


def copy(made: Path, name: str) -> Path:
    return shutil.copytree(made / "made", made / name)


def recommended(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text("utf-8"))["groups"][0]["recommendation"]
    return found


def timeless(run: Path) -> dict[str, Any]:
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return {name: value for name, value in record.items() if name not in ("time", "code", "checksum")}


def test_a_comparison_ends_with_the_soup_of_the_recommended_preset(made: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    folder, chosen = made / "made", recommended(made / "made")
    final = chosen["final"]
    assert (final["asked"], final["kind"], final["seeds"]) == ("soup", "soup", [0, 1])
    assert [model["kind"] for model in final["references"]] == ["members", "ensemble"]
    soup = next(model for model in final["candidates"] if model["kind"] == "soup")
    assert {"value", "low", "high"} == set(soup["test"]["accuracy"])
    assert_same_weights(folder, made / soup["run"])
    model = AutoModelForSequenceClassification.from_pretrained(folder / "model")
    assert model.config.id2label == {0: "bad", 1: "good"}
    manifest = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    assert (manifest["final"], [job["kind"] for job in manifest["jobs"]]) == ("soup", ["soup"])
    assert len(manifest["jobs"][0]["inputs"]) == 2
    for page in ("report.html", "report.md"):
        text = (folder / page).read_text(encoding="utf-8")
        assert "Final model" in text
        assert "mean of the weights of 2 seeds" in text


def test_of_all_models_only_the_best_of_each_preset_stays_when_the_soup_is_made(made: Path) -> None:
    kept = [path.parent.name.split("-seed")[0] for path in (made / "made" / "cells").glob("*/model")]
    assert sorted(kept) == ["smooth", "start"]


def test_the_terminal_ends_with_a_row_for_each_model(made: Path) -> None:
    copy(made, "shown")
    result = compare("shown", "soup")
    assert "What is exported: the soup (--final soup)" in result.stdout
    for name in ("mean of the seeds", "ensemble", "best seed", "soup"):
        assert name in result.stdout
    assert "shown/model   (the soup; loads with plain transformers)" in result.stdout


def test_members_without_a_model_are_trained_again_for_a_student_and_give_the_same(made: Path, runs: list[str]) -> None:
    folder = copy(made, "auto")
    before = {path.name: timeless(path) for path in (folder / "cells").iterdir()}
    soup = next((folder / "final").glob("soup-*/run.json"))
    untouched = soup.read_bytes()
    result = compare("auto", "auto")
    assert result.exit_code == 0, result.stderr
    assert "1 finished run has no model any more" in result.stderr
    chosen = recommended(folder)["final"]
    assert len(runs) == 2
    assert runs[1].startswith("distil-")
    for path in (folder / "cells").iterdir():
        after = timeless(path)
        assert {name: (value, after[name]) for name, value in before[path.name].items() if value != after[name]} == {}
    assert soup.read_bytes() == untouched, "the soup is kept"
    assert {model["kind"] for model in chosen["candidates"]} == {"best", "soup", "distil"}
    student = next((folder / "final").glob("distil-*"))
    with np.load(student / "targets.npz") as targets:
        assert targets["targets"].shape == (36, 2)
    assert_same_weights(folder, Path(chosen["run"]))
    runs.clear()
    assert compare("auto", "distil").exit_code == 0
    assert runs == [], "the same student"
    assert recommended(folder)["final"]["kind"] == "distil"
    assert_same_weights(folder, student)
    assert compare("auto", "best").exit_code == 0
    assert recommended(folder)["final"]["kind"] == "best"


def test_a_soup_that_was_cut_off_is_made_by_the_same_command(
    made: Path, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy(made, "cut")
    reference = next((folder / "final").glob("soup-*"))
    expected, record = weights(reference), timeless(reference)
    shutil.rmtree(folder / "final")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("finetune.training.soup.save_predictions", interrupt)
        assert compare("cut", "soup").exit_code == 130
    assert (folder / "report.json").is_file()
    result = compare("cut", "soup")
    assert result.exit_code == 0, result.stderr
    assert timeless(reference) == record
    assert all((value == expected[name]).all() for name, value in weights(reference).items())
    assert [name.split("-")[0] for name in runs].count("soup") == 2


def test_a_job_of_the_end_can_be_run_alone(made: Path) -> None:
    folder = copy(made, "alone")
    key = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))["jobs"][0]["key"]
    shutil.rmtree(folder / "final")
    result = invoke("cell", "alone", key)
    assert result.exit_code == 1
    assert "no longer has a model, and soup needs it" in result.stderr


# --- the default -----------------------------------------------------------------------------------------------


DEFAULT = ("--presets", PRESETS, "--baseline", "start", "--seeds", "2")


UNSIZED = ("--set", "data.validation_size=null", "--set", "data.test_size=null")


@pytest.mark.parametrize(
    ("final", "expected"), [("best", False), ("refit", False), ("soup", True), ("distil", True), ("auto", True)]
)
def test_helpers_keep_all_models_only_for_what_reads_them(final: FinalName, expected: bool) -> None:
    """`finetune work` leaves what comes at the end to the comparison's own command."""
    assert reads_models(final) == expected


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs teach a tiny model nothing; more would take their time in every test."""
    monkeypatch.setattr("finetune.experiments.finals.not_worth_it", lambda _: None)


@pytest.fixture
def split(made: Path) -> None:
    """Folders of splits: one without test, and one whose validation holds rows of test."""
    rows = labelled_texts(80)
    splits = {"train": rows[:40], "validation": rows[40:60], "test": rows[58:80]}
    for folder in ("leaky", "untested"):
        (made / folder).mkdir(exist_ok=True)
        for name, of_split in splits.items():
            if (folder, name) != ("untested", "test"):
                write_csv(made / folder / f"{name}.csv", ["text", "label"], of_split)


def refit_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = next(
        model for model in recommended(folder)["final"]["candidates"] if model["kind"] == "refit"
    )
    return found


@pytest.mark.usefixtures("learned")
def test_without_final_a_comparison_ends_with_a_refit(made: Path, runs: list[str]) -> None:
    folder = copy(made, "default")
    planned = json.loads(invoke("compare", "small.yaml", *DEFAULT, "-o", "default", "--dry-run", "--json").stdout)
    assert (planned["final"], planned["to_run"]) == ("refit", 0)
    assert planned["seconds"] > 0
    result = invoke("compare", "small.yaml", *DEFAULT, "-o", "default")
    assert result.exit_code == 0, result.stderr
    assert [name.split("-")[0] for name in runs] == ["refit"]
    final = recommended(folder)["final"]
    assert (final["asked"], final["kind"]) == ("refit", "refit")
    assert refit_of(folder)["about"] == "trained on 48 rows (train and validation) for 12 steps"
    assert [model["kind"] for model in [*final["references"], *final["candidates"]]][:3] == [
        "members",
        "ensemble",
        "best",
    ]
    assert "default/model   (the refit; loads with plain transformers)" in result.stdout
    assert "--final refit\n" not in result.stdout, "nothing is advised that was done"
    assert_same_weights(folder, made / refit_of(folder)["run"])
    again = invoke("compare", "small.yaml", *DEFAULT, "-o", "default")
    assert (again.exit_code, len(runs)) == (0, 1)
    planned = json.loads(invoke("compare", "small.yaml", *DEFAULT, "-o", "default", "--dry-run", "--json").stdout)
    assert planned["seconds"] == 0


@pytest.mark.usefixtures("learned")
def test_a_refit_is_served_with_what_validation_chose_before_it_was_trained_on(made: Path) -> None:
    folder = copy(made, "served")
    assert invoke("compare", "small.yaml", *DEFAULT, "-o", "served").exit_code == 0
    chosen = Path(recommended(folder)["run"])
    written = [json.loads((path / "model" / "finetune.json").read_text("utf-8")) for path in (folder, chosen)]
    for name in ("temperature", "confidences"):
        assert written[0][name] is not None
        assert written[0][name] == written[1][name]
    record = json.loads((made / refit_of(folder)["run"] / "run.json").read_text("utf-8"))
    assert record["budget"]["trained_on_validation"]
    card = (folder / "model" / "README.md").read_text(encoding="utf-8")
    assert "| Accuracy | 50.0 % | – | 50.0 % | – | – |" in card, (
        "neither validation nor gap of what was trained on both"
    )
    assert "It is a refit: the validation rows were training rows, too" in card
    assert "a refit is made by `finetune compare`" in card
    assert record["calibration"]["temperature"] == written[0]["temperature"]


@pytest.mark.usefixtures("learned")
def test_what_stopped_between_the_runs_and_the_refit_goes_on_with_the_refit(
    made: Path, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = copy(made, "whole")
    assert invoke("compare", "small.yaml", *DEFAULT, "-o", "whole").exit_code == 0
    folder = copy(made, "between")
    runs.clear()
    monkeypatch.setattr(RecordingExecutor, "stops_after", 0)
    assert invoke("compare", "small.yaml", *DEFAULT, "-o", "between").exit_code == 130
    assert runs == []
    assert recommended(folder)["final"]["kind"] == "best", "report and model are there before the refit"
    assert (folder / "model" / "config.json").is_file()
    monkeypatch.setattr(RecordingExecutor, "stops_after", None)
    rendered = invoke("report", "between")
    assert "refit: not yet made; the command of the comparison makes it" in " ".join(rendered.stdout.split())
    assert invoke("compare", "small.yaml", *DEFAULT, "-o", "between").exit_code == 0
    assert_same_weights(folder, whole)
    assert timeless(made / refit_of(folder)["run"]) == timeless(made / refit_of(whole)["run"])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--folds", "3", "--set", "data.test_size=null"), "with folds, test is one part of the rows"),
        (("--set", "data.validation_size=3"), "3 validation rows beside 45 training rows bring little"),
        (("--set", "data.source=untested", *UNSIZED), "there is no test split"),
        (
            ("--set", "data.source=leaky", *UNSIZED),
            "2 test rows (9 %) are in validation, too, and a refit would learn them.",
        ),
    ],
)
def test_where_a_refit_brings_little_or_cannot_be_measured_the_best_seed_is_planned(
    split: None, more: tuple[str, ...], told: str
) -> None:
    planned = invoke("compare", "small.yaml", *DEFAULT, *more, "-o", "planned", "--dry-run")
    assert planned.exit_code == 0, planned.stderr
    assert f"final model: the best seed, not a refit on train and validation: {told}" in planned.stderr
    assert "ends with --final best\n" in planned.stdout
    asked = invoke("compare", "small.yaml", *DEFAULT, *more, "-o", "planned", "--dry-run", "--final", "refit")
    assert "not a refit" not in asked.stderr


@pytest.mark.usefixtures("split")
def test_a_refit_is_planned_again_where_leaks_are_left_out() -> None:
    more = ("--set", "data.source=leaky", *UNSIZED, "-o", "planned", "--dry-run", "--drop-leaks")
    planned = invoke("compare", "small.yaml", *DEFAULT, *more)
    assert "ends with --final refit, one more training, included in this time" in planned.stdout


def test_the_reason_stands_at_the_end_of_a_comparison_without_a_refit(made: Path, runs: list[str]) -> None:
    more = ("--set", "data.validation_size=3", "--set", "training.epochs=1", "--seeds", "1")
    result = invoke("compare", "small.yaml", *DEFAULT, *more, "-o", "small")
    assert result.exit_code == 0, result.stderr
    assert len(runs) == 2
    assert "Not made    refit: 3 validation rows beside 45 training rows bring little" in result.stdout
    assert "What is exported" not in result.stdout, "a table of one model says nothing"
    assert "not made: 3 validation rows beside" in (made / "small" / "report.html").read_text(encoding="utf-8")


def test_a_preset_that_did_not_learn_is_not_trained_once_more(made: Path, runs: list[str]) -> None:
    folder = copy(made, "degenerate")
    result = invoke("compare", "small.yaml", *DEFAULT, "-o", "degenerate")
    assert (result.exit_code, runs) == (0, [])
    assert "Not made    refit: the recommended preset did not learn" in result.stdout
    assert recommended(folder)["final"]["kind"] == "best"
    assert invoke("compare", "small.yaml", *DEFAULT, "-o", "degenerate", "--final", "refit").exit_code == 0
    assert [name.split("-")[0] for name in runs] == ["refit"], "asked for, it is made"


@pytest.mark.usefixtures("learned")
@pytest.mark.parametrize("written", ["best", None])  # before there was a choice, manifests said nothing
def test_a_comparison_of_an_earlier_version_ends_as_it_was_begun(
    made: Path, runs: list[str], monkeypatch: pytest.MonkeyPatch, written: FinalName | None
) -> None:
    """The command of an earlier version, whose default was the best seed, is typed again."""
    output = f"earlier-{written}"
    folder = copy(made, output)
    command = ["compare", "small.yaml", *DEFAULT, "-o", output]
    monkeypatch.setattr(sys, "argv", ["finetune", *command])
    place = ComparisonFolder(folder)
    place.write(
        place.read().model_copy(update={"final": written, "jobs": [], "command": f"finetune {' '.join(command)}"})
    )
    result = invoke(*command)
    assert (result.exit_code, runs) == (0, [])
    assert "started by a version whose default was the best seed, and keeps that default. Try: --final refit" in (
        result.stderr
    )
    assert recommended(folder)["final"]["asked"] == "best"
    wider = ["compare", "small.yaml", *DEFAULT, "-o", output, "--keep-models"]
    monkeypatch.setattr(sys, "argv", ["finetune", *wider])
    assert invoke(*wider).exit_code == 0
    assert recommended(folder)["final"]["kind"] == "refit", "another command has the new default"


# --- bad input -------------------------------------------------------------------------------------------------


def refused(*arguments: object) -> str:
    result = invoke("compare", "small.yaml", *arguments, "-o", "refused")
    assert result.exit_code == 2
    assert not Path("refused").exists(), "nothing was trained"
    return " ".join(line for line in result.stderr.splitlines() if line.startswith("error: "))


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--final", "soop"), "--final soop: is not one of best, refit, soup, distil, auto. Did you mean soup?"),
        (("--final", "soup", "--seeds", "1"), "with 2 seeds or more (of one fold, with folds). Try: --seeds 5"),
        (("--final", "distil", "--seeds", "1"), "with 2 seeds or more"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(arguments: tuple[str, ...], told: str) -> None:
    assert told in refused(*arguments)


@pytest.mark.usefixtures("made")
def test_presets_whose_heads_start_at_random_are_named_before_anything_is_trained() -> None:
    presets = ("--presets", "none,start.yaml", "--seeds", "2", "-o", "mixed", "--dry-run")
    result = invoke("compare", "small.yaml", *presets, "--final", "soup")
    assert result.exit_code == 0
    assert "--final soup: none: techniques.head_start: each seed draws its own random head" in result.stderr
    assert "ends with --final soup" in result.stdout
