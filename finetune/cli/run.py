"""`finetune run`: train, measure, and say what the gap is."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune.cli.options import (
    DataOption,
    JsonOption,
    LeaksOption,
    ModelOption,
    PresetOption,
    RecipeArgument,
    SetOption,
    SkipOption,
    TechniqueOption,
    complain,
    reports_errors,
    say_findings,
    use_techniques,
    with_switches,
)
from finetune.errors import OutputError, RecipeError, RunFailed

if TYPE_CHECKING:
    from rich.console import Console

    from finetune.recipe import Recipe, Resolved
    from finetune.records.profile import RunProfile
    from finetune.records.schema import FinishedRecord, RunRecord
    from finetune.records.store import RunFolder
    from finetune.training.phases import Stopwatch
    from finetune.training.prepare import Prepared
    from finetune.training.profile import OperationProfile

EXAMPLES = (
    "Examples:  finetune run --preset strong   |   finetune run --data reviews.csv --set data.text=Review "
    "--set data.label=Stars --preset medium --seed 1 --seed 2"
)
DEFAULT_FOLDER = Path("runs")


@reports_errors
def run(
    recipe: RecipeArgument = None,
    preset: PresetOption = None,
    model: ModelOption = None,
    data: DataOption = None,
    overrides: SetOption = None,
    skip_bad_rows: SkipOption = False,
    drop_leaks: LeaksOption = False,
    seed: Annotated[list[int] | None, typer.Option("--seed", "-s", min=0, help="One run each. Repeatable.")] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="Path of your own `evaluate` module; higher counts as better. Repeatable."),
    ] = None,
    technique: TechniqueOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the run. Left out: a fresh one below runs/."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything short of training, and stop.")] = False,
    launch: Annotated[
        int | None,
        typer.Option("--launch", min=1, help="Train with this many processes, through accelerate."),
    ] = None,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="Show where the time goes: seconds of each phase of the run, and what one training step consists of, "
            "with advice. Nothing that is learned changes; the run takes a little longer. Details go into profile/ "
            "in the run's folder.",
        ),
    ] = False,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Fine-tune a recipe with a preset, and report the gap."""
    from finetune.training.phases import START, Stopwatch, process_age

    stopwatch = Stopwatch(START, process_age())
    if profile and dry_run:
        raise RecipeError("--profile: --dry-run trains nothing that could be profiled. Leave out one of the two.")
    use_techniques(technique)
    overrides = with_switches(overrides, skip_bad_rows, drop_leaks)
    from finetune.recipe import resolve

    resolved = resolve(recipe, preset, model, data, overrides, seed or (), metric or ())
    if launch is not None and "WORLD_SIZE" not in os.environ:
        from finetune.data.load import load_data

        _choose_folders(resolved.recipe, output, resume)  # said once, here, instead of by every process
        load_data(resolved.recipe.data)
        _launch(launch)
    from finetune.allocation import tune_allocator
    from finetune.quiet import quieten_libraries

    quieten_libraries()
    tune_allocator()
    from finetune.training import distributed
    from finetune.training.prepare import prepare

    distributed.join()
    try:
        folders = distributed.agree(_choose_folders(resolved.recipe, output, resume) if distributed.is_main() else None)
        assert folders is not None, "the main process sends its choice"
        prepared = prepare(resolved.recipe, stopwatch=stopwatch)
        if dry_run:
            if not quiet:
                say_findings(prepared.facts())
            _print_plan(resolved, prepared, as_json)
            return
        _say_notes(prepared, quiet)
        looking = _profiling(prepared, stopwatch) if profile and distributed.is_main() else None
        profiles: dict[RunFolder, RunProfile] = {}
        finished: list[tuple[FinishedRecord, RunFolder]] = []
        failures: list[str] = []
        for seed_value, folder in zip(resolved.recipe.training.seeds, folders, strict=True):
            try:
                record = _run_one(prepared, seed_value, folder, resume, quiet, stopwatch, looking)
                finished.append((record, folder))
                profiles |= _write_profile(looking, record, folder)
            except RunFailed as failure:
                failures.append(f"seed {seed_value} ({folder.path}): {failure}")
            stopwatch, looking = Stopwatch(), None  # preparing and profiling are the first seed's
    except KeyboardInterrupt:
        where = f" --output {output}" if output is not None else ""
        complain(f"stopped; what is complete is kept. To go on, type the same command with: --resume{where}")
        raise
    finally:
        distributed.leave()
    if distributed.is_main():
        typed = _typed(recipe, model, data, overrides, metric, technique)
        _print_results(finished, profiles, as_json, typed, preset)
    if failures:
        raise RunFailed("\n".join(failures))


def _say_notes(prepared: Prepared, quiet: bool) -> None:
    if not quiet:
        for note in prepared.data.notes:
            complain(f"note: {note}")
        for warning in prepared.warnings:
            complain(f"warning: {warning}")
        say_findings(prepared.facts())


