"""`import finetune`: the commands as functions. They return values, tell a listener, and leave the process alone."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest

import finetune
from finetune.errors import OutputError, RecipeError, RunFailed
from finetune.listener import Listener
from finetune.records.store import RunFolder, lock_folder
from finetune.workflows.results import failed_runs
from finetune.workflows.run import threads_of_launched
from tests.analysis.curves import curve_run, write_curve
from tests.analysis.making import Run, record_of
from tests.conftest import labelled_texts
from tests.raising import refuses, typed
from tests.running import REPOSITORY, assert_same_weights, train

pytestmark = pytest.mark.usefixtures("without_plots")

Write = Callable[..., Path]
INLINE: dict[str, Any] = {"executor": "inline", "overrides": {"training.epochs": 4}}


class Heard(Listener):
    """Remembers what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.notices: list[str] = []

    def notice(self, text: str, level: str = "note") -> None:
        self.notices.append(f"{level}: {text}")

    def data_checked(self, facts: Any) -> None:
        self.told.append("data checked")

    def run_started(self, run: Any) -> None:
        self.told.append(f"{run.title} started {run.step}/{run.steps}")

    def run_evaluated(self, run: Any, train: Any, validation: Any) -> None:
        self.told.append(f"{run.title} evaluated at {run.step}: {sorted({*train} & {'accuracy', 'nll'})}")

    def run_ended(self, run: Any) -> None:
        self.told.append(f"{run.title} ended")

    def jobs_started(self, progress: Any, measure: Any) -> None:
        self.told.append(f"{len(progress.states)} jobs, {progress.slots} at a time, by {measure.score}")

    def job_changed(self, progress: Any, job: Any, measure: Any) -> None:
        if job.last_event != "step":
            self.told.append(f"{job.job.entry.variant} {job.job.entry.seed} {job.last_event}")

    def jobs_ended(self, progress: Any, measure: Any) -> None:
        self.told.append("jobs ended")


