"""The registry. Adding a technique = one file, one line here, one YAML key, one test file."""

from finetune.techniques.aeda import AEDA
from finetune.techniques.base import (
    AugmentSources,
    BatchAugment,
    Budget,
    GradientView,
    Part,
    SelectionRule,
    StepView,
    Technique,
    TokenFacts,
    TrainStep,
    WeightNames,
    conflicts,
    overrides,
    refuse_idle,
)
from finetune.techniques.dropout import Dropout
from finetune.techniques.early_stopping import EarlyStopping
from finetune.techniques.eda import EDA
from finetune.techniques.elastic_net import ElasticNet
from finetune.techniques.l1 import L1
from finetune.techniques.l2 import L2
from finetune.techniques.label_smoothing import LabelSmoothing
from finetune.techniques.weight_decay import WeightDecay

TECHNIQUES: dict[str, type[Technique]] = {
    "weight_decay": WeightDecay,
    "l2": L2,
    "l1": L1,
    "elastic_net": ElasticNet,
    "dropout": Dropout,
    "label_smoothing": LabelSmoothing,
    "early_stopping": EarlyStopping,
    "aeda": AEDA,
    "eda": EDA,
}

__all__ = [
    "TECHNIQUES",
    "AugmentSources",
    "BatchAugment",
    "Budget",
    "GradientView",
    "Part",
    "SelectionRule",
    "StepView",
    "Technique",
    "TokenFacts",
    "TrainStep",
    "WeightNames",
    "conflicts",
    "overrides",
    "refuse_idle",
]
