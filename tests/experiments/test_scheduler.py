"""In which order cells are run."""

from typing import Any

from finetune.experiments.matrix import Cell
from finetune.experiments.scheduler import CellState, _in_running_order
from finetune.records.comparison import CellEntry


def states(*cells: tuple[str, int, int | None, float]) -> list[CellState]:
    """Of (variant, seed, fold, expected work)."""
    recipe: Any = None  # decides nothing here
    return [
        CellState(
            Cell(CellEntry(variant=name, seed=seed, fold=fold, key="0", folder=f"cells/{index}"), recipe, 1.0),
            "waiting",
            weight,
        )
        for index, (name, seed, fold, weight) in enumerate(cells)
    ]


def test_seeds_stay_together_and_the_longest_of_a_seed_comes_first() -> None:
    found = states(("none", 7, None, 1.0), ("strong", 7, None, 2.4), ("none", 3, None, 1.0), ("strong", 3, None, 2.4))
    assert _in_running_order(range(4), found) == [1, 0, 3, 2]


def test_folds_are_groups_of_their_own_and_equal_work_keeps_the_order() -> None:
    found = states(("none", 0, 0, 1.0), ("light", 0, 0, 1.0), ("none", 0, 1, 1.0), ("strong", 0, 1, 2.0))
    assert _in_running_order(range(4), found) == [0, 1, 3, 2]


def test_only_what_is_left_is_run() -> None:
    found = states(("none", 0, None, 1.0), ("strong", 0, None, 2.0), ("none", 1, None, 1.0))
    assert _in_running_order([0, 2], found) == [0, 2]
