"""Advice for a better final model, for comparisons started when the best seed was the default of `--final`."""

from __future__ import annotations

from finetune.measurement.units import count_text
from finetune.records.comparison import LEAST_VALIDATION
from finetune.records.report import Group

# docs/results.md: `auto-refit` against `auto`
EVIDENCE = "with 300 training and up to 300 validation rows this brought 2.9 points on average over nine data sets"


def next_step(group: Group) -> tuple[str, str] | None:
    """A command worth typing next, and why; None where there is none.

    The preset has been chosen, so the rows that chose it can be trained on. Only the test rows are left to show whether
    that model is better, so the evidence comes from other data sets.
    """
    chosen, rows = group.recommendation, group.rows
    if chosen is None or group.command is None or group.kind != "compare" or group.folds is not None:
        return None
    if (chosen.final is not None and chosen.final.asked != "best") or group.reported != "test":
        return None
    if not group.command.startswith("finetune compare") or "--final" in group.command:  # Python, or as asked for
        return None
    variant = next(variant for variant in group.variants if variant.name == chosen.variant)
    if variant.degenerate or rows["validation"] < LEAST_VALIDATION * rows["train"]:
        return None
    labels = count_text(rows["validation"], "validation row")
    return f"{group.command} --final refit", f"the final model can learn from the {labels}, too ({EVIDENCE})"
