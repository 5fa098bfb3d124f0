"""Processes of one run: torchrun and accelerate tell them apart by environment variables."""

import os
from typing import TypeVar

T = TypeVar("T")


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def is_main() -> bool:
    """Whether this process writes and prints."""
    return rank() == 0


def join() -> None:
    """Make the processes meet. On a box without GPUs they would otherwise train N times on their own."""
    if world_size() == 1:
        return
    import torch
    from accelerate import PartialState

    PartialState(cpu=not torch.cuda.is_available())


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
