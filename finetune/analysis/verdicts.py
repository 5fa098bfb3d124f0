"""Verdicts: the state of a preset, its effect, and the recommended one. All rules are stated here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from finetune.advice.evidence import adjusted_note
from finetune.analysis.statistics import LEVEL
from finetune.measurement.units import change_text, estimate_text, metric_name, score_text
from finetune.records.report import Change, Decomposition, Difference, Summary, Verdict

SMALL_GAP = 0.05  # of the score: a gap that is significantly below it is no reason to worry
MARGIN = 0.01  # of the score: a preset that loses significantly less has maintained the score

RULE = (
    "Best mean validation score. Among presets that do not differ significantly from it (paired, Holm-adjusted): the "
    "smallest gap, then the lowest cost. Presets that underfit or did not learn are excluded."
)


@dataclass(frozen=True)
class State:
    """The numbers of one variant from which verdicts are made."""

    finished: int
    failed: int
    degenerate: int
    replicates: int  # independent repetitions: seeds, or folds
    train: Summary | None
    gap: Mapping[str, Summary]
    score: str
    loss: str
    floor: float | None  # a validation score that its train score is expected to reach
    floor_of: str = "the baseline"


def judge(state: State) -> tuple[Verdict, str]:
    """The state of a preset on its own, and the reason in words."""
    score, loss = metric_name(state.score), metric_name(state.loss)
    if state.finished == 0:
        return "failed", "no run has finished"
    if 2 * state.degenerate >= state.finished:
        return "did not learn", (
            f"{state.degenerate} of {state.finished} runs are no better than the same prediction for every text"
        )
    train = state.train.mean if state.train is not None else None
    if train is not None and state.floor is not None and train < state.floor:
        return "underfits", (
            f"train {score} {score_text(state.score, train)} is lower than the validation {score} of "
            f"{state.floor_of}, {score_text(state.score, state.floor)}"
        )
    if state.replicates < 2:
        return "not enough evidence", "a single repetition shows a gap, but not how much it varies"
    by_score, by_loss = state.gap.get(state.score), state.gap.get(state.loss)
    if by_score is None or by_score.low is None or by_score.high is None:
        return "not enough evidence", f"the {score} gap has no interval"
    if by_score.low > 0:
        return "overfits", f"the {score} gap is {estimate_text(state.score, by_score)}"
    if by_loss is not None and by_loss.low is not None and by_loss.low > 0:
        return "overconfident only", (
            f"the {loss} gap is {estimate_text(state.loss, by_loss)}; the {score} gap does not differ significantly "
            f"from 0: {estimate_text(state.score, by_score)}"
        )
    if by_score.high < SMALL_GAP:
        return "healthy", f"the {score} gap is {estimate_text(state.score, by_score)}"
    return "not enough evidence", (f"the {score} gap may be 0 or as large as {change_text(state.score, by_score.high)}")


def judge_change(
    reported: Difference | None,
    gap: Difference | None,
    loss_gap: Difference | None,
    parts: Decomposition | None,
    score: str,
    loss: str,
) -> tuple[Change, str]:
    """The change of a preset against the baseline, and the reason in words.

    Args:
        reported: Difference of the score on the reported split.
        gap: Difference of the gap of the score.
        loss_gap: Difference of the gap of the loss.
        parts: Where the change of the gap of the score came from.
        score: Name of the main score; higher is better.
        loss: Name of the evaluation loss.
    """
    if reported is None or gap is None:
        return "failed", "no run can be paired with the baseline"
    if reported.mean is None or gap.mean is None:
        return "not enough evidence", f"{metric_name(score)} is undefined in some of the runs"
    shown = f"{metric_name(score)} {_tested_text(score, reported)}"
    if reported.distinguishable is None and gap.distinguishable is None:
        same = not any(reported.values) and not any(gap.values)
        word: Change = "no significant difference" if same and len(reported.values) > 1 else "not enough evidence"
        return word, f"{shown}; gap {_tested_text(score, gap)}"
    rose, fell = (_is_clear(reported, direction) for direction in (1, -1))
    shrank = _is_clear(gap, -1) or _is_clear(loss_gap, -1)
    grew = _is_clear(gap, 1) or _is_clear(loss_gap, 1)
    gaps = f"{metric_name(score)} gap {_tested_text(score, gap)}"
    if loss_gap is not None:
        gaps += f", {metric_name(loss)} gap {_tested_text(loss, loss_gap)}"
    reason = f"{shown}; {gaps}{_where_from(parts, shrank)}"
    if rose:
        return "better", reason
    if shrank and grew:
        return "score and loss gaps disagree", reason
    if shrank and fell:
        return "smaller gap, lower score", reason
    if shrank:
        maintained = reported.low is not None and reported.low >= -MARGIN
        return "smaller gap, score maintained" if maintained else "smaller gap, score unclear", reason
    if fell:
        return "worse", reason
    return ("larger gap" if grew else "no significant difference"), reason


def _tested_text(metric: str, difference: Difference) -> str:
    """A difference with its interval, and with p and adjusted p if the interval alone would suggest otherwise."""
    note = adjusted_note(difference)
    return f"{estimate_text(metric, difference)}{f' ({note})' if note else ''}"


def _where_from(parts: Decomposition | None, shrank: bool) -> str:
    """Whether a smaller gap is only a lower train score."""
    if parts is None or not shrank:
        return ""
    if _is_clear(parts.validation_rose, 1):
        return "; the validation score improved"
    if _is_clear(parts.train_fell, 1):
        return "; only the train score decreased significantly"
    return ""


def _is_clear(difference: Difference | None, direction: int) -> bool:
    if difference is None or difference.mean is None:
        return False
    return bool(difference.distinguishable) and difference.mean * direction > 0


@dataclass(frozen=True)
class Candidate:
    """The numbers by which a preset is chosen.

    Attributes:
        name: Name of the variant.
        validation: Mean validation score, higher is better.
        gap: Mean gap of the score.
        cost: Declared cost, then the tie-breakers: number of techniques, position in the list.
        eligible: Whether it neither failed, nor underfits, nor did not learn.
    """

    name: str
    validation: float
    gap: float
    cost: tuple[float, ...]
    eligible: bool


def best_candidate(candidates: Sequence[Candidate]) -> Candidate | None:
    """The best mean validation score among the eligible ones (among all, if there are none)."""
    eligible = [candidate for candidate in candidates if candidate.eligible] or list(candidates)
    return max(eligible, key=lambda candidate: (candidate.validation, -candidate.gap), default=None)


def recommend(
    candidates: Sequence[Candidate], p_against_best: Mapping[str, float | None], score: str, variants: int
) -> tuple[str, str] | None:
    """The variant that RULE recommends, and why, in sentences.

    Args:
        candidates: All variants with a finished run.
        p_against_best: Variant -> Holm-adjusted p of its validation score against the best one's; None if unknown.
        score: Name of the main score.
        variants: Number of variants, including those without a finished run.
    """
    best = best_candidate(candidates)
    if best is None:
        return None
    name, top = metric_name(score), score_text(score, best.validation)
    if not best.eligible:
        return best.name, (
            f"Best validation {name} ({top}), but every preset underfits or did not learn: do not use any of these "
            "models as it is."
        )
    rivals = [candidate for candidate in candidates if candidate.eligible and candidate is not best]
    if variants == 1:
        return best.name, f"It is the only preset; its validation {name} is {top}."
    if not rivals:
        return best.name, "All other presets failed, underfit or did not learn."
    if all(p is None for p in p_against_best.values()):
        return best.name, f"Best validation {name} ({top}). With these runs no difference can be tested."
    level = 1 - LEVEL
    unknown = [rival.name for rival in rivals if p_against_best.get(rival.name) is None]
    tied = [best, *(rival for rival in rivals if (p_against_best.get(rival.name) or 0.0) >= level)]
    chosen = min(tied, key=lambda candidate: (candidate.gap, *candidate.cost))
    not_judged = f" Too few or identical pairs to judge {', '.join(unknown)}." if unknown else ""
    return chosen.name, _why(chosen, best, tied, score) + not_judged


def _why(chosen: Candidate, best: Candidate, tied: Sequence[Candidate], score: str) -> str:
    name, gap = metric_name(score), change_text(score, chosen.gap)
    top = score_text(score, best.validation)
    if len(tied) == 1:
        return f"Its validation {name} ({top}) is significantly the best; gap {gap}."
    same = [candidate for candidate in tied if candidate.gap == chosen.gap]
    if chosen is best:
        least = f"the lowest cost at the same gap ({gap})" if len(same) > 1 else f"the smallest gap ({gap})"
        return f"Best validation {name} ({top}) and {least} among the presets that do not differ significantly from it."
    least = f"Lowest cost at the same gap ({gap})" if len(same) > 1 else f"Smallest gap ({gap})"
    return (
        f"{least} of the {len(tied)} presets whose validation {name} does not differ significantly from the best "
        f"({best.name}: {top}; {chosen.name}: {score_text(score, chosen.validation)})."
    )
