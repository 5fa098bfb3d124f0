"""What the start of a run says: one line of facts, decisions, and nothing twice."""

from pathlib import Path
from typing import Any

import pytest

from finetune.cli.listening import WarningListener
from finetune.data.load import load_data
from finetune.recipe import resolve
from finetune.records.schema import Finding
from finetune.records.store import RunFolder
from finetune.reports.terminal import run_summary
from finetune.training.auto_hint import auto_notes
from finetune.training.measures import measure_for
from finetune.workflows.start_notes import start_notes
from tests.analysis.making import Run, record_of
from tests.conftest import labelled_texts, write_csv


def test_the_start_says_what_became_of_every_line_and_what_was_decided(tmp_path: Path) -> None:
    rows = [(f"2024-01-{1 + row % 28:02d}", text, label) for row, (text, label) in enumerate(labelled_texts(80))]
    path = write_csv(tmp_path / "reviews.csv", ["day", "review", "stars"], rows)
    recipe = resolve(data=str(path)).recipe
    data = load_data(recipe.data)
    first, *others = start_notes([recipe], data, measure_for(data, None))
    assert first.startswith("data: text = review, label = stars; single-label, 2 labels; rows: train ")
    assert any("is used as the text" in note for note in others)
    assert any("--set data.order_by=day" in note for note in others)
    hidden = set(data.notes) - set(others)
    assert {note.partition(":")[0] for note in hidden if "held out" in note} == {"validation", "test"}
    assert any("81 lines = 80 rows read + 0 left out + 1 header" in note for note in others)
    assert any("80 rows in all = " in note for note in others)


def test_it_says_what_auto_would_add_for_many_classes_unless_a_recipe_has_it(tmp_path: Path) -> None:
    rows = [(f"words {row} on topic {row % 20}", f"class {row % 20}") for row in range(280)]
    path = str(write_csv(tmp_path / "intents.csv", ["text", "label"], rows))

    def notes(*presets: str, **overrides: Any) -> list[str]:
        recipes = [resolve(preset=preset, data=path, overrides=overrides).recipe for preset in presets]
        return auto_notes(recipes, load_data(recipes[0].data))

    (note,) = notes("none", "light")
    assert note.startswith(
        "preset auto would set techniques.head_start={} for this data [task single_label, classes 20,"
    )
    assert "docs/results.md, `template-head-start`" in note
    assert notes("none", "auto") == []
    assert notes("none", **{"techniques.head_start": {}}) == []


def test_it_adds_nothing_for_two_classes(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "reviews.csv", ["text", "label"], labelled_texts(80))
    recipe = resolve(data=str(path)).recipe
    assert auto_notes([recipe], load_data(recipe.data)) == []


def test_a_warning_is_told_once_and_counted_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    listener = WarningListener()
    for _ in range(2):
        listener.notice("too few rows", "warning")
    assert capsys.readouterr().err == "warning: too few rows\n"
    record = record_of(Run()).model_copy(update={"warnings": ["too few rows", "a label is never predicted"]})
    text = run_summary(record, RunFolder(Path("runs/a")), ("finetune run", "why"), listener.told)
    assert "too few rows" not in text
    assert "Warning     a label is never predicted" in text
    assert "Warnings    1 warning shown before training" in text
    found = [Finding(check="leaks", level=level, text="…") for level in ("problem", "info", "warning")]
    record = record.model_copy(update={"data": record.data.model_copy(update={"findings": found})})
    text = run_summary(record, RunFolder(Path("runs/a")), ("finetune run", "why"), listener.told)
    assert "1 warning, and 2 findings of the data checks, shown before training" in text
