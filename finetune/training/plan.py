"""The plan of a run, for `finetune show` and `finetune run --dry-run`."""

from __future__ import annotations

from typing import Any

from finetune.data.load import load_data
from finetune.data.rows import Data
from finetune.errors import FinetuneError, RecipeError
from finetune.models.dropout import dropout_sites
from finetune.models.head import HeadStart
from finetune.models.load import build_without_weights, find_head, find_pooling, load_config
from finetune.recipe import Recipe, Resolved, find_budget_problems, flatten
from finetune.recipe.choices import describe_choices
from finetune.recipe.choosing import decided_origins
from finetune.recipe.scaling import describe_rules
from finetune.tasks import Task
from finetune.training.budgets import plan_budget
from finetune.training.data_facts import data_facts
from finetune.training.facts import active_techniques, declared_cost, model_facts
from finetune.training.head import described_head
from finetune.training.measures import measure_for
from finetune.training.prepare import configured_model, fitted_with_notes
from finetune.training.rate_folds import choice_plan
from finetune.training.run_warnings import budget_warnings, model_warnings, unlabelled_warnings


def describe_plan(resolved: Resolved, data: Data | None = None) -> dict[str, Any]:
    """Values with their origins, data facts, budget, techniques, and the model's dropout. Loads `data` if not given.

    A part that is not available (no file yet, no network) has its reason under "unavailable" instead.
    """
    recipe = resolved.recipe
    try:
        data = load_data(recipe.data) if data is None else data
    except FinetuneError as error:
        # The model's dropout does not depend on the data; two made-up labels stand for those to come.
        return {
            **_values(recipe, resolved.origins),
            "cost": declared_cost(recipe),
            "data": {"unavailable": error.for_command_line()},
            "model": _model_or_reason(recipe, "single_label", ["a", "b"], are_made_up=True),
        }
    recipe, data = fitted_with_notes(recipe, data)
    origins = {**resolved.origins, **_data_origins(resolved.recipe, recipe), **decided_origins(recipe)}
    budget = plan_budget(recipe, data)
    problems = find_budget_problems(recipe, budget)
    if problems:
        raise RecipeError(problems)
    plan = {**_values(recipe, origins), "cost": declared_cost(recipe, budget)}
    plan["data"] = data_facts(data, measure_for(data, recipe.training.score)).model_dump()
    plan["budget"] = {
        "steps_per_epoch": budget.steps_per_epoch,
        "steps": budget.steps,
        "warmup_steps": budget.warmup_steps,
        "learning_rate_sum": budget.learning_rate_sum,
    }
    if (choice := choice_plan(recipe, data)) is not None:
        plan["learning_rate"] = {"plan": choice.text, "steps": choice.steps, "nominal": budget.learning_rate}
    plan["techniques"] = {name: active.model_dump() for name, active in active_techniques(recipe, budget).items()}
    warnings = [*unlabelled_warnings(recipe), *budget_warnings(recipe, budget)]
    plan["warnings"] = [warning.for_command_line() for warning in warnings]
    plan["model"] = _model_or_reason(recipe, data.task, data.labels)
    return plan


def _data_origins(before: Recipe, after: Recipe) -> dict[str, str]:
    """Keys whose value the data changed, such as the epochs of few rows."""
    asked = flatten(before.to_dict())
    return {key: "the data" for key, value in flatten(after.to_dict()).items() if asked.get(key, value) != value}


def _values(recipe: Recipe, origins: dict[str, str]) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "preset": recipe.preset,
        "values": {
            # A technique that a rule switches on for this size only has the origin of its rule.
            key: {"value": value, "origin": origins.get(key) or origins.get(key.rpartition(".")[0], "a rule")}
            for key, value in flatten(recipe.to_dict()).items()
            if "." in key  # name and preset have no origin
        },
        "rules": {**describe_rules(recipe.rules), **describe_choices(recipe.choices)},
        "decisions": [decision.model_dump() for decision in recipe.decisions],
    }


def _model_or_reason(recipe: Recipe, task: Task, labels: list[str] | None, are_made_up: bool = False) -> dict[str, Any]:
    try:
        # Made-up labels say nothing about the head of a checkpoint.
        head = HeadStart(None) if are_made_up else find_head(recipe.model, task, labels)
        head = described_head(recipe.techniques, head)
        return _describe_model(recipe, task, labels, head)
    except FinetuneError as error:
        return {"unavailable": error.for_command_line()}


def _describe_model(recipe: Recipe, task: Task, labels: list[str] | None, head: HeadStart) -> dict[str, Any]:
    """Architecture, size, pooling, head, and each dropout site as in the checkpoint and as this recipe trains it."""
    plain = build_without_weights(load_config(recipe.model, task, labels))
    trained = configured_model(recipe, task, labels)
    pooling = find_pooling(recipe.model)
    facts = model_facts(trained, pooling, head)
    before = {site.path: site.probability for site in dropout_sites(plain)}
    return {
        "architecture": facts.architecture,
        "parameters": facts.parameters,
        "trainable": facts.trainable,
        "pooling": facts.pooling,
        "pooling_reason": facts.pooling_reason,
        "head": facts.head,
        "head_reason": facts.head_reason,
        "warnings": [warning.for_command_line() for warning in model_warnings(recipe, trained, pooling, head)],
        "dropout": [
            # A site that appears only now was an identity in the checkpoint's configuration.
            {
                "path": site.path,
                "kind": site.kind,
                "checkpoint": before.get(site.path, 0.0),
                "trained": site.probability,
            }
            for site in dropout_sites(trained)
        ],
    }
