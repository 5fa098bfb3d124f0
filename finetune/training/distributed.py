"""Processes of one run: torchrun and accelerate tell them apart by environment variables."""

import os
import signal
import threading
import time
from typing import TypeVar

T = TypeVar("T")
LAUNCHER = "FINETUNE_LAUNCHER"  # the process number of `finetune run --launch`


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def is_main() -> bool:
    """Whether this process writes and prints."""
    return rank() == 0


def join() -> None:
    """Make the processes meet. On a box without GPUs they would otherwise train N times on their own."""
    if LAUNCHER in os.environ:
        end_with(int(os.environ[LAUNCHER]))
    if world_size() == 1:
        return
    import torch
    from accelerate import PartialState

    PartialState(cpu=not torch.cuda.is_available())


def end_with(parent: int) -> None:
    """End this process when the one that started it is gone, whatever it is doing: a killed experiment or launcher
    leaves nothing behind.

    Args:
        parent: Its process number, as it has told it: it may have died before this process looks.
    """
    is_child = os.getppid() == parent

    def watch() -> None:
        while os.getppid() == parent or (not is_child and _is_alive(parent)):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def leave() -> None:
    """Leave the process group when all runs are done: without it processes die at exit at random."""
    if world_size() == 1:
        return
    import torch.distributed

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def agree(value: T) -> T:
    """Return the main process's value in every process."""
    if world_size() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    shared: list[T] = [value]
    broadcast_object_list(shared, from_process=0)
    return shared[0]
