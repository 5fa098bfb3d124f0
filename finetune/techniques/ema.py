"""Exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from finetune.errors import Change, Problem
from finetune.techniques.base import Technique
from finetune.techniques.budget import Budget
from finetune.techniques.hooks.kept_weights import KeptWeights
from finetune.techniques.search import SearchRange

LONG = 0.2  # of the run: above it the average keeps too much of what came early
SHORT = 2.0  # steps: below it the average is hardly more than the last weights
ADVISED = (0.1, 0.2, 0.3, 0.5, 0.8)  # horizons, the first that is long enough


def corrected_rate(decay: float, step: int) -> float:
    """(1 − β) / (1 − β^t): the coefficient of the newest of t values in their bias-corrected average; 1 for t = 1."""
    return (1 - decay) / (1 - decay**step)


class EMA(Technique, KeptWeights):
    """EMA: keep an exponential moving average of the weights, in which the noise of single steps cancels out.

        w̄_t = (1 − β) Σ_{i=1…t} β^(t−i) w_i / (1 − β^t)

    w_i are the weights after optimizer step i, β is the `decay`; 1/(1 − β) steps are the `horizon`, over which the
    coefficient of a step falls to 1/e. The division makes the coefficients add up to 1 from the first step on: neither
    zeros nor the pretrained weights are in the average.

    Every trained weight is averaged, in fp32. Training itself is not affected, bit for bit; the average is measured,
    selected and exported, from the first evaluation on.
    Range: `decay`: near 0 the average is the last weights alone, near 1 the plain mean of all steps. `horizon`, a
    fraction of the run's steps: 0.02 smooths a little; above 0.2, weights from early in training contribute (a
    warning).
    Cost: 1 × plain fine-tuning; one more copy of the weights in memory and in each checkpoint.
    Raises: RecipeError if the horizon is below 2 steps (the average of one value) or not below the run's length.
    Relations: `swa` is another average: mutually exclusive. `early_stopping` compares and keeps averages; `wise_ft`
    interpolates towards the average. `l1` and `elastic_net`: a weight of the average is exactly 0 only if it was so in
    every step. With `lora` the two factors are averaged separately.
    Evidence: BERT-base on 66k examples +1.32 macro-F1 and the smallest spread over seeds (BanglaCyberBench, 3 seeds);
    none found for few examples.
    Source: Kingma & Ba 2015, arXiv:1412.6980, §7.2. Departs from it in: the horizon may be a fraction of the run.
    """

    family: ClassVar[str] = "averaging"
    source: ClassVar[str] = "Kingma & Ba 2015, arXiv:1412.6980, §7.2"
    search: ClassVar[Mapping[str, SearchRange]] = {"horizon": SearchRange(0.02, 0.2)}

    decay: float | None = Field(
        None, gt=0, lt=1, description="β, fraction of the average that each step keeps, instead of a horizon."
    )
    horizon: float | None = Field(0.1, gt=0, lt=1, description="1/(1 − β) as a fraction of the run's steps.")

    @model_validator(mode="before")
    @classmethod
    def _decay_replaces_the_default(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("decay") is not None:
            return {"horizon": None, **given}
        return given

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.decay is None) == (self.horizon is None):
            raise ValueError("give either horizon or decay, the other null (for example horizon: 0.1)")
        return self

    def _horizon_steps(self, budget: Budget) -> float | None:
        """1/(1 − β); None where it is a fraction of a number of steps that is not known yet."""
        if self.decay is not None:
            return 1 / (1 - self.decay)
        return None if budget.steps is None or self.horizon is None else self.horizon * budget.steps

    def problems(self, budget: Budget) -> list[Problem]:
        horizon, steps = self._horizon_steps(budget), budget.steps
        if horizon is None or steps is None:
            return []
        if round(horizon, 6) < SHORT:
            why = f"a horizon of {horizon:.2g} of {steps} steps averages a single value, which does nothing."
        elif round(horizon, 6) >= steps:
            why = f"a horizon of {horizon:.0f} steps covers all {steps} steps of the run."
        else:
            return []
        return [Problem(why, f".{self._key()}", found=getattr(self, self._key()), changes=(self._advice(steps),))]

    def warnings(self, budget: Budget) -> list[Problem]:
        horizon, steps = self._horizon_steps(budget), budget.steps
        if horizon is None or steps is None or round(horizon / steps, 6) <= LONG:
            return []
        why = (
            f"a horizon of {horizon:.0f} of {steps} steps ({100 * horizon / steps:.0f} %) keeps weights from early in "
            f"training; more than {100 * LONG:.0f} % is rarely intended."
        )
        return [Problem(why, f".{self._key()}", found=getattr(self, self._key()), changes=(self._advice(steps),))]

    def effect(self, budget: Budget) -> str | None:
        horizon = self._horizon_steps(budget)
        if horizon is None:
            return None
        of = "" if budget.steps is None else f" of {budget.steps}"
        return f"β = {1 - 1 / horizon:.4g}: a horizon of {horizon:.3g}{of} steps"

    def averaging_rate(self, step: int, budget: Budget) -> float:
        horizon = self._horizon_steps(budget)
        assert horizon is not None, "a run knows its number of steps"
        return corrected_rate(1 - 1 / horizon, step)

    def _key(self) -> str:
        return "horizon" if self.decay is None else "decay"

    def _advice(self, steps: int) -> Change:
        """A horizon that averages something, or no average."""
        enough = next((fraction for fraction in ADVISED if fraction * steps >= SHORT), None)
        if enough is None:
            return Change(settings={"": "off"})
        return Change(settings={".horizon": enough} if self.decay is None else {".decay": None, ".horizon": enough})
