"""Programs in processes of their own that begin with all libraries loaded, as loading takes 8 seconds and a fork none.

A server (multiprocessing's) has loaded them once for all tests of a pytest process, and is forked for each program.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from tests.forks import fork

# Installed packages only: the server looks for them without this process's sys.path.
LOADED = ["finetune.cli.app", "finetune.training.runner"]
_SERVER: Any = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(LOADED)


class Program:
    """Python with the arguments of an interpreter (`-m MODULE …`, `-c CODE …` or `SCRIPT …`), in a session of its own.

    Args:
        arguments: Of the interpreter.
        cwd: Where it starts.
        environment: All of its variables.
        forks_workers: The workers of its local executor are copies of it, and no new interpreters.

    Attributes:
        pid: Of the process, and of its session.
        stderr: What it says, as it says it.
    """

    def __init__(
        self, arguments: Iterable[object], cwd: Path, environment: Mapping[str, str], forks_workers: bool = False
    ) -> None:
        self._output = tempfile.NamedTemporaryFile(prefix="stdout-")  # noqa: SIM115 - closed in communicate
        reading, writing = multiprocessing.Pipe(duplex=False)
        self._process = _SERVER.Process(
            target=_become,
            args=(
                [str(argument) for argument in arguments],
                str(cwd),
                dict(environment),
                self._output.name,
                writing,
                forks_workers,
            ),
        )
        with patch.dict(os.environ, OMP_NUM_THREADS="1"):  # read when the server loads torch
            self._process.start()
        writing.close()
        self.stderr = os.fdopen(os.dup(reading.fileno()), encoding="utf-8")
        reading.close()

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    @property
    def returncode(self) -> int | None:
        """As subprocess gives it: None while it runs, −9 after signal 9."""
        code: int | None = self._process.exitcode
        return code

    def send_signal(self, number: int) -> None:
        """To all processes of its group, as a terminal does."""
        os.killpg(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def communicate(self) -> tuple[str, str]:
        """Wait for its end. What it has printed, and what it has said since stderr was read last."""
        with self.stderr, self._output:
            said = self.stderr.read()
            self._process.join()
            return Path(self._output.name).read_text(encoding="utf-8"), said


def _become(
    arguments: list[str], cwd: str, environment: dict[str, str], output: str, said: Connection, forks_workers: bool
) -> None:
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    with open(output, "wb") as file:
        os.dup2(file.fileno(), 1)
    os.dup2(said.fileno(), 2)
    said.close()
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8") for number in (1, 2))
    sys.stderr.reconfigure(line_buffering=True)
    if forks_workers:
        from finetune.experiments.executors import local

        known = {"DEVNULL": subprocess.DEVNULL, "TimeoutExpired": subprocess.TimeoutExpired}
        local.subprocess = SimpleNamespace(Popen=_ForkedWorker, **known)  # type: ignore[assignment]
    how, name, *rest = arguments if arguments[0].startswith("-") else ["", *arguments]
    sys.argv = [name, *rest]
    if how == "-m":
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    elif how == "-c":
        exec(compile(name, "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_path(name, run_name="__main__")


class _ForkedWorker:
    """What the local executor uses of `subprocess.Popen`, for a worker that has loaded all libraries when it begins."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], **_: object) -> None:
        self._code: int | None = None
        self.pid = fork(lambda: self._serve(int(command[-1]), env))

    @staticmethod
    def _serve(descriptor: int, environment: Mapping[str, str]) -> None:
        from finetune.experiments.executors.worker import main

        os.setpgid(0, 0)
        os.environ.clear()
        os.environ.update(environment)
        main(descriptor)

    def poll(self) -> int | None:
        if self._code is None:
            process, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if process else None
        return self._code

    def wait(self, timeout: float = float("inf")) -> int:
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("worker", timeout)
            time.sleep(0.01)
        return code

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def in_session(number: int) -> list[int]:
    """Living processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit():
                state, _, _, session, *_ = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                found += [int(entry.name)] if int(session) == number and state != "Z" else []
    return found
