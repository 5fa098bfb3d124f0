"""Label cells that are lists of one number for each label: zeros and ones, or probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finetune.data.label_cells import CellError, LabelFormat, are_flags_of_places, are_written_lists, read_list
from finetune.errors import Change, DataError
from finetune.recipe import DataSection
from finetune.tasks import Task

SHOWN = 8  # names in a map to be typed


def find_vectors(section: DataSection, cells: Sequence[Any], notes: list[str]) -> LabelFormat | None:
    """How lists of zeros and ones are read, where all cells are such lists of one length; a note says it.

    As names, 0 and 1 would be the only labels, and every text would have both.

    Args:
        section: The data section of the recipe.
        cells: The filled label cells.
        notes: Extended with the message.

    Raises:
        DataError: The lists hold numbers with fractions, such as probabilities.
    """
    lists = _lists_of_numbers(cells) if section.task != "regression" else None
    places = len(lists[0]) if lists else 0
    if not lists or places < 2 or any(len(parts) != places for parts in lists):
        return None
    if not all(map(are_flags_of_places, lists)):
        _refuse_fractions(lists)
        return None
    task: Task = "single_label" if all(sum(parts) == 1 for parts in lists) else "multi_label"
    task = task if section.task == "auto" else section.task
    named = Change(settings={"data.label_map": {str(place): f"NAME {place}" for place in range(places)}})
    names = f". To name them: {named.for_command_line()}" if places <= SHOWN and not section.label_map else ""
    what = "exactly one 1, whose position is the class" if task == "single_label" else "a 1 for each label of the text"
    notes.append(f"labels are lists of {places} zeros and ones, such as {cells[0]}: {what}, counted from 0{names}")
    return LabelFormat(task, places=places)


def repeat_warnings(cells: Sequence[Any]) -> list[str]:
    """A warning about lists that hold the same label more than once, as those of several annotators do."""
    repeated = [cell for cell in cells if isinstance(cell, list) and len(set(map(str, cell))) < len(cell)]
    if not repeated:
        return []
    return [
        f"data.label: {len(repeated)} of {len(cells)} lists hold a label more than once, such as "
        f"{str(repeated[0])[:80]}: it counts once. If a list holds the labels of several annotators, save the label "
        "that most of them gave"
    ]


def _lists_of_numbers(cells: Sequence[Any]) -> list[list[Any]] | None:
    """The cells as lists of numbers or truth values; None where they are anything else."""
    if not cells or not (all(isinstance(cell, list) for cell in cells) or _are_written(cells)):
        return None
    try:
        lists = [read_list(cell) for cell in cells]
    except CellError:
        return None
    return lists if all(isinstance(part, int | float) for parts in lists for part in parts) else None


def _are_written(cells: Sequence[Any]) -> bool:
    first = cells[0]
    return isinstance(first, str) and first.strip()[:1] == "[" and are_written_lists(cells)


def _refuse_fractions(lists: Sequence[Sequence[Any]]) -> None:
    """Raises:
    DataError: Most of the lists hold numbers with fractions.
    """
    odd = [parts for parts in lists if not all(float(part).is_integer() for part in parts)]
    if 2 * len(odd) > len(lists):
        raise DataError(
            f"labels are lists of {len(odd[0])} numbers with fractions, such as {list(odd[0])}, as probabilities are. "
            "Expected the name of a class, or a list of names. Save the label with the highest number of each text.",
            key="data.label",
            found=str(odd[0]),
        )
