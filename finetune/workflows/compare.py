"""Compare presets: which regularization closed the gap, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from finetune.data.loader import Loader
from finetune.errors import Change, FinetuneError
from finetune.experiments.asked import Preset, ask, separate
from finetune.experiments.default_final import Final, default_final
from finetune.experiments.executors import DEFAULT as LOCAL
from finetune.experiments.executors import choose_executor
from finetune.experiments.finals import check_final, plan_finals, soup_warnings
from finetune.experiments.jobs import KINDS, Job
from finetune.experiments.kept_models import Keep
from finetune.experiments.nesting import refuse_nested
from finetune.experiments.options import Options
from finetune.experiments.planning import write_jobs
from finetune.experiments.progress import look_up
from finetune.experiments.variants import Variant, compared_variants, fit_variants
from finetune.listener import Listener
from finetune.records.comparison import FinalName
from finetune.records.report import Report
from finetune.workflows.arguments import as_list, most_seeds, seed_list
from finetune.workflows.asking import Request
from finetune.workflows.calls import split_call
from finetune.workflows.disagreements import explain_disagreements, warn_without_captum
from finetune.workflows.experiment import Experiment, carry_out, in_rounds, plan_experiment, run_all, with_gates
from finetune.workflows.folders import find_experiment, folder_name
from finetune.workflows.publishing import publish_comparison
from finetune.workflows.results import CompareResult, failed_runs

PRESETS = ("none", "light", "medium", "strong")
WITHOUT = "The report and the model are those without it."


def compare(
    recipe: Any = None,
    *,
    presets: Sequence[Preset] | None = None,
    variants: Mapping[str, Any] | None = None,
    baseline: str = "none",
    seeds: int | str | Sequence[int] = 5,
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
    final: FinalName | None = None,
    keep_models: bool = False,
    explain: bool = False,
    fail_on: str | Sequence[str] | None = None,
    command: str | None = None,
    listener: Listener | None = None,
) -> CompareResult:
    """Run presets × seeds, paired, and report how each changed score and gap. The same call runs only what is missing.

    Args:
        recipe, model, data, overrides, skip_bad_rows, drop_leaks, technique, metric, allow_code: See `Request`.
        presets: Names, paths, or `{name: {technique: settings}}`; "own" stands for the recipe's own techniques. By
            default none, light, medium and strong; with `variants`, none.
        variants: Name -> settings to compare with the presets, `{"l1": {"techniques.l1.strength": 0.5}}`; "preset"
            names the one they are added to, by default none. "strong:training.epochs" in `overrides` is for one only.
        baseline: The preset that the others are compared with.
        seeds: How many, or which; or "auto:10": 3, and further ones for presets whose verdict is not settled, up to 10.
        folds: Cross-validation with this many folds, each of which is the test split once; also for a single preset.
        executor: "local" (worker processes), "inline" (this process), "ray" or "slurm" (a cluster), or `module:Class`.
        jobs, jobs_per_gpu: Number of parallel runs, or "auto"; and the number per GPU if `jobs` is "auto".
        cell_timeout: Minutes in which a run must complete a step, or it continues in another process (docs/launch.md).
        output: Output folder; one in runs/ by default.
        resume: Refuse a folder that holds nothing to continue.
        final: Final model of the recommended preset: a "refit" on train and validation, the "best" seed on validation,
            a "soup" (the mean of its seeds' weights), "distil" (a student of their ensemble), or "auto" (one of the
            last three, by validation). By default a refit, or best, with the reason stated (docs/comparing.md).
        keep_models: Keep the models of all runs, not only the best of each preset.
        explain: Report which words moved that model's answers to rows on which presets disagree; needs captum.
        fail_on: Quality gates, such as "gap.accuracy > 0.15": see `CompareResult.raise_failures`.
        command: The command that the report shows to reproduce it; this call by default.
        listener: Receives notices and progress; by default progress in a notebook, else warnings by `logging`.

    Raises:
        FinetuneError: An error that can be found before training; all errors at once where possible.
        KeyboardInterrupt: Passed on; completed work is kept, and the same call continues.
    """
    request, rest = split_call("compare", locals())
    return compare_request(request, **rest)


def compare_request(
    request: Request,
    *,
    keep_models: bool = False,
    explain: bool = False,
    listener: Listener,
    **asked: Any,
) -> CompareResult:
    """As `compare`, from a `Request`; `asked` goes to `plan_compare`."""
    keep: Keep = "all" if keep_models else "best"
    experiment = plan_compare(request, listener=listener, **asked)
    if explain:
        warn_without_captum(listener)
    return execute(experiment, keep, listener, explain)


def plan_compare(
    request: Request,
    *,
    presets: Sequence[Preset] | None = None,
    variants: Mapping[str, Any] | None = None,
    baseline: str,
    seeds: int | str | Sequence[int],
    folds: int | None,
    executor: str,
    jobs: str | int,
    jobs_per_gpu: int,
    cell_timeout: float | None = None,
    output: str | Path | None,
    resume: bool,
    command: str,
    final: FinalName | None = None,
    fail_on: str | Sequence[str] | None = None,
    listener: Listener,
) -> Experiment:
    """The runs that `compare` would start. Nothing is written; the listener is told about the data."""
    refuse_nested("compare")
    most = most_seeds(seeds, folds)
    listed = seed_list(seeds if most is None else most)
    asked = None if final is None else Final(check_final(final, listed))
    compared = _compared(request.options(), presets, variants, baseline, folds)
    name = folder_name("compare", compared[0].recipe.name, request.data_name(), changed=request.changed())
    folder = find_experiment(output, name, resume, "compare")
    chosen = choose_executor(executor, jobs, len(compared) * len(listed) * (folds or 1), jobs_per_gpu, cell_timeout)
    sets = Loader()
    fitted, decided = fit_variants(compared, folds, sets)
    planned = plan_experiment("compare", command, fitted[0].name, fitted, listed, folds, folder, chosen, sets)
    ending = asked or default_final(planned.first_data(), folds, command, folder.read() if folder.exists() else None)
    experiment = with_gates(replace(planned, final=ending), as_list(fail_on))
    experiment.announce_data(listener)
    if most is not None:
        experiment = in_rounds(experiment, listener)
    if ending.reason is not None:
        listener.notice(f"final model: the best seed, not a refit on train and validation: {ending.reason}")
    for text in decided:
        listener.notice(text)
    for text in soup_warnings(ending, fitted, experiment.first_data()):
        listener.notice(text, "warning")
    return experiment


def _compared(
    options: Options,
    presets: Sequence[Preset] | None,
    variants: Mapping[str, Any] | None,
    baseline: str,
    folds: int | None,
) -> list[Variant]:
    """Presets and variants; one of them is enough for cross-validation, which says how far its score can be trusted."""
    shared, own = separate(options.overrides)
    if presets is None:
        presets = ("none",) if variants else PRESETS
    asked = ask(presets, variants, own)
    alone = [] if folds else [Change(arguments={"folds": 5}, note="cross-validates it alone")]
    return compared_variants(asked, baseline, replace(options, overrides=shared), 1 if folds else 2, alone)


def execute(experiment: Experiment, keep: Keep, listener: Listener, explain: bool = False) -> CompareResult:
    """Run what is missing of a comparison or an ablation, write the report, and end with a model."""
    with experiment.folder.locked():
        carry_out(experiment, keep, listener)
        experiment = experiment.with_all_runs()
        report, paths = publish_comparison(experiment.folder, listener)
        problems: list[str] = []
        nothing = experiment.final.is_default and report.groups[0].recommendation is None
        if experiment.final.name != "best" and not nothing:
            problems = _make_finals(experiment, report, keep, listener)
            report, paths = publish_comparison(experiment.folder, listener)
        if explain and explain_disagreements(report.groups[0], experiment.folder, listener):
            report, paths = publish_comparison(experiment.folder, listener)
    _warn_of_missing_models(experiment, keep, listener)
    failures = failed_runs([run for variant in report.groups[0].variants for run in variant.runs])
    return CompareResult(report, experiment.folder.path, paths, [experiment.gates], [*failures, *problems])


def _make_finals(experiment: Experiment, report: Report, keep: Keep, listener: Listener) -> list[str]:
    """Run the jobs that start from the runs of the recommended preset; returns what could not be made, and why."""
    folder, final = experiment.folder, experiment.final
    asked = f"--final {final.name}"
    try:
        planned = plan_finals(final, folder, report.groups[0], experiment.runs, experiment.data)
        jobs = [job for job in planned if job.entry.error is None]
        keys = {key for job in jobs for key in job.entry.inputs}
        members = [run for run in experiment.runs if run.entry.key in keys]
        _tell_lost_models(experiment, jobs, members, listener)
        manifest = folder.read().with_jobs([job.entry for job in planned])
        write_jobs(folder, [*experiment.runs, *jobs], keep)
        done = run_all(experiment, manifest, [*members, *jobs], keep, listener, others=experiment.runs)
    except FinetuneError as error:
        return [f"{asked}: {error.for_command_line()} {WITHOUT}"]
    # What auto or the default cannot make is no failure: they make what they can.
    wanted = {job.entry.key for job in (jobs if final.name == "auto" or final.is_default else planned)}
    failed = [entry.error for entry in done.jobs if entry.key in wanted and entry.error is not None]
    return [f"{asked}: {error} {WITHOUT}" for error in failed]


def _tell_lost_models(experiment: Experiment, jobs: Sequence[Job], members: Sequence[Job], listener: Listener) -> None:
    folder = experiment.folder
    waiting = [job for job in jobs if KINDS[job.entry.kind].reads_models and look_up(folder, job).status != "finished"]
    gone = [run for run in members if not folder.run(run.entry).model.is_dir()] if waiting else []
    if gone:
        have, are = ("s have", "are") if len(gone) > 1 else (" has", "is")
        listener.notice(
            f"--final {experiment.final.name}: {len(gone)} finished run{have} no model any more (an earlier command "
            f"removed it), and {are} trained again"
        )


def _warn_of_missing_models(experiment: Experiment, keep: Keep, listener: Listener) -> None:
    """`keep_models` cannot bring back what an earlier command removed."""
    gone = [job for job in experiment.runs if not experiment.folder.run(job.entry).model.is_dir()]
    if keep == "all" and gone:
        listener.notice(
            f"--keep-models: {len(gone)} run{'s have' if len(gone) > 1 else ' has'} no model, because an earlier "
            "command without it removed them. To train them again, delete their folders, such as "
            f"{experiment.folder.path / gone[0].entry.folder}",
            "warning",
        )
