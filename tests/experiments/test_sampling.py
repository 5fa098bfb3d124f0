"""The next setting to try: the same history gives the same answer, and nothing is tried twice."""

from __future__ import annotations

import math
import sys
from types import SimpleNamespace

import pytest

from finetune.errors import RecipeError
from finetune.experiments.sampling import load_optuna, next_settings
from finetune.records.tune import Dimension, Trial
from tests.raising import refusal

RATE = Dimension(key="rate", low=1e-5, high=1e-3, is_log=True, default=5e-5, is_rate=True)
DROPOUT = Dimension(key="dropout", low=0.0, high=0.4, is_log=False, default=0.1, is_rate=False)
FIXED = {"rate": 5e-5, "dropout": 0.1}


def history(count: int) -> list[Trial]:
    """The nearer the rate is to 2e-4, the better; with a trial of every state."""
    trials = [Trial(number=0, stage="default", settings=dict(FIXED), status="complete", score=0.6)]
    for number in range(1, count):
        found = next_settings([RATE], trials, FIXED, 0, number)
        assert found is not None
        score = 1 - abs(found["rate"] - 2e-4) * 1000
        states = {3: {"status": "failed"}, 4: {"status": "stopped", "fold_scores": [score]}, count - 1: {}}
        trials.append(
            Trial(number=number, stage="learning rate", settings=found).model_copy(
                update=states.get(number, {"status": "complete", "score": score})
            )
        )
    return trials


def test_the_same_history_gives_the_same_answer_and_another_seed_another() -> None:
    told = history(8)
    first, again, other = (next_settings([RATE], told, FIXED, seed, 8) for seed in (0, 0, 1))
    assert first == again != other
    assert first is not None
    assert first["dropout"] == FIXED["dropout"]


def test_values_are_inside_short_and_new_and_nearer_to_what_is_good() -> None:
    rates = [trial.settings["rate"] for trial in history(25)]
    assert len(set(rates)) == 25
    assert all(1e-5 <= rate <= 1e-3 and rate == float(f"{rate:.3g}") for rate in rates)
    off = [abs(math.log(rate / 2e-4)) for rate in rates]
    assert sum(off[15:]) / 10 < sum(off[:6]) / 6


def test_where_everything_was_tried_there_is_no_next() -> None:
    narrow = RATE.model_copy(update={"low": 1e-5, "high": 1.01e-5})
    told = [
        Trial(number=number, stage="learning rate", settings={"rate": rate}, status="complete", score=0.5)
        for number, rate in enumerate((1e-5, 1.01e-5))
    ]
    assert next_settings([narrow], told, {}, 0, 2) is None


def test_several_settings_are_drawn_together() -> None:
    found = next_settings([RATE, DROPOUT], [history(1)[0]], {}, 0, 1)
    assert found is not None
    assert set(found) == {"rate", "dropout"}


def test_without_optuna_or_with_an_older_one_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    told = 'finetune tune needs optuna, which is not installed. Try: pip install "finetune[tune]"'
    assert told in refusal(RecipeError, load_optuna)
    monkeypatch.setitem(sys.modules, "optuna", SimpleNamespace(__version__="4.9.0"))
    assert "needs optuna 5 or newer, found 4.9.0." in refusal(RecipeError, load_optuna)
