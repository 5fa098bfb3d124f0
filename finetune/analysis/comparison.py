"""Collections of runs -> the report: every figure that is shown is computed here and below, and nowhere else."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from finetune.advice.comparison import caveats, headline
from finetune.advice.diagnosis import is_degenerate
from finetune.analysis.choice import validation_order
from finetune.analysis.collect import Collection, FinishedRun, FoundRun
from finetune.analysis.details import class_scores, curves, disagreements, reliability, weight_summaries
from finetune.analysis.quantities import (
    KINDS,
    Place,
    Quantity,
    RowDraws,
    differ,
    negated,
    place,
    quantities,
    summarise,
)
from finetune.analysis.statistics import LEVEL, holm
from finetune.analysis.verdicts import RULE, Candidate, State, best_candidate, judge, judge_change, recommend
from finetune.errors import OutputError
from finetune.measurement.scores import LOSSES, measure_of
from finetune.measurement.units import difference_unit, higher_is_better, is_fraction
from finetune.records.comparison import VariantEntry
from finetune.records.report import (
    Decomposition,
    Difference,
    Group,
    Recommendation,
    Refit,
    Report,
    RunEntry,
    Summary,
    Unit,
    VariantReport,
)
from finetune.records.schema import Baseline, FinishedRecord, RunRecord, Scores
from finetune.records.store import RunFolder

Z = 1.96  # of a 95 % interval


def analyse(collections: Sequence[Collection], skipped: Sequence[str]) -> Report:
    """Build the report of one or more collections; figures of different ones are never mixed.

    Raises:
        OutputError: A collection has no finished run at all.
    """
    groups = [Analysis(collection).group() for collection in collections]
    names = " and ".join(group.name for group in groups)
    return Report(title=f"{names}: what regularization did to the gap", groups=groups, skipped=list(skipped))


@dataclass(frozen=True)
class Row:
    """The finished runs of one variant, in the order of seeds and folds."""

    entry: VariantEntry
    all_runs: list[FoundRun]
    runs: list[FinishedRun]
    places: list[Place]
    figures: list[dict[str, dict[str, Quantity]]]

    def column(self, kind: str, metric: str) -> list[Quantity]:
        return [figure[kind].get(metric, Quantity(None)) for figure in self.figures]

    def records(self) -> list[FinishedRecord]:
        return [run.record for run in self.runs]


class Analysis:
    """One collection, step by step."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        finished = collection.finished
        if not finished:
            reasons = sorted({f"{run.variant} seed {run.seed}: {run.error or 'not run'}" for run in collection.runs})
            raise OutputError("\n".join([f"{collection.name}: no run has finished.", *reasons[:10]]))
        self.first = first = finished[0].record
        self.task = first.data.task
        self.measure = measure_of(self.task, first.data.score)
        self.reported = "test" if "test" in first.data.rows else "validation"
        self.draws = RowDraws(finished, self.task)
        self.metrics = list(first.selected.validation)
        self.rows = {entry.name: self._row(entry) for entry in collection.variants}

    def _row(self, entry: VariantEntry) -> Row:
        mine = [run for run in self.collection.runs if run.variant == entry.name]
        mine.sort(key=lambda run: (run.seed, -1 if run.fold is None else run.fold))
        runs = [run for run in mine if isinstance(run, FinishedRun)]
        return Row(entry, mine, runs, [place(run) for run in runs], [quantities(run, self.draws) for run in runs])

    def group(self) -> Group:
        differences = self.all_differences()
        variants = [self._variant(row, differences[name]) for name, row in self.rows.items()]
        variants = [
            variant.model_copy(update={"dominated_by": self._dominator(variant, variants)}) for variant in variants
        ]
        record, data = self.first, self.first.data
        recipe = {key: value for key, value in record.recipe.items() if key not in ("techniques", "rules", "preset")}
        group = Group(
            name=self.collection.name,
            kind=self.collection.kind,
            task=self.task,
            score=self.measure.score,
            loss=self.measure.loss,
            metrics=self.units(),
            reported=self.reported,
            baseline=self.collection.baseline,
            seeds=sorted({run.seed for run in self.collection.runs}),
            folds=len({run.fold for run in self.collection.runs if run.fold is not None}) or None,
            headline="",
            caveats=[],
            recommendation=self._recommendation(variants) if self.collection.kind != "ablate" else None,
            variants=variants,
            disagreements=disagreements(
                {name: row.runs for name, row in self.rows.items()}, self.task, self.reported, self.collection.texts
            ),
            rows=data.rows,
            classes=data.classes,
            columns=data.columns,
            fingerprints=sorted({found.data.fingerprint for found in self.records()}),
            majority=self._majority(),
            resolvable=self._resolvable(),
            findings=data.findings,
            baselines=self._baselines(),
            notes=data.notes,
            warnings=list(dict.fromkeys(text for found in self.records() for text in found.warnings)),
            recipe=recipe,
            command=self.collection.command,
            versions=record.versions,
            device=record.device,
            precision=record.budget.precision,
            code=record.code,
            seconds=sum(found.time.seconds for found in self.records()),
        )
        return group.model_copy(update={"headline": headline(group), "caveats": [*self.mixed(), *caveats(group)]})

    def records(self) -> list[RunRecord]:
        return self.collection.records

    def units(self) -> dict[str, Unit]:
        """How each metric is to be read."""
        return {
            name: Unit(
                kind="fraction" if is_fraction(name) else "plain",
                higher_is_better=higher_is_better(name),
                unit=difference_unit(name),
            )
            for name in self.metrics
        }

    # --- one variant --------------------------------------------------------------------------------------------

    def _variant(self, row: Row, differences: dict[str, dict[str, Difference]]) -> VariantReport:
        entry, records = row.entry, row.records()
        baseline = self.rows.get(entry.baseline or "")
        summaries = self.summaries(row)
        degenerate = [run for run in row.runs if is_degenerate(run.record)]
        verdict, verdict_reason = judge(
            State(
                finished=len(row.runs),
                failed=sum(not isinstance(run, FinishedRun) for run in row.all_runs),
                degenerate=len(degenerate),
                units=len({where.fold if where.fold is not None else where.seed for where in row.places}),
                train=summaries["train"].get(self.measure.score),
                gap=summaries["gap"],
                score=self.measure.score,
                loss=self.measure.loss,
                baseline_validation=self._mean(baseline, "validation"),
            )
        )
        parts = self._decomposition(differences)
        change, change_reason = "baseline", "others are compared with it"
        if entry.baseline is not None:
            change, change_reason = judge_change(
                differences.get(self.reported, {}).get(self.measure.score),
                differences.get("gap", {}).get(self.measure.score),
                differences.get("gap", {}).get(self.measure.loss),
                parts.get(self.measure.score),
                self.measure.score,
                self.measure.loss,
            )
        seconds = statistics.mean(found.time.seconds for found in records) if records else None
        of_baseline = baseline.records() if baseline is not None else []
        base = statistics.mean(found.time.seconds for found in of_baseline) if of_baseline else None
        return VariantReport(
            name=entry.name,
            baseline=entry.baseline,
            technique=entry.technique,
            techniques=entry.techniques,
            cost=float(records[0].budget.cost) if records else 1.0,
            seconds=seconds,
            seconds_ratio=seconds / base if seconds is not None and base else None,
            runs=[self.run_entry(run, run in degenerate) for run in row.all_runs],
            failed=sum(not isinstance(run, FinishedRun) for run in row.all_runs),
            degenerate=len(degenerate),
            verdict=verdict,
            verdict_reason=verdict_reason,
            change=change,
            change_reason=change_reason,
            dominated_by=None,
            **summaries,
            temperature=self._temperature(row),
            pairs=[[seed, fold] for seed, fold in self.pairs(row)],
            differences=differences,
            decomposition=parts,
            curves=[curves(run, self.measure.shown) for run in row.runs],
            classes=class_scores(row.runs, row.places, baseline.runs if baseline else [], self.task, self.reported),
            reliability=reliability(row.runs, self.task, self.reported),
            weights=weight_summaries(records),
        )

    def summaries(self, row: Row) -> dict[str, dict[str, Summary]]:
        """Kind -> metric -> figure over the finished runs of a variant."""
        return {
            kind: {name: summarise(row.column(kind, name), row.places) for name in self.metrics_of(row, kind)}
            for kind in KINDS
        }

    def metrics_of(self, row: Row, kind: str) -> list[str]:
        return [name for name in self.metrics if any(name in figure[kind] for figure in row.figures)]

    def _mean(self, row: Row | None, kind: str) -> float | None:
        if row is None:
            return None
        return summarise(row.column(kind, self.measure.score), row.places).mean

    def _temperature(self, row: Row) -> Summary | None:
        found = [record.calibration.temperature for record in row.records() if record.calibration is not None]
        if not found:
            return None
        return summarise([Quantity(value) for value in found], row.places)

    def run_entry(self, run: FoundRun, degenerate: bool) -> RunEntry:
        record = run.record
        if record is None:
            status = "failed" if run.error else "missing"
            return RunEntry(seed=run.seed, fold=run.fold, status=status, error=run.error, folder=str(run.folder.path))
        return RunEntry(
            seed=run.seed,
            fold=run.fold,
            status=record.status,
            error=run.error,
            folder=str(run.folder.path),
            selected_step=record.selected.step if record.selected else None,
            last_step=record.last.step if record.last else None,
            planned_steps=record.budget.steps,
            seconds=record.time.seconds,
            degenerate=degenerate,
        )

    # --- differences --------------------------------------------------------------------------------------------

    def all_differences(self) -> dict[str, dict[str, dict[str, Difference]]]:
        """Variant -> kind -> metric -> difference, Holm-adjusted over the variants."""
        found: dict[str, dict[str, dict[str, Difference]]] = {
            name: self._differences(row, self.rows.get(row.entry.baseline or "")) for name, row in self.rows.items()
        }
        # The words of a verdict are made from three figures of every variant: one family, so that a table in which
        # nothing is there calls anything different in 5 % of cases. Every other figure is a family of its own.
        decisive = [
            (self.reported, self.measure.score),
            ("gap", self.measure.score),
            ("gap", self.measure.loss),
        ]
        others = [(kind, metric) for kind in KINDS for metric in self.metrics if (kind, metric) not in decisive]
        for family in (decisive, *([figure] for figure in others)):
            _adjust(found, family)
        return found

    def pairs(self, row: Row) -> list[tuple[int, int | None]]:
        baseline = self.rows.get(row.entry.baseline or "")
        if baseline is None:
            return []
        theirs = {(where.seed, where.fold) for where in baseline.places}
        return [(where.seed, where.fold) for where in row.places if (where.seed, where.fold) in theirs]

    def _differences(self, row: Row, baseline: Row | None) -> dict[str, dict[str, Difference]]:
        pairs = self.pairs(row)
        if baseline is None or not pairs:
            return {}
        return {
            kind: {metric: self._difference(row, baseline, kind, metric) for metric in self.metrics_of(row, kind)}
            for kind in KINDS
        }

    def _difference(self, row: Row, baseline: Row, kind: str, metric: str) -> Difference:
        ours = _by_place(row, kind, metric)
        theirs = _by_place(baseline, kind, metric)
        pairs = self.pairs(row)
        places = [where for where in row.places if (where.seed, where.fold) in pairs]
        return differ([ours[pair].minus(theirs[pair]) for pair in pairs], places)

    def _decomposition(self, differences: dict[str, dict[str, Difference]]) -> dict[str, Decomposition]:
        """Both parts counted so that positive is what one wants; for losses train "falls" when its loss rises."""
        parts = {}
        for metric, gap in differences.get("gap", {}).items():
            train, validation = differences["train"][metric], differences["validation"][metric]
            is_loss = metric in LOSSES
            parts[metric] = Decomposition(
                closed=negated(gap),
                train_fell=train if is_loss else negated(train),
                validation_rose=negated(validation) if is_loss else validation,
            )
        return parts

    # --- the whole ----------------------------------------------------------------------------------------------

    def _dominator(self, variant: VariantReport, others: Sequence[VariantReport]) -> str | None:
        """The best variant with both a higher mean validation score and a smaller mean gap, on the seeds both have."""
        mine, better = self.rows[variant.name], []
        for other in others:
            theirs = self.rows[other.name]
            shared = _shared([mine, theirs])
            ours, rival = self._score_and_gap(mine, shared), self._score_and_gap(theirs, shared)
            if ours is not None and rival is not None and rival[0] > ours[0] and rival[1] < ours[1]:
                better.append((rival[0], other.name))
        return max(better)[1] if better else None

    def _score_and_gap(self, row: Row, at: Sequence[tuple[int, int | None]]) -> tuple[float, float] | None:
        """Mean validation score and mean gap of it over some repetitions."""
        means = []
        for kind in ("validation", "gap"):
            figures = _by_place(row, kind, self.measure.score)
            values = [figures[where].value for where in at]
            if not values or None in values:
                return None
            means.append(float(np.mean([value for value in values if value is not None])))
        return means[0], means[1]

    def _recommendation(self, variants: Sequence[VariantReport]) -> Recommendation | None:
        judged = [variant for variant in variants if self.rows[variant.name].runs]
        fit = [variant for variant in judged if variant.verdict not in ("underfits", "did not learn", "failed")]
        # A preset whose hard seeds failed must not gain from it: all are compared on the seeds that all have.
        shared = _shared([self.rows[variant.name] for variant in fit or judged])
        candidates = []
        for number, variant in enumerate(judged):
            row = self.rows[variant.name]
            at = [where for where in shared if where in _places(row)] if variant in fit else _places(row)
            found = self._score_and_gap(row, at)
            if found is not None:
                cost = (variant.cost, float(len(variant.techniques)), float(number))
                candidates.append(Candidate(variant.name, found[0], found[1], cost, variant in fit))
        best = best_candidate(candidates)
        if best is None:
            return None
        others = [candidate.name for candidate in candidates if candidate is not best]
        ps = [self._p_of_validation(self.rows[name], self.rows[best.name]) for name in others]
        chosen = recommend(candidates, dict(zip(others, holm(ps), strict=True)), self.measure.score)
        assert chosen is not None, "there is a best candidate"
        name, reason = chosen
        run = max(self.rows[name].runs, key=_order)
        refit = self._refit_of(run)
        return Recommendation(
            variant=name,
            seed=run.seed,
            fold=run.fold,
            run=str(run.folder.path),
            model=self._model_of(run.folder if refit is None else RunFolder(Path(refit.run))),
            reason=reason,
            rule=RULE,
            refit=refit,
        )

    def _refit_of(self, chosen: FinishedRun) -> Refit | None:
        """What the refit came to, if it is of the run that is recommended now."""
        found = self.collection.refit
        if not isinstance(found, FinishedRun):
            return None
        if not found.folder.path.name.startswith(f"{chosen.folder.path.name}-"):  # see `finish.refit`
            return None
        return Refit(
            steps=found.record.selected.step,
            rows=found.record.data.rows["train"],
            run=str(found.folder.path),
            test=found.record.selected.test or {},
        )

    def _model_of(self, run: RunFolder) -> str | None:
        """The stable place of a comparison, else the run's own model; None if it was not kept."""
        if self.collection.shipped is not None and self.collection.shipped[0] == run.path:
            return str(self.collection.shipped[1])
        return str(run.model) if run.model.is_dir() else None

    def _p_of_validation(self, row: Row, best: Row) -> float | None:
        ours, theirs = (_by_place(of, "validation", self.measure.score) for of in (row, best))
        pairs = [pair for pair in ours if pair in theirs]
        places = [where for where in row.places if (where.seed, where.fold) in pairs]
        difference = differ([ours[pair].minus(theirs[pair]) for pair in pairs], places)
        if difference.p is None and len(pairs) > 1 and not any(difference.values):
            return 1.0  # the same score in every repetition
        return difference.p

    def _majority(self) -> float | None:
        if self.task != "single_label":
            return None
        counts = self.first.data.classes[self.reported]
        return max(counts.values()) / self.first.data.rows[self.reported]

    def _resolvable(self) -> dict[str, float]:
        """Half the 95 % interval that the rows of a split leave to one model's main score."""
        if self.measure.score != "accuracy":
            return {}
        found: dict[str, float] = {}
        for kind in ("validation", "test"):
            mean = self._mean(self.rows[self.collection.baseline], kind)
            if mean is not None and kind in self.first.data.rows:
                found[kind] = Z * float(np.sqrt(mean * (1 - mean) / self.first.data.rows[kind]))
        return found

    def _baselines(self) -> list[Baseline]:
        """Of the data; with folds, the mean over those that have been run."""
        of_fold = list({found.data.fingerprint: found.data.baselines for found in self.records()}.values())
        return [
            baseline.model_copy(
                update={
                    "scores": {
                        split: _mean_scores([of.scores.get(split, {}) for of in _named(baseline.name, of_fold)])
                        for split in baseline.scores
                    },
                    "gap": _mean_scores([of.gap for of in _named(baseline.name, of_fold)]),
                }
            )
            for baseline in self.first.data.baselines
        ]

    def mixed(self) -> list[str]:
        """Runs that were not made under the same conditions."""
        told: dict[str, Callable[[RunRecord], Any]] = {
            "versions of the code": lambda record: record.code.commit or record.code.version,
            "main scores": lambda record: measure_of(record.data.task, record.data.score).score,
            "devices": lambda record: record.device.name,
            "numbers of CPU threads": lambda record: record.device.cpu_threads,
            "precisions": lambda record: record.budget.precision,
            "numbers of processes": lambda record: record.budget.processes,
            "versions of torch": lambda record: record.versions.get("torch"),
            "versions of transformers": lambda record: record.versions.get("transformers"),
        }
        found = []
        for name, of in told.items():
            values = sorted({str(of(record)) for record in self.records()})
            if len(values) > 1:
                found.append(f"The runs were made with different {name}: {', '.join(values[:4])}.")
        return found


