"""States of jobs in SLURM, and their meaning for a task that has not reported its end."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finetune.experiments.jobs import Event

ALIVE = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "REQUEUED", "RESIZING", "SIGNALING")
UNKNOWN = "UNKNOWN"
GONE = "GONE"  # ours: accounting knows nothing of it, and neither does the queue
# What another job would run into just the same.
FINAL = {
    "OUT_OF_MEMORY": "ran out of memory (more: export SBATCH_MEM_PER_NODE=16G)",
    "CANCELLED": "was cancelled (scancel); type the experiment's command again to run it",
    "DEADLINE": "missed its deadline",
}
# What may go better: another node, or the rest of the time that it takes.
TEMPORARY = {
    "TIMEOUT": "reached its time limit (more: export SBATCH_TIMELIMIT=4:00:00)",
    "PREEMPTED": "was preempted",
    "NODE_FAIL": "lost its node",
    "BOOT_FAIL": "lost its node",
    "FAILED": "ended without a result",
    "COMPLETED": "ended without a result",
    GONE: "is no longer in the queue, and left no result",
}


def ask_states(jobs: Sequence[Any]) -> dict[str, str]:
    """Number of each job of submitit -> its state, by one call of sacct, or of squeue without accounting."""
    watcher = jobs[0].watcher
    watcher.clear()  # where sacct does not answer, it would go on to say what it heard before, such as RUNNING
    watcher.update()
    states = {job.job_id: _word(watcher.get_state(job.job_id, mode="cache")) for job in jobs}
    unknown = [number for number, state in states.items() if state == UNKNOWN]
    if unknown and (queue := _queue()) is not None:
        states |= {number: queue.get(number, GONE) for number in unknown}
    return states


def _word(state: str) -> str:
    """`CANCELLED by 1000` -> CANCELLED."""
    return state.upper().split()[0].rstrip("+")


def _queue() -> dict[str, str] | None:
    """Number -> state of all jobs of this user that have not ended; None if squeue does not answer."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i %T"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return None
    return dict(line.split(maxsplit=1) for line in lines if len(line.split()) > 1)


def is_over(state: str) -> bool:
    """Whether a job in this state has ended."""
    return state != UNKNOWN and state not in ALIVE


def judge(key: str, step: int, state: str, number: str, log: Path) -> Event:
    """The final event of a task whose job ended without reporting how.

    Args:
        key: Key of the task.
        step: Optimizer steps, as last reported.
        state: State of the job.
        number: SLURM's job number.
        log: File with the output of the job.

    Returns:
        A failure, with `died` if another job may succeed.
    """
    why = FINAL.get(state) or TEMPORARY.get(state, f"ended in state {state}")
    return Event("failed", key, step, message=f"SLURM job {number} {why}. Its log: {log}", died=state not in FINAL)
