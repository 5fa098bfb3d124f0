"""Processes of one run: torchrun and accelerate distinguish them by environment variables."""

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
    """Join the processes in a group. On a machine without GPUs each would otherwise train on its own."""
    if LAUNCHER in os.environ:
        end_with(int(os.environ[LAUNCHER]))
    if world_size() == 1:
        return
    import torch
    from accelerate import PartialState

    PartialState(cpu=not torch.cuda.is_available())


def end_with(parent: int) -> None:
    """End this process, whatever it is doing, when its parent is gone, so that a killed experiment or launcher leaves
    nothing running.

    Args:
        parent: Process id of the parent, passed by the parent, which may die before this process checks.
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
    """Leave the process group when all runs are done; otherwise processes crash randomly at exit."""
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
