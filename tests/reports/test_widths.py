"""What commands print on terminals of 80, 100 and 140 columns: nothing is cut, and lines break between words.

The outputs themselves are kept in tests/reports/widths/; `FINETUNE_WRITE_WIDTHS=1` writes them anew, to be read in the
diff.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune.cli.output import terminal_width
from finetune.cli.printing import (
    print_curve,
    print_evaluation,
    print_export,
    print_report,
    print_runs,
    print_sweep,
    print_tune,
)
from finetune.records.evaluation import Neighbour
from finetune.records.explanation import Deletion, Explanation, WordContribution
from finetune.records.export import ExportReport, Timing
from finetune.records.predictions import read_run
from finetune.records.schema import FinishedRecord
from finetune.records.store import RunFolder
from finetune.reports.diagnosis import render_diagnosis
from finetune.reports.explanation import render_explanations
from finetune.reports.findings import render_check
from finetune.reports.predictions import render_predictions
from finetune.reports.wrapping import wrap
from finetune.workflows.asking import Request
from finetune.workflows.diagnose import diagnose
from finetune.workflows.model_cards import own_evaluation
from finetune.workflows.model_results import EvaluateResult, ExportResult
from finetune.workflows.report import report
from finetune.workflows.results import CompareResult, CurveResult, RunResult, SweepResult, TuneResult
from tests.analysis.curves import falling, made_curve
from tests.analysis.making import Run, write_run
from tests.analysis.test_sweep import path_of
from tests.cli.invoking import invoke
from tests.reports.sample import ablation_report, sample_report
from tests.reports.test_findings import LEAK, NOTED, RARE, facts
from tests.reports.tuned import tuned_report

KEPT = Path(__file__).parent / "widths"
RECORD = Path(__file__).parent.parent / "records" / "run.json"
WIDTHS = (80, 100, 140)
Print = Callable[[Path], None]


def _comparison(wide: bool = False, kind: str = "compare") -> Print:
    made = ablation_report() if kind == "ablate" else sample_report()
    paths = [Path(f"runs/compare-tweets/report.{ending}") for ending in ("json", "html", "md")]
    return lambda folder: print_report(CompareResult(made, Path("runs/compare-tweets"), paths), False, wide)


def _run(folder: Path) -> None:
    record = FinishedRecord.model_validate_json(RECORD.read_text(encoding="utf-8"))
    made = RunResult([record, record], [RunFolder(Path("runs/tiny-seed0")), RunFolder(Path("runs/tiny-seed1"))])
    print_runs(made, False, Request("tiny.yaml"), None)


def _curve(folder: Path) -> None:
    result = report(made_curve(folder / "curve", falling, ("none", "strong"), (100, 200, 400)))
    assert isinstance(result, CurveResult)
    print_curve(
        CurveResult(result.report, Path("runs/c"), [Path("runs/c/curve.json"), Path("runs/c/curve.html")]), False
    )


def _text(make: Callable[[], str]) -> Print:
    from finetune.cli.output import print_text

    return lambda folder: print_text(make())


def _diagnosis() -> str:
    found = diagnose(train_accuracy=0.98, validation_accuracy=0.75, train_size=1000, validation_size=200)
    return render_diagnosis(found.diagnosis)


def _predictions() -> str:
    columns = {"prediction": ["good", "bad"], "probability": [0.91, 0.6]}
    columns |= {f"probability_{name}": [0.91, 0.4] for name in ("good", "neither good nor bad", "bad", "unclear")}
    return render_predictions(["what a day", "a text of two dozen words, and not of one"], columns)


def _evaluation(folder: Path) -> None:
    run = write_run(folder / "run", Run("strong", wrong=(0, 4, 5)))
    record, arrays = read_run(RunFolder(run))
    assert isinstance(record, FinishedRecord)
    print_evaluation(EvaluateResult(own_evaluation(record, arrays, Path("runs/strong/model"))))


def _export(folder: Path) -> None:
    made = ExportReport(
        model="tweets-strong-seed0/model",
        record="0" * 64,
        format="onnx",
        quantize="int8",
        changes="44 of 58 matrix products have 8-bit integer weights; biases and normalisations stay fp32",
        data="validation",
        rows=400,
        task="single_label",
        difference=0.21,
        relative=None,
        decisions=400,
        changed=3,
        beside=0.074,
        allowed=0.05,
        measured="changed",
        score="accuracy",
        scores_before={"accuracy": 0.935, "macro_f1": 0.9, "nll": 0.319},
        scores_after={"accuracy": 0.9325, "macro_f1": 0.89, "nll": 0.318},
        bytes_before=98_000_000,
        bytes_after=25_000_000,
        threads=2,
        timings=[Timing(texts=1, before_ms=20.9, after_ms=7.8), Timing(texts=32, before_ms=356, after_ms=161)],
        torch="2.13.0",
        runtime="1.32.0",
    )
    print_export(ExportResult(Path("runs/tweets-strong-seed0/model-onnx-int8"), made))


def _explanations() -> str:
    words = {"not": 2.1, "a": -0.01, "good": -0.74, "day": 0.2}
    starts = {"not": 0, "a": 4, "good": 6, "day": 11}
    return render_explanations(
        [
            Explanation(
                model="runs/tweets-strong-seed0/model",
                row="17",
                text="not a good day",
                pair=None,
                task="single_label",
                label="negative",
                against="neither good nor bad",
                probability=0.87,
                value=1.9,
                blank=0.25,
                error=0.1,
                pieces=1,
                unread=0,
                words=[
                    WordContribution(word=w, part=0, start=starts[w], stop=starts[w] + len(w), contribution=amount)
                    for w, amount in words.items()
                ],
                deletion=Deletion(
                    words=["not"], before=0.87, after=0.21, random=0.7, random_low=0.21, random_high=0.9, draws=20
                ),
                nearest=[
                    Neighbour(row="5", text="not a good day for anybody who works", label="negative", similarity=0.61)
                ],
                missing=["something that is not at hand"],
            )
        ]
    )


def _sweep(folder: Path) -> None:
    missed = {0: (0, 5), 1: (1, 4), 100: (6, 6), 1000: (10, 10)}  # of train sample and validation
    wrong = {value: [(*few, few[1]), (few[0], few[1] + 1, few[1])] for value, few in missed.items()}
    found = path_of(folder / "sweep", wrong)
    paths = [Path(f"runs/sweep-tweets-l1.strength/sweep.{ending}") for ending in ("json", "html", "md")]
    print_sweep(SweepResult(found, paths[0].parent, paths), False)


def _two_runs(folder: Path) -> None:
    from finetune.cli.runs import print_pair
    from finetune.workflows.runs import compare_runs

    write_run(folder / "tweets-none-seed0", Run("none", wrong=(0, 4, 4)))
    write_run(folder / "tweets-strong-seed0", Run("strong", wrong=(2, 3, 5), recipe={"training": {"epochs": 12}}))
    print_pair(compare_runs("tweets-none-seed0", "tweets-strong-seed0", folder), str(folder))


def _tune(folder: Path) -> None:
    paths = [Path(f"runs/tune-tweets-medium/tune.{ending}") for ending in ("json", "html", "md")]
    print_tune(TuneResult(tuned_report(), paths[0].parent, paths), False)


OUTPUTS: dict[str, Print] = {
    "runs-compare": _two_runs,
    "tune": _tune,
    "sweep": _sweep,
    "evaluate": _evaluation,
    "compare": _comparison(),
    "compare-wide": _comparison(wide=True),
    "ablate": _comparison(kind="ablate"),
    "run": _run,
    "curve": _curve,
    "check": _text(lambda: render_check(facts([LEAK, RARE, NOTED]))),
    "diagnose": _text(_diagnosis),
    "predict": _text(_predictions),
    "export": _export,
    "explain": _text(_explanations),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_is_as_it_was_looked_at(
    name: str, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    OUTPUTS[name](tmp_path)
    text = capsys.readouterr().out
    kept = KEPT / f"{name}-{width}.txt"
    if os.environ.get("FINETUNE_WRITE_WIDTHS"):
        KEPT.mkdir(exist_ok=True)
        kept.write_text(text, encoding="utf-8")
    assert text == kept.read_text(encoding="utf-8")
    if name != "compare-wide":
        assert_fits(text, width)


def assert_fits(text: str, width: int) -> None:
    """No line is wider than the terminal, but for commands to copy and single words; and nothing is cut."""
    for line in text.splitlines():
        whole = line.lstrip().startswith("$ ") or " " not in line.strip()
        assert len(line) <= width or whole, line
        assert line == line.rstrip(), "blanks at the end of a line"
    assert not re.search(r"\w…(?=\s\s|$)", text, re.MULTILINE)


@pytest.mark.parametrize(
    "arguments", [["ls"], ["ls", "techniques"], ["show", "technique", "match"], ["diff", "light", "strong"]]
)
def test_a_list_fits_and_says_the_same_at_every_width(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = invoke(*arguments).stdout
    for width in WIDTHS:
        monkeypatch.setenv("COLUMNS", str(width))
        text = invoke(*arguments).stdout
        assert_fits(text, width)
        assert text.split() == whole.split()


def test_an_error_is_wrapped_under_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = invoke("show", "technique", "r_dropp").stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert len(lines) > 1
    assert all(line.startswith(" " * 7) and line[7] != " " for line in lines[1:])


def test_a_pipe_gets_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    assert terminal_width(sys.stdout) is None
    assert wrap("word " * 99, None) == "word " * 99


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Diagnosis   one two three", "Diagnosis   one two\n            three"),
        ("Recommended strong. Good", "Recommended strong.\n            Good"),
        ("  - one two three four five", "  - one two three\n    four five"),
        ("warning: one two three four", "warning: one two\n         three four"),
        ("    -> one two three four", "    -> one two three\n       four"),
        ("a gap of 12 points and 100 %", "a gap of 12 points\n  and 100 %"),
        ("at an accuracy of 75 % or so", "at an accuracy of\n  75 % or so"),
        ("$ finetune run --preset strong", "$ finetune run --preset strong"),
        ("see a/path/that/is/longer-than/the-terminal", "see\n  a/path/that/is/longer-than/the-terminal"),
    ],
)
def test_what_continues_a_line_stands_under_its_text(line: str, expected: str) -> None:
    assert wrap(line, 20) == expected
