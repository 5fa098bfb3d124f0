"""What a comparison ends with where `--final` names nothing: a refit, unless something speaks against it."""

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
    """What a comparison is to end with.

    Attributes:
        name: As of `--final`.
        is_default: Nothing was asked for.
        reason: Why it is the best seed although a refit is the default; None where nothing speaks against the refit.
    """

    name: FinalName = "best"
    is_default: bool = False
    reason: str | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the jobs that are to be run."""
        return MADE[self.name] if self.reason is None else ()

    @property
    def trains(self) -> list[str]:
        """Those of them that train; the weights of a soup are averaged."""
        return [kind for kind in self.kinds if kind != "soup"]

    @property
    def outcome(self) -> FinalName:
        """What it will be, as far as that is known before."""
        return self.name if self.reason is None else "best"


BEST = Final()


def default_final(data: Data, folds: int | None, command: str, earlier: Manifest | None) -> Final:
    """A refit on train and validation; the best seed where nothing could say how good a refit is, or it brings little.

    Args:
        data: Of the comparison.
        folds: Of cross-validation.
        command: Of the comparison.
        earlier: What its folder holds already.
    """
    if earlier is not None and earlier.command == command and earlier.final in ("best", None):
        again = Change(arguments={"final": "refit"})
        why = "this comparison was begun by a version whose default was the best seed, and ends as it was begun."
        return Final("best", is_default=True, reason=Problem(why, changes=(again,)).for_command_line())
    problem = _problem(data, folds)
    return Final("refit", is_default=True, reason=None if problem is None else problem.for_command_line())


def _problem(data: Data, folds: int | None) -> Problem | None:
    """What speaks against training on validation, before anything is known of the runs."""
    if folds is not None:
        return Problem("with folds, test is one part of the rows: too few to say how good it is")
    if data.test is None:
        return Problem("there is no test split, so no rows would be left to say how good it is")
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
    """What speaks against training the recommended preset once more, once its runs are known."""
    return "the recommended preset did not learn" if variant.degenerate else None
