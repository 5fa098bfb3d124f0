"""The registry. Adding a technique = one file, one line here, one YAML key, one test file."""

from finetune.techniques.aeda import AEDA
from finetune.techniques.back_translation import BackTranslation
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
from finetune.techniques.confidence_penalty import ConfidencePenalty
from finetune.techniques.contextual import Contextual
from finetune.techniques.dropout import Dropout
from finetune.techniques.early_stopping import EarlyStopping
from finetune.techniques.eda import EDA
from finetune.techniques.elastic_net import ElasticNet
from finetune.techniques.ema import EMA
from finetune.techniques.fgm import FGM
from finetune.techniques.focal import Focal
from finetune.techniques.freeze import Freeze
from finetune.techniques.head_first import HeadFirst
from finetune.techniques.hidden_noise import HiddenNoise
from finetune.techniques.l1 import L1
from finetune.techniques.l2 import L2
from finetune.techniques.l2_sp import L2SP
from finetune.techniques.label_smoothing import LabelSmoothing
from finetune.techniques.layer_drop import LayerDrop
from finetune.techniques.llrd import LLRD
from finetune.techniques.longer import Longer
from finetune.techniques.lora import LoRA
from finetune.techniques.max_norm import MaxNorm
from finetune.techniques.mixout import Mixout
from finetune.techniques.mixup import Mixup
from finetune.techniques.multi_sample_dropout import MultiSampleDropout
from finetune.techniques.neftune import NEFTune
from finetune.techniques.own import announce, find_own, source_digest
from finetune.techniques.r_drop import RDrop
from finetune.techniques.reinit import Reinit
from finetune.techniques.sam import SAM
from finetune.techniques.swa import SWA
from finetune.techniques.synonyms import Synonyms
from finetune.techniques.token_masking import TokenMasking
from finetune.techniques.train_only import TrainOnly
from finetune.techniques.weight_decay import WeightDecay
from finetune.techniques.wise_ft import WiSEFT

TECHNIQUES: dict[str, type[Technique]] = {
    "weight_decay": WeightDecay,
    "l2": L2,
    "l1": L1,
    "elastic_net": ElasticNet,
    "l2_sp": L2SP,
    "confidence_penalty": ConfidencePenalty,
    "max_norm": MaxNorm,
    "freeze": Freeze,
    "train_only": TrainOnly,
    "lora": LoRA,
    "llrd": LLRD,
    "head_first": HeadFirst,
    "longer": Longer,
    "dropout": Dropout,
    "multi_sample_dropout": MultiSampleDropout,
    "layer_drop": LayerDrop,
    "mixout": Mixout,
    "token_masking": TokenMasking,
    "r_drop": RDrop,
    "mixup": Mixup,
    "fgm": FGM,
    "sam": SAM,
    "neftune": NEFTune,
    "hidden_noise": HiddenNoise,
    "label_smoothing": LabelSmoothing,
    "focal": Focal,
    "ema": EMA,
    "swa": SWA,
    "wise_ft": WiSEFT,
    "reinit": Reinit,
    "early_stopping": EarlyStopping,
    "aeda": AEDA,
    "eda": EDA,
    "synonyms": Synonyms,
    "contextual": Contextual,
    "back_translation": BackTranslation,
}

TECHNIQUES.update(find_own(TECHNIQUES))


def use_own(reference: str) -> None:
    """Add a user's technique, `path.py:Class`, to the registry of this process and of those it starts.

    Raises:
        RecipeError: It cannot be loaded, or breaks the contract; says how.
    """
    announce(reference)
    TECHNIQUES.update(find_own(TECHNIQUES))


def use_technique(reference: str) -> None:
    """As `use_own`."""
    use_own(reference)


def carry_techniques() -> bytes:
    """Nothing: workers inherit the environment."""
    return b""


def receive_techniques(content: bytes) -> None:
    """Nothing."""


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
    "carry_techniques",
    "conflicts",
    "overrides",
    "receive_techniques",
    "refuse_idle",
    "source_digest",
    "use_own",
    "use_technique",
]
