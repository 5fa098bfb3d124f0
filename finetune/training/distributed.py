"""Processes of one run: torchrun and accelerate distinguish them by environment variables."""

import os
from typing import TypeVar

from finetune.parent import end_with

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
