"""Train one recipe with one preset, once per seed, and measure the gap."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune import own_code
from finetune.errors import OutputError, RecipeError, RunFailed
from finetune.experiments.nesting import inside_experiment, refuse_nested
from finetune.listener import Listener
from finetune.measurement.units import count_text
from finetune.records.schema import OWN, FinishedRecord
from finetune.records.store import RunFolder
from finetune.workflows.arguments import as_list
from finetune.workflows.asking import Request
from finetune.workflows.default_listener import chosen_listener
from finetune.workflows.folders import check_same_run, find_runs, folder_name, hold_runs
from finetune.workflows.model_cards import write_card
from finetune.workflows.results import RunResult

if TYPE_CHECKING:
    from finetune.recipe import Recipe, Resolved
    from finetune.records.profile import RunProfile
    from finetune.training.phases import Stopwatch
    from finetune.training.prepare import Prepared
    from finetune.training.profile import OperationProfile


def run(
    recipe: Any = None,
    *,
    preset: Any = None,
    model: Any = None,
    data: Any = None,
    overrides: Any = (),
    skip_bad_rows: bool = False,
    drop_leaks: bool = False,
    seed: int | Sequence[int] | None = None,
    metric: str | Sequence[str] | None = None,
    technique: Any = None,
    allow_code: bool = False,
    output: str | Path | None = None,
    resume: bool = False,
    profile: bool = False,
    stopwatch: Stopwatch | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Fine-tune a recipe with a preset, and measure train sample, validation and, once, test.

    If a launcher started this process as one of several, it trains together with the others.

    Args:
        preset: Name, path, or `{name: {technique: settings}}`; replaces the techniques that the recipe lists.
        recipe, model, data, overrides, skip_bad_rows, drop_leaks, metric, technique, allow_code: See `Request`.
        seed: One run each; those of the recipe by default.
        output: Folder of the run, with a subfolder per seed if there are several; a new one in runs/ by default.
        resume: Continue an interrupted run.
        profile: Also measure where the time goes; details go into profile/ in the run's folder.
        stopwatch: Running since the program started, so that the record includes the start-up time.
        listener: As for `compare`.

    Returns:
        The seeds that finished, and the failures of the others: see `RunResult.raise_failures`.

    Raises:
        FinetuneError: An error that can be found before training.
        KeyboardInterrupt: Passed on; completed work is kept, and `resume=True` continues.
    """
    request, rest = Request.split(locals())
    return run_request(request, **{**rest, "listener": chosen_listener(listener)})


def run_request(
    request: Request,
    *,
    preset: Any,
    seed: int | Sequence[int] | None,
    output: str | Path | None,
    resume: bool,
    profile: bool,
    stopwatch: Stopwatch | None,
    listener: Listener,
) -> RunResult:
    """As `run`, from a `Request`."""
    refuse_nested("run")
    resolved = resolve_run(request, preset, seed)
    from finetune.training import distributed
    from finetune.training.phases import Stopwatch

    distributed.join()
    folders: list[RunFolder] = []
    with contextlib.ExitStack() as locks:
        locks.callback(distributed.leave)
        try:
            place = (resolved.recipe, output, resume, _name(request, resolved.recipe))
            folders = distributed.agree(hold_runs(locks, *place) if distributed.is_main() else [])
            return _run_seeds(resolved, folders, resume, profile, stopwatch or Stopwatch(), listener)
        except KeyboardInterrupt:
            listener.notice(_how_to_continue(folders, resume), "warning")
            raise


def _name(request: Request, recipe: Recipe) -> str:
    """Of new folders below runs/, without the seed."""
    return folder_name(recipe.name, request.data_name(), recipe.preset or OWN, changed=request.changed())


def _how_to_continue(folders: Sequence[RunFolder], resume: bool) -> str:
    """Before a run has a record there is nothing to resume, and its folder is free again."""
    has_begun = any(folder.record_path.is_file() for folder in folders)
    return f"To continue, type the same command {'with: --resume' if has_begun and not resume else 'again'}"


