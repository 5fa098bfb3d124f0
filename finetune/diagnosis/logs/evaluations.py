"""Which records of a log are validation evaluations, which rows the others measure, and which checkpoint was kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finetune.diagnosis.logs.log import TIMES, Log, Record, number
from finetune.diagnosis.observations import Point
from finetune.measurement.units import count_text


@dataclass(frozen=True)
class Evaluations:
    """The evaluations of a log.

    Attributes:
        of_validation: Evaluations on validation rows, with their positions in the log.
        of_other_rows: Further evaluations at the last step, after training: most likely on test rows.
        again: The step of an evaluation that was repeated after training: its weights were loaded again.
    """

    of_validation: list[tuple[int, Record]]
    of_other_rows: list[Record]
    again: int | None

    def notes(self) -> list[str]:
        if not self.of_other_rows:
            return []
        what = count_text(len(self.of_other_rows), "evaluation")
        return [f"{what} after the end of training left out: most likely on test rows"]


def evaluations_of(records: Sequence[Record], prefix: str) -> Evaluations:
    """Sort the records of evaluations, which are known by their prefix."""
    ended = next((index for index, record in enumerate(records) if "total_flos" in record), None)
    kept: list[tuple[int, Record]] = []
    others: list[Record] = []
    again = None
    for index, record in enumerate(records):
        values = {key: value for key, value in record.items() if key.startswith(prefix)}
        if not values:
            continue
        before = kept[-1][1] if kept else None
        if before is None or record.get("step") != before.get("step"):
            kept.append((index, record))
        elif not set(values) & set(before):  # its loss in one record, its score in another
            kept[-1] = (index, before | values)
        elif not _has_values(before, values):
            earlier = next((each.get("step") for _, each in kept if _has_values(each, values)), None)
            if earlier is not None and f"{prefix}loss" in values:  # scores alone are equal by chance, too
                again = int(earlier)
            elif ended is not None and index < ended:
                kept[-1] = (index, before | values)  # written again, as after a resume
            else:
                others.append(values)
    return Evaluations(kept, others, again)


def _has_values(record: Record, values: Record) -> bool:
    """Those that are not times."""
    return all(record.get(key) == value for key, value in values.items() if not key.endswith(TIMES))


def up_to_the_best(
    points: list[Point], log: Log, again: int | None, has_training_score: bool
) -> tuple[list[Point], bool, list[str]]:
    """The evaluations up to the checkpoint that was kept, where it is known; whether they end at the best; notes.

    Without a training score the run is judged at its end, whichever checkpoint was kept.

    Args:
        points: All evaluations.
        log: The log of the run.
        again: The step whose evaluation was repeated after training.
        has_training_score: Whether it was measured, in eval mode.
    """
    best = again if again is not None else log.best_step
    upto = [point for point in points if best is not None and point.step <= best]
    if not upto or upto[-1].step != best:
        return points, False, []
    if len(upto) == len(points):
        return points, log.is_cut, []
    where = f"step {best}" if upto[-1].epoch is None else f"step {best} ({upto[-1].when})"
    if again is None and not has_training_score:
        return points, False, [f"the best checkpoint is that of {where}; the run is judged at its end"]
    why = "its evaluation is repeated after training" if again is not None else "the log names it as the best"
    later = count_text(len(points) - len(upto), "later evaluation")
    return upto, True, [f"the checkpoint of {where} is judged, since {why}; {later} left out"]


def rows_of(record: Record, prefix: str) -> int | None:
    """Number of rows of an evaluation, computed from its rate and time."""
    rate, time = number(record.get(f"{prefix}samples_per_second")), number(record.get(f"{prefix}runtime"))
    if rate is None or time is None:
        return None
    rows = round(rate * time)
    return rows if rows > 0 else None
