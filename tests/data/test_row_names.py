"""`data.id`: a column that names the rows wherever one is shown, beside their numbers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune.checks import inspect_data
from finetune.checks.rows_found import COLUMNS, rows_found
from finetune.data.load import load_data
from finetune.data.rows import Data
from finetune.errors import DataError
from finetune.measurement.units import row_text
from finetune.models.outputs import Outputs
from finetune.recipe import DataSection
from finetune.training.data_facts import data_facts
from finetune.training.measures import measure_for
from finetune.training.saving import prediction_arrays


def _load(folder: Path, names: list[str], column: str = "ticket", **settings: Any) -> Data:
    path = folder / "data.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ticket", "text", "label"])
        for number, name in enumerate(names):
            writer.writerow([name, f"the same words {number // 2}, number {number // 2}", "ab"[number % 3 == 0]])
    return load_data(DataSection(source=str(path), id=column, **settings))


def test_rows_have_the_name_of_their_cell_in_whatever_split(tmp_path: Path) -> None:
    data = _load(tmp_path, [f"T-{number}" for number in range(1, 31)])
    assert data.columns["id"] == "ticket"
    for rows in data.whole_splits().values():
        assert rows.names == [f"T-{number}" for number in rows.ids]
    assert not [text for text in data.warnings if "data.id" in text]
    assert not [text for text in data.notes if "not used" in text]


def test_names_change_neither_the_splits_nor_the_fingerprint(tmp_path: Path) -> None:
    named = _load(tmp_path, [str(number) for number in range(30)])
    plain = load_data(DataSection(source=str(tmp_path / "data.csv")))
    assert named.fingerprint == plain.fingerprint
    assert list(named.train.ids) == list(plain.train.ids)
    assert plain.train.names is None


def test_cells_that_are_empty_or_the_same_are_said_and_numbers_stay(tmp_path: Path) -> None:
    data = _load(tmp_path, ["", "", *["T-9"] * 3, *map(str, range(25))])
    empty, shared = (text for text in data.warnings if "data.id" in text)
    assert "column 'ticket' (data.id) is empty in 2 of 30 rows" in empty
    assert "the same name for several rows: 'T-9' (3 rows)" in shared
    names = {number: rows.name(i) for rows in data.whole_splits().values() for i, number in enumerate(rows.ids)}
    assert (names["1"], names["2"], names["3"], names["30"]) == (None, None, "T-9", "24")
    (whole,) = (text for text in _load(tmp_path, [""] * 30).warnings if "data.id" in text)
    assert "is empty in every row" in whole


def test_a_column_that_is_not_there_is_an_error_that_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no column 'tickets'\. Did you mean ticket\?"):
        _load(tmp_path, ["a"] * 30, column="tickets")


def test_a_number_and_its_name_stand_together() -> None:
    assert row_text("12", None) == "12"
    assert row_text("12", "T-77") == "12 (T-77)"
    assert row_text("12", "x" * 60) == f"12 ({'x' * 39}…)"


def test_findings_say_names_and_have_a_line_for_each_row(tmp_path: Path) -> None:
    data = _load(tmp_path, [f"T-{number}" for number in range(1, 31)])
    found = inspect_data(data, DataSection(source="x.csv"), None).findings
    (leaks,) = (finding for finding in found if finding.check == "leaks" and "test row" in finding.text)
    assert "(T-" in leaks.examples[0]
    lines = [dict(zip(COLUMNS, line, strict=True)) for line in rows_found(found, data)]
    of_leaks = [line for line in lines if line["what"] == leaks.text]
    assert len(of_leaks) == leaks.figures["rows"] > len(leaks.examples)
    assert data.test is not None
    for line in of_leaks:
        index = list(data.test.ids).index(line["row"])
        assert (line["id"], line["text"]) == (f"T-{line['row']}", data.test.texts[index])
        assert line["detail"].startswith("equals train row ")
        assert (line["severity"], line["split"], line["label"]) == ("problem", "test", data.test.labels[index])
    (about_all,) = (line for line in lines if line["check"] == "resolution" and "test" in line["what"])
    assert (about_all["split"], about_all["row"]) == ("", "")
    record = data_facts(data, measure_for(data, None), inspect_data(data, DataSection(source="x.csv"), None))
    assert "rows" not in record.findings[0].model_dump()
    assert [finding.text for finding in record.findings] == [finding.text for finding in found]


def test_predictions_of_a_run_keep_the_names(tmp_path: Path) -> None:
    data = _load(tmp_path, [f"T-{number}" for number in range(1, 31)])
    splits = {"test": data.whole_splits()["test"]}
    outputs = {"test": Outputs(np.zeros((len(splits["test"]), 2)), np.zeros(len(splits["test"])))}
    arrays = prediction_arrays(splits, {"selected": outputs})
    assert [f"T-{number}" for number in arrays["test_rows"]] == list(arrays["test_ids"])
