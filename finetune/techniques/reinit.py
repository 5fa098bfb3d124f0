"""Re-initialising the top layers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from finetune.errors import Change, ModelError, Problem
from finetune.models.layers import encoder_layers, pooling_path
from finetune.techniques.base import Technique
from finetune.techniques.changes import turned_off
from finetune.techniques.hooks.model import ModelChanges
from finetune.techniques.parameters import WeightNames
from finetune.techniques.parts import layer_number, refused_by

if TYPE_CHECKING:
    from torch import nn

_OBJECTIVE_IS_ON_TOP = re.compile(r"sentence|minilm|mpnet-base|tinybert|distil|electra|simcse|[/_-](e5|bge|gte)\b")
_SENTENCE_ENCODER_FILES = ("modules.json", "config_sentence_transformers.json")


def reinitialise(module: nn.Module, initialise: Callable[[nn.Module], Any]) -> list[str]:
    """Draw the weights of a module anew, in place.

    Args:
        module: Any part of a transformers model, loaded or not.
        initialise: The model's `_init_weights`.

    Returns:
        Names of the matrices that kept their values: none, unless `initialise` skipped some.
    """
    import torch

    before = {name: value.detach().clone() for name, value in module.named_parameters() if value.dim() > 1}
    # transformers marks what it loaded, and its initialisation silently passes over what is marked.
    marked: list[Any] = [*module.modules(), *module.parameters()]
    for part in marked:
        part._is_hf_initialized = False
    with torch.no_grad():
        module.apply(initialise)
    return [name for name, value in before.items() if value.equal(module.get_parameter(name))]


class Reinit(Technique, ModelChanges):
    """Re-initialise the top layers and the pooler, which are the most specific to the pretraining task.

        W_l ~ N(0, σ²)   for the layers l > L − k and the pooler;   biases 0, normalisation weights 1

    σ is the checkpoint's `initializer_range` (0.02); the model's own class initialises the weights. This is done once,
    after loading; everything then trains as usual. All other weights keep their values, and so does a pooler that
    passes on the mean of the tokens (`model.pooling`).

    Range: layers: 1 or 2 of 12; each discards pretrained knowledge, and all of them would mean training from scratch.
    Cost: 1.0 ×.
    Raises: ModelError if there are fewer layers, if they are unknown (albert), if another technique freezes them, or
    if the weights did not change.
    Relations: `l2_sp`, `mixout` and `wise_ft` return to the values discarded here; with `lora` and `train_only`, and
    with `freeze` of the same layers, the new layers would be frozen at random values. All are mutually exclusive.
    Evidence: BERT-large, RTE 72.6 vs 69.5, MRPC 91.4 vs 90.8; with 1,000 examples QNLI + 3.3, MNLI + 14.2 after 3
    epochs and + 0.7, + 1.3 after longer training (Zhang et al. 2021, Tables 1 and 2): it improves optimization, not the
    gap. No gain or a loss for ELECTRA and BART (Table 7).
    Source: Zhang et al. 2021, arXiv:2006.05987, §5. Departs from it in: nothing.
    """

    family: ClassVar[str] = "initialisation"
    source: ClassVar[str] = "Zhang et al. 2021, arXiv:2006.05987, §5"
    excludes: ClassVar[dict[str, str]] = {
        "l2_sp": "it pulls back to the values that are discarded here",
        "mixout": "it mixes in the values that are discarded here",
        "train_only": "the new layers would be frozen at random values",
        "wise_ft": "it returns to the values that are discarded here",
    }

    layers: int = Field(1, ge=1, description="Number of top layers to re-initialise.")
    pooler: bool = Field(True, description="Whether the encoder's pooler, if it has one, is re-initialised too.")

    def acts_on(self, names: WeightNames) -> frozenset[str]:
        """The re-initialised weights.

        Raises:
            ModelError: Another technique keeps some of it from training.
        """
        numbers = {name: layer_number(name) for name in names.pretrained}
        first = max((number for number in numbers.values() if number is not None), default=0) - self.layers + 1
        fresh = frozenset(name for name, number in numbers.items() if number is not None and number >= first)
        frozen = fresh - names.trainable
        if frozen:
            raise ModelError(
                f"{len(frozen)} of the re-initialised weights would be frozen at random values ({min(frozen)} …).",
                turned_off("reinit"),
                Change(text="freeze fewer weights."),
                key="techniques.reinit.layers",
            )
        return fresh

    def prepare_model(self, model: Any) -> None:
        with refused_by("reinit"):
            layers = encoder_layers(model)
        if self.layers > len(layers):
            raise ModelError(
                f"{self.layers} layers to re-initialise, but this model has {len(layers)}.",
                Change(settings={"techniques.reinit.layers": min(2, len(layers))}),
                key="techniques.reinit.layers",
                found=self.layers,
            )
        fresh = dict(list(layers.items())[-self.layers :])
        pooler = getattr(model.base_model, "pooler", None)
        if self.pooler and pooler is not None and pooling_path(model) is None:
            fresh[f"{model.base_model_prefix}.pooler"] = pooler
        if any(parameter.is_meta for parameter in model.parameters()):
            return
        for path, module in fresh.items():
            kept = reinitialise(module, model._init_weights)
            if kept:
                raise ModelError(
                    f"{path}.{kept[0]} kept its values: this version of transformers did not initialise it.",
                    turned_off("reinit"),
                    key="techniques.reinit",
                )

    def model_warnings(self, model: Any) -> list[Problem]:
        source = Path(str(getattr(model.config, "_name_or_path", "")))
        name = "/".join(source.parts[-2:]).lower()
        is_sentence_encoder = any(
            (folder / file).is_file() for folder in (source, source.parent) for file in _SENTENCE_ENCODER_FILES
        )
        if not is_sentence_encoder and model.config.model_type != "electra" and not _OBJECTIVE_IS_ON_TOP.search(name):
            return []
        why = (
            f"{name} looks like a sentence encoder, a distilled model or ELECTRA, whose top layers hold what they "
            "were trained for: re-initialising them brought no gain or a loss (Zhang et al. 2021, Table 7)."
        )
        return [Problem(why, ".layers", found=self.layers, changes=(Change(settings={"": "off"}),))]
