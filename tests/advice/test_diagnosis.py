"""The next command that a run advises: it can be typed as it stands, and is about what ran."""

import shlex

from finetune.advice.diagnosis import next_command
from finetune.workflows.asking import Request
from tests.analysis.making import Run, record_of


def advised(*overrides: str, preset: str | None = "strong") -> tuple[str, str]:
    request = Request("tweets", overrides=list(overrides))
    record = record_of(Run("strong")).model_copy(update={"techniques": {"mixout": {}}})
    return next_command(record, request.typed(), preset, request.changes_techniques())


def test_a_preset_is_compared_with_none() -> None:
    assert advised("training.epochs=5")[0] == "finetune compare tweets --set training.epochs=5 --presets none,strong"
    assert advised(preset=None)[0] == "finetune compare tweets --presets none,own"


def test_settings_of_techniques_go_into_a_file_before_they_are_compared() -> None:
    for override in ("techniques.mixout={}", "techniques={mixout: {}}"):
        command, why = advised(override, "training.epochs=5")
        assert command == "finetune cp strong mine.yaml"
        assert why.endswith("finetune compare tweets --set training.epochs=5 --presets none,mine.yaml")


def test_the_next_command_can_be_pasted_whatever_a_preset_is_called() -> None:
    typed = shlex.split(advised(preset="my preset;x.yaml")[0])
    assert typed == ["finetune", "compare", "tweets", "--presets", "none,my preset;x.yaml"]