def _named(name: str, of_fold: Sequence[Sequence[Baseline]]) -> list[Baseline]:
    return [baseline for baselines in of_fold for baseline in baselines if baseline.name == name]


def _mean_scores(found: Sequence[Scores]) -> Scores:
    """Mean over folds; None where a fold has none."""
    columns = {name: [scores.get(name) for scores in found] for name in (found[0] if found else ())}
    return {
        name: None if None in values else statistics.fmean(value for value in values if value is not None)
        for name, values in columns.items()
    }


def _adjust(found: dict[str, dict[str, dict[str, Difference]]], family: Sequence[tuple[str, str]]) -> None:
    """Fill in p_holm and distinguishable for some figures of all variants together."""
    members = [
        (name, kind, metric)
        for name, of_variant in found.items()
        for kind, metric in family
        if metric in of_variant.get(kind, {})
    ]
    adjusted = holm([found[name][kind][metric].p for name, kind, metric in members])
    for (name, kind, metric), p in zip(members, adjusted, strict=True):
        clear = None if p is None else p < 1 - LEVEL
        found[name][kind][metric] = found[name][kind][metric].model_copy(update={"p_holm": p, "distinguishable": clear})


def _places(row: Row) -> list[tuple[int, int | None]]:
    return [(where.seed, where.fold) for where in row.places]


def _shared(rows: Sequence[Row]) -> list[tuple[int, int | None]]:
    """The repetitions that all of some variants have finished."""
    return [where for where in _places(rows[0]) if all(where in _places(row) for row in rows[1:])]


def _by_place(row: Row, kind: str, metric: str) -> dict[tuple[int, int | None], Quantity]:
    return dict(zip(_places(row), row.column(kind, metric), strict=True))


def _order(run: FinishedRun) -> tuple[float, float, int]:
    return validation_order(run.record)


def report_of(paths: Sequence[Path], baseline: str | None = None) -> Report:
    """Read, check and analyse what lies in some folders.

    Raises:
        OutputError: As `collect` and `analyse`.
    """
    from finetune.analysis.collect import collect

    return analyse(*collect(paths, baseline))
