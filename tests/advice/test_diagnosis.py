"""The next command that a run advises: it can be typed as it stands, and is about what ran."""

import shlex

import numpy as np

from finetune.advice.diagnosis import next_command, remedy
from finetune.workflows.asking import Request
from tests.analysis.making import ROWS, SPLITS, Run, record_of

ONE_CLASS = np.tile([2.0, 0.0], (ROWS, 1))


def advised(*overrides: str, preset: str | None = "strong") -> tuple[str, str]:
    request = Request("tweets", overrides=list(overrides))
    record = record_of(Run("strong")).model_copy(update={"techniques": {"mixout": {}}})
    return next_command(record, request.typed(remedy(record)), preset, request.changes_techniques())


def test_a_preset_is_compared_with_none() -> None:
    assert advised("training.epochs=5")[0] == "finetune compare tweets --set training.epochs=5 --presets none,strong"
    assert advised(preset=None)[0] == "finetune compare tweets --presets none,own"


def test_settings_of_techniques_go_into_a_file_before_they_are_compared() -> None:
    for override in ("techniques.mixout={}", "techniques={mixout: {}}"):
        command, why = advised(override, "training.epochs=5")
        assert command == "finetune cp strong mine.yaml"
        assert why.endswith("finetune compare tweets --set training.epochs=5 --presets none,mine.yaml")


def test_a_run_that_did_not_learn_is_trained_longer_with_every_option_it_had() -> None:
    overrides = ["data.text=my column", "training.epochs=2", "techniques.l1.strength=0.1"]
    request = Request(None, data="my file.csv", overrides=overrides)
    half = Run("strong", wrong=(10, 10, 10), logits=dict.fromkeys(SPLITS, ONE_CLASS))
    record = record_of(half).model_copy(update={"techniques": {"mixout": {}}})
    settings = remedy(record)
    assert set(settings) == {"training.epochs"}
    command, why = next_command(record, request.typed(settings), "my preset.yaml", True)
    assert shlex.split(command)[:4] == ["finetune", "run", "--data", "my file.csv"]
    assert "--set" in shlex.split(command)
    assert "'data.text=my column'" in command
    assert "techniques.l1.strength=0.1" in command
    assert "training.epochs=2 " not in command
    assert "--preset 'my preset.yaml'" in command
    assert "strong" not in command
    assert "did not learn" in why
