"""`finetune compare`, `ablate` and `report` as users type them: what is trained, kept, killed, resumed and refused."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from finetune.analysis.comparison import report_of
from finetune.errors import RunFailed
from finetune.experiments.executors import EXECUTORS
from finetune.listener import Listener
from finetune.records.comparison import ComparisonFolder
from finetune.records.store import lock_folder
from finetune.workflows.disagreements import explain_disagreements
from tests.analysis.making import Run, write_comparison, write_run
from tests.cli.invoking import error_lines, invoke, listing, program
from tests.conftest import labelled_texts, save_tiny_model, write_csv
from tests.experiments.inline import REFERENCE
from tests.programs import Program, in_session
from tests.running import REPOSITORY, python

pytestmark = pytest.mark.usefixtures("without_plots")

PRESETS = "none,strong"
JOBS = ("--jobs", "2")
BEST = ("--final", "best")  # without a further training; what a comparison ends with: test_final.py


@dataclass(frozen=True)
class Place:
    """A folder with a model, data and a recipe, and a comparison that was made there undisturbed."""

    path: Path
    recipe: Path
    first: subprocess.CompletedProcess[str]
    made: Path

    def compare(self, output: object, *more: object) -> tuple[object, ...]:
        return ("compare", self.recipe, "--presets", PRESETS, "--seeds", "2", *JOBS, *BEST, "-o", output, *more)

    def copy(self, name: str) -> Path:
        """The finished comparison somewhere else, to go on from."""
        return shutil.copytree(self.made, self.path / name)


def write_recipe(folder: Path, **training: Any) -> Path:
    recipe = {
        "model": {"id": str(save_tiny_model(folder / "tiny"))},
        "data": {
            "source": str(write_csv(folder / "reviews.csv", ["text", "label"], labelled_texts(80))),
            "validation_size": 16,
            "test_size": 16,
            "max_length": 16,
        },
        "training": {"epochs": 5, "batch_size": 8, "learning_rate": 0.005, "precision": "fp32", **training},
    }
    path = folder / "small.yaml"
    path.write_text(json.dumps(recipe), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    path = tmp_path_factory.mktemp("compare")
    recipe = write_recipe(path)
    unfinished = Place(path, recipe, subprocess.CompletedProcess([], 0), path / "made")
    first = program(*unfinished.compare("made", "--json"), cwd=path)
    assert first.returncode == 0, first.stderr
    return Place(path, recipe, first, path / "made")


@pytest.fixture(autouse=True)
def here(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.path)


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it matters what is run, and not by which process."""
    monkeypatch.setitem(EXECUTORS, "local", REFERENCE)