@pytest.fixture
def recipe(write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_recipe()


@pytest.fixture
def untouched(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """A call prints nothing and changes neither environment, arguments, folder nor logging of the process."""

    def state() -> tuple[Any, ...]:
        loggers = {name: logging.getLogger(name).level for name in ("", "transformers", "datasets", "finetune")}
        ours = ("FINETUNE", "TOKENIZERS", "HF_", "OMP", "MALLOC", "THP", "KINETO", "CUDA_VISIBLE")  # not ACCELERATE_…
        environment = {name: value for name, value in os.environ.items() if name.startswith(ours)}
        return environment, list(sys.argv), Path.cwd(), loggers, list(logging.getLogger().handlers)

    before = state()
    yield
    assert state() == before
    assert capfd.readouterr() == ("", "")


# --- run -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("untouched")
def test_a_run_returns_its_record_and_tells_what_happens_in_order(recipe: Path) -> None:
    heard = Heard()
    result = finetune.run(
        recipe, preset="none", seed=[3], overrides={"training.epochs": 2}, output="made", listener=heard
    )
    assert (result.record.status, result.record.seed, result.failures) == ("finished", 3, [])
    assert result.model == Path("made/model")
    assert repr(result) == "RunResult(folders=[RunFolder('made')], failures=[], is_main=True)"
    assert heard.told == [
        "data checked",
        "none seed 3 started 0/12",
        "none seed 3 evaluated at 6: ['accuracy', 'nll']",
        "none seed 3 evaluated at 12: ['accuracy', 'nll']",
        "none seed 3 ended",
    ]
    assert any(notice.startswith("note: ") for notice in heard.notices)


def test_a_run_from_python_is_the_run_of_the_command_line(recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "typed", "none", overrides=["training.epochs=2"])
    finetune.run(recipe, preset="none", overrides={"training.epochs": 2}, output="called", listener=Heard())
    records = [RunFolder(tmp_path / name).read() for name in ("typed", "called")]
    first, second = (record.model_dump_json(exclude={"time"}) for record in records if record is not None)
    assert first == second
    assert_same_weights(tmp_path / "typed", tmp_path / "called")


def test_a_recipe_may_be_a_dict_and_a_preset_too(recipe: Path) -> None:
    content = json.loads(recipe.read_text(encoding="utf-8"))
    mine = {"mine": {"label_smoothing": {"smoothing": 0.2}}}
    result = finetune.run(content, preset=mine, overrides={"training.epochs": 1}, output="made", listener=Heard())
    assert result.record.preset == "mine"
    assert result.record.techniques["label_smoothing"].settings == {"smoothing": 0.2}


def test_a_seed_that_fails_stops_no_other_and_is_not_forgotten(recipe: Path) -> None:
    def run(**settings: Any) -> finetune.workflows.results.RunResult:
        changes = {"training.epochs": 1, "training.warmup": 0, "training.max_grad_norm": 0.0, **settings}
        return finetune.run(recipe, seed=[0, 1], overrides=changes, output="made", listener=heard)

    heard = Heard()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finetune.training.trainer.RegularizedTrainer.compute_loss", _not_finite)
        result = run()
    assert len(result.failures) == 2
    with pytest.raises(RunFailed, match=r"seed 0 \(made/seed-0\).*\n.*seed 1"):
        result.raise_failures()
    with pytest.raises(RunFailed):
        _ = result.record
    assert sum(notice.startswith("warning: seed") for notice in heard.notices) == 2
    runs = [text.rpartition("seed ")[2] for text in heard.told if "seed" in text]
    assert runs == ["0 started 0/6", "0 ended", "1 started 0/6", "1 ended"]


def _interrupted(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


def _not_finite(self: Any, model: Any, inputs: Any, **_: Any) -> Any:
    return model(**{key: value for key, value in inputs.items() if key != "labels"}).logits.sum() * float("nan")


@pytest.mark.parametrize(
    ("has_record", "resume", "told"), [(False, False, "again"), (True, False, "with: --resume"), (True, True, "again")]
)
def test_an_interrupted_run_says_what_the_same_command_lacks(
    recipe: Path, has_record: bool, resume: bool, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(Path("made"))
    left = record_of(Run("none", status="interrupted"))

    def interrupt(*_: Any) -> None:
        if has_record:
            folder.write(left)
        raise KeyboardInterrupt

    monkeypatch.setattr("finetune.training.runner.run_seed", interrupt)
    monkeypatch.setattr("finetune.workflows.run._OneSeed._check_data", lambda *_: None)
    for module in ("folders", "run"):
        monkeypatch.setattr(f"finetune.workflows.{module}.check_same_run", lambda *_: None)
    if resume:
        folder.write(left)
    heard = Heard()
    with pytest.raises(KeyboardInterrupt):
        finetune.run(recipe, output="made", resume=resume, listener=heard)
    assert heard.notices[-1] == f"warning: To continue, type the same command {told}"


def test_launched_processes_share_the_cores_that_this_one_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.experiments.executors.resources.available_cores", lambda: 6)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert [threads_of_launched(processes) for processes in (1, 2, 7)] == [6, 3, 1]
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with refuses(RecipeError, r"--launch 2: this machine has 1 GPU\."):
        threads_of_launched(2)


def test_a_finished_run_is_not_trained_again_and_an_unfinished_folder_is_refused(recipe: Path) -> None:
    asked: dict[str, Any] = {"preset": "none", "overrides": {"training.epochs": 1}, "output": "made"}
    finetune.run(recipe, **asked, listener=Heard())
    with refuses(OutputError, "--output made: holds a finished run"):
        finetune.run(recipe, **asked, listener=Heard())
    heard = Heard()
    again = finetune.run(recipe, **asked, resume=True, listener=heard)
    assert again.record.status == "finished"
    assert "note: made is finished already; nothing to do." in heard.notices


# --- compare ---------------------------------------------------------------------------------------------------


def frame() -> pandas.DataFrame:
    return pandas.DataFrame(labelled_texts(80), columns=["text", "label"])


@pytest.mark.usefixtures("untouched")
def test_a_dataframe_is_compared_and_the_same_call_trains_nothing(recipe: Path, tiny_model: Path) -> None:
    def compare(listener: Listener) -> Any:
        return finetune.compare(
            data=frame(),
            model=tiny_model,
            presets=["none", "light"],
            seeds=2,
            overrides={"training.epochs": 4, "data.max_length": 16, "training.precision": "fp32"},
            executor="inline",
            output="made",
            final="best",
            listener=listener,
        )

    heard = Heard()
    result = compare(heard)
    assert heard.told[1] == "4 jobs, 1 at a time, by accuracy"
    assert heard.told[2:4] == ["none 0 started", "none 0 evaluated"]
    assert heard.told[-1] == "jobs ended"
    assert set(result.gap()) == {"none", "light"}
    assert result.gap("nll")["none"] == result.group.variants[0].gap["nll"].mean
    assert result.model is not None
    assert (result.model / "config.json").is_file()
    assert result.group.command is not None
    assert "data=<DataFrame>" in result.group.command
    result.raise_failures()
    again = Heard()
    assert compare(again).report == result.report
    assert again.told == ["data checked"]


def test_what_is_wrong_is_said_in_the_words_of_python(recipe: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        finetune.run(recipe, preset="none", overrides={"training.accumulation": 9})
    assert 'overrides={"training.accumulation": ' in str(caught.value)
    assert "--set training.accumulation=" in typed(caught.value)
    with pytest.raises(RecipeError, match='baseline="lihgt": is not among'):
        finetune.compare(recipe, presets=["none", "light"], baseline="lihgt")


@pytest.mark.parametrize("seeds", [0, -1, 1001, [], [1, 1], ["a"], [2**32], True])
def test_seeds_that_are_none_are_refused(recipe: Path, seeds: Any) -> None:
    with pytest.raises(RecipeError, match="seeds"):
        finetune.compare(recipe, presets=["none", "light"], seeds=seeds)


def test_a_folder_in_use_is_refused(recipe: Path) -> None:
    with lock_folder(Path("made")), pytest.raises(OutputError, match="another process is running there"):
        finetune.compare(recipe, presets=["none", "light"], seeds=1, output="made", listener=Heard(), **INLINE)


def test_a_call_from_inside_a_running_comparison_is_refused_by_name(recipe: Path) -> None:
    refusals: list[str] = []

    class Calls(Heard):
        def job_changed(self, progress: Any, job: Any, measure: Any) -> None:
            if job.last_event == "finished" and not refusals:
                for call in (finetune.compare, finetune.run):
                    with pytest.raises(RecipeError) as caught:
                        call(recipe)
                    refusals.append(str(caught.value))

    finetune.compare(
        recipe, presets=["none", "light"], seeds=1, output="made", final="best", listener=Calls(), **INLINE
    )
    assert [text.split(" was called while ")[0] for text in refusals] == ["finetune.compare", "finetune.run"]
    assert all("made" in text for text in refusals)


def test_a_quality_gate_that_does_not_hold_is_a_failure_of_the_result(recipe: Path) -> None:
    result = finetune.compare(
        recipe,
        presets=["none", "light"],
        seeds=1,
        output="made",
        final="best",
        fail_on="none.gap.accuracy > -2",
        listener=Heard(),
        **INLINE,
    )
    with pytest.raises(RunFailed, match=r"--fail-on none\.gap\.accuracy > -2: none has "):
        result.raise_failures()
    assert len(result.failed_gates()) == 1


def test_a_report_of_a_curve_is_no_failure_of_the_runs_that_failed_then(tmp_path: Path) -> None:
    runs = [curve_run("none", size, 0, 0.2) for size in (100, 200)]
    runs.append(replace(curve_run("none", 200, 1, 0.2), status="failed", error="out of memory"))
    result = finetune.report(write_curve(tmp_path, runs, ["none"], [100, 200]), listener=Heard())
    result.raise_failures()
    runs_of_200 = result.report.presets[0].points[1].runs
    assert failed_runs(runs_of_200) == ["1 of 2 runs failed; the report names each. The same command retries."]


# --- one job ---------------------------------------------------------------------------------------------------


def test_one_job_of_a_comparison_runs_alone_and_is_then_finished(recipe: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"presets": ["none", "light"], "seeds": 1, "output": "made", "final": "best", **INLINE}
    result = finetune.compare(recipe, **asked, listener=Heard())
    jobs = json.loads(Path("made/jobs.json").read_text(encoding="utf-8"))["jobs"]
    light = next(job for job in jobs if job["variant"] == "light")
    before = RunFolder(Path("made") / light["folder"]).read()
    for path in (Path("made") / light["folder"]).glob("*.*"):
        path.unlink()
    stopped = Heard()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finetune.training.trainer.RegularizedTrainer.compute_loss", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            finetune.cell("made", light["key"], listener=stopped)
    assert stopped.told[-2:] == ["light 0 interrupted", "jobs ended"]
    heard = Heard()
    record = finetune.cell("made", light["key"][:10], listener=heard)
    assert before is not None
    assert record.model_dump(exclude={"time"}) == before.model_dump(exclude={"time"})
    assert heard.told[-2:] == ["light 0 finished", "jobs ended"]
    again = Heard()
    assert finetune.compare(recipe, **asked, listener=again).gap() == result.gap()
    assert not any("started" in told for told in again.told)


JOB = {"variant": "none", "seed": 0, "fold": None, "key": "a", "folder": "cells/a", "recipe": {"seed": 0}}


@pytest.mark.parametrize(("key", "told"), [("zz", "no job of"), ("", "several jobs of")])
def test_a_key_that_names_no_job_or_several_is_refused(recipe: Path, key: str, told: str) -> None:
    Path("made").mkdir()
    Path("made/jobs.json").write_text(
        json.dumps({"jobs": [{**JOB, "key": f"{number:08}", "folder": f"cells/{number}"} for number in range(2)]}),
        encoding="utf-8",
    )
    with pytest.raises(OutputError, match=told):
        finetune.cell("made", key)


@pytest.mark.parametrize(
    ("content", "told"), [(None, "no such file"), ("{", "cannot be read"), ('{"job": []}', "cannot be read")]
)
def test_a_folder_without_readable_jobs_is_refused(recipe: Path, content: str | None, told: str) -> None:
    Path("made").mkdir()
    if content is not None:
        Path("made/jobs.json").write_text(content, encoding="utf-8")
    with pytest.raises(OutputError, match=told):
        finetune.cell("made", "0")


# --- what an import costs --------------------------------------------------------------------------------------


def test_import_finetune_loads_nothing_and_a_report_no_torch(tmp_path: Path) -> None:
    from tests.analysis.making import Run, write_comparison

    folder = write_comparison(tmp_path / "made", [Run(name, seed) for name in ("none", "strong") for seed in (0, 1)])
    script = (
        "import sys, finetune\n"
        "assert 'pydantic' not in sys.modules\n"
        "assert set(finetune.__all__) <= set(dir(finetune))\n"
        "result = finetune.report(sys.argv[1])\n"
        "assert result.gap()\n"
        "heavy = {'torch', 'transformers', 'datasets', 'accelerate'} & set(sys.modules)\n"
        "sys.exit(f'imported: {sorted(heavy)}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there_and_unknown_ones_are_not() -> None:
    for name in finetune.__all__:
        assert getattr(finetune, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'compair'"):
        _ = finetune.compair  # type: ignore[attr-defined]
