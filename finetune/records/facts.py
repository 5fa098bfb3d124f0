"""What a run was trained with, on and for how long: parts of the record whose keys differ between runs and versions."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

Number = int | float  # written as it came: 1 stays 1, and 1.0 stays 1.0

# Below it most tasks of 100 rows were not learned (docs/results.md): the training.min_steps of your-data.yaml.
FEW_STEPS = 200
# Of a run that did not learn: below it small sets often stay at the majority class (Mosbach et al. 2021).
ENOUGH_STEPS = 400


class Facts(BaseModel):
    """Writes the keys that it was given, and no others: a record keeps those of the version that wrote it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @model_serializer(mode="wrap")
    def _only_given(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if name in self.model_fields_set}


class EarlyStop(Facts):
    """What the rule that selects the checkpoint did, at the end of a run."""

    stopped: bool = Field(description="Whether it ended the run before its last epoch.")
    patience: int = Field(description="Evaluations without a gain that it waited for: at most the epochs - 1.")
    learned_step: int | None = Field(
        description="Step of the first evaluation that beat the same answer for every text beyond chance, from which "
        "patience counts; null: none did."
    )


class RateScore(Facts):
    """A learning rate that was tried."""

    value: float
    score: float | None = Field(description="Over the rows of all folds together; null: diverged, or undefined.")
    p: float | None = Field(
        None, description="One-sided, of being better than the default, times the number of values beside the default."
    )
    failure: str | None = Field(None, description="Why it diverged.")


class RateChoice(Facts):
    """How `training.learning_rate: auto` was decided. The seconds that it took are the phase `learning_rate`."""

    value: float = Field(description="Peak learning rate of the run.")
    default: float
    metric: str = Field(description="The score that values were compared by.")
    folds: int = Field(description="0 where there was nothing to choose.")
    rows: int = Field(description="Training rows that were cut into folds.")
    how: str = Field(description="How they were cut.")
    tried: list[RateScore]
    steps: int = Field(description="Optimizer steps that the choice took.")
    reason: str


class Decision(Facts):
    """What one rule of a preset that chooses by the data did."""

    rule: str
    set: dict[str, Any] = Field({}, description="Dotted key -> value, as it acts.")
    kept: dict[str, str] = Field({}, description="Dotted key that the rule would set -> who decided otherwise.")
    facts: dict[str, Any] = Field({}, description="The facts that its condition names.")
    because: str
    advise: str = ""
    evidence: str = Field(description="What was measured, and where it stands; or: no evidence yet.")
    text: str = Field(description="All of it in words.")


class RunBudget(Facts):
    """Optimizer steps, and what they cost."""

    steps: int | None = Field(description="Planned optimizer steps.")
    steps_per_epoch: int | None
    warmup_steps: int
    processes: int
    precision: str = Field(description="Of matrix products in training: fp32 or bf16.")
    cost: Number = Field(description="Declared training time as a multiple of plain fine-tuning.")
    steps_done: int | None = Field(None, description="Where the run ended; absent until then.")
    trained_on_validation: bool = Field(
        False, description="A refit, so only test says how good it is; absent where it is none, and in older records."
    )
    learning_rate: RateChoice | None = Field(
        None, description="Absent until it is chosen, and where the recipe names a learning rate."
    )
    early_stopping: EarlyStop | None = Field(
        None, description="Absent until the run ends, where no rule selects the checkpoint, and in older records."
    )


class ModelFacts(Facts):
    """The model as it is trained."""

    architecture: str
    parameters: int
    trainable: int | None = Field(None, description="Parameters that training may change; absent before 0.2.")
    dropout: dict[str, Number] = Field(description="Site -> probability.")
    kernels: list[str] = Field([], description="Faster implementations that are in use.")
    pooling: str | None = Field(
        None, description="What the head reads: cls, mean or attention; absent before, and for trainers of your own."
    )
    pooling_reason: str | None = Field(None, description="Why, where the recipe says auto; absent as `pooling` is.")
    head: str | None = Field(
        None, description="How outputs start that the checkpoint has: new, kept or reordered; absent where it has none."
    )
    head_reason: str | None = Field(None, description="Why; absent as `head` is.")


class CodeVersion(Facts):
    """The program."""

    version: str
    commit: str | None = Field(None, description="Null where it does not run from its own checkout.")
    changed: bool | None = Field(None, description="Whether the checkout differed from the commit.")
    techniques: dict[str, str] = Field({}, description="The user's own techniques -> sha256 of their files.")


class Device(Facts):
    """What the run was computed on."""

    kind: str = Field(description="cpu or cuda.")
    cpu_threads: int
    name: str
    count: int | None = Field(None, description="GPUs; absent on a CPU.")
    bf16: bool | None = Field(None, description="Whether a CPU multiplies bf16 in hardware; absent on a GPU.")


class RunTime(Facts):
    """Seconds, over all segments of a resumed run. The only part that differs between two runs of one command."""

    started: str = Field("", description="When this segment started, UTC.")
    resumed: int = Field(0, description="How often the run was resumed; absent if never.")
    seconds: float = Field(0.0, description="Since preparing ended, without what trackers took.")
    total_seconds: float = Field(
        0.0, description="With preparing and start-up, where this run had them to itself; the sum of `phases`."
    )
    phases: dict[str, float] = Field({}, description="Phase -> seconds.")
    training_seconds: float | None = Field(None, description="Until training ended; absent until then.")
    first_step: float | None = Field(None, description="Until training began; absent where it was over already.")
