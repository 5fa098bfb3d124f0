"""Fields that the reports of a comparison and of a learning curve have in common."""

from typing import Any, Literal, Protocol, TypeVar

from pydantic import Field

from finetune.records.facts import CodeVersion, Device
from finetune.records.frozen import Frozen
from finetune.records.schema import Finding
from finetune.tasks import Task

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)


class Measured(Protocol[S_co]):
    """A result with scores of both splits that can be reported."""

    @property
    def validation(self) -> S_co: ...

    @property
    def test(self) -> S_co: ...


class Unit(Frozen):
    """The unit of a metric."""

    kind: Literal["fraction", "plain"] = Field(description="fraction: in [0, 1], shown in percent and points.")
    higher_is_better: bool
    unit: str = Field(description="points, nats, … ; may be empty.")


class ReportFrame(Frozen):
    """The runs of one recipe on one data set: their metrics, their data and their conditions."""

    name: str
    task: Task
    score: str = Field(description="The main score.")
    loss: str = Field(description="The evaluation loss.")
    metrics: dict[str, Unit]
    reported: Literal["test", "validation"] = Field(description="The split that scores are compared on.")
    baseline: str
    seeds: list[int]
    headline: str
    caveats: list[str] = Field(description="Limits of the evidence.")
    rows: dict[str, int] = Field(
        description="Split -> rows (folds: those of the first; curve: splits that do not depend on the size)."
    )
    columns: dict[str, str]
    findings: list[Finding] = Field(
        [], description="Findings of the data checks (folds: those of the first; curve: at the largest size)."
    )
    notes: list[str]
    warnings: list[str]
    recipe: dict[str, Any] = Field(
        description="Resolved recipe without techniques; in a curve, data.subset and epochs differ by size."
    )
    command: str | None
    versions: dict[str, str]
    device: Device
    precision: str
    code: CodeVersion
    seconds: float = Field(description="Total over all runs.")
    date: str | None = Field(None, description="UTC day on which the last of the runs started; null if unknown.")

    @property
    def splits(self) -> list[str]:
        """The splits that have scores."""
        return ["train", "validation", *(["test"] if self.reported == "test" else [])]

    def reported_scores(self, measured: Measured[S]) -> S:
        """The scores of a variant, or of a point of a curve, on the reported split."""
        return measured.test if self.reported == "test" else measured.validation
