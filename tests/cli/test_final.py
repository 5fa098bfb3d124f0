"""`finetune compare --final`: which model a comparison ends with, which models stay for it, and what is refused."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune.experiments.executors import EXECUTORS
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
    assert "has no model any more, and soup needs it" in result.stderr


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
        (("--refit",), "--refit: this option has another name now. Try: --final refit"),
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
    assert "--final soup: none: techniques.head_start: each seed draws a head of its own at random" in result.stderr
    assert "ends with --final soup" in result.stdout
