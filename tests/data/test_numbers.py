"""Numbers in a label column: one style for all its cells, read as people write them, and said."""

from pathlib import Path
from typing import Any

import pytest

from finetune.data.load import load_data
from finetune.data.numbers import number_style
from finetune.data.rows import Data
from finetune.errors import DataError, RecipeError
from finetune.recipe import DataSection, resolve
from tests.conftest import write_csv
from tests.raising import refuses, typed


def read(cells: list[Any], decimal: str | None = None) -> list[float | None]:
    style = number_style(cells, decimal)
    return [style.read(cell) for cell in cells]


def load(folder: Path, cells: list[str], rows: int = 60, **settings: Any) -> Data:
    content = [(f"some text {row}", cells[row % len(cells)]) for row in range(rows)]
    return load_data(DataSection(source=str(write_csv(folder / "data.csv", ["text", "label"], content)), **settings))


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["1.5", "2", "-0.25", "1e3", ".5", "5."], [1.5, 2, -0.25, 1000, 0.5, 5]),
        (["4,2", "1,5", "2,0", "3"], [4.2, 1.5, 2, 3]),
        (["1,299.00", "12.50"], [1299, 12.5]),
        (["1.299,00", "5,5", "1.250"], [1299, 5.5, 1250]),
        (["1,299,000", "1,250"], [1299000, 1250]),
        (["0,125", "1,250"], [0.125, 1.25]),
        (["1 299,5", "1\u00a0000", "3,25"], [1299.5, 1000, 3.25]),
        (["1'299.50", "2’000"], [1299.5, 2000]),
        (["83%", "7 %", "12.5%"], [83, 7, 12.5]),
        (["EUR 12", "EUR 1,299.50"], [12, 1299.5]),
        (["$1,299.00", "-$5", "$-5"], [1299, -5, -5]),
        (["12,50 €", "3,00 €"], [12.5, 3]),
        (["−3", "+4"], [-3, 4]),
        (["Rs. 12", "Rs. 7"], [12, 7]),
        ([1, 2.5, "3"], [1, 2.5, 3]),
        (["($12.50)", "$3.00", "(4)"], [-12.5, 3, -4]),
        (["7/10", "8.5/10", "10 / 10", "6"], [7, 8.5, 10, 6]),
        (["4/5 stars", "3/5 stars"], [4, 3]),
        (["7 out of 10", "8  out of 10"], [7, 8]),
        (["4.0 out of 5 stars", "1.0 out of 5 stars"], [4, 1]),
        (["1 star", "2 stars", "5 stars"], [1, 2, 5]),
        (["12,34,567.0", "1,00,000"], [1234567, 100000]),
        (["12,-", "3,50", "1.299,–"], [12, 3.5, 1299]),
        (["CHF 12.-", "CHF 1'299.50"], [12, 1299.5]),
    ],
)
def test_numbers_are_read_as_people_write_them(cells: list[Any], numbers: list[float]) -> None:
    assert read(cells) == numbers


@pytest.mark.parametrize(
    "cell",
    ["4/5/6", "1/2000", "3-4", "12:30", "2024-05-31", "1,2,3", "3 4", "1.2.3", "0,123,456", "(-3)", "x", "", "nan"],
)
def test_what_is_no_number_is_none_in_any_style(cell: str) -> None:
    assert number_style([cell]).read(cell) is None
    assert number_style(["4,2", "1,5", "EUR 3"]).read(cell) is None


def test_most_cells_decide_the_style_and_the_others_are_no_numbers() -> None:
    assert read(["4,2", "1,5", "3.7"]) == [4.2, 1.5, None]
    assert read(["4.2", "1.5", "3,7"]) == [4.2, 1.5, None]
    assert read(["EUR 3", "EUR 4", "EUR 7", "USD 5", "6"]) == [3, 4, 7, None, 6]


def test_a_comma_that_may_be_either_is_for_thousands_until_the_recipe_says_so(tmp_path: Path) -> None:
    assert read(["1,299", "2,500"]) == [1299, 2500]
    assert read(["1,299", "2,500"], ",") == [1.299, 2.5]
    data = load(tmp_path, ["1,299", "2,500"])
    assert data.task == "regression"
    [warning] = [text for text in data.warnings if "decimal mark" in text]
    assert "'1,299' is read as 1299" in warning
    assert "--set data.decimal=comma" in warning
    recipe = resolve("your-data", data=str(tmp_path / "data.csv"), overrides=["data.decimal=comma"]).recipe
    assert set(load_data(recipe.data).train.labels) == {1.299, 2.5}


def test_numbers_with_a_decimal_comma_are_regression_and_it_is_said(tmp_path: Path) -> None:
    data = load(tmp_path, ["4,2", "1,5", "3,0"])
    assert (data.task, set(data.train.labels)) == ("regression", {4.2, 1.5, 3.0})
    assert "regression: labels are numbers with fractions (if they are classes: data.task=single_label)" in data.notes
    assert "numbers: '4,2' is read as 4.2: the decimal mark is ','" in data.notes


def test_numbers_and_lists_of_numbers_look_alike_and_both_are_said(tmp_path: Path) -> None:
    data = load(tmp_path, ["1,5", "2", "3"])
    assert any("--set data.label_separator=," in note for note in data.notes)
    with refuses(DataError, match=r"but '1,2,3' is not.*--set data\.label_separator=,"):
        load(tmp_path, ["1,5", "2", "3"] * 10 + ["1,2,3"])
    assert load(tmp_path, ["1,5", "2", "3"], label_separator=",").labels == ["1", "2", "3", "5"]


