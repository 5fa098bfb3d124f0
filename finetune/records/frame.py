"""What the reports of a comparison and of a learning curve have in common."""

from typing import Any, Literal, Protocol, TypeVar

from pydantic import Field

from finetune.records.facts import CodeVersion, Device
from finetune.records.frozen import Frozen
from finetune.records.schema import Finding
from finetune.tasks import Task

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)


class Measured(Protocol[S_co]):
    """What has scores of both splits that can be reported."""

    @property
    def validation(self) -> S_co: ...

    @property
    def test(self) -> S_co: ...


class Unit(Frozen):
    """How a metric is to be read."""

    kind: Literal["fraction", "plain"] = Field(description="fraction: in [0, 1], shown in percent and points.")
    higher_is_better: bool
    unit: str = Field(description="points, nats, … ; may be empty.")


class ReportFrame(Frozen):
    """The runs of one recipe on one data set: what they measured, on what, and under which conditions."""

    name: str
    task: Task
    score: str = Field(description="The main score.")
    loss: str = Field(description="The evaluation loss.")
    metrics: dict[str, Unit]
    reported: Literal["test", "validation"] = Field(description="The split that scores are compared on.")
    baseline: str
    seeds: list[int]
    headline: str
    caveats: list[str] = Field(description="What the evidence does not show.")
    rows: dict[str, int] = Field(
        description="Split -> rows (folds: of the first; of a curve: of the splits that do not depend on the size)."
    )
    columns: dict[str, str]
    findings: list[Finding] = Field(
        [], description="Of the checks of the data (folds: of the first; of a curve: at the largest size)."
    )
    notes: list[str]
    warnings: list[str]
    recipe: dict[str, Any] = Field(
        description="Resolved, without techniques; of a curve, data.subset and epochs differ by size."
    )
    command: str | None
    versions: dict[str, str]
    device: Device
    precision: str
    code: CodeVersion
    seconds: float = Field(description="Of all runs together.")
    date: str | None = Field(None, description="UTC day on which the last of the runs started; null where unknown.")

    @property
    def splits(self) -> list[str]:
        """Those that have scores."""
        return ["train", "validation", *(["test"] if self.reported == "test" else [])]

    def reported_scores(self, measured: Measured[S]) -> S:
        """The scores of the reported split, of a variant or of a point of a curve."""
        return measured.test if self.reported == "test" else measured.validation
