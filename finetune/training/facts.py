"""The parts of a record about model and techniques that are known before training."""

from __future__ import annotations

import math
from typing import Any

from finetune.models.dropout import dropout_sites
from finetune.models.head import HeadStart
from finetune.models.pooling import Pooling
from finetune.recipe import Recipe, recipe_budget
from finetune.records.facts import ModelFacts
from finetune.records.schema import ActiveTechnique
from finetune.techniques import Budget
from finetune.techniques.rates import PartBudgets


def model_facts(model: Any, pooling: Pooling | None = None, head: HeadStart | None = None) -> ModelFacts:
    """The model section.

    Args:
        model: A sequence classifier.
        pooling: Pooling that its head reads; None if unknown.
        head: Start of its outputs; None if unknown.
    """
    read = {} if pooling is None else {"pooling": pooling.kind, "pooling_reason": pooling.reason}
    started = {"head": head.kind, "head_reason": head.reason} if head is not None and head.reason else {}
    return ModelFacts(
        architecture=type(model).__name__,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        trainable=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        dropout={site.path: site.probability for site in dropout_sites(model)},
        **read,
        **started,
    )


def active_techniques(recipe: Recipe, budget: Budget) -> dict[str, ActiveTechnique]:
    """Settings, cost and effect of each technique in a run of this budget."""
    parts = PartBudgets.of(recipe.techniques.values(), budget)
    return {
        name: ActiveTechnique(
            settings=technique.model_dump(),
            cost=round(technique.training_cost(budget), 2),
            effect=technique.effect(parts.budgets_for(technique)[0]),
        )
        for name, technique in recipe.techniques.items()
    }


def declared_cost(recipe: Recipe, budget: Budget | None = None) -> float:
    """Training time of all techniques together, as a multiple of plain fine-tuning.

    Args:
        recipe: Recipe of the run.
        budget: Its budget if the data is loaded; else as far as the recipe alone determines it.
    """
    budget = recipe_budget(recipe) if budget is None else budget
    return round(math.prod(technique.training_cost(budget) for technique in recipe.techniques.values()), 2)
