"""What the program warns of while it makes and trains a run belongs into the run's record."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune.techniques.aeda import AEDA
from tests.running import train

Write = Callable[..., Path]


def test_warnings_of_a_run_are_recorded_once(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def augment(self: AEDA, text: str, rng: object) -> str:
        logging.getLogger("finetune.techniques.aeda").warning("looks %s", "odd")
        logging.getLogger("finetune.techniques.text_cache.progress").warning("half done")
        return text

    monkeypatch.setattr(AEDA, "augment", augment)
    record = train(write_recipe(techniques={"aeda": {}}), tmp_path / "run")
    assert record.warnings.count("looks odd") == 1
    assert "half done" not in record.warnings
    quiet = train(write_recipe(), tmp_path / "next")
    assert "looks odd" not in quiet.warnings
