"""Techniques: one per file, their hooks in groups, and the registry that knows them by name."""

from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.conflicts import conflicts, refuse_idle
from finetune.techniques.hooks import (
    Augmentation,
    Description,
    FirstStage,
    Gradients,
    KeptWeights,
    Losses,
    ModelChanges,
    OptimizerSteps,
    TrainingPlan,
    Unlabelled,
)
from finetune.techniques.hooks.augmentation import AugmentSources, BatchAugment, TokenFacts, augments_texts
from finetune.techniques.hooks.gradients import GradientView
from finetune.techniques.hooks.kept_weights import SelectionRule
from finetune.techniques.hooks.lookup import has_hook, hook_of, implementations, overrides
from finetune.techniques.hooks.losses import TrainStep
from finetune.techniques.hooks.model import Adaptation, HeadValues, TrainingRows
from finetune.techniques.hooks.stage import Stage
from finetune.techniques.hooks.steps import StepView
from finetune.techniques.hooks.unlabelled import UnlabelledStep, UnlabelledTargets
from finetune.techniques.parameters import Part, WeightNames
from finetune.techniques.registry import (
    TECHNIQUES,
    carry_techniques,
    changed_sources,
    own_sources,
    receive_techniques,
    use_technique,
)
from finetune.techniques.search import SearchRange, linear

__all__ = [
    "TECHNIQUES",
    "Adaptation",
    "AugmentSources",
    "Augmentation",
    "BatchAugment",
    "Budget",
    "Description",
    "FirstStage",
    "GradientView",
    "Gradients",
    "HeadValues",
    "KeptWeights",
    "Losses",
    "ModelChanges",
    "OptimizerSteps",
    "Part",
    "SearchRange",
    "SelectionRule",
    "Stage",
    "StepView",
    "Technique",
    "TokenFacts",
    "TrainStep",
    "TrainingPlan",
    "TrainingRows",
    "Unlabelled",
    "UnlabelledStep",
    "UnlabelledTargets",
    "WeightNames",
    "augments_texts",
    "carry_techniques",
    "changed_sources",
    "conflicts",
    "has_hook",
    "hook_of",
    "implementations",
    "linear",
    "overrides",
    "own_sources",
    "receive_techniques",
    "refuse_idle",
    "use_technique",
]
