"""The command to type after a single run. One seed can show a gap; it cannot compare presets."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import Any

from finetune.advice.learning import can_start_ahead, early_stop_text, is_degenerate
from finetune.diagnosis.run_records import verdict_of
from finetune.records.diagnosis import VerdictName
from finetune.records.facts import epochs_for_more_steps
from finetune.records.schema import OWN, FinishedRecord

OWN_RATE = ("lora", "train_only", "freeze")  # techniques with a learning rate that replaces that of the recipe
TRAINED_TOO_LITTLE: dict[VerdictName, str] = {
    "did not learn": "a model that did not learn shows no gap",
    "still learning": "a model that is still learning does not show its final gap",
    "underfits": "a model that does not fit its training rows has no gap to close",
}


def remedy(record: FinishedRecord) -> dict[str, Any]:
    """Settings that train a run better that has learned too little; empty for any other.

    For several labels that are never predicted a head start; else more patience if early stopping ended the run, more
    steps if they are few or the score still rises, a larger learning rate (that of the technique, if it has its own),
    or twice the epochs if the run chooses its learning rate itself.
    """
    verdict = _name(record)
    if verdict not in TRAINED_TOO_LITTLE:
        return {}
    budget = record.budget
    per_epoch = budget.steps_per_epoch or 1
    steps = budget.steps or 0
    if is_degenerate(record) and can_start_ahead(record):
        return {"techniques.head_start": {}}
    if early_stop_text(record) is not None and budget.early_stopping is not None:
        return {"techniques.early_stopping.patience": 2 * budget.early_stopping.patience}
    if (epochs := epochs_for_more_steps(steps, per_epoch)) is not None:
        return {"training.epochs": epochs}
    if verdict != "still learning" and (rates := _larger_rates(record)):
        return rates
    return {"training.epochs": 2 * math.ceil(steps / per_epoch)}


def _larger_rates(record: FinishedRecord) -> dict[str, Any]:
    own = {
        f"techniques.{name}.learning_rate": 2 * record.techniques[name].settings["learning_rate"]
        for name in OWN_RATE
        if name in record.techniques and record.techniques[name].settings.get("learning_rate")
    }
    if own:
        return own
    rate = record.recipe["training"]["learning_rate"]
    return {"training.learning_rate": 2 * rate} if isinstance(rate, float) else {}


def next_command(
    record: FinishedRecord, recipe: str, preset: str | None, changed: Sequence[str] = ()
) -> tuple[str, str]:
    """A command worth typing next, and why.

    Args:
        record: The record of the run.
        recipe: As the user typed it, options included; for a run that learned too little, with its `remedy`.
        preset: As the user typed it.
        changed: Settings besides the preset that changed its techniques, as `key=value`.
    """
    chosen = f" --preset {shlex.quote(preset)}" if preset is not None else ""
    verdict = _name(record)
    if verdict in TRAINED_TOO_LITTLE:
        return f"finetune run {recipe}{chosen} --seed {record.seed}", TRAINED_TOO_LITTLE[verdict]
    if not record.techniques:
        why = "which preset closes this gap and keeps the score?"
        if record.data.task == "single_label":
            why += (
                " strong does on average over seven data sets of 1,000 rows, and lost up to 1.0 points on single ones; "
                "rare classes may lose more (docs/results.md)"
            )
        return f"finetune compare {recipe} --presets none,light,medium,strong --seeds 3", why
    why = "is the effect significant? 5 seeds, against no regularization"
    if changed:
        variant = f"mine={preset or OWN}:{','.join(changed)}"
        return f"finetune compare {recipe} --variant {shlex.quote(variant)}", why
    return f"finetune compare {recipe} --presets {shlex.quote(f'none,{preset or OWN}')}", why


def _name(record: FinishedRecord) -> VerdictName | None:
    verdict = verdict_of(record)
    return None if verdict is None else verdict[0]
