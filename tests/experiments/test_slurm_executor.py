"""The SLURM executor through submitit, on commands that do on one machine what SLURM's do on many."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finetune.errors import HungUp, RecipeError
from finetune.experiments.executors import slurm_executor
from finetune.experiments.executors.slurm_executor import SlurmExecutor
from finetune.experiments.executors.slurm_states import GONE, ask_states, is_over, judge
from finetune.experiments.executors.slurm_task import SlurmTask, read_events, write_event
from finetune.experiments.jobs import Event
from tests.experiments import fake_slurm
from tests.experiments.handing_out import Desk, recipe_of, task, timeless
from tests.raising import refuses
from tests.running import assert_same_weights, train

Write = Callable[..., Path]


@pytest.fixture
def long_recipe(write_recipe: Write) -> Path:
    """Ends long after its first evaluation."""
    return write_recipe(training={"epochs": 20})


def at_first_evaluation(event: Event) -> bool:
    return event.kind == "evaluated"


def test_tasks_are_an_array_and_one_that_is_preempted_goes_on_in_a_new_job(
    slurm_cluster: Path, long_recipe: Path, tmp_path: Path
) -> None:
    """SLURM sends SIGTERM and shows PREEMPTED; another task fails by an error of Python, which is not tried again."""
    plain = recipe_of(long_recipe, "none")
    absent = plain.model_copy(update={"model": plain.model.model_copy(update={"id": str(tmp_path / "no-model")})})
    tasks = [task("plain", plain, tmp_path / "cells" / "plain"), task("absent", absent, tmp_path / "cells" / "absent")]
    desk = Desk(tasks, at_first_evaluation, lambda: fake_slurm.end(slurm_cluster, "100_0", "PREEMPTED", signal.SIGTERM))
    executor = SlurmExecutor("auto", 2)
    assert (executor.slots, executor.threads) == (2, 1)
    executor.run(desk, desk)
    assert desk.kinds("plain") == ["started", "busy", "started", "finished"]
    assert desk.kinds("absent")[-1] == "failed"
    assert "no-model" in desk.message("absent")
    assert sorted(fake_slurm.jobs(slurm_cluster)) == ["100_0", "100_1", "101_x"]
    options = fake_slurm.json.loads((slurm_cluster / "options-100").read_text())
    assert (options["array"], options["signal"], options["cpus-per-task"]) == ("0-1%2", "USR2@90", "1")
    assert "no-requeue" in options
    assert "time" not in options, "it is the partition's, or that of SBATCH_TIMELIMIT"
    train(long_recipe, tmp_path / "alone", "none")
    assert timeless(tmp_path / "cells" / "plain") == timeless(tmp_path / "alone")
    assert_same_weights(tmp_path / "cells" / "plain", tmp_path / "alone")


def test_what_slurm_said_before_does_not_count_once_accounting_has_stopped(
    slurm_cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """submitit keeps states for the whole process; a job that is gone would be RUNNING for ever."""
    watcher = pytest.importorskip("submitit").SlurmJob.watcher
    watcher.register_job("100")
    jobs = [SimpleNamespace(job_id="100", watcher=watcher)]
    fake_slurm.write(slurm_cluster, "100_x", process=os.getpid(), state="RUNNING")
    assert ask_states(jobs) == {"100": "RUNNING"}
    monkeypatch.setenv("FAKE_SLURM_NO_ACCOUNTING", "1")
    fake_slurm.write(slurm_cluster, "100_x", process=os.getpid(), state="NODE_FAIL")
    assert ask_states(jobs) == {"100": GONE}


def test_a_task_whose_node_is_gone_goes_on_and_ctrl_c_cancels_it(
    slurm_cluster: Path, long_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node takes the process down without a word; then the driver is interrupted. Accounting is switched off."""
    monkeypatch.setenv("FAKE_SLURM_NO_ACCOUNTING", "1")
    given = task("a", recipe_of(long_recipe, "none"), tmp_path / "cells" / "a")

    def press_later(event: Event) -> None:
        desk(event)
        if event.kind == "evaluated" and "busy" in desk.kinds("a"):
            raise KeyboardInterrupt

    desk = Desk([given], at_first_evaluation, lambda: fake_slurm.end(slurm_cluster, "100_x", "NODE_FAIL"))
    with pytest.raises(KeyboardInterrupt):
        SlurmExecutor("1", 1).run(desk, press_later)
    assert desk.kinds("a") == ["started", "busy", "started"]
    assert timeless(given.folder)["status"] == "interrupted"
    assert not any(fake_slurm.now(job) == "RUNNING" for job in fake_slurm.jobs(slurm_cluster).values())


@pytest.mark.parametrize(
    ("state", "died", "told"),
    [
        ("TIMEOUT", True, "reached its time limit.*SBATCH_TIMELIMIT"),
        ("PREEMPTED", True, "was preempted"),
        ("NODE_FAIL", True, "lost its node"),
        ("FAILED", True, "ended without a result"),
        ("GONE", True, "is no longer in the queue"),
        ("OUT_OF_MEMORY", False, "ran out of memory.*SBATCH_MEM_PER_NODE"),
        ("CANCELLED", False, r"was cancelled \(scancel\)"),
        ("REVOKED", True, "ended in state REVOKED"),
    ],
)
def test_what_each_state_means(state: str, died: bool, told: str) -> None:
    event = judge("a", 3, state, "100_1", Path("slurm/100_1/log.err"))
    assert (event.kind, event.key, event.step, event.died) == ("failed", "a", 3, died)
    assert Event("failed", "a", message=event.message) != event
    with refuses(RecipeError, f"SLURM job 100_1 {told}.*log.err"):
        raise RecipeError(event.message)


