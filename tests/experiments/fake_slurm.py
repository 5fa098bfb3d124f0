#!/usr/bin/env python3
# ruff: noqa: T201 - commands print
"""SLURM's commands on one machine, by the name that this file is called by: sbatch, srun, scancel, sacct, squeue.

Their state is one file per job below $FAKE_SLURM. `sbatch` starts every job of an array at once, in a session of its
own, with the environment that SLURM gives jobs; options of a script, arrays and ids are those that submitit uses. What
SLURM does to jobs (time limits, preemption, nodes that fail) a test does with `end`: it sends the signal that SLURM
sends, and writes the state that SLURM would show.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

PLACE = Path(os.environ.get("FAKE_SLURM", "."))
COMMANDS = ("sbatch", "srun", "scancel", "sacct", "squeue")


def install(folder: Path) -> None:
    """Make a folder with the commands, for the PATH."""
    folder.mkdir()
    for command in COMMANDS:
        script = folder / command
        script.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{Path(__file__).absolute()}' {command} \"$@\"\n")
        script.chmod(0o755)


def jobs(place: Path) -> dict[str, dict[str, Any]]:
    """Number -> what is known of a job."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(place.glob("*_*.json"))}


def write(place: Path, number: str, **known: Any) -> None:
    (place / f"{number}.json").write_text(json.dumps(known))


def end(place: Path, number: str, state: str, number_of_signal: int = signal.SIGKILL) -> None:
    """Let a job end in a state, by a signal to all its processes."""
    job = jobs(place)[number]
    write(place, number, **{**job, "state": state})
    os.killpg(job["process"], number_of_signal)


def sbatch(script: str) -> int:
    if refusal := os.environ.get("FAKE_SLURM_REFUSAL"):
        print(f"sbatch: error: {refusal}", file=sys.stderr)
        return 1
    text = Path(script).read_text()
    options = dict(re.findall(r"#SBATCH --([a-z-]+)=?(.*)", text))
    master = str(100 + len({number.partition("_")[0] for number in jobs(PLACE)}))
    count = int(options["array"].partition("%")[0].partition("-")[2]) + 1 if "array" in options else 1
    (PLACE / f"options-{master}").write_text(json.dumps(options))
    for index in range(count):
        environment = {**os.environ, "SLURM_JOB_ID": master, "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1"}
        environment |= {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_JOB_NODELIST": "n1"}
        if "array" in options:
            environment |= {"SLURM_ARRAY_JOB_ID": master, "SLURM_ARRAY_TASK_ID": str(index)}
        started = subprocess.Popen(
            ["bash", script],
            env=environment,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        name = f"{master}_{index}" if "array" in options else f"{master}_x"
        write(PLACE, name, process=started.pid, state="RUNNING")
    print(f"Submitted batch job {master}")
    return 0


def srun(*arguments: str) -> int:
    command = list(arguments)
    while command[0].startswith("--"):
        option = command.pop(0)
        if option in ("--output", "--error"):
            command.pop(0)
    os.execvp(command[0], command)


def scancel(*numbers: str) -> int:
    for name, job in jobs(PLACE).items():
        if job["state"] == "RUNNING" and name.removesuffix("_x") in numbers:
            end(PLACE, name, "CANCELLED by 1000", signal.SIGTERM)
    return 0


def sacct(*_: str) -> int:
    if os.environ.get("FAKE_SLURM_NO_ACCOUNTING"):
        print("Slurm accounting storage is disabled", file=sys.stderr)
        return 1
    print("JobID|State|NodeList")
    for name, job in jobs(PLACE).items():
        print(f"{name.removesuffix('_x')}|{now(job)}|n1")
    return 0


def squeue(*_: str) -> int:
    for name, job in jobs(PLACE).items():
        if now(job) == "RUNNING":
            print(f"{name.removesuffix('_x')} RUNNING")
    return 0


def now(job: dict[str, Any]) -> str:
    """Its state: one that runs no more without having been ended has completed."""
    if job["state"] != "RUNNING":
        return str(job["state"])
    try:
        stat = Path(f"/proc/{job['process']}/stat").read_text()
    except OSError:
        return "COMPLETED"
    return "COMPLETED" if stat.rpartition(")")[2].split()[0] == "Z" else "RUNNING"


if __name__ == "__main__":
    sys.exit(globals()[sys.argv[1]](*sys.argv[2:]))
