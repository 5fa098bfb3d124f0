"""The learning rate of every part of the model in every step, as set by the techniques."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple
from typing import Any

from finetune.errors import ModelError
from finetune.models.head import head_names
from finetune.models.layers import depth_of, encoder_layers
from finetune.techniques import Budget, Part, Technique, TrainingPlan, has_hook
from finetune.techniques.rates import decay_strength, learning_rate, part_budget, scheduled_rate


class RatePlan:
    """Which part of the model each parameter belongs to, and the learning rate of each part.

    Args:
        model: A prepared classifier.
        techniques: Techniques of the run.
        budget: Budget of the run; its steps are known.
    """

    def __init__(self, model: Any, techniques: Sequence[Technique], budget: Budget) -> None:
        self._techniques = techniques
        self._budget = budget
        self._plain = budget.learning_rates()
        self._is_scheduled = has_hook(techniques, TrainingPlan.schedule)
        self.parts = model_parts(model)

    def rate(self, part: Part, step: int) -> float:
        """Learning rate in optimizer step `step`, from 0."""
        if step >= len(self._plain):
            return 0.0
        return learning_rate(self._techniques, part, step, self._budget, self._plain[step])

    def frozen(self, step: int) -> frozenset[str]:
        """Parameters that a schedule keeps frozen in this step."""
        if not self._is_scheduled:
            return frozenset()
        parts = set(self.parts.values())
        frozen = {part for part in parts if scheduled_rate(self._techniques, part, step, self._budget) == 0.0}
        return frozenset(name for name, part in self.parts.items() if part in frozen)

    def groups(self, parameters: Iterable[tuple[str, Any]], decayed: Iterable[str]) -> list[Any]:
        """Optimizer groups: one for each part with decay and one without. Each stores its part as plain numbers,
        because checkpoints hold the groups and torch reads nothing else from them.

        The decay of a part is computed with its own learning rates: a total shrink is the same for all of them.
        """
        decayed = frozenset(decayed)
        members: dict[tuple[Part, bool], list[Any]] = {}
        for name, parameter in parameters:
            if parameter.requires_grad:
                members.setdefault((self.parts[name], name in decayed), []).append(parameter)
        return [
            {"params": group, "weight_decay": self._decay(part) if is_decayed else 0.0, "part": astuple(part)}
            for (part, is_decayed), group in members.items()
        ]

    def _decay(self, part: Part) -> float:
        return decay_strength(self._techniques, part_budget(self._techniques, part, self._budget))

    def factors(self, groups: Sequence[dict[str, Any]]) -> list[Callable[[int], float]]:
        """For LambdaLR: for each group, step -> learning rate as a multiple of the recipe's peak."""
        return [self._factor(Part(*group["part"])) for group in groups]

    def _factor(self, part: Part) -> Callable[[int], float]:
        return lambda step: self.rate(part, step) / self._budget.learning_rate


def model_parts(model: Any) -> dict[str, Part]:
    """Name -> part of every parameter. If layers cannot be distinguished, the whole encoder has depth 0 or 1."""
    try:
        layers = encoder_layers(model)
    except ModelError:
        layers = {}
    head, prefix = head_names(model), model.base_model_prefix
    return {
        name: Part(depth_of(name, layers, prefix), len(layers), name in head) for name, _ in model.named_parameters()
    }
