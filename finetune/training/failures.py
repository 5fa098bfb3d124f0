"""Explanations of a failed run for its user."""

from __future__ import annotations

from pathlib import Path

import torch

from finetune.errors import Change, FinetuneError, RunFailed
from finetune.recipe import Recipe
from finetune.training.disk import disk_full, is_full


def explain(error: BaseException, recipe: Recipe, folder: Path) -> BaseException:
    """Turn errors that the user can solve into a RunFailed; all others stay as they are, with traceback."""
    if isinstance(error, FinetuneError | KeyboardInterrupt):
        return error
    if is_full(error):
        return disk_full(folder)
    if isinstance(error, FileNotFoundError) and not folder.exists():
        return folder_gone(folder)
    if isinstance(error, torch.OutOfMemoryError):
        return RunFailed(f"out of GPU memory: {error}", _half_the_memory(recipe))
    return error


def folder_gone(folder: Path) -> RunFailed:
    """The error for a folder that was removed while its run was in progress."""
    way = Change(text="Put it back and type the same command with --resume, or start a new run.")
    return RunFailed(f"{folder} was deleted or renamed while the run was in progress.", way)


def _half_the_memory(recipe: Recipe) -> Change:
    """Smaller micro-batches, or shorter texts where each holds a single row already."""
    parts = 2 * recipe.training.accumulation
    if parts <= recipe.training.batch_size:
        return Change(settings={"training.accumulation": parts}, note="the same batch in half the memory")
    return Change(settings={"data.max_length": recipe.data.max_length // 2}, note="shorter texts")
