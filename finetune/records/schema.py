"""The run record, version 1. Written by a run, read by all later steps."""

import hashlib
import json
from typing import Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from finetune.records.facts import CodeVersion, Decision, Device, ModelFacts, RunBudget, RunTime
from finetune.records.frozen import Frozen, Sparse
from finetune.tasks import Task

SCHEMA_VERSION = 1

Status = Literal["running", "finished", "failed", "interrupted"]
Scores = dict[str, float | None]  # None: undefined, such as the correlation of a constant


OWN = "own"  # what a run without a preset is called: the techniques that the recipe itself lists
OWN_TRAINER = "own-trainer"  # name of the recipe of a run by a Trainer of the user's, whose data has no name to type


class Evaluation(Frozen):
    """One evaluation of train sample and validation, in eval mode, with the same code."""

    step: int = Field(description="Optimizer steps done.")
    epoch: float
    objective: float | None = Field(description="Mean training objective since the last evaluation; no gap uses it.")
    learning_rate: float | None = Field(
        description="Learning rate of the last step; the highest, if parts of the model differ."
    )
    grad_norm: float | None = Field(description="Gradient norm of the last step, before clipping.")
    train_probe: Scores
    validation: Scores


class Gap(Frozen):
    """Positive means overfitting, for scores (train − validation) and losses (validation − train) alike."""

    value: float | None
    low: float | None = Field(None, description="95 % bootstrap interval over rows; None if there is none.")
    high: float | None = None


class Checkpoint(Frozen):
    """Metrics of one checkpoint."""

    step: int
    epoch: float
    train_probe: Scores
    validation: Scores
    test: Scores | None = Field(None, description="Only for the selected checkpoint: test is opened once.")
    gap: dict[str, Gap]
    share: float | None = Field(
        None, description="Fraction of the fine-tuned weights, if they were interpolated with the pretrained ones."
    )

    @property
    def reported(self) -> Literal["test", "validation"]:
        """The split on which results are reported: test, or validation if there is no test split."""
        return "validation" if self.test is None else "test"

    @property
    def reported_scores(self) -> Scores:
        return self.validation if self.test is None else self.test


class Calibration(Frozen):
    """Temperature scaling of the selected checkpoint (single-label only)."""

    temperature: float = Field(description="Fitted on validation; above 1 means overconfident.")
    test_nll: float | None = Field(description="NLL on test after scaling, nats.")


class Thresholds(Frozen):
    """The probability above which each label is predicted (multi-label only), and the resulting scores at the selected
    checkpoint. All other scores of a record use 0.5.
    """

    values: dict[str, float] = Field(description="Label -> probability, chosen on validation for the best F1.")
    origins: dict[str, Literal["own", "shared", "default"]] = Field(
        description="Label -> own: chosen for this label; shared: chosen for all labels with few validation rows "
        "together; default: 0.5, because there are too few rows."
    )
    validation: Scores = Field(
        description="micro_f1, macro_f1 and exact_match with these thresholds, on the rows that chose them."
    )
    test: Scores | None = Field(description="The same scores on test.")


class Finding(Sparse):
    """The result of a check of the data."""

    ABSENT: ClassVar[tuple[str, ...]] = ("split",)

    check: str = Field(description="Name of the check.")
    level: Literal["info", "warning", "problem"] = Field(
        description="info: good to know; warning: worth a look; problem: scores cannot be trusted."
    )
    text: str = Field(description="One sentence, with the number.")
    split: str | None = Field(
        None, description="The split that is compared with an earlier one; absent for other checks."
    )
    figures: dict[str, float | None] = Field({}, description="The numbers in it: counts, fractions in [0, 1], AUC, ….")
    examples: list[str] = Field([], description="Rows that show it, one per line.")
    advice: str = Field("", description="What to do, in command-line form.")


class Baseline(Frozen):
    """Scores of a simple model on the same rows."""

    name: str = Field(description="majority, mean (for numbers) or tfidf.")
    about: str = Field(description="Description in one line.")
    scores: dict[str, Scores] = Field(description="Split -> scores, with the same names as those of the run.")
    gap: Scores = Field(description="As for a run: positive means overfitting.")