def report_in(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return found


def records(folder: Path) -> dict[str, bytes]:
    """Every finished run's record."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("cells/*/run.json")}
    return {name: content for name, content in found.items() if json.loads(content)["status"] == "finished"}


PLACES_AND_TIMES = ("folder", "run", "model", "command", "seconds", "seconds_ratio", "code")
COMMITTED = "The runs were made with different versions of the code"  # somebody did, while the tests ran


def figures(content: Any) -> Any:
    """A report without where, how long and at which commit."""
    if isinstance(content, dict):
        return {key: figures(value) for key, value in content.items() if key not in PLACES_AND_TIMES}
    if isinstance(content, list):
        return [figures(value) for value in content if not str(value).startswith(COMMITTED)]
    return content


# --- a comparison and its repetition ---------------------------------------------------------------------------


def test_a_comparison_writes_its_report_in_three_forms(place: Place) -> None:
    for suffix in ("json", "html", "md"):
        assert (place.made / f"report.{suffix}").stat().st_size > 1000
    group = report_in(place.made)["groups"][0]
    assert [variant["name"] for variant in group["variants"]] == ["none", "strong"]
    assert [len(variant["runs"]) for variant in group["variants"]] == [2, 2]
    assert {run["status"] for variant in group["variants"] for run in variant["runs"]} == {"finished"}


def test_json_on_stdout_is_the_report_and_nothing_else(place: Place) -> None:
    assert json.loads(place.first.stdout) == report_in(place.made)


def test_progress_goes_to_stderr_with_a_line_for_every_cell(place: Place) -> None:
    for cell in ("none seed 0", "none seed 1", "strong seed 0", "strong seed 1"):
        assert f"{cell}: finished" in place.first.stderr
    assert "Traceback" not in place.first.stderr


def test_the_recommended_model_lies_in_its_place_and_loads_with_plain_transformers(place: Place) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(place.made / "model")
    assert sorted(model.config.id2label.values()) == ["bad", "good"]
    assert AutoTokenizer.from_pretrained(place.made / "model")("good movie")["input_ids"]
    chosen = report_in(place.made)["groups"][0]["recommendation"]
    assert Path(chosen["model"]) == Path("made/model")
    shipped = (place.path / chosen["run"] / "model" / "model.safetensors").read_bytes()
    assert (place.made / "model" / "model.safetensors").read_bytes() == shipped


def test_only_the_best_model_of_each_preset_is_kept(place: Place) -> None:
    assert len(list(place.made.glob("cells/none-*/model"))) == 1
    assert len(list(place.made.glob("cells/strong-*/model"))) == 1


def test_the_same_command_again_trains_nothing_and_writes_the_same_report(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = (".html", ".md", ".png")
    before = {name: content for name, content in listing(place.made).items() if not name.endswith(pages)}
    times = {path: path.stat().st_mtime_ns for path in place.made.glob("cells/*/*")}
    arguments = [str(part) for part in place.compare("made", "--json")]
    monkeypatch.setattr(sys, "argv", ["finetune", *arguments])  # the report says what makes it again
    again = invoke(*arguments)
    assert again.exit_code == 0, again.stderr
    assert again.stdout == place.first.stdout
    assert "finished (" not in again.stderr
    assert {path: path.stat().st_mtime_ns for path in place.made.glob("cells/*/*")} == times
    after = listing(place.made)
    assert {name: after[name] for name in before} == before


@pytest.mark.usefixtures("inline")
def test_another_preset_trains_only_its_own_cells(place: Place) -> None:
    folder = place.copy("wider")
    before = records(folder)
    result = invoke(
        "compare",
        place.recipe,
        "--presets",
        "none,strong,light",
        "--seeds",
        "2",
        *JOBS,
        *BEST,
        "-o",
        folder,
        "--resume",
    )
    assert result.exit_code == 0, result.stderr
    after = records(folder)
    assert {name: after[name] for name in before} == before
    assert sorted(name.split("-")[0] for name in set(after) - set(before)) == ["cells/light", "cells/light"]
    assert result.stderr.count(": started") == 2
    group = report_in(folder)["groups"][0]
    old = report_in(place.made)["groups"][0]["variants"]
    assert [figures(variant["test"]) for variant in group["variants"][:2]] == [figures(v["test"]) for v in old]


def test_fewer_seeds_of_a_finished_comparison_train_nothing(place: Place) -> None:
    folder = place.copy("fewer")
    result = invoke("compare", place.recipe, "--presets", PRESETS, "--seeds", "1,", *JOBS, *BEST, "-o", folder)
    assert result.exit_code == 0, result.stderr
    assert ": started" not in result.stderr
    group = report_in(folder)["groups"][0]
    assert [variant["runs"][0]["seed"] for variant in group["variants"]] == [1, 1]
    assert any("One seed" in text for text in group["caveats"])


def test_explain_shows_which_words_moved_the_answers_that_presets_disagree_on(place: Place) -> None:
    """Nothing is trained for it; a report that is made again shows it; answers of another model are not shown."""
    folder = place.copy("explained")
    done = invoke(*place.compare("explained", "--explain"))
    assert done.exit_code == 0, done.stderr
    assert ": started" not in done.stderr
    rows = report_in(folder)["groups"][0]["disagreements"]
    assert len(rows) > 0
    texts = next(iter(json.loads((folder / "texts.json").read_text(encoding="utf-8")).values()))
    for row in rows[:10]:
        found = row["explained"]
        for word in found["words"]:
            assert texts[row["row"]][0][word["start"] : word["stop"]] == word["word"]
        assert found["label"] in ("good", "bad")
    assert all(row["explained"] is None for row in rows[10:])
    assert "Which words moved the answers of the exported model" in (folder / "report.md").read_text("utf-8")
    before = report_in(folder)
    assert invoke("report", folder).exit_code == 0
    assert report_in(folder)["groups"][0]["disagreements"] == before["groups"][0]["disagreements"]
    kept = json.loads((folder / "explanations.json").read_text(encoding="utf-8"))
    (folder / "explanations.json").write_text(json.dumps({**kept, "run": "cells/another"}), encoding="utf-8")
    assert invoke("report", folder).exit_code == 0
    assert all(row["explained"] is None for row in report_in(folder)["groups"][0]["disagreements"])


def test_where_presets_never_disagree_nothing_is_explained(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = place.copy("agreed")
    monkeypatch.setattr("finetune.analysis.comparison.disagreements", lambda *_: [])
    done = invoke(*place.compare("agreed", "--explain"))
    assert done.exit_code == 0, done.stderr
    assert "--explain: presets disagree on no row, so no answer is explained" in done.stderr
    assert not (folder / "explanations.json").exists()


def test_rows_that_a_refit_has_trained_on_are_not_explained(place: Place) -> None:
    """A refit that was asked for although there is no test split: presets are compared on validation."""
    group = report_of([place.copy("learned")]).groups[0]
    assert group.recommendation is not None
    assert group.recommendation.final is not None
    final = group.recommendation.final.model_copy(update={"kind": "refit"})
    chosen = group.recommendation.model_copy(update={"final": final})
    refitted = group.model_copy(update={"recommendation": chosen, "reported": "validation"})
    heard: list[str] = []
    listener = Listener()
    listener.notice = lambda text, level="note": heard.append(f"{level}: {text}")  # type: ignore[method-assign]
    assert not explain_disagreements(refitted, ComparisonFolder(place.path / "learned"), listener)
    assert len(heard) == 1
    assert heard[0].startswith("warning: --explain: without a test split")
    assert not (place.path / "learned" / "explanations.json").exists()


def test_explain_without_captum_says_so_and_reports(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = place.copy("unexplained")
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    done = invoke(*place.compare("unexplained", "--explain"))
    assert done.exit_code == 0, done.stderr
    assert "--explain: captum is not installed" in done.stderr
    assert 'pip install "finetune[explain]"' in done.stderr
    assert all(row["explained"] is None for row in report_in(folder)["groups"][0]["disagreements"])


# --- kill -9 and Ctrl-C ----------------------------------------------------------------------------------------


Start = Callable[..., Program]


@pytest.fixture
def start(place: Place) -> Iterator[Start]:
    """Starts a comparison in a session of its own, as a terminal gives it; ends what a failed test leaves behind."""
    started: list[Program] = []

    def begin(output: str, forks_workers: bool = True) -> Program:
        command = ("-m", "finetune", *place.compare(output))
        started.append(Program(command, place.path, os.environ, forks_workers))
        return started[-1]

    yield begin
    for each in started:
        for process in in_session(each.pid):
            os.kill(process, signal.SIGKILL)


def lines_until(process: Program, text: str, times: int = 1) -> list[str]:
    """What it says on stderr up to the line that is the last of `times` with `text`."""
    read: list[str] = []
    for line in process.stderr:
        read.append(line)
        if sum(text in known for known in read) == times:
            return read
    pytest.fail(f"it ended without saying {text!r}: {''.join(read)}")


def importing(session: int) -> list[int]:
    """Living processes of a session that are at least in the middle of `import torch`."""
    found = []
    for process in in_session(session):
        with contextlib.suppress(OSError):
            found += [process] if "libtorch" in Path(f"/proc/{process}/maps").read_text(encoding="utf-8") else []
    return found


def wait_until_all_are_gone(session: int) -> None:
    while in_session(session):
        time.sleep(0.1)


@pytest.mark.usefixtures("inline")
def test_a_killed_comparison_leaves_no_process_and_ends_as_if_undisturbed(place: Place, start: Start) -> None:
    folder = place.path / "killed"
    process = start("killed")
    lines_until(process, "none seed 0: finished")
    kept = records(folder)
    assert len(in_session(process.pid)) >= 3
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    wait_until_all_are_gone(process.pid)
    assert any("none-seed0" in name for name in kept)
    result = invoke(*place.compare("killed", "--resume"))
    assert result.exit_code == 0, result.stderr
    assert "none seed 0: started" not in result.stderr
    after = records(folder)
    assert {name: after[name] for name in kept} == kept
    assert figures(report_in(folder)) == figures(report_in(place.made))


def test_ctrl_c_says_how_to_go_on_and_leaves_no_process(place: Place, start: Start) -> None:
    process = start("stopped")
    lines_until(process, ": started", times=2)  # both workers have imported everything
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert "type the same command again" in stderr
    assert "Traceback" not in stderr
    wait_until_all_are_gone(process.pid)
    states = [json.loads(path.read_text())["status"] for path in (place.path / "stopped").glob("cells/*/run.json")]
    assert set(states) <= {"interrupted", "finished"}


def test_ctrl_c_while_the_workers_are_starting_shows_no_traceback(place: Place, start: Start) -> None:
    process = start("early", forks_workers=False)
    manifest = place.path / "early" / "comparison.json"
    while not manifest.exists():
        assert process.returncode is None
        time.sleep(0.02)
    while len(importing(process.pid)) < 3:  # it and two workers
        assert process.returncode is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    wait_until_all_are_gone(process.pid)
    assert "Traceback" not in stderr


# --- gates -----------------------------------------------------------------------------------------------------


def test_a_gate_that_holds_exits_1_with_the_figure_and_leaves_the_report(place: Place) -> None:
    folder = place.copy("gated")
    result = invoke(*place.compare("gated", "--fail-on", "none.gap.accuracy > -2", "--fail-on", "failed > 0"))
    assert result.exit_code == 1
    assert [line for line in result.stderr.splitlines() if line.startswith("error: ")] == [
        line for line in result.stderr.splitlines() if "--fail-on none.gap.accuracy > -2: none has " in line
    ]
    assert (folder / "report.html").is_file()


def test_gates_that_do_not_hold_exit_0(place: Place) -> None:
    place.copy("passed")
    assert invoke(*place.compare("passed", "--fail-on", "failed > 0 or degenerate > 5")).exit_code == 0
    assert invoke("report", "passed", "--fail-on", "gap.accuracy > 1").exit_code == 0
    assert invoke("report", "passed", "--fail-on", "gap.accuracy > -1.5").exit_code == 1


def test_a_gate_is_told_once_for_each_group(place: Place, tmp_path: Path) -> None:
    for number, name in enumerate(("one", "two")):
        for preset in ("none", "light"):
            write_run(tmp_path / f"{preset}-{number}", Run(preset, name=name))
    result = invoke("report", tmp_path, "--fail-on", "none.gap.accuracy > 0.1", "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert len([line for line in result.stderr.splitlines() if "--fail-on" in line]) == 2


# --- refused before anything is trained or written -------------------------------------------------------------


def problems(*arguments: object, exit_code: int = 2) -> str:
    """Complaints of a command that must leave the disk as it was."""
    before = sorted(Path.cwd().rglob("*"))
    result = invoke(*arguments)
    assert result.exit_code == exit_code, result.stderr
    assert result.stdout == ""
    assert sorted(Path.cwd().rglob("*")) == before
    return "\n".join(error_lines(result.stderr))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--fail-on", "gap.acuracy > 0.1"], "'acuracy' is not measured. Did you mean accuracy?"),
        (["--fail-on", "gap.acuracy > 0.1", "--dry-run"], "'acuracy' is not measured. Did you mean accuracy?"),
        (["--fail-on", "gap.accuracy > 15%"], "expected FIELD SIGN NUMBER; found 'gap.accuracy > 15%'. Try: --fail-on"),
        (["--resume"], "--resume: new holds no comparison. Leave it out, or name the folder of one."),
        (["--baseline", "light"], "--baseline light: is not among the presets none,strong"),
        (["--presets", "none"], "--presets none: a comparison needs two or more. Try: --presets none,strong"),
        (["--presets", "none,none"], "two are called 'none'. Name each once, or rename a file."),
        (["--presets", "none,strng"], "'strng' is not a preset. Did you mean strong?"),
        (["--presets", ""], "--presets '': a comparison needs two or more. Try: --presets none,strong"),
        (["--seeds", "0"], "expected 1 to 1000 seeds. Try: --seeds 0, (for seed 0 alone)"),
        (
            ["--seeds", "-1"],
            "--seeds -1: expected how many, such as 5, which, such as 3,7,11, or, ",
        ),
        (["--seeds", "1,1"], "--seeds 1,1: names a seed twice; repeating a run gives no second observation."),
        (["--seeds", "aut:10"], "such as 3,7,11, or, to compare, auto:MOST, such as auto:10."),
        (
            ["--seeds", "two"],
            "--seeds two: expected how many, such as 5, which, such as 3,7,11, or, ",
        ),
        (
            ["--seeds", "1.5"],
            "--seeds 1.5: expected how many, such as 5, which, such as 3,7,11, or, ",
        ),
        (["--seeds", "4294967296,"], "--seeds 4294967296: a seed must be below 4294967296 and not negative."),
        (["--set", "techniques.dropout.hidden=0.3"], "would change every preset, the baseline too"),
        (
            ["--set", "training.seeds=[1,2]"],
            "training.seeds: an experiment takes its seeds from an argument. Try: --seeds 5",
        ),
        (["--set", "data.folds=3"], "data.folds: a comparison takes its folds from an argument. Try: --folds 5"),
        (["--set", "data.fold=1"], "data.fold: a comparison takes its folds from an argument. Try: --folds 5"),
        (["--set", "training.epochs=0"], "training.epochs: input should be greater than or equal to 1; found 0."),
        (["--folds", "50"], "data.label: classes with fewer than 50 rows"),
        (["--data", "missing.csv"], "data.source: no file or folder 'missing.csv' (looked in"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_written(
    place: Place, more: list[str], told: str
) -> None:
    assert told in problems(*place.compare("new", *more))


@pytest.mark.parametrize("jobs", ["0", "-1", "many", "1.5", ""])
def test_a_wrong_number_of_jobs_is_refused_before_anything_is_written(place: Place, jobs: str) -> None:
    try:
        told = problems(*place.compare("jobless", "--jobs", jobs))
        assert told == f"error: --jobs {jobs or repr(jobs)}: expected a number from 1, or auto."
    finally:
        shutil.rmtree("jobless", ignore_errors=True)


def test_a_kill_while_the_folder_is_made_does_not_spoil_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RunFailed("killed")

    with monkeypatch.context() as patch:
        patch.setattr("finetune.workflows.experiment.write_texts", fail)
        assert invoke(*place.compare("spoilt")).exit_code == 1
    try:
        with monkeypatch.context() as patch:  # far enough: the folder was accepted
            patch.setattr("finetune.experiments.executors.local.LocalExecutor.run", fail)
            assert "killed" in invoke(*place.compare("spoilt")).stderr
    finally:
        shutil.rmtree("spoilt", ignore_errors=True)


def test_a_folder_that_holds_other_things_is_refused(place: Place, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    assert "holds no comparison. Choose another folder" in problems(*place.compare(tmp_path))
    assert "is a file" in problems(*place.compare(tmp_path / "thesis.txt"))


def test_a_folder_that_another_comparison_holds_is_refused(place: Place) -> None:
    place.copy("held")
    with lock_folder(Path("held")):
        assert "another process is running there" in problems(*place.compare("held", "--quiet"))


def test_a_damaged_manifest_is_refused(place: Place, tmp_path: Path) -> None:
    (tmp_path / "comparison.json").write_text("{", encoding="utf-8")
    assert "is not a readable manifest" in problems(*place.compare(tmp_path))


def test_a_dry_run_prints_the_matrix_and_writes_nothing(place: Place) -> None:
    before = sorted(Path.cwd().rglob("*"))
    result = invoke(*place.compare("dry", "--dry-run"))
    assert result.exit_code == 0, result.stderr
    assert "4 of 4 runs left, 2 at a time" in result.stdout
    assert "dry run: nothing was trained" in result.stdout
    described = json.loads(invoke(*place.compare("made", "--dry-run", "--json", "--seeds", "3")).stdout)
    assert [cell["state"] for cell in described["cells"]] == ["finished"] * 4 + ["waiting"] * 2
    assert described["to_run"] == 2
    assert described["seconds"] > 0
    assert sorted(Path.cwd().rglob("*")) == before


def test_a_dry_run_deletes_nothing_either(place: Place) -> None:
    folder = place.copy("damaged")
    record = next(folder.glob("cells/none-seed0-*/run.json"))
    record.write_text("{", encoding="utf-8")
    before = sorted(folder.rglob("*"))
    assert invoke(*place.compare("damaged", "--dry-run")).exit_code == 0
    assert sorted(folder.rglob("*")) == before


def test_a_cell_with_damaged_predictions_is_run_again(place: Place) -> None:
    folder = place.copy("unpredicted")
    next(folder.glob("cells/none-seed0-*/predictions.npz")).write_bytes(b"damaged")
    described = json.loads(invoke(*place.compare("unpredicted", "--dry-run", "--json")).stdout)
    assert described["to_run"] == 1


# --- folds, refit, ablation ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("inline")
def test_folds_make_each_part_of_the_data_test_once(place: Place) -> None:
    more = ("--seeds", "1", "--folds", "3", "--set", "data.test_size=null", "--set", "training.epochs=2")
    result = invoke(*place.compare("folded", *more))
    assert result.exit_code == 0, result.stderr
    group = report_in(place.path / "folded")["groups"][0]
    assert (group["folds"], len(group["fingerprints"])) == (3, 3)
    assert group["variants"][1]["pairs"] == [[0, 0], [0, 1], [0, 2]]
    assert sum(score["support"] for score in group["variants"][0]["classes"]) == 80
    assert any("Nadeau–Bengio" in text for text in group["caveats"])
    rows = json.loads((place.path / "folded" / "texts.json").read_text(encoding="utf-8"))
    assert sum(map(len, rows.values())) == len({row for of_fold in rows.values() for row in of_fold}) == 80


@pytest.mark.usefixtures("inline")
def test_a_refit_is_trained_on_train_and_validation_and_ships(place: Place) -> None:
    folder = place.copy("refitted")
    result = invoke(*place.compare("refitted", "--final", "refit"))
    assert result.exit_code == 0, result.stderr
    group = report_in(folder)["groups"][0]
    final = group["recommendation"]["final"]
    assert (final["asked"], final["kind"]) == ("refit", "refit")
    refit = next(model for model in final["candidates"] if model["kind"] == "refit")
    chosen = next(v for v in group["variants"] if v["name"] == group["recommendation"]["variant"])
    selected = sum(run["selected_step"] / run["planned_steps"] for run in chosen["runs"]) / 2
    steps = round(5 * 8 * selected)  # 5 epochs of 64 rows in batches of 8
    assert refit["about"] == f"trained on {80 - 16} rows (train and validation) for {steps} steps"
    assert refit["test"]["accuracy"]["value"] is not None
    assert refit["validation"] == {}
    trained = (place.path / refit["run"] / "model" / "model.safetensors").read_bytes()
    assert (folder / "model" / "model.safetensors").read_bytes() == trained
    before = (place.path / refit["run"] / "run.json").read_bytes()
    again = invoke(*place.compare("refitted", "--final", "refit"))
    assert again.exit_code == 0
    assert (place.path / refit["run"] / "run.json").read_bytes() == before


@pytest.mark.usefixtures("inline")
def test_an_ablation_takes_a_preset_apart(place: Place) -> None:
    preset = place.path / "mine.yaml"
    preset.write_text(json.dumps({"l2": {}, "label_smoothing": {}}), encoding="utf-8")
    result = invoke(
        "ablate",
        place.recipe,
        "--preset",
        preset,
        "--seeds",
        "1",
        *JOBS,
        "-o",
        "taken",
        "--quiet",
        "--set",
        "training.epochs=2",
    )
    assert result.exit_code == 0, result.stderr
    group = report_in(place.path / "taken")["groups"][0]
    assert {(variant["name"], variant["baseline"]) for variant in group["variants"]} == {
        ("none", None),
        ("mine", "none"),
        ("mine without l2", "mine"),
        ("l2 alone", "none"),
        ("mine without label_smoothing", "mine"),
        ("label_smoothing alone", "none"),
    }
    assert (group["kind"], group["recommendation"]) == ("ablate", None)


# --- report ----------------------------------------------------------------------------------------------------


def test_a_report_of_a_comparison_is_the_comparisons_own(place: Place) -> None:
    folder = place.copy("again")
    result = invoke("report", "again", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == report_in(folder)
    assert figures(report_in(folder)) == figures(report_in(place.made))


def test_the_report_at_the_end_is_what_the_records_say(place: Place) -> None:
    """It is put together while the model is still being moved to where it is looked for."""
    told = json.loads(report_of([Path("made")]).model_dump_json())
    assert report_in(place.made) == told
    assert told["groups"][0]["recommendation"]["model"] == "made/model"


def test_a_report_of_loose_runs_is_written_where_they_lie(tmp_path: Path) -> None:
    for name in ("none", "strong"):
        for seed in range(2):
            write_run(tmp_path / f"{name}-{seed}", Run(name, seed, wrong=(0, 4, 4 + seed)))
    assert invoke("report", tmp_path).exit_code == 0
    assert report_in(tmp_path)["groups"][0]["kind"] == "runs"
    assert (tmp_path / "report.html").is_file()


def test_runs_of_two_recipes_are_two_groups(tmp_path: Path) -> None:
    for recipe in ("one", "two"):
        for name in ("none", "strong"):
            write_run(tmp_path / f"{recipe}-{name}", Run(name, name=recipe))
    result = invoke("report", *sorted(tmp_path.iterdir()), "--output", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert [group["name"] for group in report_in(tmp_path / "out")["groups"]] == ["one", "two"]


def test_a_skipped_record_is_said_and_reported(tmp_path: Path) -> None:
    for name in ("none", "strong", "broken"):
        write_run(tmp_path / name, Run(name))
    (tmp_path / "broken" / "run.json").write_text("{", encoding="utf-8")
    result = invoke("report", tmp_path)
    assert result.exit_code == 0
    assert "warning: skipped: " in result.stderr
    assert "broken/run.json" in report_in(tmp_path)["skipped"][0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["missing"], "no such folder"),
        (["."], "holds no run.json"),
        (["made", "--baseline", "strng"], "Did you mean strong?"),
        (["made", "--fail-on", "gap.acuracy > 1"], "Did you mean accuracy?"),
    ],
)
def test_what_cannot_be_reported_is_refused(
    place: Place, arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if arguments[0] == ".":
        monkeypatch.chdir(tmp_path)
    assert told in problems("report", *arguments)


def test_a_report_needs_no_torch(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "made", [Run(name, seed) for name in ("none", "strong") for seed in (0, 1)])
    script = tmp_path / "lean.py"
    script.write_text(
        "import sys\n"
        "from finetune.cli.app import app\n"
        "code = app(['report', sys.argv[1]], standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'datasets', 'accelerate'} & set(sys.modules)\n"
        "sys.exit(f'imported: {sorted(heavy)}' if heavy else code)\n",
        encoding="utf-8",
    )
    result = python(script, folder, PYTHONPATH=str(REPOSITORY))
    assert result.returncode == 0, result.stderr


# --- help ------------------------------------------------------------------------------------------------------


def words(texts: Iterable[str]) -> str:
    return " ".join(" ".join(texts).replace("│", " ").split())


@pytest.mark.parametrize("command", ["compare", "ablate", "report"])
def test_help_says_the_units_of_what_a_gate_compares(command: str) -> None:
    told = words(invoke(command, "--help").stdout.splitlines())
    assert "0.15 is 15 points" in told
    assert "nats" in told
    assert "Example" in told


# --- what must not cost the table ------------------------------------------------------------------------------


@pytest.mark.usefixtures("inline")
def test_a_refit_that_fails_leaves_report_and_model(place: Place) -> None:
    folder = place.copy("unrefitted")
    for path in (folder / "report.json", folder / "report.html"):
        path.unlink()
    (folder / "final").write_text("in the way", encoding="utf-8")
    result = invoke(*place.compare("unrefitted", "--final", "refit"))
    assert result.exit_code == 1
    assert "--final refit: " in result.stderr
    assert "those without it" in result.stderr
    assert (folder / "report.html").is_file()
    assert (folder / "model" / "model.safetensors").is_file()


@pytest.mark.usefixtures("inline")
def test_data_that_was_moved_is_the_same_data(place: Place) -> None:
    folder = place.copy("moved")
    recipe = json.loads(place.recipe.read_text(encoding="utf-8"))
    moved = shutil.copy(recipe["data"]["source"], place.path / "elsewhere.csv")
    before = records(folder)
    result = invoke(*place.compare("moved", "--seeds", "3", "--set", f"data.source={moved}", "--quiet"))
    assert result.exit_code == 0, result.stderr
    after = records(folder)
    assert len(after) == 6
    assert {name: after[name] for name in before} == before


def test_another_comparison_in_the_same_folder_is_announced(place: Place) -> None:
    place.copy("reused")
    result = invoke(*place.compare("reused", "--seeds", "1"))
    assert result.exit_code == 0
    assert "2 runs of an earlier command in reused are not in this one" in result.stderr


def test_a_refit_never_stands_beside_runs_that_were_measured_on_validation(place: Place, tmp_path: Path) -> None:
    from finetune.recipe import resolve
    from finetune.records.store import RunFolder
    from finetune.training.prepare import prepare
    from finetune.training.refit import refitted
    from finetune.training.runner import run_seed

    recipe = resolve(str(place.recipe), "none", overrides=["training.epochs=1"]).recipe
    run_seed(prepare(recipe), 0, RunFolder(tmp_path / "plain"))
    run_seed(refitted(prepare(recipe), 3), 1, RunFolder(tmp_path / "again"))
    result = invoke("report", tmp_path, "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "differ in the fingerprint of its rows" in result.stderr


@pytest.mark.parametrize("target", ["/dev/null", "/proc/nowhere"])
def test_a_report_that_cannot_be_written_says_so(place: Place, target: str) -> None:
    result = invoke("report", place.made, "--output", target)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
