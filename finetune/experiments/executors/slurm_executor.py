"""Runs tasks as jobs of SLURM, through submitit: an array for those that can start together.

The outcome of a task comes from its own record and events, and from SLURM's state only if those do not show it: for
submitit a job is FINISHED whether its function returned, was killed, or ended with an exit code.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import pickle
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from finetune import own_code
from finetune.errors import Change, HungUp, RecipeError, first_line
from finetune.experiments.executors import TaskSource
from finetune.experiments.executors.local import ENDED
from finetune.experiments.executors.losses import Losses
from finetune.experiments.executors.resources import asked_jobs
from finetune.experiments.executors.slurm_states import UNKNOWN, ask_states, is_over, judge
from finetune.experiments.executors.slurm_task import SlurmTask, read_events
from finetune.experiments.executors.watch import Watch
from finetune.experiments.jobs import Event, Task
from finetune.techniques import carry_techniques

LARGEST_ARRAY = 1000  # jobs: SLURM's MaxArraySize is 1001, unless it was configured
THREADS = 1  # CPU threads of a run: more runs at a time finish sooner than more threads for each
SPARE = 90  # seconds before the time limit in which a run writes where it was
LOOKING = 5.0  # seconds between looks at the files of events
ASKING = 30.0  # seconds between questions to SLURM
SETTLING = 20.0  # seconds that a job which has ended gets to show its last event, and SLURM to state its end
COMMANDS = ("sbatch", "srun", "scancel")


class SlurmExecutor:
    """Jobs of the cluster to which this machine submits. Partition, time, memory and GPUs are set by the environment
    variables of sbatch, such as SBATCH_PARTITION, SBATCH_TIMELIMIT, SBATCH_MEM_PER_NODE and SBATCH_GRES.

    Raises:
        RecipeError: submitit or SLURM is missing, or several tasks per GPU are requested.
    """

    def __init__(
        self, jobs: str = "auto", tasks: int = 1, jobs_per_gpu: int = 1, cell_timeout: float | None = None
    ) -> None:
        self._submitit = _load()
        if jobs_per_gpu > 1:
            shard = Change(text="Ask SLURM for a part of one instead: export SBATCH_GRES=shard:1")
            raise RecipeError("SLURM gives a job whole GPUs.", shard, argument="jobs_per_gpu", found=jobs_per_gpu)
        self.slots = min(asked_jobs(jobs) or LARGEST_ARRAY, max(1, tasks))
        self.threads = THREADS
        self._timeout = cell_timeout
        self._losses = Losses()
        self._asked = time.monotonic()

    def run(self, source: TaskSource, on_event: Callable[[Event], None]) -> None:
        """See `Executor.run`.

        Raises:
            RecipeError: SLURM rejects the jobs.
        """
        running: list[Submitted] = []
        try:
            while True:
                batch: list[Task] = []
                while len(running) + len(batch) < self.slots and (task := source.next()) is not None:
                    batch.append(task)
                for start in range(0, len(batch), LARGEST_ARRAY):
                    running += self._submit(batch[start : start + LARGEST_ARRAY])
                if not running:
                    return
                self._look_at_states(running)
                for job in list(running):
                    for event in self._news(job):
                        if event.kind in ENDED:
                            running.remove(job)
                        on_event(event)
                time.sleep(LOOKING)
        except HungUp:
            raise  # the login node is out of reach: jobs continue, and the repeated command waits for them
        except KeyboardInterrupt:
            self._cancel(running)
            raise

    def _look_at_states(self, running: Sequence[Submitted]) -> None:
        """Now and then, all at once: a question costs SLURM as much as starting a job."""
        if time.monotonic() - self._asked < ASKING:
            return
        self._asked = time.monotonic()
        states = ask_states([job.job for job in running])
        for job in running:
            job.state = states[job.number]
            if is_over(job.state):
                job.notice_end()

    def _submit(self, tasks: Sequence[Task]) -> list[Submitted]:
        """As one array, or as a single job."""
        folder = next(above for above in tasks[0].folder.absolute().parents if above.is_dir()) / "slurm"
        folder.mkdir(exist_ok=True)
        executor = self._submitit.SlurmExecutor(folder=folder / "%j")
        executor.update_parameters(
            job_name="finetune",
            time=None,  # of the partition, or SBATCH_TIMELIMIT: submitit's own would be 5 minutes
            cpus_per_task=self.threads,
            array_parallelism=len(tasks),
            signal_delay_s=SPARE,
            additional_parameters={"no-requeue": True},  # what goes on is decided here
        )
        shared = (carry_techniques(), self.threads, tuple(each for each in sys.path if each), own_code.carried())
        files = [folder / f"{task.key[:8]}-{uuid.uuid4().hex[:8]}.jsonl" for task in tasks]
        functions = [SlurmTask(pickle.dumps(task), file, *shared) for task, file in zip(tasks, files, strict=True)]
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # what sbatch says is in the error, too
                jobs = executor.submit_array(functions)
        except Exception as error:  # FailedJobError of submitit, and what it may raise besides
            how = Change(text="Partition, time, memory and GPUs are set by variables such as SBATCH_PARTITION.")
            raise _refused(f"sbatch rejects the job: {first_line(error)}.", how) from error
        return [Submitted(*each, self._timeout) for each in zip(tasks, jobs, files, strict=True)]

    def _news(self, job: Submitted) -> Iterator[Event]:
        """What a job has told since the last look; where it has ended without telling how, what SLURM says."""
        for event in job.read():
            if event.kind == "interrupted":
                job.notice_end()
            else:
                yield event
            if event.kind in ENDED:
                return
        if job.has_settled():
            state = ask_states([job.job])[job.number]
            state = state if is_over(state) else "PREEMPTED"  # or another signal from outside
            ended = judge(job.task.key, job.step, state, job.number, job.log)
            yield self._losses.after(ended) if ended.died else ended
        elif lost := job.lost():
            _scancel([job.number])
            yield self._losses.after(Event("failed", job.task.key, job.step, message=lost, died=True))

    def _cancel(self, running: Sequence[Submitted]) -> None:
        """Let all jobs write where they were; those that wait in the queue never start."""
        _scancel([job.number for job in running])
        end = time.monotonic() + SETTLING
        while time.monotonic() < end and not all(job.is_quiet() for job in running):
            time.sleep(1.0)


def _scancel(numbers: Sequence[str]) -> None:
    for start in range(0, len(numbers), LARGEST_ARRAY):
        subprocess.run(["scancel", *numbers[start : start + LARGEST_ARRAY]], check=False, capture_output=True)


class Submitted:
    """A task and its submitted job.

    Args:
        task: The task.
        job: The job of submitit.
        file: File of its events.
        timeout: Seconds within which it must make progress once it has started; None: SLURM alone ends it.

    Attributes:
        number: SLURM's job number, with that of the array.
        state: SLURM's state, as last reported.
        step: Optimizer steps, as last reported.
    """

    def __init__(self, task: Task, job: Any, file: Path, timeout: float | None = None) -> None:
        self.task = task
        self.job = job
        self.number = str(job.job_id)
        self.state = UNKNOWN
        self.step = 0
        self._file = file
        self._offset = 0
        self._kinds: set[str] = set()
        self._ended: float | None = None  # when that was noticed
        self._timeout = timeout
        self._watch: Watch | None = None  # from its start on
        self._touched: float | None = None  # when the file was, on the clock of its node

    @property
    def log(self) -> Path:
        """File with the output of the job."""
        return Path(self.job.paths.stderr)

    def read(self) -> Iterator[Event]:
        """New events."""
        for event, offset in read_events(self._file, self._offset):
            self._offset = offset
            self.step = max(self.step, event.step)
            self._kinds.add(event.kind)
            self._watch = Watch(self._timeout)
            yield event

    def lost(self) -> str:
        """Why the job must be cancelled; "" if it need not. Its node touches the file of events as a heartbeat."""
        if self._timeout is None or self._watch is None:
            return ""
        touched = self._file.stat().st_mtime
        if touched != self._touched:
            self._touched = touched
            self._watch.is_alive()
        return self._watch.lost()

    def notice_end(self) -> None:
        """Note that it was interrupted, or that SLURM reports its end."""
        self._ended = self._ended or time.monotonic()

    def has_settled(self) -> bool:
        """Whether it ended so long ago that no more events will arrive."""
        return self._ended is not None and time.monotonic() - self._ended > SETTLING

    def is_quiet(self) -> bool:
        """After scancel: whether it has saved its state, or never started."""
        for _ in self.read():
            pass
        return not self._kinds or not self._kinds.isdisjoint(("interrupted", *ENDED))


def _load() -> Any:
    """The package submitit, with its log kept off stdout.

    Raises:
        RecipeError: It is not installed; or this machine submits to no SLURM cluster.
    """
    try:
        submitit = importlib.import_module("submitit")
    except ImportError as error:
        install = Change(command='pip install "finetune[slurm]"')
        raise _refused("needs the package submitit, which is not installed.", install) from error
    logging.getLogger("submitit").handlers.clear()
    if missing := [command for command in COMMANDS if shutil.which(command) is None]:
        login = Change(text="Start the command on a login node of the cluster.")
        raise _refused(f"SLURM's {' and '.join(missing)} are not on the PATH here.", login)
    return submitit


def _refused(why: str, change: Change) -> RecipeError:
    return RecipeError(why, change, argument="executor", found="slurm")