def _launch(processes: int) -> None:
    """Replace this process by accelerate, every value passed: its own questions and defaults never show."""
    import torch

    on_gpus = torch.cuda.is_available()
    if on_gpus and processes > torch.cuda.device_count():
        raise RecipeError(f"--launch {processes}: this machine has {torch.cuda.device_count()} GPUs.")
    arguments = _without_launch(sys.argv[1:])
    threads = max(1, (os.cpu_count() or 1) // processes)
    command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", str(processes)]
    command += [
        "--num_machines",
        "1",
        "--machine_rank",
        "0",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
    ]
    command += ["--num_cpu_threads_per_process", str(threads), "--main_process_port", str(_free_port())]
    if processes > 1:
        command.append("--multi_gpu")  # accelerate's word for "use torch.distributed", with or without GPUs
    command += ["--module", "finetune", *arguments]
    os.execv(sys.executable, command)


def _without_launch(arguments: list[str]) -> list[str]:
    kept, skip = [], False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == "--launch":
            skip = True
        elif not argument.startswith("--launch="):
            kept.append(argument)
    return kept


def _free_port() -> int:
    """A port that nobody listens on: two launches on one machine must not meet."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _choose_folders(recipe: Recipe, output: Path | None, resume: bool) -> list[RunFolder]:
    """One folder a seed; refuses what is in use before anything is loaded or written."""
    from finetune.records.store import RunFolder

    seeds = recipe.training.seeds
    if output is not None:
        folders = [RunFolder(output if len(seeds) == 1 else output / f"seed-{seed}") for seed in seeds]
    else:
        folders = [_default_folder(recipe, seed, resume) for seed in seeds]
    if resume and all(folder.is_empty() for folder in folders):
        folders[0].check_place()
        raise _nothing_to_resume(folders[0])
    for folder, seed in zip(folders, seeds, strict=True):
        if resume and not folder.is_empty():
            _check_same_run(folder, recipe, seed)
        else:
            folder.check_free()
    return folders


def _default_folder(recipe: Recipe, seed: int, resume: bool) -> RunFolder:
    """runs/<recipe>-<preset>-seed<n>, then …-2, …-3: the first free one, or the newest to resume."""
    from finetune.records.store import RunFolder

    stem = f"{recipe.name}-{recipe.preset or 'own'}-seed{seed}"
    number = 1
    newest = None
    while True:
        folder = RunFolder(DEFAULT_FOLDER / (stem if number == 1 else f"{stem}-{number}"))
        if not folder.path.exists():
            break
        newest, number = folder, number + 1
    return newest if resume and newest is not None else folder


def _nothing_to_resume(folder: RunFolder) -> OutputError:
    return OutputError(f"--resume: {folder.path} holds no run record. Leave --resume out, or name the folder of a run.")


def _check_same_run(folder: RunFolder, recipe: Recipe, seed: int) -> None:
    """A run is only resumed by the recipe that started it.

    Raises:
        OutputError: There is nothing to resume, or the recipe or seed differs; names the keys.
    """
    from finetune.recipe import flatten

    folder.check_place()
    record = folder.read()
    if record is None:
        raise _nothing_to_resume(folder)
    ours, theirs = flatten(recipe.to_dict()), flatten(record.recipe)
    # With rules, settings are those for the size of the data, which is not read yet: compare what was written.
    written = record.recipe.get("rules", {})
    for name in {**recipe.rules, **written}:
        ours[f"rules.{name}"], theirs[f"rules.{name}"] = recipe.rules.get(name), written.get(name)
    changed = [
        key
        for key in {**ours, **theirs}
        if ours.get(key) != theirs.get(key)
        and key != "training.seeds"
        and not (recipe.rules and key.startswith("techniques."))
    ]
    if changed:
        shown = "; ".join(f"{key}: {theirs.get(key)} then, {ours.get(key)} now" for key in changed[:5])
        raise OutputError(
            f"--resume: {folder.path} is a run of another recipe: {shown}. Type the command that started it."
        )
    if record.seed != seed:
        raise OutputError(f"--resume: {folder.path} was run with seed {record.seed}. Try: --seed {record.seed}")


def _run_one(
    prepared: Prepared,
    seed: int,
    folder: RunFolder,
    resume: bool,
    quiet: bool,
    stopwatch: Stopwatch,
    looking: OperationProfile | None,
) -> FinishedRecord:
    import contextlib

    from finetune.records.schema import FinishedRecord
    from finetune.reports.progress import LiveGap
    from finetune.training import distributed
    from finetune.training.runner import run_seed

    record = folder.read() if resume else None
    if record is not None:
        if record.data.fingerprint != prepared.data.fingerprint:
            raise OutputError(f"--resume: the data of {folder.path} has changed since it was started. Start a new run.")
        if isinstance(record, FinishedRecord):
            complain(f"{folder.path} is finished already; nothing to do.")
            return record
    title = f"{prepared.recipe.preset or prepared.recipe.name} seed {seed}"
    callbacks: list[Any] = [] if quiet else [LiveGap(title, prepared.measure)]
    with contextlib.ExitStack() as around:
        if distributed.is_main():
            around.enter_context(folder.locked())
        if looking is not None:
            callbacks.append(looking)
            around.callback(looking.close)
        return run_seed(prepared, seed, folder, callbacks, resume, stopwatch)


def _profiling(prepared: Prepared, stopwatch: Stopwatch) -> OperationProfile:
    """Says what it does not look at."""
    from finetune.training import distributed
    from finetune.training.profile import OperationProfile

    seeds, processes = prepared.recipe.training.seeds, distributed.world_size()
    if len(seeds) > 1:
        complain(f"note: --profile looks at the first of {len(seeds)} seeds ({seeds[0]})")
    if processes > 1:
        complain(f"note: --profile looks at the first of {processes} processes")
    return OperationProfile(prepared, stopwatch)


def _write_profile(
    looking: OperationProfile | None, record: RunRecord, folder: RunFolder
) -> dict[RunFolder, RunProfile]:
    if looking is None:
        return {}
    if looking.is_empty:
        complain(
            f"note: --profile: nothing of {folder.path} was left to train. To profile it, run it anew: leave out "
            "--resume, and choose another --output"
        )
        return {}
    try:
        return {folder: looking.write(record, folder.profile)}
    except (OSError, RuntimeError) as error:  # a full disk, or GPU memory that others took: the run itself is complete
        complain(f"warning: --profile: {folder.profile} could not be written: {error}")
        return {}


def _print_plan(resolved: Resolved, prepared: Prepared, as_json: bool) -> None:
    from finetune.reports.plan import render_plan
    from finetune.training import distributed
    from finetune.training.plan import describe_plan

    if distributed.is_main():
        plan = describe_plan(resolved, prepared.data)
        said = {*prepared.data.warnings, *plan["model"].get("warnings", [])}
        plan["warnings"] = [text for text in prepared.warnings if text not in said]
        typer.echo(json.dumps(plan, indent=2) if as_json else render_plan(plan) + "\n\ndry run: nothing was trained")


def _print_results(
    finished: list[tuple[FinishedRecord, RunFolder]],
    profiles: dict[RunFolder, RunProfile],
    as_json: bool,
    typed: str,
    preset: str | None,
) -> None:
    if as_json:
        records = [
            {
                "folder": str(folder.path),
                **json.loads(record.model_dump_json()),
                **({"profile": json.loads(profiles[folder].model_dump_json())} if folder in profiles else {}),
            }
            for record, folder in finished
        ]
        typer.echo(json.dumps(records, indent=2))
        return
    from rich.console import Console

    from finetune.advice.diagnosis import next_command
    from finetune.reports.terminal import run_summary, run_table, seeds_table

    # Piped output has no width of its own; 80 columns would break the table.
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 100)
    for record, folder in finished:
        console.print(run_table(record))
        console.print(run_summary(record, folder, next_command(record, typed, preset)), markup=False)
        if folder in profiles:
            _print_profile(console, record, folder, profiles[folder])
    if len(finished) > 1:
        console.print(seeds_table([record for record, _ in finished]))


def _print_profile(console: Console, record: RunRecord, folder: RunFolder, found: RunProfile) -> None:
    from finetune.advice.speed import speed_advice
    from finetune.reports.profile import floor_line, padding_line, phases_table, watched_table

    console.print(phases_table(record))
    for what, watched in (("training step", found.training), ("evaluation batch", found.evaluation)):
        if watched is not None:
            console.print(watched_table(what, watched))
            console.print(floor_line(what, watched))
    console.print(padding_line(found))
    for sentence in speed_advice(record, found):
        console.print(f"Advice      {sentence}", markup=False)
    console.print(f"Profile     {folder.profile / 'profile.json'}", markup=False)
    console.print(
        f"Timelines   {folder.profile}/trace-*.json.gz   (open in ui.perfetto.dev or chrome://tracing)", markup=False
    )


def _typed(
    recipe: str | None,
    model: str | None,
    data: str | None,
    overrides: list[str] | None,
    metrics: list[str] | None,
    techniques: list[str] | None,
) -> str:
    """The part of the command line that says what is trained, to build the next command from."""
    import shlex

    parts = [recipe] if recipe else []
    for option, value in (("--model", model), ("--data", data)):
        parts += [option, value] if value else []
    # Overrides of techniques belong to the preset that the next command leaves behind.
    parts += [part for text in overrides or [] if not text.startswith("techniques.") for part in ("--set", text)]
    parts += [part for path in metrics or [] for part in ("--metric", path)]
    parts += [part for reference in techniques or [] for part in ("--technique", reference)]
    return shlex.join(parts) if parts else "tweets"
