"""The folder that a command writes to, and the right to write there."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finetune.analysis.collect import APART
from finetune.errors import Change, OutputError
from finetune.experiments.jobs import Job
from finetune.listener import Listener
from finetune.recipe import TELLING_KEYS, Recipe, flatten, with_epochs
from finetune.records.comparison import ComparisonFolder, Kind, Manifest
from finetune.records.store import RunFolder, check_no_file, is_empty, slug

RUNS = Path("runs")
LONGEST_NAME = 60  # characters of what the settings add to the name of a folder
_OTHERS = {"training.seeds", *(f"training.{key}" for key in TELLING_KEYS)}  # make no run another
_FLOOR = "training.min_steps"  # may raise the epochs


def folder_name(*parts: str, changed: Sequence[str] = ()) -> str:
    """The name of a folder in runs/: other data, another model or another value of a setting gives another folder.

    Args:
        parts: Command, recipe, data, preset.
        changed: Other differences from the recipe, such as "epochs-5"; cut if long, with a digest of all of them.
    """
    added = "-".join(changed)
    if len(added) > LONGEST_NAME:
        digest = hashlib.sha256("\n".join(changed).encode()).hexdigest()[:8]
        added = f"{added[: LONGEST_NAME - 9]}-{digest}"
    return "-".join(slug(part) for part in (*parts, added) if part)


def find_experiment(output: str | Path | None, name: str, resume: bool, kind: Kind) -> ComparisonFolder:
    """The folder of an experiment: a new one, or one that already holds such an experiment, whose finished runs are
    then used.

    Raises:
        OutputError: It holds something else, or --resume found nothing.
    """
    folder = ComparisonFolder(RUNS / name if output is None else Path(output))
    _check_experiment(folder, kind)
    if resume and not folder.exists() and not (folder.path / "cells").is_dir():
        raise OutputError(
            f"{folder.path} holds no {_noun(kind)}. Leave it out, or name the folder of one.",
            argument="resume",
            found=True,
        )
    return folder


def _check_experiment(folder: ComparisonFolder, kind: Kind) -> None:
    path, noun = folder.path, _noun(kind)
    check_no_file(path)
    elsewhere = Change(text="Choose another folder.")
    if folder.exists():
        present = folder.read().kind
        if _noun(present) != noun:
            raise OutputError(
                f"holds a {_noun(present)}, and this is a {noun}.", elsewhere, argument="output", found=str(path)
            )
    elif not is_empty(path) and not (path / "cells").is_dir():
        raise OutputError(f"is not empty and holds no {noun}.", elsewhere, argument="output", found=str(path))


def _noun(kind: Kind) -> str:
    """What shares a folder with what: an ablation is a comparison."""
    return kind if kind in APART else "comparison"


def open_experiment(
    folder: ComparisonFolder, manifest: Manifest, listener: Listener, possible: Sequence[Job] = ()
) -> Manifest:
    """Write the manifest, which makes the folder that of an experiment; tell which earlier runs leave the table.

    The caller holds the folder's lock. Because planning took a while, the content of the folder is checked again.

    Args:
        folder: Folder of the experiment.
        manifest: What is requested.
        listener: Is told.
        possible: Runs that may be added later: they do not leave the table.

    Raises:
        OutputError: Another command has written something else there meanwhile.
    """
    _check_experiment(folder, manifest.kind)
    if folder.exists():
        earlier = folder.read()
        keys = {entry.key for entry in manifest.cells} | {job.entry.key for job in possible}
        others = sum(entry.key not in keys for entry in earlier.cells)
        if others:
            listener.notice(
                f"{others} run{'s' * (others != 1)} of an earlier command in {folder.path} {_is_or_are(others)} not in "
                "this one (other recipe, data, presets, sizes, seeds or version of the algorithms): its report is "
                "replaced, and they stay in cells/. To keep both reports, choose another --output"
            )
        manifest = _with_earlier_code(folder, manifest, earlier, listener)
        manifest = manifest.with_retries({entry.key: entry.retries for entry in earlier.cells if entry.retries})
        # Shown only if they are of what is recommended.
        manifest = manifest.model_copy(update={"jobs": earlier.jobs})
    folder.write(manifest)
    return manifest


def _is_or_are(count: int) -> str:
    return "is" if count == 1 else "are"


def _with_earlier_code(folder: ComparisonFolder, manifest: Manifest, earlier: Manifest, listener: Listener) -> Manifest:
    """Finished runs keep the digest of the code that made them; says so where it is another one."""
    made_by = {entry.key: entry.code for entry in earlier.cells}
    entries = [
        entry.model_copy(update={"code": made_by[entry.key]})
        if entry.key in made_by and folder.run(entry).predictions.exists()
        else entry
        for entry in manifest.cells
    ]
    older = [new for new, now in zip(entries, manifest.cells, strict=True) if new.code != now.code]
    if older:
        listener.notice(
            f"{len(older)} finished run{'s' * (len(older) != 1)} of {folder.path} {_is_or_are(len(older))} kept: the "
            "code has changed since, but the version of its algorithms has not. To run one again, delete its folder, "
            f"such as {folder.path / older[0].folder}",
            "warning",
        )
    return manifest.model_copy(update={"cells": entries})


def find_runs(recipe: Recipe, output: str | Path | None, resume: bool, name: str) -> list[RunFolder]:
    """One folder per seed; refuses folders in use before anything is loaded or written.

    Args:
        recipe: The recipe of the runs.
        output: Folder named by the user; None: one in runs/.
        resume: Whether the runs exist already.
        name: Name of new folders in runs/, without the seed.

    Raises:
        OutputError: A folder holds something else, another run, or nothing to resume.
    """
    seeds = recipe.training.seeds
    if output is not None:
        path = Path(output)
        folders = [RunFolder(path if len(seeds) == 1 else path / f"seed-{seed}") for seed in seeds]
    else:
        folders = [_default_folder(f"{name}-seed{seed}", resume) for seed in seeds]
    _check_runs(folders, recipe, resume)
    return folders


def hold_runs(
    locks: contextlib.ExitStack, recipe: Recipe, output: str | Path | None, resume: bool, name: str
) -> list[RunFolder]:
    """As `find_runs`, with the folders locked: nobody else writes there until `locks` closes.

    While waiting for a lock another command may have ended there, so the content of the folders is checked again. A new
    folder in runs/ belongs to the command that created it.

    Raises:
        OutputError: As `find_runs`; or another process is running in one.
    """
    folders = find_runs(recipe, output, resume, name)
    held = []
    for folder, seed in zip(folders, recipe.training.seeds, strict=True):
        while True:
            try:
                locks.enter_context(folder.locked(as_new=output is None and not resume))
                break
            except FileExistsError:  # made by another command since
                folder = _default_folder(f"{name}-seed{seed}", resume)
        held.append(folder)
    _check_runs(held, recipe, resume)
    return held


def _check_runs(folders: Sequence[RunFolder], recipe: Recipe, resume: bool) -> None:
    if resume and all(folder.is_empty() for folder in folders):
        folders[0].check_no_file()
        raise _nothing_to_resume(folders[0])
    for folder, seed in zip(folders, recipe.training.seeds, strict=True):
        if resume and not folder.is_empty():
            check_same_run(folder, recipe, seed)
        else:
            folder.check_free()


def _written_rules(recipe: dict[str, Any]) -> dict[str, Any]:
    """Key -> rule as it was written; of a preset that chooses by the data also what the user set."""
    choices = recipe.get("choices")
    if choices is None:
        return {f"rules.{name}": rule for name, rule in recipe.get("rules", {}).items()}
    rules = {f"rule {name} of {recipe['preset']}": rule for name, rule in choices["rules"].items()}
    return {**rules, **{f"--set {key}": value for key, value in choices["overrides"].items()}}


def _decided_later(recipe: Recipe, key: str) -> bool:
    """Whether the data decides on the value, and has not yet."""
    if recipe.choices is None:
        return bool(recipe.rules) and key.startswith("techniques.")
    if recipe.decisions:
        return False
    settable = recipe.choices.settable()
    return key in settable or key.startswith("techniques.") or (key == "training.epochs" and _FLOOR in settable)


def _default_folder(stem: str, resume: bool) -> RunFolder:
    """runs/<stem>, then …-2, …-3: the first that does not exist, or the newest that holds something to resume."""
    number = 1
    newest = None
    while True:
        folder = RunFolder(RUNS / (stem if number == 1 else f"{stem}-{number}"))
        if not folder.path.exists():
            return newest if resume and newest is not None else folder
        if not folder.is_empty():
            newest = folder
        number += 1


def _nothing_to_resume(folder: RunFolder) -> OutputError:
    return OutputError(
        f"{folder.path} holds no run record. Leave it out, or name the folder of a run.",
        argument="resume",
        found=True,
    )


def check_same_run(folder: RunFolder, recipe: Recipe, seed: int) -> None:
    """A run is only resumed by the recipe that started it.

    If the preset chooses by the data, which is not read yet, its rules are compared; their decisions are compared when
    this is called again, with the recipe of the prepared run.

    Raises:
        OutputError: There is nothing to resume, or the recipe or seed differs; names the keys.
    """
    folder.check_no_file()
    record = folder.read()
    if record is None:
        raise _nothing_to_resume(folder)
    if recipe.training.min_steps:  # may have raised the epochs of the record, and will do so again
        recipe = with_epochs(recipe, max(recipe.training.epochs, record.recipe["training"]["epochs"]))
    plain = recipe.recorded()
    # With rules, settings are those for the size of the data, which is not read yet: compare what was written.
    ours, theirs = ({**flatten(each), **_written_rules(each)} for each in (plain, record.recipe))
    changed = [
        key
        for key in {**ours, **theirs}
        if ours.get(key) != theirs.get(key) and key not in _OTHERS and not _decided_later(recipe, key)
    ]
    if changed:
        shown = "; ".join(f"{key}: {theirs.get(key)} then, {ours.get(key)} now" for key in changed[:5])
        raise OutputError(
            f"{folder.path} is a run of another recipe: {shown}.",
            Change(text="Run the command that started it."),
            argument="resume",
            found=True,
        )
    if record.seed != seed:
        raise OutputError(
            f"{folder.path} was run with seed {record.seed}.",
            Change(arguments={"seed": record.seed}),
            argument="resume",
            found=True,
        )
