"""What is computed once for equal cells."""

from typing import Any

import pytest

from finetune.data.equal_cells import are_texts, of_each
from finetune.data.load import load_data
from finetune.data.memory import store
from finetune.data.numbers import NumberStyle
from finetune.data.table import Column, Unreadable, kind_of, packed
from finetune.recipe import DataSection


def test_equal_texts_are_computed_once_and_in_their_order() -> None:
    seen: list[Any] = []
    values = of_each(lambda cell: seen.append(cell) or cell.upper(), ["b", "a", "b", "c", "a"])
    assert values == ["B", "A", "B", "C", "A"]
    assert seen == ["b", "a", "c"]


def test_cells_that_are_equal_and_no_texts_are_not_taken_for_each_other() -> None:
    assert of_each(kind_of, [1, True, 1.0, "1", ["1"]]) == [
        "a number",
        "true/false",
        "a number",
        "a text",
        "a list",
    ]
    assert not are_texts([Unreadable.of("a", "why"), "a"])


@pytest.mark.parametrize("many", [1, 2000], ids=["different texts", "few different texts"])
def test_whether_a_column_may_contain_a_part_of_a_text(many: int) -> None:
    texts = [f"text {n // many}" for n in range(4000)]
    assert not packed(texts).may_contain("choice")
    assert packed([*texts, "a choice"]).may_contain("choice")
    assert packed([*texts, None]).may_contain("text 1")
    assert Column([[{"choices": ["a"]}]]).may_contain("choice"), "not known for objects"


def test_labels_are_looked_at_once_for_each_different_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million rows of two classes: no check of the label cells may cost more than that of a few."""
    calls = 0
    read = NumberStyle.read

    def counted(self: NumberStyle, cell: Any) -> float | None:
        nonlocal calls
        calls += 1
        return read(self, cell)

    monkeypatch.setattr(NumberStyle, "read", counted)
    rows = {"text": [f"text of row {n}" for n in range(3000)], "label": ["good", "bad", "fair"] * 1000}
    load_data(DataSection(source=store(rows)))
    assert calls < 20
