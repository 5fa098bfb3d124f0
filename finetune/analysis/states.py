"""The state of a variant, as `verdicts.judge` sees it."""

from __future__ import annotations

from collections.abc import Mapping

from finetune.analysis.results import Results, VariantResults
from finetune.analysis.verdicts import State, judge
from finetune.records.report import RunEntry, Summary, Verdict

Summaries = Mapping[str, Mapping[str, Summary]]


def verdict_of(
    results: Results,
    variant: VariantResults,
    summaries: Summaries,
    runs: list[RunEntry],
    floor: float | None,
    floor_of: str = "the baseline",
) -> tuple[Verdict, str]:
    """Whether a variant overfits, underfits or did not learn, and why.

    Args:
        results: Results of the collection.
        variant: The variant.
        summaries: Its summaries.
        runs: Its runs.
        floor: Validation score that its train score is expected to reach; None: there is none.
        floor_of: Variant with that score.
    """
    return judge(
        State(
            finished=len(variant.runs),
            failed=variant.failed,
            degenerate=sum(run.degenerate for run in runs),
            replicates=len({seed if fold is None else fold for seed, fold in variant.keys}),
            train=summaries["train"].get(results.measure.score),
            gap=summaries["gap"],
            score=results.measure.score,
            loss=results.measure.loss,
            floor=floor,
            floor_of=floor_of,
        )
    )
