"""Several `finetune` commands or scripts, one after the other, in two processes that have joined as torchrun's do.

`python -m tests.in_turn '[["run", …], …]'` runs every command in both processes. It exits with 0 if both processes have
run all commands; the first process that fails ends the other one and gives the exit code, and what would follow is not
run. The libraries are loaded once, before the processes part. torchrun loads them in each of its processes; it is
tested with a single command in tests/training/test_processes.py.
"""

import json
import os
import runpy
import signal
import sys
from unittest.mock import patch

from torch.distributed import TCPStore

import finetune.training.runner  # noqa: F401 - what every run needs, before the processes part
from finetune.cli.app import app
from tests.forks import fork

PROCESSES = 2
DIGITS = 5  # of a port


def execute(arguments: list[str]) -> None:
    if arguments[0].endswith(".py"):
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
        return
    if code := app(arguments, standalone_mode=False):  # so called it returns the code of an exit
        sys.exit(code)


def join_and_execute(rank: int, port: int, commands: list[list[str]]) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(PROCESSES),
        "LOCAL_WORLD_SIZE": str(PROCESSES),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is there: nobody has to guess a free port
    }
    *first, last = commands
    with patch("finetune.training.distributed.leave"):  # processes join once, and leave with the last command
        for each in first:
            execute(each)
    execute(last)


def main() -> int:
    commands = json.loads(sys.argv[1])
    reading, writing = os.pipe()
    ranks = {
        fork(lambda rank=rank: join_and_execute(rank, int(os.read(reading, DIGITS)), commands))
        for rank in range(PROCESSES)
    }
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # has a thread: only after the forks
    os.write(writing, f"{store.port:{DIGITS}}".encode() * PROCESSES)
    while ranks:
        process, status = os.wait()
        ranks.remove(process)
        if code := os.waitstatus_to_exitcode(status):
            for other in ranks:  # would wait for it in vain
                os.kill(other, signal.SIGKILL)
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
