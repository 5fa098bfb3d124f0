"""Results of the workflows that use a model: evaluations, explanations, exports, predictions, uploads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from finetune.analysis.quality_gates import QualityGate, failed_evaluation_gates
from finetune.errors import RunFailed
from finetune.records.evaluation import EvaluationReport
from finetune.records.explanation import Explanation
from finetune.records.export import ExportReport


@dataclass(frozen=True, repr=False)
class EvaluateResult:
    """Result of `evaluate`.

    Attributes:
        report: Everything that was measured.
        paths: evaluation.json, evaluation.html, evaluation.md, if they were requested.
        gates: Quality gates.
    """

    report: EvaluationReport
    paths: list[Path] = field(default_factory=list)
    gates: Sequence[QualityGate] = ()

    def to_json(self) -> str:
        return self.report.model_dump_json(indent=2)

    def raise_failures(self) -> None:
        """
        Raises:
            RunFailed: A quality gate does not hold.
        """
        failed = failed_evaluation_gates(self.gates, self.report)
        if failed:
            raise RunFailed("\n".join(f"--fail-on {text}" for text in failed))

    def __repr__(self) -> str:
        value = self.report.scores[self.report.score].value
        return f"EvaluateResult({self.report.score} {value} of {self.report.rows} rows)"

    def _repr_html_(self) -> str:
        from finetune.reports.notebook import evaluation_fragment

        return evaluation_fragment(self.report)


@dataclass(frozen=True)
class ExportResult:
    """Result of `export`.

    Attributes:
        path: The folder that was written.
        report: Differences from the original model, size and speed.
    """

    path: Path
    report: ExportReport = field(repr=False)

    def to_json(self) -> str:
        return json.dumps({"path": str(self.path), **self.report.model_dump(mode="json")}, indent=2)


@dataclass(frozen=True)
class ExplainResult:
    """Result of `explain`.

    Attributes:
        explanations: One for each text.
    """

    explanations: list[Explanation] = field(repr=False)

    @property
    def explanation(self) -> Explanation:
        """The explanation of the first text."""
        return self.explanations[0]

    def to_json(self) -> str:
        return json.dumps([each.model_dump(mode="json") for each in self.explanations], indent=2, ensure_ascii=False)


@dataclass(frozen=True)
class PushResult:
    """Result of `push`.

    Attributes:
        folder: Folder of the model.
        repo: OWNER/NAME on the hub.
        sizes: Name of each file that was sent, or would be -> bytes.
        card: The model card; None where there is none.
        public: Whether it was pushed as public.
        url: Address of the commit; None for a dry run.
    """

    folder: Path
    repo: str
    sizes: dict[str, int]
    card: str | None
    public: bool
    url: str | None


@dataclass(frozen=True)
class PredictResult:
    """Result of `predict`.

    Attributes:
        path: The file that was written.
        rows: Number of rows in it, as many as in the data.
        empty: Number of rows without a text, and so without a prediction.
        seconds: Time without reading.
        unsure: Number of rows without a prediction, because they are too uncertain for the requested accuracy.
    """

    path: Path
    rows: int
    empty: int
    seconds: float
    unsure: int = 0
