"""Which runs may be compared: those that differ only in their techniques, seeds, and the choices of a preset."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from finetune.analysis.collection import Collection, FinishedRun
from finetune.errors import Change, OutputError
from finetune.recipe import PATH_KEYS, READING_KEYS, flatten
from finetune.records.comparison import VariantEntry
from finetune.records.schema import RunRecord

# Between runs of one table, beside techniques. Where data and model lay does not matter: rows have a fingerprint.
MAY_DIFFER = (
    "name",
    "preset",
    "training.seeds",
    "data.fold",
    *(f"data.{key}" for key in (*PATH_KEYS, *READING_KEYS)),
    "model.id",
)
MAY_DIFFER_BY_SIZE = ("data.subset", "data.subset_seed", "training.epochs")  # in a curve
DECIDED_WITH = {  # what may change beside a key that a preset or a variant sets
    "training.min_steps": "training.epochs",
    "data.subset": "data.subset_seed",
}
SHOWN = 5  # differences in one message


def check_comparable(collection: Collection) -> None:
    """Refuse runs whose differences would not be due to their presets.

    Raises:
        OutputError: The error names both folders and the difference.
    """
    is_curve = collection.kind == "curve"
    may_differ = (*MAY_DIFFER, *(MAY_DIFFER_BY_SIZE if is_curve else ()), *_decided(collection.records))
    may_differ += tuple(_set_for_one(collection.variants))
    first_of_replicate: dict[Hashable, Path] = {}
    settings, techniques, rows = _Agreement(), _Agreement(), _Agreement()
    for run in collection.runs:
        record, path = run.record, run.folder.path
        if record is None:
            continue
        other = first_of_replicate.setdefault((run.variant, run.seed, run.fold), path)
        if other is not path:
            raise OutputError(
                f"{other} and {path} are two runs of {run.variant} with seed {run.seed}. Leave one of them out."
            )
        settings.check("all", path, _settings(record, may_differ))
        techniques.check(run.variant, path, _techniques(record))
        fingerprint = {"the fingerprint of its rows": record.data.fingerprint}
        rows.check(_same_rows(run.fold, record), path, fingerprint)
    _check_measured_rows(collection.finished)


def _check_measured_rows(runs: Sequence[FinishedRun]) -> None:
    """Runs with different training rows must still be measured on the same validation and test rows.

    Raises:
        OutputError: Two runs of a fold were measured on different rows.
    """
    firsts: dict[int | None, FinishedRun] = {}
    for run in runs:
        first = firsts.setdefault(run.fold, run)
        for split in ("validation", "test"):
            ours, theirs = (each.arrays.get(f"{split}_rows", ()) for each in (run, first))
            if not np.array_equal(ours, theirs):
                raise OutputError(
                    f"{first.folder.path} and {run.folder.path} were measured on different rows ({split}), so their "
                    "scores cannot be compared.",
                    Change(text="Run it again with another output folder."),
                )


def _set_for_one(variants: Sequence[VariantEntry]) -> list[str]:
    """Keys that single variants set for themselves, which the report states (`own_settings`)."""
    keys = [key for variant in variants for key in variant.settings]
    return [*keys, *(DECIDED_WITH[key] for key in keys if key in DECIDED_WITH)]


def _decided(records: Sequence[RunRecord]) -> list[str]:
    """Keys of the budget that a preset chose by the data, which the report states (`decided_budgets`)."""
    keys = [key for record in records for decision in record.decisions for key in decision.set]
    return [*keys, *(DECIDED_WITH[key] for key in keys if key in DECIDED_WITH)]


class _Agreement:
    """Values that must be equal in all runs of a kind."""

    def __init__(self) -> None:
        self._first: dict[Hashable, _Values] = {}

    def check(self, kind: Hashable, path: Path, values: dict[str, Any]) -> None:
        """Compare with the first run of this kind.

        Raises:
            OutputError: The error names both runs and the difference.
        """
        first = self._first.setdefault(kind, _Values(path, values))
        names = dict.fromkeys([*first.values, *values])
        differing = [name for name in names if first.values.get(name) != values.get(name)]
        if differing:
            shown = "; ".join(f"{name}: {first.values.get(name)} and {values.get(name)}" for name in differing[:SHOWN])
            raise OutputError(
                f"{first.path} and {path} cannot be compared, because they differ in {shown}. Report them separately, "
                "or run both in one finetune compare, as presets or with --variant."
            )


@dataclass(frozen=True)
class _Values:
    path: Path
    values: dict[str, Any]


def _same_rows(fold: int | None, record: RunRecord) -> Hashable:
    """A key that is equal for runs with the same rows in their splits."""
    section = record.recipe["data"]
    return fold, section.get("subset"), section.get("subset_seed"), section.get("unlabelled")


def _settings(record: RunRecord, may_differ: Sequence[str]) -> dict[str, Any]:
    flat = flatten(record.recipe)
    return {k: v for k, v in flat.items() if k not in may_differ and not k.startswith("techniques")}


def _techniques(record: RunRecord) -> dict[str, Any]:
    return {k: v for k, v in flatten(record.recipe).items() if k.startswith("techniques.")}
