"""Ablation: leave each technique of a preset out, and run each on its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finetune.data.loader import Loader
from finetune.experiments.asked import Preset
from finetune.experiments.executors import DEFAULT as LOCAL
from finetune.experiments.executors import choose_executor
from finetune.experiments.nesting import refuse_nested
from finetune.experiments.variants import ablation_variants, fit_variants
from finetune.listener import Listener
from finetune.recipe import preset_name
from finetune.workflows.arguments import as_list, seed_list
from finetune.workflows.asking import Request
from finetune.workflows.calls import split_call
from finetune.workflows.compare import execute
from finetune.workflows.experiment import Experiment, plan_experiment, with_gates
from finetune.workflows.folders import find_experiment, folder_name
from finetune.workflows.results import CompareResult


def ablate(
    recipe: Any = None,
    *,
    preset: Preset = "strong",
    seeds: int | Sequence[int] = 3,
    folds: int | None = None,
    model: Any = None,
    data: Any = None,
    overrides: Any = (),
    skip_bad_rows: bool = False,
    drop_leaks: bool = False,
    technique: Any = None,
    metric: str | Sequence[str] | None = None,
    allow_code: bool = False,
    executor: str = LOCAL,
    jobs: str | int = "auto",
    jobs_per_gpu: int = 1,
    cell_timeout: float | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    fail_on: str | Sequence[str] | None = None,
    command: str | None = None,
    listener: Listener | None = None,
) -> CompareResult:
    """Run a preset, the preset without each of its techniques, each technique alone, and none of them.

    Args:
        preset: Name, path, or `{name: {technique: settings}}`; "own" stands for the recipe's own techniques.
        recipe, model, data, overrides, skip_bad_rows, drop_leaks, technique, metric, allow_code: See `Request`.
        seeds, folds, executor, jobs, jobs_per_gpu, cell_timeout, output, resume, fail_on, command, listener: As for
            `compare`.

    Raises:
        FinetuneError, KeyboardInterrupt: As `compare`.
    """
    request, rest = split_call("ablate", locals())
    return ablate_request(request, **rest)


def ablate_request(request: Request, *, listener: Listener, **asked: Any) -> CompareResult:
    """As `ablate`, from a `Request`; `asked` goes to `plan_ablate`."""
    return execute(plan_ablate(request, listener=listener, **asked), "best", listener)


def plan_ablate(
    request: Request,
    *,
    preset: Preset,
    seeds: int | Sequence[int],
    folds: int | None,
    executor: str,
    jobs: str | int,
    jobs_per_gpu: int,
    cell_timeout: float | None = None,
    output: str | Path | None,
    resume: bool,
    command: str,
    fail_on: str | Sequence[str] | None = None,
    listener: Listener,
) -> Experiment:
    """The runs that `ablate` would start. Nothing is written; the listener is told about the data and about parts that
    cannot run alone."""
    refuse_nested("ablate")
    listed = seed_list(seeds)
    sets = Loader()
    variants, left_out = ablation_variants(preset, request.options(), folds, sets)
    for text in left_out:
        listener.notice(text, "warning")
    name = folder_name(
        "ablate", variants[0].recipe.name, request.data_name(), preset_name(preset), changed=request.changed()
    )
    folder = find_experiment(output, name, resume, "ablate")
    chosen = choose_executor(executor, jobs, len(variants) * len(listed) * (folds or 1), jobs_per_gpu, cell_timeout)
    fitted, decided = fit_variants(variants, folds, sets)
    planned = plan_experiment("ablate", command, "none", fitted, listed, folds, folder, chosen, sets)
    experiment = with_gates(planned, as_list(fail_on))
    experiment.announce_data(listener)
    for text in decided:
        listener.notice(text)
    return experiment
