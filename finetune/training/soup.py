"""A soup: the mean of the weights of finished runs of one recipe, saved and measured as one plain model."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from finetune.data.train_set import Collator
from finetune.errors import Change, Problem, RecipeError
from finetune.kernels.head import output_map
from finetune.models.head import HeadStart
from finetune.models.layers import POOLING
from finetune.models.outputs import Outputs
from finetune.recipe import Recipe
from finetune.records.schema import Evaluation, FinishedRecord, WeightGroup
from finetune.records.store import RunFolder
from finetune.techniques import ModelChanges, has_hook, implementations
from finetune.training.building import build_model
from finetune.training.members import device, load_member, read_members
from finetune.training.outputs import split_outputs
from finetune.training.phases import MEASUREMENT, MODEL, SAVING, Stopwatch
from finetune.training.prepare import Prepared
from finetune.training.record import RecordFile, opening_record, warning_texts
from finetune.training.results import calibration_record, checkpoint_record, threshold_record
from finetune.training.saving import prediction_arrays, save_model, save_predictions
from finetune.training.served import describe_served
from finetune.training.weights import weight_statistics

ALIKE = ("architectures", "model_type", "id2label", "problem_type", POOLING, "classifier_pooling")  # of config.json
SHARED_START = Change(
    command="finetune cp PRESET mine.yaml", note="add 'head_start: {}' to the copy, then --presets none,mine.yaml"
)


def mean_weights(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The uniform mean of each tensor, summed in fp64; tensors of other types are taken from the first member.

    Args:
        members: Name -> tensor for each member, with the same names and shapes.
    """
    first = members[0]
    return {
        name: torch.stack([member[name].double() for member in members]).mean(dim=0).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in first.items()
    }


def start_problem(recipe: Recipe, head: HeadStart) -> Problem | None:
    """The problem of a soup of runs of this recipe whose heads start at random; None if all start alike, from the
    training rows or from the head of the checkpoint.

    The mean of k independently drawn heads keeps about 1/k of what the encoder has learned for each of them:
    predictions stay, confidence drops.
    """
    if head.kind != "new" or has_hook(recipe.techniques.values(), ModelChanges.start_head):
        return None
    why = (
        "each seed draws its own random head. The mean of their weights predicts as they do but with less confidence, "
        "so the loss is higher. Heads that start alike avoid this."
    )
    return Problem(why, "techniques.head_start", changes=(SHARED_START,))


def start_warnings(prepared: Prepared, models: tuple[Any, Any]) -> list[Problem]:
    """Warnings about a soup of runs that do not start alike: their heads, or other weights.

    Args:
        prepared: Preparation of the runs.
        models: Models of two seeds, from `build_model`; afterwards in the exported form.
    """
    problem = start_problem(prepared.recipe, prepared.head)
    warnings = [] if problem is None else [problem]
    one, other = (_start(prepared, model) for model in models)
    differing = [name for name, value in one.items() if not torch.equal(value, other[name])]
    if differing:
        why = (
            f"{len(differing)} weights outside the head's output map are drawn at random for each seed "
            f"({differing[0]} …), so the mean of the weights may be a worse model than its members."
        )
        warnings.append(Problem(why, "soup"))
    return warnings


def _start(prepared: Prepared, model: Any) -> dict[str, Tensor]:
    """The weights before the first step, in the form that is exported, without the head's output map."""
    for finish_model in implementations(prepared.recipe.techniques.values(), ModelChanges.finish_model):
        finish_model(model)
    output = output_map(model)
    started = set() if output is None else {id(value) for value in output.parameters()}
    return {name: value.detach() for name, value in model.named_parameters() if id(value) not in started}


def read_weights(members: Sequence[RunFolder]) -> list[dict[str, Tensor]]:
    """The exported weights of each run.

    Raises:
        RecipeError: Architecture, labels or pooling differ; the error names the difference.
    """
    configs = [json.loads((member.model / "config.json").read_text(encoding="utf-8")) for member in members]
    weights = [_tensors(member.model) for member in members]
    for member, config, tensors in zip(members[1:], configs[1:], weights[1:], strict=True):
        keys = [key for key in ALIKE if config.get(key) != configs[0].get(key)]
        if {name: value.shape for name, value in tensors.items()} != {
            name: value.shape for name, value in weights[0].items()
        }:
            keys.append("the names or shapes of weights")
        if keys:
            raise RecipeError(
                f"{member.path} and {members[0].path} differ in {', '.join(keys)}: their weights have no mean.",
                argument="final",
                found="soup",
            )
    return weights


def _tensors(model: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for file in sorted(model.glob("*.safetensors")):
        tensors |= load_file(file)
    return tensors


def make_soup(prepared: Prepared, members: Sequence[RunFolder], folder: RunFolder) -> FinishedRecord:
    """Average the members' exported weights, measure the model like every run, and save it with its record.

    Args:
        prepared: Preparation of the members.
        members: Finished runs of different seeds, with their models.
        folder: Where record, model and predictions go.

    Raises:
        OutputError: A member has not finished, or its model is missing.
        ModelError: The model of a member cannot be loaded.
        RecipeError: There are fewer than two members, or they differ.
    """
    stopwatch, started = Stopwatch(), time.perf_counter()
    seeds = [record.seed for record in read_members(members, "soup")]
    with stopwatch.phase(MODEL):
        first = build_model(prepared, seeds[0])
        starts = start_warnings(prepared, (first.model, build_model(prepared, seeds[1]).model))
        model = load_member(members[0])
        model.load_state_dict(mean_weights(read_weights(members)))
    record = RecordFile(folder, stopwatch, started, None)
    record.open(opening_record(prepared, seeds[0], model))
    about = f"soup: the mean of the weights of the runs with seeds {', '.join(map(str, seeds))}; nothing was trained"
    warnings = [*warning_texts(prepared), about, *(problem.for_command_line() for problem in starts)]
    record.write(warnings=warnings)
    collate, batch_size = Collator(prepared.tokenizer), prepared.recipe.training.eval_batch_size
    with stopwatch.phase(MEASUREMENT):
        outputs = {
            name: split_outputs(model, split, collate, batch_size=batch_size, device=device())
            for name, split in prepared.measured.items()
        }
    _enter(record, prepared, outputs, weight_statistics(model, first.pretrained))
    with stopwatch.phase(SAVING):
        served = describe_served(prepared, record.record, outputs["validation"])
        save_model(model, prepared.encoder, served, folder.model)
        measured = {"selected": outputs, "last": _without_test(outputs)}
        save_predictions(prediction_arrays(prepared.data.measured_splits(), measured), folder.predictions)
    return record.finish(warnings)


def _enter(
    record: RecordFile, prepared: Prepared, outputs: Mapping[str, Outputs], weights: dict[str, WeightGroup]
) -> None:
    """What was measured, as of a run that took no step."""
    task = prepared.data.task
    selected = checkpoint_record(0, 0.0, outputs, task, prepared.meter.measure)
    once = Evaluation(
        step=0,
        epoch=0.0,
        objective=None,
        learning_rate=None,
        grad_norm=None,
        train_probe=selected.train_probe,
        validation=selected.validation,
    )
    record.update(
        history=[once],
        selected=selected,
        last=selected.model_copy(update={"test": None}),
        calibration=calibration_record(outputs, task),
        thresholds=threshold_record(outputs, task, prepared.data.labels),
        weights=weights,
        budget=record.record.budget.model_copy(update={"steps_done": 0}),
    )


def _without_test(outputs: Mapping[str, Outputs]) -> dict[str, Outputs]:
    return {name: each for name, each in outputs.items() if name != "test"}
