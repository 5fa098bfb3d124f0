"""`finetune run --launch N`: the same command in several processes, through accelerate."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import finetune
from finetune.training.distributed import LAUNCHER

if TYPE_CHECKING:
    from finetune.workflows.asking import Request


def is_launched() -> bool:
    """Whether a launcher has started this process as one of several."""
    return "WORLD_SIZE" in os.environ


def launch_processes(processes: int, request: Request, asked: dict[str, Any]) -> None:
    """Replace this process by accelerate, with every value passed, so that accelerate's own questions and defaults
    never appear.

    Raises:
        FinetuneError: An error that can be found before launching: it is reported once, here, instead of by every
            process.
    """
    from finetune.workflows.run import check_run_starts, threads_of_launched

    check_run_starts(request, **asked)
    options = {
        "num_processes": processes,
        "num_machines": 1,
        "machine_rank": 0,
        "mixed_precision": "no",
        "dynamo_backend": "no",
        "num_cpu_threads_per_process": threads_of_launched(processes),
        "main_process_port": _free_port(),
    }
    command = [sys.executable, "-m", "accelerate.commands.launch"]
    command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
    if processes > 1:
        command.append("--multi_gpu")  # accelerate's word for "use torch.distributed", with or without GPUs
    os.execve(sys.executable, [*command, "--module", "finetune", *_without_launch(sys.argv[1:])], _environment())


def _environment() -> dict[str, str]:
    """In which `-m` imports nothing of the current folder: a file there that is called torch.py would be run by every
    process. This package is found where it is. The processes end when the launcher is gone."""
    package = str(Path(finetune.__file__).parent.parent)
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    launcher = {LAUNCHER: str(os.getpid())}  # the number stays when the program is replaced
    return {**os.environ, **launcher, "PYTHONSAFEPATH": "1", "PYTHONPATH": path}


def _without_launch(arguments: list[str]) -> list[str]:
    kept, skip = [], False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == "--launch":
            skip = True
        elif not argument.startswith("--launch="):
            kept.append(argument)
    return kept


def _free_port() -> int:
    """A port that nobody listens on: two launches on one machine must not meet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
