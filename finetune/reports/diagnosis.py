"""A diagnosis: as lines on a terminal, and as blocks of a page."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from finetune.measurement.units import Scale, integer_text, scale
from finetune.records.diagnosis import Diagnosis, Estimate, LookAlike, Step
from finetune.reports.blocks import Block, Bullets, Cell, Column, Facts, Prose, Table
from finetune.reports.numbers import shorten
from finetune.reports.terminal import LABEL, labelled

STEPS = 3  # that are shown with all their fields; the others in a line


def render_diagnosis(found: Diagnosis, every_detail: bool = False) -> str:
    """Verdict, scores, look-alikes, and the plan, as lines that `reports.wrapping` breaks.

    Args:
        found: The diagnosis.
        every_detail: All steps with mechanism, setting, effect and evidence; else the first three.
    """
    lines = [f"{found.verdict.upper()}: {found.text}", ""]
    lines += [labelled(label, text) for label, text in _facts(found)]
    lines += [labelled("Note", f"{text}.") for text in found.notes]
    lines += [labelled("Not known", f"{text}.") for text in found.missing]
    if found.look_alikes:
        lines += ["", "What else gives such numbers", *_look_alike_lines(found.look_alikes)]
    if found.plan:
        lines += ["", "What to do, in this order"]
    for number, step in enumerate(found.plan, 1):
        lines += _step_lines(number, step, every_detail or number <= STEPS)
    if len(found.plan) > STEPS and not every_detail:
        lines += ["", "Mechanism, setting, effect and evidence of every step: --all"]
    return "\n".join(lines)


def diagnosis_blocks(found: Diagnosis) -> list[Block]:
    """The same as parts of a page."""
    blocks: list[Block] = [Prose(shorten(found.text, 600), lead=True), Facts(_facts(found))]
    for title, texts in (("Notes", found.notes), ("Not known", found.missing)):
        if texts:
            blocks.append(Bullets([shorten(text, 500) for text in texts], user=True, title=title))
    if found.look_alikes:
        items = [shorten(f"{_look_alike(each)} {each.check}".strip(), 500) for each in found.look_alikes]
        blocks.append(Bullets(items, user=True, title="What else gives such numbers"))
    if found.plan:
        titles = ("What to do, in this order", "Why", "Setting", "What you see", "Too much", "Evidence", "Command")
        rows = [[Cell(text, user=True) for text in _step_cells(step)] for step in found.plan]
        columns = [Column(title, numeric=False, sortable=False, look="sentence") for title in titles]
        blocks.append(Table("The plan", columns, rows, as_cards=True))
    return blocks


def _facts(found: Diagnosis) -> list[tuple[str, str]]:
    unit = scale(found.score)
    entries = [("Read", shorten(found.source, 300))]
    at_least = "at least " if found.at_least else ""
    measured = "" if found.train_measured is None else f"{integer_text(found.train_measured)} of "
    for label, estimate, part, rows in (
        ("Training", found.train, measured, found.train_rows),
        ("Validation", found.validation, "", found.validation_rows),
        ("Test", found.test, "", found.test_rows),
    ):
        if estimate is not None:
            of_rows = "" if rows is None else f", {part}{integer_text(rows)} rows"
            least = at_least if label == "Training" else ""
            entries.append((label, f"{unit.name} {least}{_level(unit, estimate)}{of_rows}"))
    if found.gap is not None:
        entries.append(("Gap", f"{at_least}{unit.estimated_change(found.gap)}"))
    return entries


def _level(unit: Scale, estimate: Estimate) -> str:
    return unit.estimated_level(estimate)


def _look_alike_lines(found: Sequence[LookAlike]) -> list[str]:
    """One item each; a command that several in a row share stands below the last of them."""
    lines = []
    for each, following in itertools.zip_longest(found, found[1:]):
        lines.append(f"- {_look_alike(each)}")
        if each.check and (following is None or following.check != each.check):
            lines.append(f"  $ {each.check}")
    return lines


def _look_alike(each: LookAlike) -> str:
    return f"{each.name}: {each.status} ({each.why})."


def _step_lines(number: int, step: Step, in_detail: bool) -> list[str]:
    lines = [*([""] if in_detail else []), f"{number}. {step.action}"]
    if in_detail:
        texts = zip(_LABELS, _step_cells(step)[1:-1], strict=True)
        lines += [f"   {label:<{LABEL + 2}}{text}" for label, text in texts if text]
    return [*lines, f"   $ {step.command}"] if step.command else lines


_LABELS = ("Why", "Setting", "You will see", "Too much", "Evidence")


def _step_cells(step: Step) -> list[str]:
    evidence = f"{step.strength}: {step.evidence}" if step.evidence else ""
    return [step.action, step.mechanism, step.setting, step.see, step.too_much, evidence, step.command]