@pytest.mark.parametrize(
    ("cells", "sign"), [(["83%", "7%", "50%"], "%"), (["EUR 12", "EUR 15.50"], "EUR"), (["5 kg", "7 kg"], "kg")]
)
def test_numbers_with_a_sign_are_classes_with_a_warning_and_numbers_where_asked_for(
    tmp_path: Path, cells: list[str], sign: str
) -> None:
    data = load(tmp_path, cells)
    assert data.task == "single_label"
    [warning] = [text for text in data.warnings if "To predict the number" in text]
    assert f"60 of 60 labels are numbers with '{sign}', such as '{cells[0]}', used as {len(cells)} classes" in warning
    data = load(tmp_path, cells, task="regression")
    assert data.task == "regression"
    assert any(f"'{cells[0]}' is read as" in note for note in data.notes)


@pytest.mark.parametrize(
    ("cells", "sign", "number"), [(["7/10", "8/10", "2/10"], "/10", 7), (["4 out of 5", "2 out of 5"], "out of 5", 4)]
)
def test_ratings_on_a_scale_are_classes_with_a_warning_and_numbers_where_asked_for(
    tmp_path: Path, cells: list[str], sign: str, number: float
) -> None:
    data = load(tmp_path, cells)
    assert (data.task, data.labels) == ("single_label", sorted(cells))
    assert [warning for warning in data.warnings if "data.label" in warning] == [
        f"data.label: 60 of 60 labels are numbers with '{sign}', such as '{cells[0]}', used as {len(cells)} classes. "
        "To predict the number: --set data.task=regression"
    ]
    data = load(tmp_path, cells, task="regression")
    assert set(data.train.labels) == {float(cell.split("/")[0].split()[0]) for cell in cells}
    assert f"numbers: {cells[0]!r} is read as {number}" in data.notes
    with refuses(DataError, "row 2: label '8/9' is not a number"):
        load(tmp_path, ["7/10", "8/9", "3/10", "4/10"], task="regression")


def test_marks_of_a_list_are_classes_and_no_negative_numbers(tmp_path: Path) -> None:
    for count in (3, 30):  # few, and more different ones than classes of whole numbers may have
        cells = [f"({number})" for number in range(1, count + 1)]
        data = load(tmp_path, cells, rows=max(60, 4 * count))
        assert (data.task, set(data.labels or ())) == ("single_label", set(cells))
        assert not any("parentheses" in warning for warning in data.warnings)
    data = load(tmp_path, ["1", "2", "(2)"])
    assert data.labels == ["1", "2", "(2)"]
    assert any(
        "20 of 60 labels are numbers in parentheses, such as '(2)', used as classes. If they are negative amounts: "
        "--set data.task=regression" in warning
        for warning in data.warnings
    )


@pytest.mark.parametrize(
    ("cells", "settings"),
    [(["1", "2", "(2)"], {"task": "regression"}), (["1.5", "2", "(2)"], {}), (["1,200", "2", "(2)"], {})],
)
def test_amounts_in_parentheses_are_negative_where_something_else_tells_of_amounts(
    tmp_path: Path, cells: list[str], settings: dict[str, Any]
) -> None:
    data = load(tmp_path, cells, **settings)
    assert data.task == "regression"
    assert -2 in data.train.labels
    said = "20 of 60 labels are numbers in parentheses, which are read as negative: '(2)' is -2"
    assert any(said in warning for warning in data.warnings)


def test_numbers_without_the_sign_of_the_others_are_a_warning(tmp_path: Path) -> None:
    data = load(tmp_path, ["83%", "7%", "0.5"], task="regression")
    assert any("20 of 60 numbers lack '%', which the others have" in text for text in data.warnings)


def test_too_many_classes_that_are_numbers_can_be_predicted_as_numbers(tmp_path: Path) -> None:
    with refuses(DataError, match=r"too few others are left.*--set data\.task=regression"):
        load(tmp_path, [f"EUR {number}.50" for number in range(60)])


def test_both_decimal_marks_in_one_column_are_refused(tmp_path: Path) -> None:
    with refuses(DataError, match=r"some with a decimal comma.*: 45 are like '4,2', 15 like '4\.2'") as caught:
        load(tmp_path, ["4,2", "4.2", "1,5", "3"])
    assert "--set data.task=single_label" in typed(caught.value)


def test_a_number_in_another_style_names_the_row(tmp_path: Path) -> None:
    with refuses(DataError, match=r"row 21: label '3\.7' is not a number written as the others \(decimal mark ','\)"):
        load(tmp_path, ["4,2", "1,5"] * 10 + ["3.7"], task="regression")


def test_a_decimal_mark_that_cannot_act_is_refused_or_said(tmp_path: Path) -> None:
    with refuses(RecipeError, match=r"data\.decimal: reads numbers") as caught:
        resolve("your-data", overrides=["data.decimal=comma", "data.task=single_label"])
    assert "--set data.decimal=null" in typed(caught.value)
    for cells in (["a", "b"], ["['a', 'b']", "['b']"], ["[a, b]", "[b]"]):
        warnings = load(tmp_path, cells, decimal="comma").warnings
        assert sum("data.decimal: labels are not read as numbers" in text for text in warnings) == 1


def test_declared_classes_are_no_numbers(tmp_path: Path) -> None:
    import datasets

    names = ["0.5", "1.5"]
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
    rows = {"text": [f"some text {row}" for row in range(40)], "label": [0, 1] * 20}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "set"))
    data = load_data(DataSection(source=str(tmp_path / "set")))
    assert (data.task, data.labels) == ("single_label", names)
