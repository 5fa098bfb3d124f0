"""Number of tasks that this machine runs at the same time, and threads per task."""

from __future__ import annotations

import os
from dataclasses import dataclass

from finetune.errors import Change, RecipeError

MEMORY_OF_A_WORKER = 3.8e9  # bytes: peak of a worker on `tweets` with a 22M-parameter encoder (docs/performance.md)


@dataclass(frozen=True)
class Resources:
    """Resources of the tasks of an experiment.

    Attributes:
        slots: Tasks at the same time.
        threads: CPU threads per task.
        gpus: Number of GPUs, assigned in turn; 0 for the CPU.
    """

    slots: int
    threads: int
    gpus: int


def share_machine(jobs: str, tasks: int, jobs_per_gpu: int = 1) -> Resources:
    """Resources for `--jobs` and `--jobs-per-gpu`.

    auto: `jobs_per_gpu` on each GPU; without GPUs one per core, as far as memory goes. Small encoders scale badly over
    threads: two workers with one thread each finish more runs per hour than one worker with two.

    Args:
        jobs: A number from 1, or auto.
        tasks: Number of tasks of the whole experiment, finished ones included.
        jobs_per_gpu: Tasks on each GPU, 1 or more.

    Raises:
        RecipeError: `jobs` is neither a number from 1 nor auto; `jobs_per_gpu` is above 1 without a GPU, or combined
            with a number of jobs.
    """
    import torch

    gpus, cores = torch.cuda.device_count(), available_cores()
    check_per_gpu(jobs_per_gpu, jobs, gpus, "this process sees no GPU")
    slots = asked_jobs(jobs) or gpus * jobs_per_gpu or max(1, min(cores, int(_memory() / MEMORY_OF_A_WORKER)))
    # Neither what is left to do nor memory that happens to be free decides the threads of a worker: a repeated
    # command must compute what it would have computed undisturbed, and the order of sums depends on the threads.
    slots = min(slots, max(1, tasks))
    return Resources(slots, max(1, cores // slots), gpus)


def asked_jobs(jobs: str) -> int | None:
    """The number of `--jobs`; None for auto.

    Raises:
        RecipeError: It is neither.
    """
    if jobs == "auto":
        return None
    if jobs.isascii() and jobs.isdigit() and int(jobs) >= 1:
        return int(jobs)
    raise RecipeError("expected a number from 1, or auto.", argument="jobs", found=jobs)


def available_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_per_gpu(per_gpu: int, jobs: str, gpus: int, without: str) -> None:
    """Refuse several tasks per GPU if that has no meaning.

    Args:
        per_gpu: Tasks on each GPU.
        jobs: "auto" or a number.
        gpus: Number of GPUs.
        without: Message if there are none.

    Raises:
        RecipeError: There is no GPU, or the number of jobs already determines the same.
    """
    if per_gpu == 1:
        return
    if not gpus:
        raise RecipeError(
            f"{without}. For {per_gpu} runs at the same time on the CPU leave it out.",
            Change(arguments={"jobs": per_gpu}),
            argument="jobs_per_gpu",
            found=per_gpu,
        )
    if jobs != "auto":
        raise RecipeError(
            f"jobs={jobs} says how many runs there are at the same time, too. Leave one of them out: alone it means "
            f"{gpus * per_gpu} at the same time on {gpus} GPU{'s' * (gpus > 1)}.",
            argument="jobs_per_gpu",
            found=per_gpu,
        )


def _memory() -> float:
    """Bytes that the machine has, in use or not; no limit where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # Windows; an unknown name
        return float("inf")
