"""Techniques that cannot act together, or not on this model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from finetune.errors import ModelError, Problem
from finetune.techniques.base import Technique
from finetune.techniques.changes import turned_off
from finetune.techniques.hooks import KeptWeights, Losses, ModelChanges, TrainingPlan, Unlabelled
from finetune.techniques.hooks.lookup import overrides
from finetune.techniques.parameters import WeightNames

# Of these hooks one answer counts: a technique that has one owns the thing.
OWNED_BY_HOOK: dict[Callable[..., Any], str] = {
    ModelChanges.adaptation: "the adaptation of the encoder",
    ModelChanges.start_head: "the start of the head",
    Losses.example_losses: "the targets",
    Unlabelled.unlabelled_targets: "the unlabelled texts",
    TrainingPlan.schedule: "the learning-rate schedule",
    KeptWeights.averaging_rate: "the exported weights",
    KeptWeights.selection_rule: "checkpoint selection",
}


def refuse_idle(name: str, technique: Technique, names: WeightNames) -> None:
    """Refuse a technique that would act on no weight of this model.

    Raises:
        ModelError: The technique would act on no weight; the error names it.
    """
    targets = technique.acts_on(names)
    if targets is None:
        return
    # A pooler trains along with the head in most runs: to work on that alone is not what was asked for.
    if all(".pooler." in target for target in targets & names.trainable):
        raise ModelError(
            "would have no effect: none of the weights it acts on is trained in this run.",
            turned_off(name),
            key=f"techniques.{name}",
        )


def conflicts(techniques: Mapping[str, Technique]) -> list[Problem]:
    """Every pair of techniques that control the same thing, or of which one keeps the other from acting."""
    names = list(techniques)
    problems = []
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            problems += [
                Problem(why, f"techniques.{second}", changes=(turned_off(first),))
                for why in _reasons(first, techniques[first], second, techniques[second])
            ]
    return problems


def _reasons(first: str, one: Technique, second: str, other: Technique) -> list[str]:
    reasons = [f"conflicts with {first}: both control {thing}." for thing in sorted(owned(one) & owned(other))]
    excluded = one.excludes.get(second) or other.excludes.get(first)
    return [*reasons, f"cannot be used with {first}: {excluded}."] if excluded else reasons


def owned(technique: Technique) -> frozenset[str]:
    """What only one technique of a run may control: what this one declares, and what its hooks imply."""
    return technique.owns | {thing for hook, thing in OWNED_BY_HOOK.items() if overrides(technique, hook)}
