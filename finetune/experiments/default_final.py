"""The final model of a comparison without `--final`: a refit, unless there is a reason against it."""

from __future__ import annotations

from dataclasses import dataclass

from finetune.data.duplicates import text_keys
from finetune.data.rows import Data
from finetune.errors import Change, Problem
from finetune.measurement.units import count_text, percent_text
from finetune.records.comparison import LEAST_VALIDATION, FinalName, Manifest
from finetune.records.report import VariantReport

# What each asks for. auto: no refit, for it has trained on the rows that would have to choose it.
MADE: dict[FinalName, tuple[str, ...]] = {
    "best": (),
    "refit": ("refit",),
    "soup": ("soup",),
    "distil": ("distil",),
    "auto": ("soup", "distil"),
}
LEAKED = 0.01  # fraction of the test rows that validation may hold, too: they could move the score by a point


@dataclass(frozen=True)
class Final:
    """The kind of final model that a comparison makes.

    Attributes:
        name: As in `--final`.
        is_default: Whether the user requested none.
        reason: Why it is the best seed although a refit is the default; None if nothing speaks against the refit.
    """

    name: FinalName = "best"
    is_default: bool = False
    reason: str | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the jobs to run."""
        return MADE[self.name] if self.reason is None else ()

    @property
    def trains(self) -> list[str]:
        """The kinds that train; the weights of a soup are averaged."""
        return [kind for kind in self.kinds if kind != "soup"]

    @property
    def outcome(self) -> FinalName:
        """The final kind, as far as it is known in advance."""
        return self.name if self.reason is None else "best"


BEST = Final()


def default_final(data: Data, folds: int | None, command: str, earlier: Manifest | None) -> Final:
    """A refit on train and validation; the best seed if no rows could show how good a refit is, or if it brings little.

    Args:
        data: Data of the comparison.
        folds: Number of folds of cross-validation.
        command: Command of the comparison.
        earlier: Existing content of its folder.
    """
    if earlier is not None and earlier.command == command and earlier.final in ("best", None):
        again = Change(arguments={"final": "refit"})
        why = "this comparison was started by a version whose default was the best seed, and keeps that default."
        return Final("best", is_default=True, reason=Problem(why, changes=(again,)).for_command_line())
    problem = _problem(data, folds)
    return Final("refit", is_default=True, reason=None if problem is None else problem.for_command_line())


def _problem(data: Data, folds: int | None) -> Problem | None:
    """What speaks against training on validation, before anything is known of the runs."""
    if folds is not None:
        return Problem("with folds, test is one part of the rows: too few to show how good it is")
    if data.test is None:
        return Problem("there is no test split, so no rows would be left to show how good it is")
    validation, train = len(data.validation), len(data.train)
    if validation < LEAST_VALIDATION * train:
        rows = count_text(validation, "validation row")
        return Problem(f"{rows} beside {train:,} training rows bring little (a tenth of them or more is worth it)")
    seen = set(text_keys(data.validation))
    leaked = sum(key in seen for key in text_keys(data.test))
    if leaked < LEAKED * len(data.test):
        return None
    rows, part = count_text(leaked, "test row"), percent_text(leaked / len(data.test))
    is_or_are, them = ("is", "it") if leaked == 1 else ("are", "them")
    why = f"{rows} ({part}) {is_or_are} in validation, too, and a refit would learn {them}."
    return Problem(why, changes=(Change(arguments={"drop_leaks": True}),))


def not_worth_it(variant: VariantReport) -> str | None:
    """Reason against a refit of the recommended preset, given its runs."""
    return "the recommended preset did not learn" if variant.degenerate else None
