"""The hooks of techniques in groups, one per file: a technique inherits from the groups it needs."""

import inspect
from collections.abc import Callable
from typing import Any

from finetune.techniques.hooks.augmentation import Augmentation
from finetune.techniques.hooks.description import Description
from finetune.techniques.hooks.gradients import Gradients
from finetune.techniques.hooks.kept_weights import KeptWeights
from finetune.techniques.hooks.losses import Losses
from finetune.techniques.hooks.model import ModelChanges
from finetune.techniques.hooks.plan import TrainingPlan
from finetune.techniques.hooks.stage import FirstStage
from finetune.techniques.hooks.steps import OptimizerSteps
from finetune.techniques.hooks.unlabelled import Unlabelled

GROUPS: tuple[type, ...] = (
    Description,
    ModelChanges,
    FirstStage,
    TrainingPlan,
    Losses,
    Unlabelled,
    Gradients,
    OptimizerSteps,
    KeptWeights,
    Augmentation,
)

HOOKS: dict[str, Callable[..., Any]] = {
    name: hook
    for group in GROUPS
    for name, hook in vars(group).items()
    if not name.startswith("_") and inspect.isfunction(hook)
}