@pytest.mark.parametrize(("state", "over"), [("PENDING", False), ("COMPLETING", False), ("TIMEOUT", True)])
def test_which_states_are_the_end(state: str, over: bool) -> None:
    assert is_over(state) == over
    assert not is_over("UNKNOWN")


class Job:
    """Of submitit, as far as states go."""

    def __init__(self, number: str, told: dict[str, str]) -> None:
        self.job_id = number
        self.watcher = self
        self._told = told

    def clear(self) -> None:
        """What was heard before."""

    def update(self) -> None:
        """Would call sacct."""

    def get_state(self, number: str, mode: str) -> str:
        return self._told.get(number, "UNKNOWN")


def test_states_are_those_of_sacct_else_of_squeue(slurm_cluster: Path) -> None:
    told = {"100_0": "CANCELLED by 1000", "100_1": "TIMEOUT+"}
    fake_slurm.write(slurm_cluster, "100_2", process=os.getpid(), state="RUNNING")
    states = ask_states([Job(number, told) for number in ("100_0", "100_1", "100_2", "100_3")])
    assert states == {"100_0": "CANCELLED", "100_1": "TIMEOUT", "100_2": "RUNNING", "100_3": "GONE"}


def test_events_are_read_line_by_line_and_a_half_one_later(tmp_path: Path) -> None:
    file = tmp_path / "events"
    assert list(read_events(file, 0)) == []
    first, second = (
        Event("evaluated", "a", 3, 9, {"train_probe": {}, "validation": {"nll": 0.5}}),
        Event("finished", "a"),
    )
    write_event(file, first)
    ((event, offset),) = read_events(file, 0)
    assert event == first
    write_event(file, second)
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    assert list(read_events(file, offset)) == []
    file.write_bytes(whole)
    assert [event for event, _ in read_events(file, offset)] == [second]


def test_submitits_own_local_executor_runs_the_task_too(write_recipe: Write, tmp_path: Path) -> None:
    """What the job does, in a process that submitit starts."""
    import pickle
    import sys

    import submitit

    from finetune.techniques import carry_techniques

    given = task("a", recipe_of(write_recipe(), "none"), tmp_path / "a")
    work = SlurmTask(pickle.dumps(given), tmp_path / "events", carry_techniques(), 1, tuple(sys.path), "")
    executor = submitit.LocalExecutor(folder=tmp_path / "submitit")
    assert executor.submit(work).result() is None
    kinds = [event.kind for event, _ in read_events(tmp_path / "events", 0)]
    assert (kinds[0], kinds[-1]) == ("started", "finished")
    assert timeless(given.folder)["status"] == "finished"


@pytest.mark.usefixtures("slurm_cluster")
def test_what_sbatch_refuses_is_said(write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_SLURM_REFUSAL", "invalid partition specified: gpuu")
    given = task("a", recipe_of(write_recipe(), "none"), tmp_path / "a")
    with refuses(RecipeError, "--executor slurm: sbatch rejects the job.*invalid partition.*SBATCH_PARTITION"):
        SlurmExecutor("1", 1).run(Desk([given]), lambda event: pytest.fail(str(event)))


def test_without_submitit_or_slurm_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setenv("PATH", str(tmp_path))
    with refuses(RecipeError, "--executor slurm: SLURM's sbatch and srun and scancel are not on the PATH.*login node"):
        SlurmExecutor()
    monkeypatch.setattr(slurm_executor.importlib, "import_module", missing)
    with refuses(RecipeError, r'--executor slurm: needs the package submitit.*pip install "finetune\[slurm\]"'):
        SlurmExecutor()


@pytest.mark.usefixtures("slurm_cluster")
def test_several_runs_on_a_gpu_are_slurms_to_arrange() -> None:
    with refuses(RecipeError, "--jobs-per-gpu 2: SLURM gives a job whole GPUs.*SBATCH_GRES=shard:1"):
        SlurmExecutor("auto", 4, 2)
    assert SlurmExecutor("auto", 10_000).slots == 1000


@pytest.mark.usefixtures("slurm_cluster")
@pytest.mark.parametrize(("interrupt", "cancels"), [(KeyboardInterrupt, True), (HungUp, False)])
def test_ctrl_c_cancels_the_jobs_and_a_lost_connection_does_not(
    monkeypatch: pytest.MonkeyPatch, interrupt: type[KeyboardInterrupt], cancels: bool
) -> None:
    def stop(jobs: list[str]) -> None:
        raise interrupt

    executor, cancelled = SlurmExecutor("1"), list[list[str]]()
    monkeypatch.setattr(executor, "_submit", lambda tasks: ["job"])
    monkeypatch.setattr(executor, "_look_at_states", stop)
    monkeypatch.setattr(executor, "_cancel", cancelled.append)
    with pytest.raises(interrupt):
        executor.run(SimpleNamespace(next=iter(["task", None]).__next__), lambda event: None)  # type: ignore[arg-type]
    assert cancelled == [["job"]] * cancels
