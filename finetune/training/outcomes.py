"""The effect of each technique in a finished run, for its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from finetune.models.dropout import configured_dropout, dropout_sites
from finetune.models.load import load_config
from finetune.records.schema import ActiveTechnique, Checkpoint, RunRecord
from finetune.techniques import WeightNames
from finetune.techniques.outcome import Outcome
from finetune.training.prepare import Prepared


def technique_outcomes(
    prepared: Prepared,
    record: RunRecord,
    model: Any,
    names: WeightNames,
    pretrained: Mapping[str, Tensor],
    selected: Checkpoint,
    epochs: float,
    stopped: bool | None,
) -> dict[str, ActiveTechnique]:
    """The techniques of a record, each with its own sentence on its effect.

    Args:
        prepared: Preparation of the run.
        record: The record so far.
        model: Model with the exported weights.
        names: Its parameters by what techniques could do to them.
        pretrained: Name -> value as loaded, for the parameters of the encoder.
        selected: Metrics of those weights.
        epochs: Epochs trained.
        stopped: Whether early stopping ended the run; None if no rule watched validation.
    """
    if not record.techniques:
        return {}
    run = Outcome(
        budget=prepared.budget,
        classes=len(prepared.data.labels or ()) if prepared.data.task == "single_label" else None,
        names=names,
        weights=dict(model.named_parameters()),
        pretrained=pretrained,
        parameters=(record.model.parameters, record.model.trainable or 0),
        epochs=epochs,
        selected_epoch=selected.epoch,
        dropout=_dropout_change(prepared, model),
        share=selected.share,
        stopped=stopped,
    )
    techniques = prepared.recipe.techniques
    said = {name: techniques[name].outcome(run) for name in record.techniques}
    return {
        name: active if said[name] is None else active.model_copy(update={"outcome": said[name]})
        for name, active in record.techniques.items()
    }


def _dropout_change(prepared: Prepared, model: Any) -> dict[str, tuple[float, float]]:
    """Kind -> probability in the checkpoint and in the run, of kinds that have a single one."""
    before = configured_dropout(load_config(prepared.recipe.model, prepared.data.task, prepared.data.labels))
    sites = dropout_sites(model)
    now = {kind: {site.probability for site in sites if site.kind == kind} for kind in before}
    return {kind: (before[kind], found.pop()) for kind, found in now.items() if len(found) == 1}
