"""Conditions of runs that differ between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from finetune.errors import settings_text
from finetune.measurement.scores import measure_of
from finetune.records.report import VariantReport
from finetune.records.schema import RunRecord

CONDITIONS: Mapping[str, Callable[[RunRecord], object]] = {
    "versions of the code": lambda record: record.code.commit or record.code.version,
    "main scores": lambda record: measure_of(record.data.task, record.data.score).score,
    "devices": lambda record: record.device.name,
    "numbers of CPU threads": lambda record: record.device.cpu_threads,
    "precisions": lambda record: record.budget.precision,
    "numbers of processes": lambda record: record.budget.processes,
    "versions of torch": lambda record: record.versions.get("torch"),
    "versions of transformers": lambda record: record.versions.get("transformers"),
}
SHOWN = 4


def decided_budgets(variants: Sequence[VariantReport]) -> list[str]:
    """A sentence for each preset that chose values of the training section that others do not share."""
    sentences = []
    for variant in variants:
        chosen = {
            key: value
            for decision in variant.decisions
            for key, value in decision.set.items()
            if key.startswith("training.")
        }
        if chosen and not all(other.decisions for other in variants):  # in an ablation, all share them
            sentences.append(
                f"{variant.name} chose {settings_text(chosen)} by the data: its difference to presets that keep the "
                "recipe's values is also due to these values."
            )
    return sentences


def own_settings(variants: Sequence[VariantReport]) -> list[str]:
    """A sentence for each variant that differs from the others in more than its techniques."""
    sentences = []
    for variant in variants:
        settings = {key: value for key, value in variant.settings.items() if not key.startswith("techniques.")}
        if settings:
            sentences.append(
                f"{variant.name} has {settings_text(settings)} of its own: its differences to others are those of "
                f"{'this setting' if len(settings) == 1 else 'these settings'}, too."
            )
    return sentences


def differing_conditions(records: Sequence[RunRecord]) -> list[str]:
    """A sentence for each condition that is not the same for all runs."""
    sentences = []
    for name, value_of in CONDITIONS.items():
        values = sorted({str(value_of(record)) for record in records})
        if len(values) > 1:
            sentences.append(f"The runs were made with different {name}: {', '.join(values[:SHOWN])}.")
    return sentences