def resolve_run(request: Request, preset: Any, seed: int | Sequence[int] | None) -> Resolved:
    """The recipe of a run and where each value came from.

    Raises:
        RecipeError: The recipe is wrong, or names code that was not allowed.
    """
    from finetune.recipe import resolve

    options = request.options()
    resolved = resolve(
        options.recipe, preset, options.model, options.data, options.overrides, as_list(seed), options.metrics
    )
    own_code.check(resolved.recipe.training.metrics, options.allow_code)
    return resolved


def check_run_starts(request: Request, *, preset: Any, seed: Any, output: str | Path | None, resume: bool) -> None:
    """Checks before a launcher starts several processes, so that each problem is reported once.

    Raises:
        FinetuneError: The recipe is wrong, the folder is in use, or the data cannot be read.
    """
    from finetune.data.load import load_data

    resolved = resolve_run(request, preset, seed)
    find_runs(resolved.recipe, output, resume, _name(request, resolved.recipe))
    load_data(resolved.recipe.data)


def threads_of_launched(processes: int) -> int:
    """CPU threads of each of the processes that train together on this machine.

    Raises:
        RecipeError: The machine has GPUs, but fewer than processes.
    """
    import torch

    from finetune.experiments.executors.resources import available_cores

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else None
    if gpus is not None and processes > gpus:
        raise RecipeError(f"this machine has {count_text(gpus, 'GPU')}.", argument="launch", found=processes)
    return max(1, available_cores() // processes)


def plan_run(
    request: Request,
    *,
    preset: Any,
    seed: int | Sequence[int] | None,
    output: str | Path | None,
    resume: bool,
    profile: bool,
    listener: Listener,
) -> dict[str, Any] | None:
    """Check everything short of training, and describe the run: values, origins, model, techniques, warnings.

    Returns:
        The description; None in all but the first of several processes.

    Raises:
        FinetuneError: As `run`; or a profile is requested, which a plan does not have.
    """
    if profile:
        raise RecipeError(
            "a dry run trains nothing that could be profiled. Leave out one of the two.", argument="profile", found=True
        )
    from finetune.training import distributed
    from finetune.training.plan import describe_plan
    from finetune.training.prepare import prepare

    resolved = resolve_run(request, preset, seed)
    if distributed.is_main():
        find_runs(resolved.recipe, output, resume, _name(request, resolved.recipe))
    prepared = prepare(resolved.recipe)
    for note in own_code.notes(prepared.recipe.training.metrics):
        listener.notice(note)
    listener.data_checked(prepared.facts())
    if not distributed.is_main():
        return None
    plan = describe_plan(resolved, prepared.data)
    told = {*prepared.data.warnings, *plan["model"].get("warnings", [])}
    texts = [warning.for_command_line() for warning in prepared.warnings]
    plan["warnings"] = [text for text in texts if text not in told]
    return plan


def _run_seeds(
    resolved: Resolved,
    folders: Sequence[RunFolder],
    resume: bool,
    profile: bool,
    stopwatch: Stopwatch,
    listener: Listener,
) -> RunResult:
    from finetune.training import distributed
    from finetune.training.phases import Stopwatch
    from finetune.training.prepare import prepare

    prepared = prepare(resolved.recipe, stopwatch=stopwatch)
    _announce(prepared, folders, listener)
    profiler = _start_profile(prepared, stopwatch, listener) if profile and distributed.is_main() else None
    finished: list[tuple[FinishedRecord, RunFolder]] = []
    profiles: dict[RunFolder, RunProfile] = {}
    failures: list[str] = []
    for seed, folder in zip(resolved.recipe.training.seeds, folders, strict=True):
        one = _OneSeed(prepared, seed, folder, resume, stopwatch, listener, profiler)
        try:
            finished.append((one.run(), folder))
            if distributed.is_main():
                write_card(folder, folder.model, listener)
            profiles |= _write_profile(profiler, finished[-1][0], folder, listener)
        except RunFailed as failure:
            failures.append(f"seed {seed} ({folder.path}): {failure.for_command_line()}")
            listener.notice(failures[-1], "warning")
        stopwatch, profiler = Stopwatch(), None  # preparing and profiling are the first seed's
    return RunResult(
        records=[record for record, _ in finished],
        folders=[folder for _, folder in finished],
        profiles=profiles,
        failures=failures,
        is_main=distributed.is_main(),
    )


def _announce(prepared: Prepared, folders: Sequence[RunFolder], listener: Listener) -> None:
    from finetune.training.rate_folds import choice_plan
    from finetune.training.tracking.starting import tracker_notes
    from finetune.workflows.start_notes import start_notes

    decisions = (decision.text for decision in prepared.recipe.decisions)
    code = own_code.notes(prepared.recipe.training.metrics)
    for note in (
        *start_notes([prepared.recipe], prepared.data, prepared.measure),
        *prepared.head.notes,
        *decisions,
        *code,
    ):
        listener.notice(note)
    place = folders[0].path if len(folders) == 1 else folders[0].path.parent
    for note in tracker_notes(prepared.recipe, place, None):
        listener.notice(note)
    if (plan := choice_plan(prepared.recipe, prepared.data)) is not None:
        listener.notice(f"training.learning_rate: {plan.text}", plan.level)
    for warning in prepared.warnings:
        listener.notice(warning.for_command_line(), "warning")
    listener.data_checked(prepared.facts())


@dataclass(frozen=True)
class _OneSeed:
    """One seed of a prepared recipe, in a folder that is locked."""

    prepared: Prepared
    seed: int
    folder: RunFolder
    resume: bool
    stopwatch: Stopwatch
    listener: Listener
    profiler: OperationProfile | None

    def run(self) -> FinishedRecord:
        """Train it, or return the record if it is finished.

        Raises:
            OutputError: The data has changed since the run was started.
            RunFailed: Training could not continue.
        """
        from finetune.training import distributed
        from finetune.training.runner import run_seed
        from finetune.workflows.telling import ListenerCallback

        record = self.folder.read() if self.resume else None
        if record is not None:
            self._check_data(record.data.fingerprint)
            if self.prepared.recipe.decisions:
                check_same_run(self.folder, self.prepared.recipe, self.seed)
            if isinstance(record, FinishedRecord):
                if distributed.is_main():
                    self.folder.remove_checkpoints()  # a kill may have come before
                self.listener.notice(f"{self.folder.path} is finished already; nothing to do.")
                return record
        title = f"{self.prepared.recipe.preset or self.prepared.recipe.name} seed {self.seed}"
        telling = ListenerCallback(title, self.prepared.measure, self.listener)
        callbacks: list[Any] = [telling]
        with contextlib.ExitStack() as around:
            around.callback(telling.close)
            around.enter_context(inside_experiment(str(self.folder.path)))
            if self.profiler is not None:
                callbacks.append(self.profiler)
                around.callback(self.profiler.close)
            return run_seed(self.prepared, self.seed, self.folder, callbacks, self.resume, self.stopwatch)

    def _check_data(self, fingerprint: str) -> None:
        if fingerprint != self.prepared.data.fingerprint:
            raise OutputError(
                f"the data of {self.folder.path} has changed since it was started. Start a new run.",
                argument="resume",
                found=True,
            )


def _start_profile(prepared: Prepared, stopwatch: Stopwatch, listener: Listener) -> OperationProfile:
    """Says what it does not look at."""
    from finetune.training import distributed
    from finetune.training.profile import OperationProfile

    seeds, processes = prepared.recipe.training.seeds, distributed.world_size()
    if len(seeds) > 1:
        listener.notice(f"--profile measures only the first of {len(seeds)} seeds ({seeds[0]})", "warning")
    if processes > 1:
        listener.notice(f"--profile measures only the first of {processes} processes", "warning")
    return OperationProfile(prepared, stopwatch)


def _write_profile(
    profiler: OperationProfile | None, record: FinishedRecord, folder: RunFolder, listener: Listener
) -> dict[RunFolder, RunProfile]:
    if profiler is None:
        return {}
    if profiler.is_empty:
        listener.notice(
            f"--profile: nothing of {folder.path} was left to train. To profile it, run it anew: leave out --resume, "
            "and choose another --output",
            "warning",
        )
        return {}
    try:
        return {folder: profiler.write(record, folder.profile)}
    except (OSError, RuntimeError) as error:  # a full disk, or GPU memory that others took: the run itself is complete
        listener.notice(f"--profile: {folder.profile} could not be written: {error}", "warning")
        return {}
