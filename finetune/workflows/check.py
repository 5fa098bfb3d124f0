"""Check data before an hour of training is spent on it: leaks, duplicates, wrong labels, shift, and scores of simple
models."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune.data.split_file import write_split as write_split_file
from finetune.errors import Change, OutputError, RecipeError, suggest
from finetune.listener import Listener
from finetune.measurement.units import count_text
from finetune.recipe import resolve
from finetune.reports.findings import write_findings
from finetune.workflows.arguments import as_list
from finetune.workflows.asking import Request
from finetune.workflows.default_listener import chosen_listener
from finetune.workflows.results import CheckResult

if TYPE_CHECKING:
    from finetune.checks.base import LocatedFinding
    from finetune.data.rows import Data


def check(
    data: Any = None,
    *,
    recipe: Any = None,
    model: Any = None,
    overrides: Any = (),
    skip_bad_rows: bool = False,
    drop_leaks: bool = False,
    strict: bool = False,
    accept: str | Sequence[str] | None = None,
    write_split: str | Path | None = None,
    models: str | PathLike[str] | Sequence[str | PathLike[str]] | None = None,
    output: str | Path | None = None,
    listener: Listener | None = None,
) -> CheckResult:
    """Look for leaks, duplicates, conflicting or wrong labels, shift and more, and measure simple baselines.

    Args:
        data, recipe, model, overrides, skip_bad_rows, drop_leaks: See `Request`. Only the tokenizer of the model is
            used.
        strict: Problems and warnings make `CheckResult.raise_failures` raise.
        accept: Names of checks whose findings do not count for `strict`.
        write_split: Write down which row is in which split, as `data.split_file` takes it.
        models: Encoders to score on the training rows before anything is trained (`CheckResult.encoders`): hub ids,
            folders or package paths. One that cannot be read makes `CheckResult.raise_failures` raise.
        output: A new .csv file for the findings, to work through in a table: a line for each row of a finding, with its
            split, number, name (`data.id`), label and whole text.
        listener: As for `compare`.

    Raises:
        FinetuneError: The data cannot be read, or an argument has no effect.
    """
    listener, accepted, encoders = chosen_listener(listener), as_list(accept), _encoder_names(models)
    _check_accepted(accepted, strict)
    target, table = _new_file(write_split, "write_split"), _new_file(output, "output")
    if table is not None and table.suffix.lower() != ".csv":
        raise RecipeError("findings are written as .csv.", argument="output", found=str(table))
    options = Request(recipe, model, data, overrides, skip_bad_rows, drop_leaks).options()
    resolved = resolve(options.recipe, None, options.model, options.data, options.overrides).recipe
    if not resolved.data.check:
        listener.notice("data.check=false has no effect on this command; it is for runs")
    from finetune.data.load import load_data

    loaded = load_data(resolved.data)
    from finetune.training.data_checks import inspect_recipe  # slow to import: what is wrong with a file is said before

    facts, findings = inspect_recipe(resolved, loaded)
    if target is not None:
        write_split_file(loaded, target)
        listener.notice(f"split written to {target}; to use it: --set data.split_file={target}")
    if table is not None:
        _write_findings(table, findings, loaded, listener)
    counted = [finding for finding in facts.findings if finding.check not in accepted and finding.level != "info"]
    compared = None
    if encoders:
        from finetune.training.encoders import compare_encoders

        compared = compare_encoders(resolved, loaded, encoders, listener.notice)
    return CheckResult(facts, counted if strict else [], compared)


def _write_findings(path: Path, findings: Sequence[LocatedFinding], data: Data, listener: Listener) -> None:
    from finetune.checks.rows_found import COLUMNS, rows_found

    write_findings(path, COLUMNS, rows_found(findings, data))
    rows = {(row.split, row.position) for finding in findings for row in finding.rows}
    listener.notice(f"{count_text(len(findings), 'finding')} about {count_text(len(rows), 'row')} written to {path}")


def recipe_or_data(source: str | None, data: str | None, listener: Listener) -> tuple[str | None, str | None]:
    """The meaning of a name: a shipped recipe or a YAML file, else data, which uses the recipe your-data.

    Raises:
        RecipeError: Data is named twice, or nothing has this name.
    """
    from finetune.recipe.library import SUFFIXES, recipe_names

    if source is None or source in recipe_names() or source.endswith(SUFFIXES):
        if source is not None and "." not in source and Path(source).exists():
            listener.notice(f"'{source}' is taken as the recipe of this name; the folder is ./{source}")
        return source, data
    if data is not None:
        raise RecipeError(f"'{source}' and --data {data} both name data, but only one can be checked. Leave one out.")
    if not {"/", ":"} & set(source) and not Path(source).exists():  # else a path, or a name on the hub
        raise RecipeError(f"'{source}': no file or folder here, and no recipe.{suggest(source, recipe_names())}")
    return None, source


def _new_file(path: str | Path | None, argument: str) -> Path | None:
    """Raises OutputError where it exists, or has no folder to be in."""
    if path is None:
        return None
    if Path(path).exists():
        raise OutputError("exists. Choose another name, or remove it.", argument=argument, found=str(path))
    if not Path(path).parent.is_dir():
        raise OutputError(f"there is no folder {Path(path).parent}.", argument=argument, found=str(path))
    return Path(path)


def _encoder_names(models: Any) -> list[str]:
    """Raises RecipeError where none is named, or one twice."""
    if models is None:
        return []
    names = [fspath(model).strip() for model in as_list(models)]
    names = [name.rstrip("/") or name for name in names if name]
    if not names:
        example = Change(arguments={"models": "A,B"}, note="hub ids, folders or package:NAME/folder")
        raise RecipeError("names no model.", example, argument="models", found="")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        once = Change(arguments={"models": list(dict.fromkeys(names))})
        raise RecipeError(f"{twice[0]} is named twice.", once, argument="models", found=names)
    return names


def _check_accepted(names: Sequence[str], strict: bool) -> None:
    """Raises RecipeError for a name that no check has, or where nothing is strict."""
    if not names:
        return
    if not strict:
        raise RecipeError(
            "has no meaning without strict.", Change(arguments={"strict": True}), argument="accept", found=names[0]
        )
    from finetune.checks.base import CHECKS

    for name in names:
        if name not in CHECKS:
            raise RecipeError(f"no check has this name.{suggest(name, CHECKS)}", argument="accept", found=name)
