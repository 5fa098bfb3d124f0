"""Notes on the data at the start of a run or an experiment; `finetune check` and the record have the rest."""

from __future__ import annotations

from collections.abc import Sequence

from finetune.data.counts import Account, Lines
from finetune.data.rows import Data
from finetune.measurement.scores import Measure
from finetune.recipe import Recipe
from finetune.reports.findings import data_line
from finetune.training.auto_hint import auto_notes
from finetune.training.data_facts import data_facts


def start_notes(recipes: Sequence[Recipe], data: Data, measure: Measure) -> list[str]:
    """One line of facts, an account of every line, what was decided for the user, and what `auto` would add."""
    decided = [note for note in data.notes if isinstance(note, Lines) or not isinstance(note, Account)]
    return [data_line(data_facts(data, measure)), *decided, *auto_notes(recipes, data)]
