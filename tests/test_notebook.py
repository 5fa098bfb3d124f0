"""docs/notebook.ipynb: what it shows was executed, and it still runs, with a tiny budget."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.running import REPOSITORY

NOTEBOOK = REPOSITORY / "docs" / "notebook.ipynb"


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell: Any) -> set[str]:
    """Of what a cell shows: text/html, stream, error, …"""
    return {
        kind for output in cell.outputs for kind in (*output.get("data", {}), output.output_type) if kind is not None
    }


def test_the_committed_notebook_was_executed_from_top_to_bottom() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not any("error" in kinds(cell) for cell in cells)
    shown = [cell.source.splitlines()[-1] for cell in cells if "text/html" in kinds(cell)]
    assert shown[0] == "plain"
    assert "comparison" in shown


TINY = {
    "data.train_size": 32,
    "data.validation_size": 32,
    "data.test_size": 32,
    "data.max_length": 64,
    "model.sha256": None,
    "training.epochs": 5,
}


def test_the_notebook_runs(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a tiny model, 32 rows and one seed: that no cell fails, and that results show themselves."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code_cells(notebook)[0].source += f"\nSETTINGS |= {TINY | {'model.id': str(tiny_model)}!r}"
    (comparing,) = (cell for cell in code_cells(notebook) if "    seeds=2,\n" in cell.source)
    comparing.source = comparing.source.replace("    seeds=2,\n", "    seeds=1,\n    executor='inline',\n")
    client = NotebookClient(notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute()
    html = [cell.source.splitlines()[-1] for cell in code_cells(notebook) if "text/html" in kinds(cell)]
    assert {"plain", "comparison"} <= set(html)
    assert (tmp_path / "runs" / "notebook" / "compare" / "report.html").is_file()
    assert (tmp_path / "runs" / "notebook" / "own-record" / "run.json").is_file()
