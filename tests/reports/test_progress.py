"""Progress of one run and of many: lines where nobody watches, bars where somebody does."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from rich.console import Console

from finetune.experiments.jobs import Event, Job
from finetune.experiments.progress import JobState, Progress
from finetune.listener import RunProgress
from finetune.measurement.scores import MEASURES
from finetune.records.comparison import JobEntry
from finetune.records.schema import Finding
from finetune.reports.matrix import MatrixDisplay, describe_matrix, event_line, job_title, matrix_table
from finetune.reports.notebook_listener import NotebookListener
from finetune.reports.progress import RunDisplay
from tests.reports.test_findings import facts

MEASURE = MEASURES["single_label"]
TRAIN, VALIDATION = {"accuracy": 0.9, "nll": 0.2}, {"accuracy": 0.8, "nll": 0.5}
SCORES = "accuracy: train 90.0 %, validation 80.0 %, gap +10.0 points; log loss gap +0.300 nats"


def at(step: int) -> RunProgress:
    return RunProgress("strong seed 0", MEASURE, step, 10, step / 5, 2.0)


def job(variant: str = "strong", seed: int = 0, **changes: Any) -> JobState:
    entry = JobEntry(variant=variant, seed=seed, fold=None, key=f"{variant}{seed}", folder="x", **changes)
    return JobState(Job(entry, recipe=None), "waiting", 1.0)  # type: ignore[arg-type]  # no display looks at the recipe


def told(state: JobState, kind: str, **changes: Any) -> JobState:
    state.update(Event(kind, state.job.entry.key, **changes))
    return state


def test_a_job_is_named_with_its_fold_and_by_what_it_does() -> None:
    entry = job(kind="refit").job.entry
    assert job_title(entry.model_copy(update={"fold": 1})) == "refit of strong seed 0 fold 1"


EVALUATED = {"step": 5, "steps": 10, "scores": {"train_probe": TRAIN, "validation": VALIDATION}}


def test_a_refit_shows_neither_validation_nor_gap_which_it_trains_on() -> None:
    refit = told(job(kind="refit"), "evaluated", **EVALUATED)
    line = event_line(Progress([refit], 1), refit, MEASURE)
    assert line == "refit of strong seed 0: step 5/10: accuracy: train 90.0 %, validation –, gap –; log loss gap –"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Not a fixture: pytest sets its own stderr between setting up and calling a test."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    return stream


def run_through(display: Any) -> None:
    display.run_started(at(0))
    for step in range(1, 6):
        display.run_stepped(at(step))
    display.run_evaluated(at(5), TRAIN, VALIDATION)
    display.run_ended(at(5))


def test_where_nobody_watches_an_evaluation_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    run_through(RunDisplay())
    assert capsys.readouterr().err == f"strong seed 0: epoch 1/2: {SCORES}\n"


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    run_through(RunDisplay())
    assert "strong seed 0:  50%" in terminal.getvalue()
    assert "5/10" in terminal.getvalue()


def test_what_is_measured_after_the_run_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    display = RunDisplay()
    display.run_evaluated(at(10), TRAIN, VALIDATION)
    run_through(display)
    display.run_evaluated(at(10), TRAIN, VALIDATION)
    display.run_ended(at(10))
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_each_event_but_a_step_is_a_line() -> None:
    state = job()
    progress = Progress([state, job("none")], slots=2)
    assert event_line(progress, told(state, "started"), MEASURE) == "strong seed 0: started"
    assert event_line(progress, told(state, "evaluated", **EVALUATED), MEASURE) == f"strong seed 0: step 5/10: {SCORES}"
    told(state, "finished")
    line = event_line(progress, state, MEASURE)
    assert line.startswith("strong seed 0: finished (1 of 2 runs done · 2 in parallel · about")
    assert (
        event_line(progress, told(state, "failed", message="no memory"), MEASURE) == "strong seed 0: failed: no memory"
    )
    refit = told(job(kind="refit"), "started")
    assert event_line(progress, refit, MEASURE) == "refit of strong seed 0: started"


def test_lines_of_a_matrix_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    display, state = MatrixDisplay(), job()
    progress = Progress([state], slots=1)
    display.jobs_started(progress, MEASURE)
    for kind in ("started", "step", "finished"):
        display.job_changed(progress, told(state, kind), MEASURE)
    display.jobs_ended(progress, MEASURE)
    assert [line.split(" (")[0] for line in capsys.readouterr().err.splitlines()] == [
        "strong seed 0: started",
        "strong seed 0: finished",
    ]


def test_the_live_table_has_a_row_per_preset_and_a_sign_per_run() -> None:
    states = [
        told(told(job(seed=0), "evaluated", **EVALUATED), "finished"),
        told(job(seed=1), "failed"),
        told(told(job(seed=2), "started"), "step", step=5, steps=10),
        job(seed=3),
        job("none"),
    ]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(matrix_table(Progress(states, slots=2), MEASURE))
    rows = console.export_text().splitlines()
    (strong,) = [row for row in rows if row.startswith("strong")]
    assert strong.split() == [
        "strong",
        "✓",
        "✗",
        "50",
        "%",
        "·",
        "90.0",
        "%",
        "80.0",
        "%",
        "+10.0",
        "points",
        "+0.300",
        "nats",
    ]
    assert any(row.split() == ["none", "·"] for row in rows)


def test_a_live_table_is_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    display, state = MatrixDisplay(), job()
    progress = Progress([state], slots=1)
    display.jobs_started(progress, MEASURE)
    display.job_changed(progress, told(state, "started"), MEASURE)
    display.jobs_ended(progress, MEASURE)
    assert "0 of 1 run done" in terminal.getvalue()


def test_a_notebook_has_bars_for_one_run_and_for_many(capsys: pytest.CaptureFixture[str]) -> None:
    listener, state = NotebookListener(), job()
    listener.run_started(at(0))
    listener.run_stepped(at(5))
    listener.run_evaluated(at(5), TRAIN, VALIDATION)
    listener.run_ended(at(5))
    progress = Progress([state, job("none")], slots=1)
    listener.jobs_started(progress, MEASURE)
    for kind in ("started", "evaluated", "finished"):
        listener.job_changed(progress, told(state, kind, **(EVALUATED if kind == "evaluated" else {})), MEASURE)
    listener.jobs_ended(progress, MEASURE)
    shown = capsys.readouterr().err
    assert "strong seed 0:  50%" in shown
    assert "1/2" in shown


def test_a_notebook_marks_warnings_and_failures_only(capsys: pytest.CaptureFixture[str]) -> None:
    listener, state = NotebookListener(), job()
    listener.notice("the smaller class has 3 rows", "warning")
    listener.notice("labels are 0 and 1")
    listener.data_checked(facts([Finding(check="leaks", level="problem", text="3 rows.")]))
    shown = capsys.readouterr()
    assert shown.err == "warning: the smaller class has 3 rows\n"
    assert shown.out.splitlines()[:2] == ["note: labels are 0 and 1", "problem: leaks: 3 rows."]
    listener.jobs_started(Progress([state], slots=1), MEASURE)
    listener.job_changed(Progress([state], slots=1), told(state, "failed", message="no memory"), MEASURE)
    assert "warning: strong seed 0 failed: no memory" in capsys.readouterr().err


def test_a_dry_run_has_a_row_per_preset_and_state_and_cuts_nothing_at_80_columns() -> None:
    name = "strong without multi_sample_dropout"
    cells = [{"variant": name, "seed": seed, "fold": None, "state": "waiting"} for seed in range(1, 5)]
    cells += [{"variant": name, "seed": 0, "fold": None, "state": "finished"}]
    cells += [
        {"variant": "none", "seed": seed, "fold": fold, "state": "waiting"} for seed in (0, 7) for fold in (0, 1, 2)
    ]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(describe_matrix(cells))
    rows = [" ".join(line.split()) for line in console.export_text().splitlines()[-3:]]
    assert rows == [f"{name} 1 to 4 – 4 waiting", f"{name} 0 – 1 finished", "none 0, 7 0 to 2 6 waiting"]
