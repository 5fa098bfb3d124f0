"""Results of workflows. In a notebook each result displays the report's own tables and plots; a Python prompt shows
where the files are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune.analysis.quality_gates import QualityGate, failed_quality_gates
from finetune.errors import RunFailed
from finetune.measurement.units import listed
from finetune.records.curve import CurveReport
from finetune.records.diagnosis import Diagnosis
from finetune.records.encoders import EncoderComparison
from finetune.records.profile import RunProfile
from finetune.records.report import Group, Report, RunEntry
from finetune.records.schema import DataFacts, Finding, FinishedRecord
from finetune.records.store import RunFolder
from finetune.records.sweep import SweepReport
from finetune.records.tune import TuneReport


@dataclass(frozen=True)
class RunResult:
    """Result of `run`, with one entry per seed that finished.

    Attributes:
        records: Run records of the finished seeds.
        folders: Their folders: `folder.model` holds the model, which plain transformers can load.
        profiles: Folder -> where the time went, for the profiled seed.
        failures: Errors of the other seeds, each with its folder.
        is_main: Whether this process shows the results, if several trained together.
    """

    records: list[FinishedRecord] = field(repr=False)
    folders: list[RunFolder]
    profiles: dict[RunFolder, RunProfile] = field(default_factory=dict, repr=False)
    failures: list[str] = field(default_factory=list)
    is_main: bool = True

    @property
    def record(self) -> FinishedRecord:
        """The record of the first finished seed.

        Raises:
            RunFailed: No seed has finished.
        """
        if not self.records:
            self.raise_failures()
            raise RunFailed("no run has finished.")
        return self.records[0]

    @property
    def model(self) -> Path:
        """The folder of the first finished seed's model.

        Raises:
            RunFailed: No seed has finished.
        """
        self.record  # noqa: B018 - raises where there is none
        return self.folders[0].model

    def raise_failures(self) -> None:
        """
        Raises:
            RunFailed: A seed has failed; names each.
        """
        if self.failures:
            raise RunFailed("\n".join(self.failures))

    def _repr_html_(self) -> str:
        from finetune.reports.notebook import runs_fragment

        return runs_fragment(self.records)


@dataclass(frozen=True)
class CompareResult:
    """Result of `compare`, `ablate` and `report`.

    Attributes:
        report: Everything that the report shows; its first group is the comparison.
        folder: Folder of the report and the runs.
        paths: report.json, report.html, report.md.
        gates: Quality gates, a list per group of the report.
        failures: Runs that failed in this call, and why the final model could not be made.
    """

    report: Report = field(repr=False)
    folder: Path
    paths: list[Path]
    gates: Sequence[Sequence[QualityGate]] = field(default=(), repr=False)
    failures: Sequence[str] = ()

    @property
    def group(self) -> Group:
        """The comparison itself: one recipe on one data set."""
        return self.report.groups[0]

    @property
    def model(self) -> Path | None:
        """Folder of the recommended model; None if nothing is recommended or it was not kept."""
        chosen = self.group.recommendation
        return None if chosen is None or chosen.model is None else Path(chosen.model)

    def gap(self, metric: str | None = None) -> dict[str, float | None]:
        """Preset -> mean generalization gap at the selected checkpoint; positive means overfitting.

        Args:
            metric: Name of the metric as in the report; the main score by default.
        """
        name = metric or self.group.score
        return {variant.name: variant.gap[name].mean for variant in self.group.variants if name in variant.gap}

    def failed_gates(self) -> list[str]:
        """Failed quality gates, each with the number that failed it."""
        pairs = zip(self.report.groups, self.gates, strict=False)
        return [text for group, gates in pairs for text in failed_quality_gates(gates, group)]

    def raise_failures(self) -> None:
        """
        Raises:
            RunFailed: A quality gate does not hold, a run has failed, or the final model could not be made.
        """
        failed = [*(f"--fail-on {text}" for text in self.failed_gates()), *self.failures]
        if failed:
            raise RunFailed("\n".join(failed))

    def _repr_html_(self) -> str:
        from finetune.reports.notebook import report_fragment

        return report_fragment(self.report)


@dataclass(frozen=True)
class CurveResult:
    """Result of `curve`, and of `report` for a curve.

    Attributes:
        report: Everything that the page shows.
        folder: Where page and runs lie.
        paths: curve.json, curve.html, curve.md.
        failures: Runs that failed while they were made.
    """

    report: CurveReport = field(repr=False)
    folder: Path
    paths: list[Path]
    failures: Sequence[str] = ()

    def raise_failures(self) -> None:
        """
        Raises:
            RunFailed: A run has failed.
        """
        if self.failures:
            raise RunFailed("\n".join(self.failures))

    def _repr_html_(self) -> str:
        from finetune.reports.notebook import curve_fragment

        return curve_fragment(self.report)


@dataclass(frozen=True)
class SweepResult:
    """Result of `sweep`, and of `report` for a sweep.

    Attributes:
        report: Everything that the page shows.
        folder: Where page and runs lie.
        paths: sweep.json, sweep.html, sweep.md.
        failures: Runs that failed while they were made.
    """

    report: SweepReport = field(repr=False)
    folder: Path
    paths: list[Path]
    failures: Sequence[str] = ()

    @property
    def chosen(self) -> dict[str, Any] | None:
        """Key -> value of the point with the best validation score; None where there is none."""
        name = None if self.report.chosen is None else self.report.chosen.name
        return next((dict(point.values) for point in self.report.points if point.name == name), None)

    def raise_failures(self) -> None:
        """
        Raises:
            RunFailed: A run has failed.
        """
        if self.failures:
            raise RunFailed("\n".join(self.failures))

    def _repr_html_(self) -> str:
        from finetune.reports.notebook import sweep_fragment

        return sweep_fragment(self.report)


@dataclass(frozen=True)
class TuneResult:
    """Result of `tune`, and of `report` for a tune.

    Attributes:
        report: Everything that the page shows.
        folder: Where page and runs lie.
        paths: tune.json, tune.html, tune.md.
        failures: Test runs that failed in this call.
    """

    report: TuneReport = field(repr=False)
    folder: Path
    paths: list[Path]
    failures: Sequence[str] = ()

    @property
    def chosen(self) -> dict[str, float]:
        """Searched key -> value in the chosen setting: the best one, or the default if it is kept."""
        return next(dict(trial.settings) for trial in self.report.trials if trial.name == self.report.chosen)

    @property
    def recipe(self) -> Path:
        """The recipe file with the chosen settings."""
        return Path(self.report.recipe)

    @property
    def optimism(self) -> dict[str, float | None]:
        """Optimism of the default and of the best setting: score over the folds - score on test."""
        return {tested.name: tested.optimism for tested in self.report.tested}

    def raise_failures(self) -> None:
        """
        Raises:
            RunFailed: A run for test has failed.
        """
        if self.failures:
            raise RunFailed("\n".join(self.failures))

    def _repr_html_(self) -> str:
        from finetune.reports.notebook import tune_fragment

        return tune_fragment(self.report)


def failed_runs(runs: Sequence[RunEntry]) -> list[str]:
    """The message of an experiment that has just ended about its failed runs."""
    failed = sum(run.status != "finished" for run in runs)
    return [f"{failed} of {len(runs)} runs failed; the report names each. The same command retries."] if failed else []


@dataclass(frozen=True, repr=False)
class CheckResult:
    """Result of `check`.

    Attributes:
        facts: Rows, classes, findings and the scores of simple models.
        counted: Findings that `strict` counts as failures.
        encoders: Comparison of frozen encoders, if `models` were named.
    """

    facts: DataFacts
    counted: list[Finding]
    encoders: EncoderComparison | None = None

    def to_json(self) -> str:
        """The facts, with `encoders` if models were named."""
        if self.encoders is None:
            return self.facts.model_dump_json(indent=2)
        both = {**self.facts.model_dump(mode="json"), "encoders": self.encoders.model_dump(mode="json")}
        return json.dumps(both, indent=2, ensure_ascii=False)

    def raise_failures(self) -> None:
        """
        Raises:
            RunFailed: `strict` was asked for, and there is a problem or a warning; or a model could not be read.
        """
        entries = [] if self.encoders is None else self.encoders.models
        unread = [entry.model for entry in entries if entry.error is not None]
        failed = [f"--models: no score for {listed(unread)}; the table says why."] if unread else []
        if self.counted:
            from finetune.reports.findings import count_findings

            failed.append(f"--strict: {count_findings(self.counted)}.")
        if failed:
            raise RunFailed("\n".join(failed))

    def __repr__(self) -> str:
        from finetune.reports.findings import count_findings

        return f"CheckResult({count_findings(self.facts.findings)})"

    def _repr_html_(self) -> str:
        from finetune.reports.notebook import facts_fragment

        return facts_fragment(self.facts, self.encoders)


@dataclass(frozen=True, repr=False)
class DiagnoseResult:
    """Result of `diagnose`.

    Attributes:
        diagnosis: Verdict, look-alikes and plan.
        fail_on: Verdicts that count as failures.
    """

    diagnosis: Diagnosis
    fail_on: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        return self.diagnosis.model_dump_json(indent=2)

    def raise_failures(self) -> None:
        """
        Raises:
            RunFailed: The verdict is one of `fail_on`.
        """
        if self.diagnosis.verdict in self.fail_on:
            raise RunFailed(f"--fail-on: the verdict is '{self.diagnosis.verdict}'.")

    def __repr__(self) -> str:
        return f"DiagnoseResult({self.diagnosis.verdict})"

    def _repr_html_(self) -> str:
        from finetune.reports.notebook import diagnosis_fragment

        return diagnosis_fragment(self.diagnosis)
