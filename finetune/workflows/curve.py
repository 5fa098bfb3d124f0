"""Learning curves: score and gap against the number of training rows, and what more labels would bring."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finetune.data.loader import Loader
from finetune.experiments.asked import Preset
from finetune.experiments.executors import DEFAULT as LOCAL
from finetune.experiments.executors import choose_executor
from finetune.experiments.nesting import refuse_nested
from finetune.experiments.sizes import (
    choose_sizes,
    on_all_rows,
    refuse_folds,
    refuse_subset,
    sized_variants,
)
from finetune.experiments.variants import fit_variants, preset_variants
from finetune.listener import Listener
from finetune.training.measures import measure_for
from finetune.workflows.arguments import seed_list
from finetune.workflows.asking import Request
from finetune.workflows.calls import split_call
from finetune.workflows.experiment import Experiment, carry_out, plan_experiment, tell_data
from finetune.workflows.folders import find_experiment, folder_name
from finetune.workflows.publishing import publish_curve
from finetune.workflows.results import CurveResult, failed_runs

PRESETS = ("none", "strong")


def curve(
    recipe: Any = None,
    *,
    sizes: Sequence[int] | None = None,
    presets: Sequence[Preset] = PRESETS,
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
    command: str | None = None,
    listener: Listener | None = None,
) -> CurveResult:
    """Run presets × sizes of the training set × seeds. The same call runs only what is missing.

    Args:
        sizes: Training rows, ascending; by default 1-2-5 steps from about a tenth of all rows to all of them.
        presets: Names, paths, or `{name: {technique: settings}}`; `none`, or else the first, is the baseline.
        recipe, model, data, overrides, skip_bad_rows, drop_leaks, technique, metric, allow_code: See `Request`.
        seeds, executor, jobs, jobs_per_gpu, cell_timeout, output, resume, command, listener: As for `compare`.

    Raises:
        FinetuneError, KeyboardInterrupt: As `compare`.
    """
    request, rest = split_call("curve", locals())
    return curve_request(request, **rest)


def curve_request(request: Request, *, listener: Listener, **asked: Any) -> CurveResult:
    """As `curve`, from a `Request`; `asked` goes to `plan_curve`."""
    experiment = plan_curve(request, listener=listener, **asked)
    folder = experiment.folder
    with folder.locked():
        carry_out(experiment, "none", listener)
        report, paths = publish_curve(folder.path, folder.path, None, listener)
    runs = [run for preset in report.presets for point in preset.points for run in point.runs]
    return CurveResult(report, folder.path, paths, failed_runs(runs))


def plan_curve(
    request: Request,
    *,
    sizes: Sequence[int] | None,
    presets: Sequence[Preset],
    seeds: int | Sequence[int],
    executor: str,
    jobs: str | int,
    jobs_per_gpu: int,
    cell_timeout: float | None = None,
    output: str | Path | None,
    resume: bool,
    command: str,
    listener: Listener,
) -> Experiment:
    """The runs that `curve` would start. Nothing is written; the listener is told about data and sizes."""
    refuse_nested("curve")
    listed = seed_list(seeds)
    options = request.options()
    refuse_folds(options.overridden_keys())
    complete = preset_variants(list(presets), None, options, least=1)
    recipe = complete[0].recipe
    refuse_subset(recipe)
    name = folder_name("curve", recipe.name, request.data_name(), changed=request.changed())
    folder = find_experiment(output, name, resume, "curve")
    sets = Loader()
    all_rows = sets.load(on_all_rows(recipe).data)
    chosen_sizes = choose_sizes(None if sizes is None else list(sizes), all_rows)
    score = measure_for(all_rows, recipe.training.score).score
    chosen = choose_executor(
        executor, jobs, len(complete) * len(chosen_sizes) * len(listed), jobs_per_gpu, cell_timeout
    )
    variants, decided = fit_variants(sized_variants(complete, chosen_sizes, score), None, sets)
    experiment = plan_experiment("curve", command, complete[0].name, variants, listed, None, folder, chosen, sets)
    tell_data([each.recipe for each in complete], all_rows, listener)
    experiment.announce_rates(listener)
    listener.notice(f"sizes: {', '.join(map(str, chosen_sizes))} of {len(all_rows.train)} training rows")
    for text in decided:
        listener.notice(text)
    return experiment
