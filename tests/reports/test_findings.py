"""Findings as text: problems first, advice beside them, nothing to know in the lines of a run."""

import csv
from pathlib import Path

from finetune.records.schema import Baseline, DataFacts, Finding
from finetune.reports.findings import baselines_line, count_findings, finding_lines, render_check, write_findings

LEAK = Finding(check="leaks", level="problem", text="3 rows.", examples=["test row 1: x"], advice="Try: --set a=b")
RARE = Finding(check="classes", level="warning", text="Few rows.")
NOTED = Finding(check="resolution", level="info", text="900 rows.")
MAJORITY = {"accuracy": 0.5, "macro_f1": 0.33, "nll": 0.69}
TFIDF = {"accuracy": 0.812, "macro_f1": None, "nll": 0.5}
BASELINES = [
    Baseline(name="majority", about="label shares", scores={"validation": MAJORITY}, gap={}),
    Baseline(name="tfidf", about="a model", scores={"validation": TFIDF}, gap={}),
]


def facts(findings: list[Finding]) -> DataFacts:
    return DataFacts(
        task="single_label",
        labels=["a", "b"],
        columns={"text": "review", "label": "stars"},
        rows={"train": 10, "train_probe": 2, "validation": 2},
        classes={},
        dropped={"empty text": 1},
        notes=["a note"],
        warnings=["a warning"],
        fingerprint="0",
        findings=findings,
        baselines=BASELINES,
    )


def test_a_run_is_told_problems_and_warnings_in_a_line_each() -> None:
    assert finding_lines([LEAK, RARE, NOTED]) == [
        "problem: leaks: 3 rows. Try: --set a=b",
        "warning: classes: Few rows.",
    ]


def test_findings_of_a_check_are_one_line_with_the_worst_first() -> None:
    [line] = finding_lines([RARE, RARE.model_copy(update={"level": "problem", "text": "No rows."}), RARE])
    assert line == "problem: classes: No rows. (2 more of this kind: finetune check)"


def test_findings_are_written_as_a_table_without_formulas(tmp_path: Path) -> None:
    write_findings(tmp_path / "f.csv", ["row", "text"], iter([["1", "=1+1, a formula"], ["2", 'say "x"\nor y']]))
    with (tmp_path / "f.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{"row": "1", "text": "'=1+1, a formula"}, {"row": "2", "text": 'say "x"\nor y'}]


def test_findings_are_counted() -> None:
    assert count_findings([LEAK, LEAK, RARE, NOTED]) == "2 problems, 1 warning"
    assert count_findings([NOTED]) == "no problems, no warnings"


def test_baselines_stand_in_one_line_by_the_main_score() -> None:
    assert baselines_line(BASELINES, "single_label", None) == "majority 50.0 %, TF-IDF 81.2 % (accuracy on validation)"
    assert baselines_line(BASELINES, "single_label", "macro_f1") == "majority 33.0 %, TF-IDF – (macro-F1 on validation)"
    assert baselines_line([], "single_label", None) == ""


def test_the_whole_check() -> None:
    lines = render_check(facts([LEAK, RARE, NOTED])).splitlines()
    assert lines[:5] == [
        "Data        single-label, 2 labels; rows: train 10, train (sample) 2, validation 2",
        "Columns     text = review, label = stars",
        "Excluded    1 row: empty text",
        "note: a note",
        "warning: a warning",
    ]
    assert lines[6:9] == ["PROBLEM  leaks: 3 rows.", "    test row 1: x", "    -> Try: --set a=b"]
    assert any(line.split() == ["TF-IDF", "validation", "81.2", "%", "–", "0.500"] for line in lines)
    assert lines[-1] == "1 problem, 1 warning"
