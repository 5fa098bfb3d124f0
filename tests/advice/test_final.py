"""The command that makes a better model of a comparison that was begun when the best seed was the default."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from finetune.advice.final import EVIDENCE, next_step
from finetune.records.report import Group
from finetune.reports.comparison import comparison_summary
from tests.analysis.test_comparison import group_of, pair
from tests.running import REPOSITORY


@pytest.fixture
def group(tmp_path: Path) -> Group:
    return group_of(tmp_path, pair())


def test_the_rows_that_chose_the_preset_are_offered_for_training(group: Group) -> None:
    step = next_step(group)
    assert step is not None
    assert step[0] == f"{group.command} --final refit"
    assert f"{group.rows['validation']} validation rows" in step[1]
    assert comparison_summary(group).endswith(f"            $ {step[0]}")


@pytest.mark.parametrize(
    "changes",
    [
        {"recommendation": None},
        {"command": None},
        {"command": "finetune compare --final soup"},
        {"command": "finetune.compare(seeds=3)"},
        {"reported": "validation"},
        {"kind": "ablate"},
        {"folds": 5},
        {"rows": {"train": 1000, "validation": 20}},
    ],
)
def test_nothing_is_offered_where_it_would_be_refused_or_bring_little(group: Group, changes: dict[str, object]) -> None:
    assert next_step(group.model_copy(update=changes)) is None


def test_nothing_is_offered_for_a_preset_that_did_not_learn(group: Group) -> None:
    variants = [variant.model_copy(update={"degenerate": True}) for variant in group.variants]
    assert next_step(group.model_copy(update={"variants": variants})) is None


def test_its_figure_stands_in_the_results() -> None:
    results = (REPOSITORY / "docs" / "results.md").read_text(encoding="utf-8")
    (figure,) = re.findall(r"\d+\.\d+", EVIDENCE)
    assert f"`auto-refit` is {figure} points better than `auto`" in results
