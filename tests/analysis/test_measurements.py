"""Scores of the checkpoints of each run on resampled rows."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from finetune.analysis import measurements
from finetune.analysis.measurements import DRAWS, RowDraws
from tests.analysis.making import ROWS, alternating, two_class


def run(selected: int, last: int) -> Any:
    """A run whose checkpoints miss so many rows of the train sample."""
    logits = {"selected_train_probe_logits": two_class(selected), "last_train_probe_logits": two_class(last)}
    rows = {"train_probe_rows": np.arange(ROWS), "train_probe_targets": alternating()}
    return SimpleNamespace(fold=None, arrays={**logits, **rows})


def accuracy(missed: int) -> NDArray[np.float64]:
    """Of each draw, from the number of times that each row was drawn."""
    times = np.random.default_rng(0).multinomial(ROWS, np.full(ROWS, 1 / ROWS), size=DRAWS)
    drawn: NDArray[np.float64] = times[:, missed:].sum(axis=1) / ROWS
    return drawn


def test_each_checkpoint_has_its_own_scores_on_the_same_draws() -> None:
    runs = [run(1, 1), run(2, 5), run(3, 3)]
    draws = RowDraws(runs, "single_label")
    for one, (selected, last) in zip(runs, ((1, 1), (2, 5), (3, 3)), strict=True):
        np.testing.assert_allclose(draws.scores(one, "selected_train_probe")["accuracy"], accuracy(selected))
        np.testing.assert_allclose(draws.scores(one, "last_train_probe")["accuracy"], accuracy(last))


def test_a_checkpoint_that_was_not_measured_has_no_scores() -> None:
    without = run(1, 1)
    del without.arrays["last_train_probe_logits"]
    draws = RowDraws([without], "single_label")
    assert draws.scores(without, "last_train_probe") == {}
    assert draws.scores(without, "selected_train_probe")


def test_very_many_runs_have_fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "DRAWS_OF_ALL", 2 * DRAWS)
    assert [_draws_of_each(runs) for runs in (1, 2, 3, 7, 8, 100)] == [DRAWS, DRAWS, 1333, 571, 500, 500]


def _draws_of_each(runs: int) -> int:
    made = [run(1, 2) for _ in range(runs)]
    return len(RowDraws(made, "single_label").scores(made[-1], "last_train_probe")["accuracy"])
