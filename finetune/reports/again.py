"""The section that says how a report's runs are made again."""

from collections.abc import Sequence
from typing import Any

import yaml

from finetune.records.curve import CurveReport
from finetune.records.report import Group
from finetune.reports.blocks import Block, Code, Facts, Prose
from finetune.reports.numbers import DASH, number_text, shorten, time_text

WORDS = {"None": DASH, "True": "yes", "False": "no"}


def make_again(of: Group | CurveReport, recipe_title: str, further: Sequence[Block] = ()) -> list[Block]:
    """Command, recipe, what else there is to say of it, and the circumstances."""
    command = [Code("Command", of.command, "bash")] if of.command else [Prose("Command: – was not recorded.")]
    recipe = yaml.safe_dump(of.recipe, sort_keys=False, allow_unicode=True, width=100)
    entries = [
        ("Versions", _pairs(of.versions)),
        ("Device", _pairs(of.device.model_dump())),
        ("Precision", shorten(of.precision, 40) or DASH),
        ("Code", _pairs(of.code.model_dump())),
        ("Seeds", ", ".join(map(str, of.seeds)) or DASH),
        ("Training time", f"{time_text(of.seconds)} over all runs ({number_text(of.seconds, 0)} s)"),
    ]
    return [*command, Code(recipe_title, recipe, "yaml", folded=True), *further, Facts(entries)]


def _pairs(values: dict[str, Any]) -> str:
    return shorten(", ".join(f"{key} {WORDS.get(str(value), value)}" for key, value in values.items()), 400) or DASH
