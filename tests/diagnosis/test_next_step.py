"""The next command that a run advises: it can be typed as it stands, and is about what ran."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune.cli.experiment_options import parse_variants
from finetune.diagnosis.next_step import next_command, remedy
from finetune.diagnosis.run_records import diagnose_run
from finetune.experiments.asked import ask
from finetune.recipe import load_recipe
from finetune.records.schema import ActiveTechnique, Evaluation, FinishedRecord, Gap, Thresholds
from finetune.records.store import RunFolder
from finetune.techniques import Budget
from finetune.training.run_warnings import budget_warnings
from finetune.workflows.asking import Request
from finetune.workflows.diagnose import diagnose
from tests.analysis.making import ROWS, SPLITS, Run, record_of

ONE_CLASS = np.tile([2.0, 0.0], (ROWS, 1))


def advised(*overrides: str, preset: str | None = "strong") -> tuple[str, str]:
    request = Request("tweets", overrides=list(overrides))
    record = record_of(Run("strong")).model_copy(update={"techniques": {"mixout": {}}})
    return next_command(record, request.typed(remedy(record)), preset, request.technique_settings())


def test_a_preset_is_compared_with_none() -> None:
    assert advised("training.epochs=5")[0] == "finetune compare tweets --set training.epochs=5 --presets none,strong"
    assert advised(preset=None)[0] == "finetune compare tweets --presets none,own"


def test_settings_of_techniques_stand_beside_presets_under_a_name() -> None:
    typed = ("techniques.mixout.probability=0.5", "training.epochs=5", "techniques.l2={}")
    command, why = advised(*typed)
    start = "finetune compare tweets --set training.epochs=5 --variant"
    assert command == f"{start} 'mine=strong:techniques.mixout.probability=0.5,techniques.l2={{}}'"
    assert why.startswith("is the effect significant?")
    parsed = parse_variants([shlex.split(command)[-1]])
    assert parsed == {"mine": ["strong:techniques.mixout.probability=0.5", "techniques.l2={}"]}
    assert ask(["none"], parsed, {})[1].keys == ("techniques.mixout.probability", "techniques.l2")


def test_the_next_command_can_be_pasted_whatever_a_preset_is_called() -> None:
    typed = shlex.split(advised(preset="my preset;x.yaml")[0])
    assert typed == ["finetune", "compare", "tweets", "--presets", "none,my preset;x.yaml"]


def test_an_overfitted_run_is_told_to_compare_presets() -> None:
    """docs/results.md: strong closes the gap of the log loss, and costs score on some sets of 300 and of 1,000 rows."""
    record = record_of(Run("none")).model_copy(update={"techniques": {}})
    command = next_command(record, "tweets", "none")[0]
    assert command == "finetune compare tweets --presets none,light,medium,strong --seeds 3"


def test_a_run_that_did_not_learn_is_trained_longer_with_every_option_it_had() -> None:
    overrides = ["data.text=my column", "training.epochs=2", "techniques.l1.strength=0.1"]
    request = Request(None, data="my file.csv", overrides=overrides)
    half = Run("strong", wrong=(10, 10, 10), logits=dict.fromkeys(SPLITS, ONE_CLASS))
    record = record_of(half).model_copy(update={"techniques": {"mixout": {}}})
    settings = remedy(record)
    assert set(settings) == {"training.epochs"}
    command, why = next_command(record, request.typed(settings), "my preset.yaml", request.technique_settings())
    assert shlex.split(command)[:4] == ["finetune", "run", "--data", "my file.csv"]
    assert "--set" in shlex.split(command)
    assert "'data.text=my column'" in command
    assert "techniques.l1.strength=0.1" in command
    assert "training.epochs=2 " not in command
    assert "--preset 'my preset.yaml'" in command
    assert "strong" not in command
    assert "did not learn" in why


def test_a_technique_with_a_learning_rate_of_its_own_gets_a_larger_one() -> None:
    half = Run("strong", wrong=(10, 10, 10), logits=dict.fromkeys(SPLITS, ONE_CLASS))
    record = record_of(half)
    trained = record.budget.model_copy(update={"steps": 1000})
    lora = ActiveTechnique(cost=1.0, settings={"learning_rate": 1e-4})
    assert remedy(record.model_copy(update={"budget": trained, "techniques": {"lora": lora}})) == {
        "techniques.lora.learning_rate": 2e-4
    }


def test_of_several_labels_that_are_never_predicted_the_head_gets_a_start() -> None:
    record = record_of(Run("strong"))
    scores, gap = record.selected.validation, record.selected.gap
    none = {"validation": {**scores, "micro_f1": 0.0}, "gap": {**gap, "micro_f1": gap["accuracy"]}}
    selected = record.selected.model_copy(update=none)
    data = record.data.model_copy(update={"task": "multi_label", "score": "micro_f1"})
    record = record.model_copy(update={"selected": selected, "data": data, "techniques": {"mixout": {}}})
    assert diagnose_run(record) == (
        "Did not learn: No label is ever predicted. Start the head from logistic regressions on the frozen features "
        "(`head_start`)."
    )
    chosen = Thresholds(values={"a": 0.2}, origins={"a": "own"}, validation={"micro_f1": 0.683}, test=None)
    assert (
        "No label is ever predicted at a probability of 0.5 (with the thresholds that were chosen on validation, "
        in (diagnose_run(record.model_copy(update={"thresholds": chosen})))
    )
    assert remedy(record) == {"techniques.head_start": {}}
    request = Request(None, data="tags.csv", overrides=[])
    command = next_command(record, request.typed(remedy(record)), "strong", [])[0]
    assert command == "finetune run --data tags.csv --set 'techniques.head_start={}' --preset strong --seed 0"
    started = record.model_copy(update={"techniques": {"head_start": {}}})
    assert "techniques.head_start" not in remedy(started)


def underfitted(**update: Any) -> FinishedRecord:
    """80 % on training and validation rows, of 400: nothing is memorized."""
    record = record_of(Run("none", wrong=(4, 4, 4)))
    selected = record.selected
    gaps = {**selected.gap, "accuracy": Gap(value=0.0, low=-0.04, high=0.04)}
    rows = {**record.data.rows, "train_probe": 400, "validation": 400}
    changed = {
        "selected": selected.model_copy(update={"gap": gaps}),
        "data": record.data.model_copy(update={"rows": rows}),
        "budget": record.budget.model_copy(update={"steps": 1000, "steps_per_epoch": 50}),
        "recipe": {**record.recipe, "training": {"learning_rate": 2e-5}},
    }
    return record.model_copy(update={**changed, **update})


def test_a_run_that_does_not_fit_its_rows_is_not_told_to_regularize() -> None:
    record = underfitted(techniques={})
    assert diagnose_run(record).startswith("Underfits: Training accuracy is 80.0 % itself")
    assert remedy(record) == {"training.learning_rate": 4e-5}
    command, why = next_command(record, "tweets --set training.learning_rate=4e-05", "none")
    assert command == "finetune run tweets --set training.learning_rate=4e-05 --preset none --seed 0"
    assert why == "a model that does not fit its training rows has no gap to close"


def test_a_run_that_its_techniques_keep_from_fitting_is_compared_with_none() -> None:
    record = underfitted(techniques={"mixout": {}})
    assert diagnose_run(record).startswith("Over-regularized: ")
    assert remedy(record) == {}
    assert next_command(record, "tweets", "strong")[0] == "finetune compare tweets --presets none,strong"


def test_a_run_that_still_rises_is_trained_longer_at_the_same_rate() -> None:
    scores = ((200, 0.3), (400, 0.4), (600, 0.6), (800, 0.7), (1000, 0.8))
    unknown = {"objective": None, "learning_rate": None, "grad_norm": None, "train_probe": {}}
    rising = [
        Evaluation(step=step, epoch=step / 50, validation={"accuracy": score, "nll": 0.6}, **unknown)
        for step, score in scores
    ]
    record = underfitted(techniques={}, history=rising)
    record = record.model_copy(update={"selected": record.selected.model_copy(update={"step": 1000})})
    assert diagnose_run(record).startswith("Still learning: ")
    assert remedy(record) == {"training.epochs": 40}


@pytest.mark.parametrize(("epochs", "advised_epochs"), [(2, 50), (49, 50), (50, 100), (99, 100), (100, 200)])
def test_the_warning_about_few_steps_and_the_next_command_name_the_same_epochs(
    epochs: int, advised_epochs: int
) -> None:
    """4 steps an epoch: 200 steps are tried first, then 400; from there on the number of steps is not the problem."""
    budget = Budget("single_label", epochs, 2e-5, 4, 0.1)
    half = record_of(Run("none", wrong=(10, 10, 10), logits=dict.fromkeys(SPLITS, ONE_CLASS)))
    steps = half.budget.model_copy(update={"steps": epochs * 4, "steps_per_epoch": 4})
    recipe = {**half.recipe, "training": {"learning_rate": "auto"}}
    record = half.model_copy(update={"budget": steps, "techniques": {}, "recipe": recipe})
    assert remedy(record) == {"training.epochs": advised_epochs}
    warned = budget_warnings(load_recipe("tweets", preset="none"), budget)
    assert [problem.changes[0].settings for problem in warned] == ([remedy(record)] if epochs < 50 else [])


def test_a_run_and_the_diagnosis_of_its_folder_say_the_same(tmp_path: Path) -> None:
    for record in (underfitted(techniques={}), record_of(Run("strong"))):
        folder = RunFolder(tmp_path / (record.preset or "own"))
        folder.write(record)
        found = diagnose(folder.path).diagnosis
        assert diagnose_run(record).lower() == f"{found.verdict}: {found.text}".lower()
