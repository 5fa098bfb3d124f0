"""The groups of hooks: who has which, and that a run calls all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune.recipe import resolve, with_min_steps
from finetune.records.store import RunFolder
from finetune.techniques import (
    TECHNIQUES,
    Augmentation,
    Budget,
    Description,
    Losses,
    Technique,
    TrainingPlan,
    augments_texts,
    hook_of,
    implementations,
    overrides,
)
from finetune.techniques.hooks import GROUPS, HOOKS
from finetune.training.prepare import prepare
from finetune.training.runner import run_seed
from tests.conftest import labelled_texts, write_csv
from tests.techniques.settings import make

Write = Callable[..., Path]


def hooks_in(group: type) -> list[str]:
    return [name for name, hook in HOOKS.items() if vars(group).get(name) is hook]


def make_probe(calls: Counter[str]) -> Technique:
    """A technique that has every hook, counts its calls and does what the group does by default."""

    def counted(name: str, hook: Callable[..., Any]) -> Callable[..., Any]:
        def method(self: Any, *arguments: Any, **named: Any) -> Any:
            calls[name] += 1
            return hook(self, *arguments, **named)

        return method

    hooks = {name: counted(name, hook) for name, hook in HOOKS.items()}
    about = {"family": "penalty", "source": "test", "unlabelled": "needed"}
    attributes = {"__module__": "finetune.techniques.probe", **about}
    probe: type[Technique] = type("Probe", (Technique, *GROUPS[1:]), {**attributes, **hooks})
    return probe()


# --- when they are called -----------------------------------------------------------------------------------


def test_a_run_calls_every_hook_of_every_group(write_recipe: Write, tmp_path: Path) -> None:
    """Two epochs of 6 steps in two micro-batches each; settings that count epochs are scaled for a learning curve."""
    calls: Counter[str] = Counter()
    texts = write_csv(tmp_path / "texts.csv", ["text"], [[text] for text, _ in labelled_texts(20, start=1000)])
    written = write_recipe(training={"epochs": 2, "accumulation": 2}, data={"unlabelled": str(texts)})
    resolved = resolve(str(written)).recipe
    recipe = resolved.model_copy(update={"techniques": {"probe": make_probe(calls)}})
    prepared = prepare(recipe)
    longer = recipe.training.model_copy(update={"min_steps": 100})
    with_min_steps(recipe.model_copy(update={"training": longer}), 8)
    assert run_seed(prepared, 0, RunFolder(tmp_path / "run")).status == "finished"
    missing = {group.__name__: [name for name in hooks_in(group) if not calls[name]] for group in GROUPS}
    assert not any(missing.values()), missing
    steps = prepared.budget.steps
    assert steps is not None
    per_step = ("before_optimizer_step", "after_optimizer_step", "after_gradients", "averaging_rate")
    per_step += ("unlabelled_targets",)
    assert {name: calls[name] for name in per_step} == dict.fromkeys(per_step, steps)
    per_pass = ("change_pass", "train_loss", "example_losses", "after_backward", "unlabelled_losses")
    assert {name: calls[name] for name in per_pass} == dict.fromkeys(per_pass, 2 * steps)
    rows = 2 * len(prepared.data.train)
    assert (calls["augment"], calls["augment_tokens"]) == (
        rows,
        rows + 1,
    )  # once without ids, before anything is loaded


# --- who has which ------------------------------------------------------------------------------------------


def test_every_hook_is_in_one_group() -> None:
    assert sorted(name for group in GROUPS for name in hooks_in(group)) == sorted(HOOKS)
    assert all(hooks_in(group) for group in GROUPS)


@pytest.mark.parametrize("name", TECHNIQUES)
def test_a_technique_inherits_from_the_groups_whose_hooks_it_has(name: str) -> None:
    kind = TECHNIQUES[name]
    used = {group for group in GROUPS if any(overrides(make(name), HOOKS[hook]) for hook in hooks_in(group))}
    assert {group for group in GROUPS if issubclass(kind, group)} == used | {Description}


class Plain(Technique):
    """Has a hook without inheriting from its group, as users write it."""

    family = "penalty"
    source = "test"

    def augment(self, text: str, rng: Any) -> str:
        return text.upper()


class Quiet(Technique, Losses):
    """Inherits from a group and has none of its hooks."""

    family = "penalty"
    source = "test"


def test_a_hook_counts_by_its_name() -> None:
    assert overrides(Plain(), Augmentation.augment)
    assert augments_texts(Plain())
    assert not overrides(Quiet(), Losses.train_loss)
    assert not augments_texts(Quiet())
    assert [hook("a", None) for hook in implementations([Quiet(), Plain()], Augmentation.augment)] == ["A"]


def test_a_hook_that_is_not_there_does_what_the_group_does() -> None:
    assert hook_of(Quiet(), TrainingPlan.with_epochs_scaled)(2.0) == Quiet()
    assert hook_of(Quiet(), TrainingPlan.decay_strength)(Budget(None, 1, 0.1, None, 0)) == 0.0
    batch = hook_of(Plain(), Augmentation.augmenter)(None)  # type: ignore[arg-type]  # asks for nothing
    assert batch(["a", "b"], [None, None]) == ["A", "B"]  # type: ignore[list-item]
