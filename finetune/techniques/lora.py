"""LoRA: low-rank adapters in parallel to the linear maps, merged into them after training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from finetune.errors import Change, ModelError
from finetune.models.layers import linear_paths
from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.model import ModelChanges
from finetune.techniques.hooks.plan import TrainingPlan
from finetune.techniques.outcome import Outcome, trained_part
from finetune.techniques.parameters import Part
from finetune.techniques.parts import freeze_encoder_except, refused_by
from finetune.techniques.search import SearchRange, linear

if TYPE_CHECKING:
    from torch import nn

_ATTENTION = re.compile(r"\.(attention|attn)\.")


class LoRA(Technique, ModelChanges, TrainingPlan):
    """LoRA: freeze the encoder and learn a low-rank change of its linear maps.

        W = W₀ + (α / r) B A          A: (r, in) random, B: (out, r) zero at the start

    The adapters are parallel to linear maps inside the encoder's layers; they, the head and a pooler train (checkpoints
    often lack the pooler, and most architectures count the same map as part of their head), at a learning rate of their
    own with the recipe's schedule. After training the change is added to W₀: the exported model is a plain one with the
    usual names, and the reported scores are measured on it.

    Range: r: 1 is hardly more than biases; at the width of the map it is full fine-tuning. alpha / r scales the change:
    2 is usual. targets: all, attention, or a list of name endings, such as [query, value]. learning_rate: 1e-4 to 1e-3.
    Cost: 1.0 ×: no gradients for the frozen weights, but two additional small maps and a dropout at each target; 0.8 ×
    without that dropout, or with attention targets alone. Optimizer state shrinks to about 1 %.
    Raises: ModelError if a name matches no linear map (the error lists them), or the layers are unknown (albert).
    Relations: `freeze` and `train_only` also decide which weights train, and `head_first` sets the head's learning rate
    too: mutually exclusive. `mixout`, `l2_sp` and `reinit` act on weights that are frozen here; `wise_ft` scales the
    merged change. Penalties act on adapters and head. `dropout` sets the dropout of the encoder, not of the adapters.
    Evidence: RoBERTa-base, GLUE mean 87.24 vs 86.40, CoLA 63.4 ± 1.2 vs 63.6 (Hu et al. 2022; RTE, MRPC and STS-B start
    from MNLI there); 300 issues per repository: macro-F1 0.780 vs 0.785 (NLBSE 2024). It still memorises 1,000 texts.
    Source: Hu et al. 2022, arXiv:2106.09685. Departs from it in: all linear maps by default, not queries and values.
    """

    family: ClassVar[str] = "constraint"
    source: ClassVar[str] = "Hu et al. 2022, arXiv:2106.09685"
    owns: ClassVar[frozenset[str]] = frozenset({"which weights of the encoder train"})
    excludes: ClassVar[dict[str, str]] = {
        "head_first": "both set the learning rate of the head",
        "l2_sp": "the weights that it would pull back are frozen at their pretrained values",
        "mixout": "the weights that it would mix are frozen at their pretrained values",
        "reinit": "the layers that it re-initialises would be frozen at random values",
    }
    search: ClassVar[Mapping[str, SearchRange]] = {
        "dropout": linear(0, 0.3),
        "learning_rate": SearchRange(0.0001, 0.001),
    }

    r: int = Field(8, ge=1, le=512, description="Rank of the change.")
    alpha: float = Field(16.0, gt=0, le=1e4, description="Scale of the change: it is multiplied by alpha / r.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout on the input of the adapters.")
    targets: Literal["all", "attention"] | Annotated[list[str], Field(min_length=1)] = Field(
        "all", description="Linear maps inside the layers: all, attention, or a list of name endings."
    )
    learning_rate: float = Field(3e-4, gt=0, lt=1, description="Peak learning rate of adapters and head.")

    def _target_paths(self, model: nn.Module) -> list[str]:
        """Paths of the linear maps that get an adapter.

        Raises:
            ModelError: The layers are unknown, or a name of `targets` matches none.
        """
        with refused_by("lora"):
            paths = linear_paths(model)
        if self.targets == "all":
            return paths
        if self.targets == "attention":
            return [path for path in paths if _ATTENTION.search(path)]
        for ending in self.targets:
            if not any(path.endswith(f".{ending}") for path in paths):
                known = sorted({re.split(r"\.\d+\.", path)[1] for path in paths})
                raise ModelError(
                    f"no linear map in the layers has a name that ends in '{ending}'. Known names: {', '.join(known)}.",
                    Change(settings={"techniques.lora.targets": "all"}),
                    key="techniques.lora.targets",
                    found=ending,
                )
        return [path for path in paths if any(path.endswith(f".{ending}") for ending in self.targets)]

    def outcome(self, run: Outcome) -> str | None:
        return trained_part(run)

    def prepare_model(self, model: nn.Module) -> None:
        from peft import LoraConfig, inject_adapter_in_model  # seconds to import

        config = LoraConfig(
            r=self.r, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=self._target_paths(model)
        )
        freeze_encoder_except(model, lambda name: False)
        training = [parameter for parameter in model.parameters() if parameter.requires_grad]
        inject_adapter_in_model(config, model)  # which freezes all but the adapters
        for parameter in training:
            parameter.requires_grad_(True)

    def finish_model(self, model: nn.Module) -> None:
        from peft.tuners.lora import LoraLayer

        for path, module in list(model.named_modules()):
            if isinstance(module, LoraLayer):
                module.merge()
                model.set_submodule(path, module.get_base_layer())
        del model.peft_config

    def rate_factor(self, part: Part, budget: Budget) -> float:
        return self.learning_rate / budget.learning_rate
