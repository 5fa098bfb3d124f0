"""The plan: every verdict has one, every command of it can be typed, every condition is known."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.main import get_command

from finetune.cli.app import app
from finetune.diagnosis.look_alikes import look_alikes_of
from finetune.diagnosis.observations import Observed
from finetune.diagnosis.plan import plan_for, read_plan
from finetune.diagnosis.run_records import observe_record
from finetune.recipe import load_recipe
from finetune.records.diagnosis import Estimate, VerdictName
from finetune.records.schema import Finding
from finetune.techniques import TECHNIQUES
from tests.analysis.making import Run, record_of
from tests.cli.invoking import invoke
from tests.running import train

Write = Callable[..., Path]
NUMBERS = (
    "--train-accuracy",
    "0.98",
    "--validation-accuracy",
    "0.75",
    "--train-size",
    "1000",
    "--validation-size",
    "200",
)
ENTRIES = pytest.mark.parametrize("entry", read_plan(), ids=lambda entry: entry["action"][:30])


@ENTRIES
def test_an_entry_is_complete(entry: dict[str, Any]) -> None:
    assert set(entry["for"]) <= set(get_args(VerdictName))
    assert entry["evidence"]
    assert entry["strength"] in ("strong", "moderate", "weak", "none")
    assert entry.get("technique") is None or entry["technique"] in TECHNIQUES
    observed = Observed("x", train_rows=10, validation_rows=10, classes=2)
    plan_for(entry["for"][0], observed)  # raises for a condition that nobody knows


@ENTRIES
@pytest.mark.parametrize("data", ["tweets", Observed.data])
def test_its_command_can_be_typed(entry: dict[str, Any], data: str) -> None:
    program, name, *rest = shlex.split(entry["command"].replace("{data}", data))
    assert program == "finetune"
    get_command(app).commands[name].make_context(name, rest)  # type: ignore[attr-defined]  # raises for unknown options
    overrides = [value for option, value in itertools.pairwise(rest) if option == "--set"]
    presets = [value for option, value in itertools.pairwise(rest) if option in ("--preset", "--presets")]
    for preset in presets[0].split(",") if presets else [None]:
        load_recipe("tweets", preset=preset, overrides=overrides)


@pytest.mark.parametrize("verdict", get_args(VerdictName))
def test_every_verdict_has_a_plan(verdict: VerdictName) -> None:
    assert plan_for(verdict, Observed("x"))


def test_the_plan_depends_on_what_is_known() -> None:
    few = plan_for("overfits", Observed("x", train_rows=60, validation_rows=50, classes=6))
    assert few[0].action.startswith("Get more labels")
    many = plan_for("overfits", Observed("x", train_rows=60_000, validation_rows=5000, classes=6))
    actions = " ".join(step.action for step in many)
    assert "how sure" not in actions
    assert "freeze" not in actions
    stopped = plan_for("overfits", Observed("x", techniques=("early_stopping",)))
    assert all(step.technique != "early_stopping" for step in stopped)


def test_folds_are_not_advised_where_test_is_a_split_of_its_own() -> None:
    known = {"train_rows": 500, "validation_rows": 100, "classes": 2}
    for has_own_test, folds in ((False, True), (True, False)):
        observed = Observed("x", **known, has_own_test=has_own_test)
        commands = [step.command for step in plan_for("overfits", observed)]
        commands += [each.check for each in look_alikes_of("overfits", observed)]
        assert any("--folds" in command for command in commands) is folds


@pytest.mark.parametrize(
    ("tfidf", "status", "first"),
    [(0.73, "ruled out", True), (0.47, "likely", False), (0.45, "likely", False), (0.3, "ruled out", False)],
)
def test_a_linear_model_that_is_ahead_means_too_few_steps_and_no_limit(tfidf: float, status: str, first: bool) -> None:
    observed = Observed("x", validation=Estimate(mean=0.46), tfidf=tfidf, train_rows=5000, validation_rows=400)
    (limit,) = (each for each in look_alikes_of("overfits", observed) if each.name.startswith("a limit"))
    assert limit.status == status
    assert ("more than the model" in limit.why) is first
    assert plan_for("overfits", observed)[0].action.startswith("Train until") is first


def test_what_tells_test_apart_does_not_explain_a_gap_to_validation() -> None:
    shift = {"check": "length_shift", "level": "warning", "text": "Text lengths differ."}
    for split, status in (("validation", "likely"), ("test", "ruled out"), (None, "likely")):
        record = record_of(Run())
        findings = [Finding.model_validate({**shift, "split": split})]
        data = record.data.model_copy(update={"findings": findings, "baselines": []})
        observed = observe_record(record.model_copy(update={"data": data}), Path("run"))
        (found,) = (each for each in look_alikes_of("overfits", observed) if each.name.startswith("a shift"))
        assert found.status == status, split


def test_the_question_that_everybody_brings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = invoke("diagnose", *NUMBERS, "--all")
    assert found.exit_code == 0, found.stderr
    assert found.stdout.startswith("OVERFITS: Training accuracy is 23.0 points above validation [+17.4, +29.5]")
    for word in ("L1", "L2", "elastic net", "dropout", "label smoothing", "early stop", "back-translation", "R-Drop"):
        assert word.lower() in found.stdout.lower(), word
    text = [line for line in found.stdout.splitlines() if not line.strip().startswith("$")]
    assert max(map(len, text)) <= 80


def test_json_and_fail_on() -> None:
    found = invoke("diagnose", *NUMBERS, "--json", "--fail-on", "overfits")
    assert found.exit_code == 1
    assert json.loads(found.stdout)["verdict"] == "overfits"
    assert "the verdict is 'overfits'" in found.stderr
    assert invoke("diagnose", *NUMBERS, "--fail-on", "diverged").exit_code == 0


def test_a_run_of_ours_is_diagnosed_with_its_own_intervals(tmp_path: Path, write_recipe: Write) -> None:
    record = train(write_recipe(), tmp_path / "run")
    found = invoke("diagnose", tmp_path / "run", "--json")
    assert found.exit_code == 0, found.stderr
    diagnosis = json.loads(found.stdout)
    gap = record.selected.gap["accuracy"]
    assert diagnosis["gap"] == {"mean": gap.value, "low": gap.low, "high": gap.high}
    assert diagnosis["validation_rows"] == record.data.rows["validation"]
    commands = [step["command"] for step in diagnosis["plan"] if "show technique" not in step["command"]]
    named = f"--data {shlex.quote(record.recipe['data']['source'])} --model"
    assert commands
    assert all(named in command for command in commands)
    assert diagnosis["train_measured"] == record.data.rows["train_probe"] < record.data.rows["train"]
    refused = invoke("diagnose", tmp_path / "run", "--train-size", "5")
    assert refused.exit_code == 2
    assert "the record of the run has this value" in refused.stderr
    above = invoke("diagnose", tmp_path)
    assert f"finetune diagnose {tmp_path / 'run'}" in above.stderr


def test_a_result_shows_itself_in_a_notebook() -> None:
    from finetune import diagnose

    result = diagnose(train_accuracy=0.98, validation_accuracy=0.75, train_size=1000, validation_size=200)
    assert "What to do, in this order" in result._repr_html_()
    assert repr(result) == "DiagnoseResult(overfits)"
