"""The Ray cluster: its connection, and the resources of each task."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import signal
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from finetune.errors import Change, RecipeError, first_line
from finetune.experiments.executors.resources import MEMORY_OF_A_WORKER, asked_jobs, check_per_gpu

ADDRESS = "RAY_ADDRESS"  # Ray's own variable; unset: the cluster that this machine is a node of
PARTS = 10_000  # of a GPU: what Ray tells apart


@dataclass(frozen=True)
class Node:
    """Resources of one machine: whole CPU cores, whole GPUs, bytes of memory."""

    cpus: int
    gpus: int = 0
    memory: float = math.inf


@dataclass(frozen=True)
class Share:
    """Resources of the tasks of an experiment.

    Attributes:
        slots: Tasks at the same time.
        threads: CPU cores, and threads, per task.
        gpu: Fraction of a GPU per task; 0 for the CPU.
    """

    slots: int
    threads: int
    gpu: float


def connect() -> Any:
    """The module `ray`, connected to a running cluster; none is started.

    Raises:
        RecipeError: It is not installed, or no cluster answers.
    """
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        install = Change(command='pip install "finetune[ray]"', note="on every node")
        raise _refused("needs the package ray, which is not installed.", install) from error
    address = os.environ.get(ADDRESS, "")
    if address.startswith("ray://"):
        inside = Change(text="Start the command on one of its nodes, or by `ray job submit`.")
        raise _refused(f"{ADDRESS}={address} is a client's address, from outside the cluster.", inside)
    if address and not _listens(address):
        started = Change(command="ray start --head", note="on one machine, and what it prints on the others")
        raise _refused(f"nothing listens at {ADDRESS}={address}.", started)
    if not ray.is_initialized():
        handler = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address=address or "auto", log_to_driver=False, logging_level="critical")
        except Exception as error:  # ConnectionError, RuntimeError, ValueError: whatever stands in the way
            there = f"no cluster answers at {ADDRESS}={address}" if address else "this machine is in no Ray cluster"
            start = Change(command="ray start --head", note="on one machine, and what it prints on the others")
            raise _refused(f"{there}: {first_line(error)}", start) from error
        finally:
            # Ray ends the process at SIGTERM; what Ctrl-C saves must be saved then, too.
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)
    return ray


def _listens(address: str) -> bool:
    """Whether a connection to HOST:PORT can be made; Ray itself tries for minutes. Other forms of address are left to
    Ray.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        return address == "auto"
    with contextlib.suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=10):
        return True
    return False


def alive_nodes(ray: Any) -> dict[str, Node]:
    """Node id -> its resources, for all live nodes."""
    return {node["NodeID"]: _node(node["Resources"]) for node in ray.nodes() if node["Alive"]}


def _node(offered: dict[str, float]) -> Node:
    return Node(int(offered.get("CPU", 0)), int(offered.get("GPU", 0)), offered.get("memory", math.inf))


def share_cluster(nodes: Sequence[Node], jobs: str, tasks: int, jobs_per_gpu: int = 1) -> Share:
    """Resources of tasks for `--jobs` and `--jobs-per-gpu`: like `share_machine`, for several machines.

    Args:
        nodes: The live nodes.
        jobs: A number from 1, or auto: `jobs_per_gpu` on each GPU; without GPUs one per core, as far as memory goes.
        tasks: Number of tasks of the whole experiment, finished ones included.
        jobs_per_gpu: Tasks on each GPU, 1 or more.

    Raises:
        RecipeError: See `share_machine`; or the cluster could never run so many at the same time.
    """
    gpus = sum(node.gpus for node in nodes)
    check_per_gpu(jobs_per_gpu, jobs, gpus, "the cluster has no GPU")
    nodes = [node for node in nodes if node.gpus or not gpus]
    cores = sum(node.cpus for node in nodes)
    if not cores:
        raise _refused("the cluster has no CPUs, so runs would wait forever.", Change(text="Start nodes first."))
    asked = asked_jobs(jobs)
    in_memory = sum(int(min(node.cpus, node.memory / MEMORY_OF_A_WORKER)) for node in nodes)
    slots = min(asked or gpus * jobs_per_gpu or max(1, in_memory), max(1, tasks))
    if slots > cores:
        why = f"the cluster has {cores} CPU{'s' * (cores > 1)}, and each run takes one: others would wait forever."
        raise RecipeError(why, Change(arguments={"jobs": cores}), argument="jobs", found=jobs)
    threads = max(1, cores // slots)
    while sum(node.cpus // threads for node in nodes) < slots:  # a task is on one node
        threads -= 1
    per_gpu = math.ceil(slots / gpus) if gpus else 0
    return Share(slots, threads, PARTS // per_gpu / PARTS if per_gpu else 0.0)


def _refused(why: str, change: Change) -> RecipeError:
    return RecipeError(why, change, argument="executor", found="ray")
