"""The final model of a comparison: candidates made from the runs of the recommended preset, each scored once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from finetune.analysis.collection import FinalJob, FinishedRun
from finetune.analysis.redrawn import Drawn, measure_models, same_rows
from finetune.analysis.results import Results
from finetune.analysis.statistics import NOTHING
from finetune.measurement.ensemble import ensemble_logits
from finetune.records.comparison import FinalName
from finetune.records.report import FinalModel, ScoredModel

NOT_YET = "not yet made; the command of the comparison makes it"
ABOUT = {
    "soup": "mean of the weights of {members} seeds",
    "distil": "trained on the ensemble of {members} seeds",
    "refit": "trained once more on train and validation",
}
MEMBERS, ENSEMBLE = "members", "ensemble"
RULES: dict[FinalName, str] = {
    "best": "The seed with the best validation score.",
    "refit": "One more training on train and validation, once validation has chosen preset and checkpoints. No rows "
    "are left for choosing the refit itself; that such models are better was measured on other data sets.",
    "soup": "As requested: the mean of the weights of all finished seeds.",
    "distil": "As requested: one student of the ensemble of all finished seeds.",
    "auto": "Of soup and student the one with the better validation score, if that is above the mean validation score "
    "of the seeds and its loss is not above their mean loss; else the best seed. The means are used because the best "
    "seed's own score is the highest of several, which makes it optimistic. A refit is not a candidate: it trains on "
    "validation, which would have to choose it.",
}


def final_model(results: Results, chosen: FinishedRun) -> FinalModel:
    """Score the best seed, the models made from the seeds, their mean and their ensemble, on the same rows.

    Args:
        results: Results of the comparison.
        chosen: The best run of the recommended preset.
    """
    collection = results.collection
    members = [run for run in results.variants[chosen.variant].runs if run.fold == chosen.fold]
    folders = {"refit": frozenset({chosen.folder.path})}
    everyone = frozenset(run.folder.path for run in members)
    fitting = [job for job in collection.finals if job.inputs == folders.get(job.kind, everyone)]
    jobs = list({job.kind: job for job in fitting}.values())  # the last of a kind is what the last command wanted
    made = {job.kind: job.run for job in jobs if isinstance(job.run, FinishedRun)}
    scores = _Scores(results, members, {"best": chosen, **made})
    candidates = [scores.of("best", f"seed {chosen.seed}, the best on validation", chosen)]
    candidates += [_candidate(scores, job, len(members)) for job in jobs]
    if collection.final in ABOUT and collection.final not in {job.kind for job in jobs}:
        about = ABOUT[collection.final].format(members=len(members))
        candidates.append(ScoredModel(kind=collection.final, about=about, problem=NOT_YET))
    references = []
    if len(members) > 1:
        references.append(scores.of(MEMBERS, f"mean of the scores of {len(members)} seeds"))
        references.append(scores.of(ENSEMBLE, f"mean prediction of {len(members)} seeds; no single model"))
    kind = _choose(collection.final, candidates, references, results)
    return FinalModel(
        asked=collection.final,
        kind=kind,
        run=next(str(candidate.run) for candidate in candidates if candidate.kind == kind),
        rule=RULES[collection.final],
        seeds=[run.seed for run in members],
        candidates=candidates,
        references=references,
    )


def _candidate(scores: _Scores, job: FinalJob, members: int) -> ScoredModel:
    run = job.run
    about = ABOUT[job.kind].format(members=members)
    if not isinstance(run, FinishedRun):
        problem = run.error or (NOT_YET if run.record is None else run.record.status)
        return ScoredModel(kind=job.kind, about=about, problem=problem)
    if job.kind == "refit":
        rows, steps = run.record.data.rows["train"], run.record.selected.step
        about = f"trained on {rows:,} rows (train and validation) for {steps:,} steps"
    return scores.of(job.kind, about, run)


def _choose(
    asked: FinalName, candidates: Sequence[ScoredModel], references: Sequence[ScoredModel], results: Results
) -> str:
    """See `RULES`."""
    made = {candidate.kind: candidate for candidate in candidates if candidate.problem is None}
    if asked != "auto":
        return asked if asked in made else "best"

    def order(model: ScoredModel) -> tuple[float, float]:
        score, loss = (model.validation.get(name) for name in (results.measure.score, results.measure.loss))
        worst = float("-inf")
        return (
            worst if score is None or score.value is None else score.value,
            worst if loss is None or loss.value is None else -loss.value,
        )

    if not references:
        return "best"
    score, loss = order(references[0])
    offered = [made[kind] for kind in ("soup", "distil") if kind in made]
    better = [each for each in offered if order(each)[0] > score + NOTHING and order(each)[1] >= loss - NOTHING]
    return max(better, key=order).kind if better else "best"


def _mean(drawn: Sequence[Drawn]) -> Drawn:
    draws = [each.draws for each in drawn if each.draws is not None]
    value = float(np.mean([each.value for each in drawn]))
    return Drawn(value, np.mean(draws, axis=0) if len(draws) == len(drawn) else None)


class _Scores:
    """Scores of each model on validation and on the reported split.

    The rows of a split are resampled in the same way for every model, so that differences are paired.

    Args:
        results: Results of the comparison.
        members: Finished runs of one preset.
        made: Kind -> run.
    """

    def __init__(self, results: Results, members: Sequence[FinishedRun], made: Mapping[str, FinishedRun]) -> None:
        self._reported = results.reported
        self._measured: dict[str, dict[str, dict[str, Drawn]]] = {}  # split -> model -> metric
        for split in dict.fromkeys(("validation", results.reported)):
            name, first = f"selected_{split}_logits", made["best"].arrays
            logits = {f"{MEMBERS} {number}": run.arrays[name] for number, run in enumerate(members)}
            logits[ENSEMBLE] = ensemble_logits(results.task, list(logits.values()))
            # What a refit scores on validation says nothing: it has trained on it.
            tested = [kind for kind in made if not (kind == "refit" and split == "validation")]
            logits |= {kind: made[kind].arrays[name] for kind in tested if same_rows(made[kind].arrays, first, split)}
            measured = measure_models(results.task, logits, first[f"{split}_targets"])
            each = [measured.pop(f"{MEMBERS} {number}") for number in range(len(members))]
            measured[MEMBERS] = {metric: _mean([of[metric] for of in each]) for metric in each[0]}
            self._measured[split] = measured

    def of(self, kind: str, about: str, run: FinishedRun | None = None) -> ScoredModel:
        """The scores of one model, and their difference to the members' mean."""
        scores = {
            split: {metric: drawn.estimate() for metric, drawn in measured.get(kind, {}).items()}
            for split, measured in self._measured.items()
        }
        here = self._measured[self._reported]
        against = {} if kind == MEMBERS else here.get(kind, {})
        return ScoredModel(
            kind=kind,
            about=about,
            run=None if run is None else str(run.folder.path),
            validation=scores["validation"],
            test=scores.get("test", {}),
            difference={metric: drawn.minus(here[MEMBERS][metric]).estimate() for metric, drawn in against.items()},
        )
