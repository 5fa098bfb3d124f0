"""`--preset auto`, and presets with rules of one's own, as users type them: run, resume, compare, ablate, curve."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import finetune
from finetune.data.loader import Loader
from finetune.experiments.executors import EXECUTORS
from finetune.experiments.options import Options
from finetune.experiments.planning import plan_runs
from finetune.experiments.variants import fit_variants, preset_variants
from finetune.recipe import choose, resolve
from finetune.records.store import RunFolder
from finetune.training.choice_facts import measure_facts
from finetune.training.prepare import load_data, prepare
from finetune.training.runner import run_seed
from tests.cli.invoking import error_lines, invoke, program
from tests.conftest import labelled_texts, write_csv
from tests.experiments.inline import REFERENCE
from tests.interrupting import InterruptAt
from tests.running import assert_same_weights

pytestmark = pytest.mark.usefixtures("without_plots")

Write = Callable[..., Path]
SAID = {"because": "There are {rows} rows.", "evidence": "no evidence yet"}
RULES: dict[str, Any] = {
    "few": {
        "when": {"rows": "below 30"},
        "set": {"training.learning_rate": 0.01, "training.min_steps": 20},
        **SAID,
    },
    "more": {
        "when": {"rows": "from 30"},
        "set": {"training.learning_rate": 0.004, "techniques.dropout.classifier": 0.2, "techniques.l2": {}},
        **SAID,
    },
}


@pytest.fixture
def recipe(write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(EXECUTORS, "local", REFERENCE)
    write_rules(RULES)
    return write_recipe(training={"epochs": 4})


def write_rules(rules: dict[str, Any]) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump({"rules": rules}, sort_keys=False), encoding="utf-8")


def done(*arguments: object) -> Any:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.stderr
    return result


def test_auto_on_twenty_rows_changes_nothing_and_says_what_to_do(recipe: Path, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "few.csv", ["text", "label"], labelled_texts(20))
    sizes = ("--set", "data.test_size=4", "--set", "data.validation_size=4")
    shown = program("show", recipe, "--preset", "auto", "--set", f"data.source={rows}", *sizes, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    chosen = shown.stdout.partition("Chosen by the data")[2].partition("\n\n")[0]
    assert "auto sets preset=none." in chosen
    assert "12 training and 4 validation rows cannot tell settings apart" in chosen
    assert "finetune compare --folds 5" in chosen
    assert re.search(r"training\.learning_rate +0\.005 +tiny\.yaml", shown.stdout)
    assert re.search(r"rule steps-for-many-classes +task single_label, pooling cls, classes from 6", shown.stdout)


def test_show_names_the_rule_behind_each_value(recipe: Path) -> None:
    plan = json.loads(done("show", recipe, "--preset", "mine.yaml", "--json").stdout)
    assert plan["values"]["training.learning_rate"] == {"value": 0.004, "origin": "presets/mine.yaml, rule more"}
    assert plan["values"]["techniques.dropout.classifier"]["origin"] == "presets/mine.yaml, rule more"
    assert plan["values"]["techniques.l2.strength"]["origin"] == "presets/mine.yaml, rule more"
    assert [decision["rule"] for decision in plan["decisions"]] == ["more"]
    assert "There are 48 rows. Evidence: no evidence yet (rule more)" in plan["decisions"][0]["text"]


def test_rules_are_shown_where_the_data_cannot_be_read(recipe: Path) -> None:
    shown = done("show", recipe, "--preset", "auto", "--set", "data.source=missing.csv").stdout
    assert "Data        unavailable" in shown
    assert "rule base " in shown
    assert "Chosen by the data" not in shown


def test_a_decision_is_printed_recorded_and_in_the_summary(recipe: Path) -> None:
    ran = done("run", recipe, "--preset", "mine.yaml", "--set", "techniques.l2=off", "-o", "one")
    said = (
        "mine sets training.learning_rate=0.004 (recipe: 0.005), techniques.dropout.classifier=0.2, "
        "leaves techniques.l2 to --set techniques.l2=off (the rule: {}) [rows 48]. There are 48 rows. "
        "Evidence: no evidence yet (rule more)"
    )
    assert f"note: {said}" in ran.stderr
    assert f"Chosen      {said}" in ran.stdout
    record = RunFolder(Path("one")).read()
    assert record is not None
    assert [decision.text for decision in record.decisions] == [said]
    assert record.recipe["training"]["learning_rate"] == 0.004
    assert list(record.techniques) == ["dropout"]
    assert record.preset == "mine"
    done("report", "one")
    assert said[:60] in Path("one/report.md").read_text(encoding="utf-8").replace("\\", "")


def cut(recipe: Path, step: int) -> None:
    """Press Ctrl-C in a run."""
    prepared = prepare(resolve(recipe, "mine.yaml").recipe)
    with pytest.raises(KeyboardInterrupt):
        run_seed(prepared, 0, RunFolder(Path("cut")), [InterruptAt(step)], False)


def test_a_run_that_chose_is_resumed_to_the_same_weights(recipe: Path) -> None:
    whole = finetune.run(recipe, preset="mine.yaml", output="whole")
    cut(recipe, 8)
    done("run", recipe, "--preset", "mine.yaml", "-o", "cut", "--resume")
    assert_same_weights(Path("whole"), Path("cut"))
    assert whole.record.decisions[0].set["training.learning_rate"] == 0.004


def test_other_rules_or_settings_than_those_that_started_a_run_do_not_resume_it(recipe: Path) -> None:
    cut(recipe, 6)
    command = ("run", recipe, "--preset", "mine.yaml", "-o", "cut", "--resume")
    changed = invoke(*command, "--set", "training.learning_rate=0.1")
    assert "is a run of another recipe: --set training.learning_rate: None then, 0.1 now" in changed.stderr
    write_rules({**RULES, "more": {**RULES["more"], "when": {"rows": "from 40"}}})
    changed = invoke(*command)
    assert len(error_lines(changed.stderr)) == 1
    assert "is a run of another recipe: rule more of mine: " in changed.stderr


def test_a_comparison_shows_what_was_chosen_and_names_it_in_the_caveats(recipe: Path) -> None:
    command = ("compare", recipe, "--presets", "none,mine.yaml", "--seeds", "1", "-o", "both", "--final", "best")
    first = done(*command)
    assert "note: mine sets training.learning_rate=0.004 (recipe: 0.005)" in first.stderr
    group = json.loads(Path("both/report.json").read_text(encoding="utf-8"))["groups"][0]
    plain, mine = group["variants"]
    assert plain["decisions"] == []
    assert mine["decisions"][0]["set"]["training.learning_rate"] == 0.004
    assert mine["differences"]
    assert any("mine chose training.learning_rate=0.004 by the data" in text for text in group["caveats"])
    page = Path("both/report.html").read_text(encoding="utf-8")
    assert "Chosen by the data, by rules" in page
    assert "There are 48 rows." in page
    again = done(*command)
    assert ": started" not in again.stderr


def keys(recipe: Path, *presets: str) -> dict[str, str]:
    variants = preset_variants(presets, "none", Options(recipe=str(recipe)))
    fitted, _ = fit_variants(variants, None, Loader())
    return {job.entry.variant: job.entry.key for job in plan_runs(fitted, [0], None, Loader())}


def test_keys_are_by_what_was_chosen(recipe: Path) -> None:
    before = keys(recipe, "none", "mine.yaml")
    other_reason = {**RULES["more"], "because": "For another reason."}
    idle = {"when": {"rows": "from 9999"}, "set": {"preset": "strong"}, **SAID}
    write_rules({**RULES, "more": other_reason, "idle": idle})
    assert keys(recipe, "none", "mine.yaml") == before
    write_rules({**RULES, "more": {**RULES["more"], "set": {"training.learning_rate": 0.003}}})
    after = keys(recipe, "none", "mine.yaml")
    assert after["none"] == before["none"]
    assert after["mine"] != before["mine"]


def test_a_choice_that_is_another_preset_is_said(recipe: Path) -> None:
    dry = done("compare", recipe, "--presets", "none,auto", "--seeds", "1", "-o", "both", "--dry-run")
    assert "note: auto chose exactly the settings of none, so the two do not differ" in dry.stderr


def test_a_curve_chooses_at_each_size(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.experiments.sizes.MIN_STEPS", 4)
    made = done("curve", recipe, "--sizes", "16,40", "--presets", "none,mine.yaml", "--seeds", "1", "-o", "curve")
    assert "note: 16 rows: mine sets training.learning_rate=0.01 (recipe: 0.005), training.min_steps=20" in made.stderr
    assert "note: 40 rows: mine sets training.learning_rate=0.004" in made.stderr
    presets = json.loads(Path("curve/curve.json").read_text(encoding="utf-8"))["presets"]
    points = next(preset for preset in presets if preset["name"] == "mine")["points"]
    assert [point["decisions"][0]["rule"] for point in points] == ["few", "more"]
    assert [point["steps"] for point in points] == [20, 20]
    assert "There are 16 rows." in Path("curve/curve.html").read_text(encoding="utf-8")


def test_an_ablation_takes_apart_what_was_chosen(recipe: Path) -> None:
    dry = done("ablate", recipe, "--preset", "mine.yaml", "--seeds", "1", "-o", "parts", "--dry-run", "--json")
    folders = [cell["variant"] for cell in json.loads(dry.stdout)["cells"]]
    assert folders == ["none", "mine", "mine without dropout", "dropout alone", "mine without l2", "l2 alone"]
    refused = invoke("ablate", recipe, "--preset", "auto", "-o", "parts")
    assert "--preset auto: has 0 techniques for this data; an ablation needs two or more." in refused.stderr


def test_facts_are_measured_on_the_training_rows(recipe: Path) -> None:
    asked = resolve(recipe, "auto", overrides={"data.max_length": 4}).recipe
    found = measure_facts(asked, load_data(asked.data))
    long_texts = found.pop("long_texts")
    assert 0 < long_texts < 1
    assert found == {
        "task": "single_label",
        "rows": 48,
        "validation_rows": 16,
        "classes": 2,
        "rows_per_class": 24,
        "rarest_class": 24,
        "largest_class": 0.5,
        "score": "accuracy",
        "words": found["words"],
        "unlabelled": 0,
        "pooling": "cls",
        "width": 16,
    }


def test_facts_of_numbers_and_of_a_missing_model(recipe: Path, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "numbers.csv", ["text", "label"], [(f"text {row}", row / 7) for row in range(60)])
    overrides = {"data.source": str(rows), "data.task": "regression"}
    asked = resolve(recipe, "auto", model="missing/model", overrides=overrides)
    found = measure_facts(asked.recipe, load_data(asked.recipe.data))
    assert [found[name] for name in ("classes", "rarest_class", "pooling", "width", "score")] == [None] * 4 + ["other"]
    assert "other-tasks" in [decision.rule for decision in choose(asked.recipe, found).decisions]


def test_a_wrong_rule_is_named_before_anything_is_loaded(recipe: Path) -> None:
    write_rules({"odd": {"when": {"rows": "from 5"}, "set": {"training.learning_rate": 7}, **SAID}})
    for command in ("run", "show", "validate"):
        refused = invoke(command, recipe, "--preset", "mine.yaml")
        assert refused.exit_code == 2
        [line] = error_lines(refused.stderr)
        assert line.startswith(
            "error: presets/mine.yaml, rule odd: training.learning_rate: expected a valid number, above 0"
        )
