"""What the start of a run says: one line of facts, decisions, and nothing twice."""

from pathlib import Path

import pytest

from finetune.cli.listening import WarningListener
from finetune.data.load import load_data
from finetune.recipe import resolve
from finetune.records.store import RunFolder
from finetune.reports.terminal import run_summary
from finetune.training.measures import measure_for
from finetune.workflows.start_notes import start_notes
from tests.analysis.making import Run, record_of
from tests.conftest import labelled_texts, write_csv


def test_the_start_says_what_became_of_every_line_and_what_was_decided(tmp_path: Path) -> None:
    rows = [(f"2024-01-{1 + row % 28:02d}", text, label) for row, (text, label) in enumerate(labelled_texts(80))]
    path = write_csv(tmp_path / "reviews.csv", ["day", "review", "stars"], rows)
    recipe = resolve(data=str(path)).recipe
    data = load_data(recipe.data)
    first, *others = start_notes(data, measure_for(data, None))
    assert first.startswith("data: text = review, label = stars; single-label, 2 labels; rows: train ")
    assert any("is used as the text" in note for note in others)
    assert any("--set data.order_by=day" in note for note in others)
    hidden = set(data.notes) - set(others)
    assert {note.partition(":")[0] for note in hidden if "held out" in note} == {"validation", "test"}
    assert any("81 lines = 80 rows read + 0 left out + 1 header" in note for note in others)
    assert any("80 rows in all = " in note for note in others)


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