class TargetScale(Frozen):
    """Scaling of numeric targets in training. Everything in a record except the objective is in units of the data."""

    mean: float = Field(description="Mean of the training targets.")
    sd: float = Field(description="Their standard deviation.")


class DataFacts(Frozen):
    task: Task
    labels: list[str] | None
    columns: dict[str, str]
    rows: dict[str, int] = Field(description="Split -> rows, train sample and unlabelled texts included.")
    classes: dict[str, dict[str, int]]
    dropped: dict[str, int]
    notes: list[str]
    warnings: list[str]
    fingerprint: str = Field(description="sha256 over texts and labels of all splits, and over unlabelled texts.")
    score: str | None = Field(None, description="Main score, which selects checkpoints and comes first in reports.")
    findings: list[Finding] = Field([])
    baselines: list[Baseline] = Field([])


class WeightGroup(Frozen):
    """Statistics of a group of weights after training."""

    parameters: int
    norm: float
    distance: float | None = Field(description="L2 distance from the pretrained weights; None for the head.")
    zeros: int = Field(description="Number of weights that are exactly 0.")
    unmoved: int | None = Field(
        description="Number of weights exactly equal to their pretrained values; None for the head."
    )
    magnitudes: list[int] = Field(
        [], description="Weights by log10 |w|: 40 bins of 0.25 from -8 to 2, exact zeros left out."
    )


class ActiveTechnique(Sparse):
    ABSENT: ClassVar[tuple[str, ...]] = ("outcome",)

    settings: dict[str, Any]
    cost: float = Field(description="Declared training time as a multiple of plain fine-tuning.")
    effect: str | None = Field(None, description="Effect of the settings in this run, in words.")
    outcome: str | None = Field(
        None, description="What the technique did, in words, measured after the run; absent if it reports nothing."
    )


class RunRecord(Frozen):
    """One recipe × preset × seed. A failed run is a record too."""

    schema_version: int = SCHEMA_VERSION
    status: Status
    error: str | None = None
    recipe: dict[str, Any]
    preset: str | None
    seed: int
    data: DataFacts
    model: ModelFacts
    techniques: dict[str, ActiveTechnique]
    budget: RunBudget
    code: CodeVersion
    versions: dict[str, str]
    device: Device
    history: list[Evaluation] = Field([])
    selected: Checkpoint | None = None
    last: Checkpoint | None = None
    target: TargetScale | None = Field(None, description="Numbers only, if the head can hold their scale.")
    calibration: Calibration | None = None
    thresholds: Thresholds | None = None
    weights: dict[str, WeightGroup] = Field({})
    warnings: list[str] = Field([])
    time: RunTime = RunTime()

    @model_serializer(mode="wrap")
    def _without_later_fields(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A record of a version that did not have these fields stays what it is."""
        later = {"target", "thresholds"} - self.model_fields_set
        return {name: value for name, value in serialize(self).items() if name not in later}

    @property
    def id(self) -> str:
        """sha256 over recipe, seed, data and code."""
        about = {
            "recipe": self.recipe,
            "seed": self.seed,
            "data": self.data.fingerprint,
            "code": [self.code.version, self.code.commit],
        }
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()

    @property
    def decisions(self) -> list[Decision]:
        """What the preset chose by the data, rule by rule; empty for a preset that lists its techniques."""
        return [Decision.model_validate(decision) for decision in self.recipe.get("decisions", [])]

    def finish(self, **changes: Any) -> "FinishedRecord":
        """The record of the same run once finished.

        Args:
            changes: Field -> value, as in `model_copy`.
        """
        given = {name: value for name, value in self if name in self.model_fields_set}
        return FinishedRecord.model_validate({**given, **changes, "status": "finished"})


class FinishedRecord(RunRecord):
    """The record of a finished run: both checkpoints were measured."""

    status: Literal["finished"]
    selected: Checkpoint
    last: Checkpoint

    @property
    def shown(self) -> Checkpoint:
        """The selected checkpoint without misleading values: validation and gap of a refit, which was trained on these
        rows.
        """
        if not self.budget.trained_on_validation:
            return self.selected
        return self.selected.model_copy(update={"validation": {}, "gap": {}})
