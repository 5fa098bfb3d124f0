"""The section on how to reproduce a report's runs."""

from collections.abc import Sequence
from typing import Any

import yaml

from finetune.measurement.units import DASH, time_text
from finetune.records.frame import ReportFrame
from finetune.reports.blocks import Block, Code, Facts, Prose
from finetune.reports.numbers import shorten

WORDS = {"None": DASH, "True": "yes", "False": "no"}


def reproduce(report: ReportFrame, recipe_title: str, further: Sequence[Block] = ()) -> list[Block]:
    """Command, recipe, `further` blocks, and the circumstances."""
    command = [Code("Command", report.command, "bash")] if report.command else [Prose("Command: – not recorded.")]
    recipe = yaml.safe_dump(report.recipe, sort_keys=False, allow_unicode=True, width=100)
    entries = [
        ("Versions", _pairs(report.versions)),
        ("Device", _pairs(report.device.model_dump())),
        ("Precision", shorten(report.precision, 40) or DASH),
        ("Code", _pairs(report.code.model_dump())),
        ("Seeds", ", ".join(map(str, report.seeds)) or DASH),
        ("Training time", f"{time_text(report.seconds)} for all runs together"),
    ]
    return [*command, Code(recipe_title, recipe, "yaml", folded=True), *further, Facts(entries)]


def _pairs(values: dict[str, Any]) -> str:
    return shorten(", ".join(f"{key} {WORDS.get(str(value), value)}" for key, value in values.items()), 400) or DASH
