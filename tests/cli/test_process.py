"""Streams whose readers are gone, and signals before a command has begun."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from typing import IO, Any

import pytest

from finetune.cli import app
from finetune.cli.process import _interrupt, outlive_readers


@pytest.fixture(params=["stdout", "stderr"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def reopened(name: str, stream: IO[str] | None) -> IO[str]:
    """What the program prints to, if it is started with this stream."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, name, stream)
        patch.setattr(sys, "stderr" if name == "stdout" else "stdout", io.StringIO())
        outlive_readers()
        made: IO[str] = getattr(sys, name)
    return made


def test_what_nobody_reads_is_discarded_and_ends_nothing(name: str) -> None:
    """The other end of a pipe is closed: `| head` has seen enough."""
    reading, writing = os.pipe()
    os.close(reading)
    with reopened(name, os.fdopen(writing, "w", encoding="utf-8")) as stream:
        for _ in range(2):
            stream.write("the first epoch")
            stream.flush()


def test_a_stream_that_was_closed_before_the_start_takes_everything(name: str) -> None:
    with reopened(name, None) as stream:
        stream.write("the first epoch")


class FullDisk(io.RawIOBase):
    def writable(self) -> bool:
        return True

    def write(self, _: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_an_error_where_results_are_printed() -> None:
    stream = reopened("stdout", io.TextIOWrapper(FullDisk(), encoding="utf-8", write_through=True))  # type: ignore[type-var]
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        stream.write("the result")


def test_a_stream_that_a_program_put_there_stays(name: str) -> None:
    put = io.StringIO()
    assert reopened(name, put) is put


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated"), (signal.SIGHUP, 129, "hung up")],
)
def test_a_signal_that_comes_before_the_command_begins_has_its_exit_code_too(
    number: int, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app, "handle_signals", lambda: None)
    monkeypatch.setattr(app, "outlive_readers", lambda: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(app, "app", lambda **_: _interrupt(number, None))
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == code
    assert capsys.readouterr().err == f"{said}\n"
