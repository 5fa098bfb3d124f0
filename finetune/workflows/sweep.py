"""Sweeps: the values of one or several settings, from too little to too much, and the choice among them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finetune.data.loader import Loader
from finetune.errors import Change, RecipeError
from finetune.experiments.asked import Preset
from finetune.experiments.executors import DEFAULT as LOCAL
from finetune.experiments.executors import Executor, choose_executor
from finetune.experiments.grid import MOST_RUNS, grid_variants, read_vary
from finetune.experiments.nesting import refuse_nested
from finetune.experiments.options import Options
from finetune.experiments.variants import fit_variants
from finetune.listener import Listener
from finetune.measurement.units import time_text
from finetune.records.comparison import ComparisonFolder
from finetune.workflows.arguments import seed_list
from finetune.workflows.asking import Request
from finetune.workflows.calls import split_call
from finetune.workflows.experiment import Experiment, carry_out, plan_experiment
from finetune.workflows.folders import find_experiment, folder_name
from finetune.workflows.publishing import publish_sweep
from finetune.workflows.results import SweepResult, failed_runs

Vary = Mapping[str, Sequence[Any]]


def sweep(
    recipe: Any = None,
    *,
    vary: Vary,
    preset: Preset = "none",
    seeds: int | Sequence[int] = 3,
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
    yes: bool = False,
    command: str | None = None,
    listener: Listener | None = None,
) -> SweepResult:
    """Run every value (of several keys: every combination) × seeds. The same call runs only what is missing.

    Args:
        vary: Dotted key -> values, `{"techniques.l1.strength": [0, 0.1, 1, 10]}`; the first key is the axis of the
            picture. A strength of 0 is the preset without that technique.
        preset: Preset that every point starts from: name, path, or `{name: {technique: settings}}`; "own" stands for
            the recipe's own techniques.
        yes: Start even if there are more than 100 runs.
        recipe, model, data, overrides, skip_bad_rows, drop_leaks, technique, metric, allow_code: See `Request`.
            Settings of techniques apply to every point.
        seeds, executor, jobs, jobs_per_gpu, cell_timeout, output, resume, command, listener: As for `compare`.

    Raises:
        FinetuneError, KeyboardInterrupt: As `compare`.
    """
    request, rest = split_call("sweep", locals())
    return sweep_request(request, **rest)


def sweep_request(request: Request, *, listener: Listener, **asked: Any) -> SweepResult:
    """As `sweep`, from a `Request`; `asked` goes to `plan_sweep`."""
    experiment = plan_sweep(request, listener=listener, **asked)
    folder = experiment.folder
    with folder.locked():
        carry_out(experiment, "none", listener)
        report, paths = publish_sweep(folder.path, folder.path, None, listener)
    runs = [run for point in report.points for run in point.runs]
    return SweepResult(report, folder.path, paths, failed_runs(runs))


def plan_sweep(
    request: Request,
    *,
    vary: Any,
    preset: Preset,
    seeds: int | Sequence[int],
    executor: str,
    jobs: str | int,
    jobs_per_gpu: int,
    cell_timeout: float | None = None,
    output: str | Path | None,
    resume: bool,
    command: str,
    yes: bool = False,
    listener: Listener,
) -> Experiment:
    """The runs that `sweep` would start. Nothing is written; the listener is told about data and choices.

    Raises:
        FinetuneError: A run could never work, or there are more runs than `MOST_RUNS` without `yes`.
    """
    refuse_nested("sweep")
    listed = seed_list(seeds)
    values = read_vary(vary)
    options = request.options()
    recipe_name = options.resolve(preset if preset != "own" else None).name
    varied = [key.removeprefix("techniques.") for key in values]
    name = folder_name("sweep", recipe_name, request.data_name(), *varied, changed=request.changed())
    folder = find_experiment(output, name, resume, "sweep")
    runs = math.prod(map(len, values.values())) * len(listed)
    chosen = choose_executor(executor, jobs, runs, jobs_per_gpu, cell_timeout)
    sets = Loader()
    if runs > MOST_RUNS and not yes:
        raise _too_many(runs, values, listed, preset, options, folder, chosen, sets)
    variants, decided = fit_variants(grid_variants(values, preset, options), None, sets)
    experiment = plan_experiment("sweep", command, variants[0].name, variants, listed, None, folder, chosen, sets)
    experiment.announce_data(listener)
    for text in decided:
        listener.notice(text)
    return experiment


def _too_many(
    runs: int,
    values: Mapping[str, list[Any]],
    seeds: list[int],
    preset: Preset,
    options: Options,
    folder: ComparisonFolder,
    executor: Executor,
    sets: Loader,
) -> RecipeError:
    """A grid grows by multiplication: says what it comes to, from the two ends of each key alone."""
    ends = {key: [found[0], found[-1]] for key, found in values.items()}
    variants, _ = fit_variants(grid_variants(ends, preset, options), None, sets)
    first = plan_experiment("sweep", "", variants[0].name, variants[:1], seeds[:1], None, folder, executor, sets)
    each = first.describe()["seconds"] * executor.slots
    parts = " × ".join([*(str(len(found)) for found in values.values()), f"{len(seeds)} seeds"])
    return RecipeError(
        f"{parts} are {runs:,} runs, about {time_text(each * runs / executor.slots)} here, {executor.slots} at a time; "
        f"more than {MOST_RUNS} are started only on request.",
        Change(arguments={"yes": True}),
        Change(text="name fewer values"),
        argument="vary",
        found=",".join(values),
    )
