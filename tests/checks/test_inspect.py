"""The gate as a whole: nothing breaks it, it says nothing on stderr, and it is computed once."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune.checks import Inspection, inspect_data
from finetune.checks.base import CHECKS
from finetune.checks.inspect import CODE
from finetune.data.rows import Data
from finetune.data.tokens import Encoder
from finetune.models.configuration import load_tokenizer
from finetune.recipe import DataSection, ModelSection
from tests import planting
from tests.planting import make_data, make_rows

PACKAGE = Path(__file__).parent.parent.parent / "finetune"
CHECKS_FOLDER = PACKAGE / "checks"
SECTION = DataSection(source="x.csv")


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path / "cache"))


def tiny(task: str, texts: list[str], pairs: list[str] | None, with_test: bool) -> Data:
    label: Any = {
        "single_label": lambda i: "ab"[i % 2],
        "multi_label": lambda i: [["a"], ["a", "b"], []][i % 3],
        "regression": lambda i: float(i),
    }[task]
    rows = make_rows([(text, label(index)) for index, text in enumerate(texts)], pairs)
    held = rows.take(range(3))
    return make_data(rows, held, held if with_test else None, task)


ODD = ["a", "👍", ".", "None", "漢字", "\u200b", "ok", "ok", "x" * 500, "a b", "\ud83d", "Ω"]


@pytest.mark.parametrize("task", ["single_label", "multi_label", "regression"])
@pytest.mark.parametrize("pairs", [None, ["", "b", "👍"] * 4])
@pytest.mark.parametrize("with_test", [True, False])
def test_twelve_odd_rows_of_any_task(task: str, pairs: list[str] | None, with_test: bool, capfd: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = inspect_data(tiny(task, ODD, pairs, with_test), SECTION, None)
    assert {baseline.name for baseline in found.baselines} == {"mean" if task == "regression" else "majority", "tfidf"}
    assert set(found.baselines[0].scores) == {"train_probe", "validation", *(["test"] if with_test else [])}
    assert capfd.readouterr().err == ""


def test_problems_come_first() -> None:
    data, _ = planting.plant_leaks(planting.clean_data(0, rows=200), "exact", 0, 5, planting.random.Random(0))
    levels = [finding.level for finding in inspect_data(data, SECTION, None).findings]
    assert levels == sorted(levels, key=["problem", "warning", "info"].index)
    assert levels[0] == "problem"


def test_every_text_is_normalised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = planting.clean_data(0, rows=60)
    seen = []
    monkeypatch.setattr("finetune.data.duplicates.normalise", lambda text: (seen.append(text), text)[1])
    inspect_data(data, SECTION, None)
    assert len(seen) == 60


def test_with_the_tokenizer_of_a_model(tiny_model: Path) -> None:
    data = planting.clean_data(0, rows=60)
    encoder = Encoder(load_tokenizer(ModelSection(id=str(tiny_model))), data, 8)
    checks = {finding.check for finding in inspect_data(data, SECTION, encoder).findings}
    assert {"truncation", "language"} <= checks  # texts of 6 to 25 words that are all [UNK]
    assert not {"truncation", "language"} & {finding.check for finding in inspect_data(data, SECTION, None).findings}


def test_what_was_found_once_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    data = planting.clean_data(1, rows=60)
    calls = []
    monkeypatch.setattr("finetune.checks.inspect._inspect", lambda *given: calls.append(given) or EMPTY)
    for changed in (data, data, replace(data, fingerprint="other"), replace(data, test=None), data):
        assert inspect_data(changed, SECTION, None) == EMPTY
    assert len(calls) == 3


def test_changed_code_computes_afresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = planting.clean_data(1, rows=60)
    calls = []
    monkeypatch.setattr("finetune.checks.inspect._inspect", lambda *given: calls.append(given) or EMPTY)
    inspect_data(data, SECTION, None)
    monkeypatch.setattr("finetune.checks.inspect._versions", lambda: {"numpy": "9.9"})
    inspect_data(data, SECTION, None)
    assert len(calls) == 2


def test_a_broken_cache_costs_time_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = planting.clean_data(1, rows=60)
    first = inspect_data(data, SECTION, None)
    [kept] = (tmp_path / "cache" / "checks").glob("*.json")
    for damaged in (b"", b"\xff\xfe"):
        kept.write_bytes(damaged)
        assert inspect_data(data, SECTION, None) == first
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path / "file"))
    assert inspect_data(data, SECTION, None) == first


@pytest.mark.parametrize("method", ["unlink", "read_text"])
def test_a_damaged_file_that_cannot_be_replaced_costs_time_only(
    method: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a cache that others keep: it cannot be written, or another process has just removed the file."""
    monkeypatch.setattr("finetune.checks.inspect._inspect", lambda *given: EMPTY)
    data = planting.clean_data(1, rows=60)
    inspect_data(data, SECTION, None)
    [kept] = (tmp_path / "cache" / "checks").glob("*.json")
    kept.write_text("")

    def refuse(*given: Any, **settings: Any) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(Path, method, refuse)
    assert inspect_data(data, SECTION, None) == EMPTY


def test_all_code_that_decides_a_finding_is_part_of_the_key() -> None:
    """What the checks import, and what that imports of data and measurement; the rest holds what was found."""
    needed: set[str] = set()
    waiting = [*CHECKS_FOLDER.glob("*.py")]
    while waiting:
        for name in _imports(waiting.pop()) - needed:
            needed.add(name)
            waiting += [PACKAGE / name] if name.startswith(("data/", "measurement/")) else []
    apart = {name for name in needed if name.startswith(("checks/", "records/", "recipe/"))} | {"cache.py"}
    assert set(CODE) == needed - apart


def test_every_file_of_that_code_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    really_read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (read.append(path), really_read(path))[1])
    monkeypatch.setattr("finetune.checks.inspect._inspect", lambda *given: EMPTY)
    inspect_data(planting.clean_data(1, rows=60), SECTION, None)
    assert set(read) >= {*CHECKS_FOLDER.glob("*.py"), *(PACKAGE / name for name in CODE)}


def _imports(path: Path) -> set[str]:
    """The files of this package that a file of it imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("finetune"):
            folder = PACKAGE.joinpath(*node.module.split(".")[1:])
            modules = [folder / f"{alias.name}.py" for alias in node.names]
            files = [file for file in modules if file.is_file()]
            files = files or [
                folder.with_suffix(".py") if folder.with_suffix(".py").is_file() else folder / "__init__.py"
            ]
            found |= {str(file.relative_to(PACKAGE)) for file in files}
    return found


EMPTY = Inspection(findings=[], baselines=[])


def test_findings_bear_known_names() -> None:
    """--accept takes these names, and refuses all others."""
    code = "".join(path.read_text(encoding="utf-8") for path in sorted(CHECKS_FOLDER.parent.rglob("*.py")))
    assert set(re.findall(r'check="(\w+)"', code)) == set(CHECKS)
