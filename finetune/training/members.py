"""Finished runs whose models a soup or a student is made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from finetune.errors import Change, OutputError, RecipeError
from finetune.models.load import load_exported
from finetune.records.comparison import FEWEST_MEMBERS
from finetune.records.schema import FinishedRecord
from finetune.records.store import RunFolder

AGAIN = Change(text="Type the comparison's command again: it runs what is missing.")


def read_members(members: Sequence[RunFolder], kind: str) -> list[FinishedRecord]:
    """The records of runs, each with its model.

    Args:
        members: Folders of the runs.
        kind: What is made from them, for messages: soup or distil.

    Raises:
        OutputError: A run has not finished, or has no model.
        RecipeError: There are fewer than two runs.
    """
    if len(members) < FEWEST_MEMBERS:
        raise RecipeError(
            f"{kind} is made from the models of {FEWEST_MEMBERS} seeds or more, and there is {len(members)}.",
            Change(arguments={"seeds": 5}),
            argument="final",
            found=kind,
        )
    records = []
    for member in members:
        record = member.read()
        if not isinstance(record, FinishedRecord):
            state = "was never started" if record is None else f"is {record.status}"
            raise OutputError(f"{member.path}: this run {state}, and {kind} is made from finished runs.", AGAIN)
        if not member.model.is_dir():
            raise OutputError(f"{member.path}: this run no longer has a model, and {kind} needs it.", AGAIN)
        records.append(record)
    return records


def load_member(member: RunFolder) -> Any:
    """The exported model of a run, as plain transformers loads it, in fp32 on this machine's device.

    Raises:
        ModelError: It cannot be loaded.
    """
    return load_exported(member.model).to(device())


def device() -> torch.device:
    """The device for measuring models: a GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
