"""Settings, environment and time of a run: parts of the record whose keys differ between runs and versions."""

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

Number = int | float  # written as it came: 1 stays 1, and 1.0 stays 1.0

# Below it most tasks of 100 rows were not learned (docs/results.md): the training.min_steps of your-data.yaml.
FEW_STEPS = 200
# Of a run that did not learn: below it small sets often stay at the majority class (Mosbach et al. 2021).
ENOUGH_STEPS = 400


def epochs_for_more_steps(steps: int, steps_per_epoch: int) -> int | None:
    """Epochs to try instead of so few steps: FEW_STEPS first, then ENOUGH_STEPS; None if steps are not the problem."""
    wanted = next((each for each in (FEW_STEPS, ENOUGH_STEPS) if steps < each), None)
    return None if wanted is None else math.ceil(wanted / steps_per_epoch)


class Facts(BaseModel):
    """Writes only the keys that it was given: a record keeps those of the version that wrote it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @model_serializer(mode="wrap")
    def _only_given(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if name in self.model_fields_set}


class EarlyStop(Facts):
    """Result of the rule that selects the checkpoint, at the end of a run."""

    stopped: bool = Field(description="Whether it ended the run before its last epoch.")
    patience: int = Field(description="Evaluations without a gain that it waited for: at most epochs - 1.")
    learned_step: int | None = Field(
        description="Step of the first evaluation that beat the same answer for every text beyond chance, from which "
        "patience counts; null: none did."
    )


class RateScore(Facts):
    """A learning rate that was tried."""

    value: float
    score: float | None = Field(description="Score over the rows of all folds together; null: diverged, or undefined.")
    p: float | None = Field(
        None,
        description="One-sided p-value of being better than the default, times the number of values other than "
        "the default.",
    )
    failure: str | None = Field(None, description="Why it diverged.")


class RateChoice(Facts):
    """How `training.learning_rate: auto` was decided. The seconds that it took are the phase `learning_rate`."""

    value: float = Field(description="Peak learning rate of the run.")
    default: float
    metric: str = Field(description="The score by which values were compared.")
    folds: int = Field(description="0 if there was nothing to choose.")
    rows: int = Field(description="Training rows that were cut into folds.")
    how: str = Field(description="How the folds were cut.")
    tried: list[RateScore]
    steps: int = Field(description="Optimizer steps of the choice.")
    reason: str


class Decision(Facts):
    """Result of one rule of a preset that chooses by the data."""

    rule: str
    set: dict[str, Any] = Field({}, description="Dotted key -> value that takes effect.")
    kept: dict[str, str] = Field({}, description="Dotted key that the rule would set -> what overrode it.")
    facts: dict[str, Any] = Field({}, description="The facts that its condition names.")
    because: str
    advise: str = ""
    evidence: str = Field(description="The measurement, and where it is documented; or: no evidence yet.")
    text: str = Field(description="The whole decision in words.")


class RunBudget(Facts):
    """Optimizer steps and their cost."""

    steps: int | None = Field(description="Planned optimizer steps.")
    steps_per_epoch: int | None
    warmup_steps: int
    processes: int
    precision: str = Field(description="Precision of matrix products in training: fp32 or bf16.")
    cost: Number = Field(description="Declared training time as a multiple of plain fine-tuning.")
    steps_done: int | None = Field(None, description="Last step of the run; absent until it ends.")
    trained_on_validation: bool = Field(
        False,
        description="Whether it is a refit, whose quality only test shows; absent if it is not, and in older records.",
    )
    learning_rate: RateChoice | None = Field(
        None, description="Absent until it is chosen, and if the recipe gives a learning rate."
    )
    early_stopping: EarlyStop | None = Field(
        None, description="Absent until the run ends, if no rule may stop it early, and in older records."
    )


class ModelFacts(Facts):
    """The model as it is trained."""

    architecture: str
    parameters: int
    trainable: int | None = Field(None, description="Parameters that training may change; absent before 0.2.")
    dropout: dict[str, Number] = Field(description="Site -> probability.")
    kernels: list[str] = Field([], description="Faster implementations that are in use.")
    pooling: str | None = Field(
        None,
        description="Pooling of the head: cls, mean or attention; absent in older records, and for trainers of "
        "your own.",
    )
    pooling_reason: str | None = Field(None, description="Reason, if the recipe says auto; absent when `pooling` is.")
    head: str | None = Field(
        None,
        description="How the outputs of a checkpoint with a head start: new, kept or reordered; absent if it has none.",
    )
    head_reason: str | None = Field(None, description="Reason; absent when `head` is.")


class CodeVersion(Facts):
    """Version of the program."""

    version: str
    commit: str | None = Field(None, description="Null if it does not run from its own checkout.")
    changed: bool | None = Field(None, description="Whether the checkout differed from the commit.")
    techniques: dict[str, str] = Field({}, description="The user's own techniques -> sha256 of their files.")


class Device(Facts):
    """The device of the run."""

    kind: str = Field(description="cpu or cuda.")
    cpu_threads: int
    name: str
    count: int | None = Field(None, description="Number of GPUs; absent on a CPU.")
    bf16: bool | None = Field(None, description="Whether the CPU multiplies bf16 in hardware; absent on a GPU.")


class RunTime(Facts):
    """Seconds, over all segments of a resumed run. The only part that differs between two runs of one command."""

    started: str = Field("", description="When this segment started, UTC.")
    resumed: int = Field(0, description="How often the run was resumed; absent if never.")
    seconds: float = Field(0.0, description="Seconds since preparation ended, without the time of trackers.")
    total_seconds: float = Field(
        0.0, description="With preparation and start-up, if they were for this run alone; the sum of `phases`."
    )
    phases: dict[str, float] = Field({}, description="Phase -> seconds.")
    training_seconds: float | None = Field(None, description="Seconds until training ended; absent until then.")
    first_step: float | None = Field(
        None, description="Seconds until training began; absent if training was already over."
    )
