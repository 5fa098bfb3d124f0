"""Observations of a run of this program: everything was measured in the same way, with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finetune.advice.learning import degeneration, early_stop_text
from finetune.diagnosis.observations import Observed, Point, accuracy_estimate
from finetune.diagnosis.verdicts import Verdict, judge
from finetune.errors import Change, OutputError
from finetune.measurement.scores import measure_of
from finetune.records.diagnosis import Estimate
from finetune.records.schema import Evaluation, FinishedRecord, RunRecord

LEVELS = ("warning", "problem")


def observe_record(record: RunRecord, folder: Path) -> Observed:
    """Observations from the record of a run, at the selected checkpoint and over time.

    Raises:
        OutputError: The run has measured nothing yet, or was trained on validation, too.
    """
    if record.budget.trained_on_validation:
        why = f"{folder}: it is a refit, which was trained on validation, too, so there is no gap to be diagnosed."
        raise OutputError(why, Change(text="Diagnose a run of its comparison, below cells/."))
    measure = measure_of(record.data.task, record.data.score)
    curve = tuple(_point(evaluation, measure.score, measure.loss) for evaluation in record.history)
    rows = record.data.rows
    shared: dict[str, Any] = {
        "source": str(folder),
        "score": measure.score,
        "train_rows": rows.get("train"),
        "validation_rows": rows.get("validation"),
        "test_rows": rows.get("test"),
        "classes": None if record.data.task != "single_label" else len(record.data.labels or ()),
        "chance": _baseline(record, "majority", measure.score),
        "curve": curve,
        "techniques": tuple(record.techniques),
        "tfidf": _baseline(record, "tfidf", measure.score),
        "findings": tuple(
            # What tells test apart explains no gap to validation.
            (each.check, each.text)
            for each in record.data.findings
            if each.level in LEVELS and each.split != "test"
        ),
        "checked": bool(record.data.findings or record.data.baselines),
    }
    if isinstance(record, FinishedRecord):
        kept = tuple(point for point in curve if point.step <= record.selected.step)
        cut = {"curve": kept, "ends_at_best": len(kept) < len(curve)}
        return Observed(**{**shared, **cut}, **_selected(record, measure.score, measure.loss))
    if record.status == "failed" and "not finite" in (record.error or ""):
        return Observed(**shared, diverged=record.error or "")
    if not curve:
        raise OutputError(f"{folder}: the run is {record.status} and has measured nothing that could be diagnosed.")
    last = record.history[-1]
    note = f"the run is {record.status}: its last evaluation is diagnosed, without intervals over rows"
    train, validation = (_level(scores.get(measure.score)) for scores in (last.train_probe, last.validation))
    gap = None if train is None or validation is None else _level(_minus(train.mean, validation.mean))
    return Observed(**shared, train=train, validation=validation, gap=gap, epochs=last.epoch, notes=(note,))


def verdict_of(record: FinishedRecord) -> Verdict | None:
    """The verdict on a finished run and its text; None for a refit that learned, as it has no rows that show a gap."""
    if (why := degeneration(record)) is not None:
        return "did not learn", why
    return None if record.budget.trained_on_validation else judge(observe_record(record, Path()))


def diagnose_run(record: FinishedRecord) -> str:
    """The verdict as it stands below the table of a run: `Overfits: …`."""
    verdict = verdict_of(record)
    if verdict is None:
        return "None: it was trained on validation, too, so no gap can be measured; only test says how good it is."
    name, text = verdict
    return f"{name[:1].upper()}{name[1:]}: {text}"


def _selected(record: FinishedRecord, score: str, loss: str) -> dict[str, Any]:
    selected = record.selected
    gap, rows = selected.gap[score], record.data.rows
    return {
        "train": _level(selected.train_probe.get(score)),
        "train_measured": rows["train_probe"] if rows["train_probe"] < rows["train"] else None,
        "validation": _with_interval(score, selected.validation.get(score), rows["validation"]),
        "test": None if selected.test is None else _with_interval(score, selected.test.get(score), rows["test"]),
        "gap": None if gap.value is None else Estimate(mean=gap.value, low=gap.low, high=gap.high),
        "epochs": record.last.epoch,
        "stopped_early": early_stop_text(record) is not None,
        "did_not_learn": degeneration(record) or "",
        "train_loss": selected.train_probe.get(loss),
        "validation_loss": selected.validation.get(loss),
        "notes": (
            f"train and validation were measured in the same way, at the selected checkpoint (epoch {selected.epoch:g} "
            f"of {record.last.epoch:g} trained)",
        ),
    }


def _point(evaluation: Evaluation, score: str, loss: str) -> Point:
    return Point(
        step=evaluation.step,
        epoch=evaluation.epoch,
        score=evaluation.validation.get(score),
        loss=evaluation.validation.get(loss),
        train=evaluation.train_probe.get(score),
        objective=evaluation.objective,
    )


def _with_interval(score: str, value: float | None, rows: int) -> Estimate | None:
    """Of an accuracy; other scores have none."""
    return accuracy_estimate(value, rows) if score == "accuracy" and value is not None else _level(value)


def _level(value: float | None) -> Estimate | None:
    return None if value is None else Estimate(mean=value)


def _minus(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def _baseline(record: RunRecord, name: str, score: str) -> float | None:
    """Its score on validation."""
    for baseline in record.data.baselines:
        if baseline.name == name:
            return baseline.scores.get("validation", {}).get(score)
    return None
