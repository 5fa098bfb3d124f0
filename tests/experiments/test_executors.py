"""What every executor does with a task: the same events in the same order, and the same record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from finetune.experiments.executors import EXECUTORS, choose_executor
from tests.experiments.handing_out import Desk, recipe_of, task, timeless
from tests.running import train

CLUSTERS = {"ray": "ray_cluster", "slurm": "slurm_cluster"}


@pytest.mark.parametrize("name", EXECUTORS)
def test_a_task_is_run_once_and_gives_the_record_that_it_gives_alone(
    name: str,
    write_recipe: Callable[..., Path],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})  # one thread: it decides how sums are rounded
    if name in CLUSTERS:
        request.getfixturevalue(CLUSTERS[name])
    recipe = write_recipe()
    desk = Desk([task("a", recipe_of(recipe, "none"), tmp_path / "cells" / "a")])
    executor = choose_executor(name, "1", 1, 1)
    assert executor.slots == 1
    executor.run(desk, desk)
    assert desk.kinds("a") == ["started", "finished"]
    steps = [event.step for event in desk.events if event.kind == "evaluated"]
    assert steps == sorted(steps)
    assert len(steps) > 1
    train(recipe, tmp_path / "alone", "none")
    assert timeless(tmp_path / "cells" / "a") == timeless(tmp_path / "alone")
