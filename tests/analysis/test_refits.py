"""A refit was trained on validation: nothing that shows a run shows what it scores there, or a gap."""

from pathlib import Path

import numpy as np
import pytest

from finetune.analysis.listed_pair import compare_listed
from finetune.analysis.listing import list_folder
from finetune.diagnosis.run_records import diagnose_run, observe_record
from finetune.errors import OutputError
from finetune.records.evaluation import Recorded
from finetune.records.schema import FinishedRecord
from finetune.records.store import RunFolder
from tests.analysis.making import ROWS, SPLITS, Run, record_of, write_run
from tests.raising import refuses


def refit_of(run: Run) -> FinishedRecord:
    record = record_of(run)
    budget = record.budget.model_copy(update={"trained_on_validation": True})
    return record.model_copy(update={"budget": budget})


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A run, and a refit of it."""
    for name in ("run", "refit"):
        write_run(tmp_path / name, Run("strong"))
    RunFolder(tmp_path / "refit").write(refit_of(Run("strong")))
    return tmp_path


def test_the_list_of_runs_shows_its_test_score_and_no_gap(runs: Path) -> None:
    refit, run = list_folder(runs)
    assert (refit.path, run.path) == (str(runs / "refit"), str(runs / "run"))
    assert refit.score == run.score is not None
    assert (refit.gap, run.gap is None) == (None, False)


def test_two_runs_side_by_side_have_train_and_test_in_common(runs: Path) -> None:
    refit, run = list_folder(runs)
    assert {each.split for each in compare_listed(run, refit).scores} == {"train", "test"}
    assert {each.split for each in compare_listed(run, run).scores} == {"train", "validation", "test", "gap"}


def test_without_test_no_score_of_it_is_told() -> None:
    record = refit_of(Run("strong"))
    alone = record.model_copy(update={"selected": record.selected.model_copy(update={"test": None})})
    assert Recorded.of(alone).scores == {}
    assert Recorded.of(record).scores == record.selected.test


def test_one_that_learned_nothing_is_said_to_have_learned_nothing() -> None:
    one_class = np.tile([2.0, 0.0], (ROWS, 1))
    record = refit_of(Run("strong", logits=dict.fromkeys(SPLITS, one_class)))
    assert diagnose_run(record).startswith("Did not learn: Validation accuracy")
    assert diagnose_run(refit_of(Run("strong"))).startswith("None: it was trained on validation, too")


def test_it_is_not_diagnosed_by_rows_that_it_was_trained_on(tmp_path: Path) -> None:
    with refuses(OutputError, match="a refit, which was trained on validation, too, so there is no gap"):
        observe_record(refit_of(Run("strong")), tmp_path)
