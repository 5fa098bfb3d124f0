"""scripts/check_cases: its table is well-formed, and it tells right from wrong."""

import importlib.machinery
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import write_csv

SCRIPT = Path(__file__).parent.parent / "scripts" / "check_cases"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("check_cases", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_cases", loader))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "check_cases", module)
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path / "cache"))
    loader.exec_module(module)
    return module


def call(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["check_cases", *arguments])
    return script.main()


def test_every_reading_of_the_table_says_what_is_right(script: ModuleType) -> None:
    expected = script.read_expected()
    assert len(expected) == 41
    for case, readings in expected.items():
        for reading in readings:
            assert reading["right"], case
            for right in reading["right"]:
                for pattern in [*right.get("says", []), *right.get("unsaid", []), right.get("error", "")]:
                    re.compile(pattern)


def test_a_missing_folder_is_said(script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert call(script, monkeypatch, "/no/such/folder") == 2
    assert "no such folder, so no case was checked" in capsys.readouterr().err


@pytest.mark.parametrize("right", [True, False])
def test_cases_are_compared_with_the_table(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any, right: bool
) -> None:
    folder = tmp_path / "cases" / "03-label-case-variants"
    folder.mkdir(parents=True)
    names = ["positive", "Positive"] if right else ["pos", "neg"]
    rows = [(f"some text {row}", names[row % 2]) for row in range(40)]
    write_csv(folder / "data.csv", ["text", "label"], rows)
    table = [{"right": [{"rows": 40, "says": ["spellings of 1"]}, {"error": "nothing like it"}]}]
    monkeypatch.setattr(script, "read_expected", lambda: {folder.name: table})
    assert call(script, monkeypatch, str(folder.parent)) == (0 if right else 1)
    said = capsys.readouterr().out
    assert said.startswith(f"{'right' if right else 'WRONG'}  03-label-case-variants data.csv: single_label, 2 classes")
    assert ("to be told 'spellings of 1'" in said) is not right
