"""`finetune runs`: what lies below runs/, and deleting it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from finetune.cli.help import examples
from finetune.cli.options import JsonOption, reports_errors
from finetune.cli.output import print_text

EXAMPLES = examples(
    "finetune runs",
    "finetune runs --kind compare --contains tweets",
    "finetune runs --delete tweets-none-seed0 --dry-run",
)


@reports_errors()
def runs(
    folder: Annotated[Path, typer.Argument(help="Where runs and experiments lie.")] = Path("runs"),
    contains: Annotated[
        str, typer.Option("--contains", help="Only those with this in their path, data or preset.")
    ] = "",
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help="Only run, compare, ablate, curve or sweep.")
    ] = None,
    delete: Annotated[
        list[str] | None,
        typer.Option("--delete", metavar="NAME", help="Delete this run or experiment, after asking. Repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --delete: only say what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --delete: do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List runs and experiments with score, gap, date and size, or delete some.

    Only folders that hold a run or an experiment are deleted, and none that a process is running in.
    """
    from finetune.errors import RecipeError
    from finetune.workflows import runs as workflow

    if delete:
        _delete(delete, folder, dry_run, yes)
        return
    if dry_run or yes:
        raise RecipeError("has a meaning with --delete only.", argument="dry_run" if dry_run else "yes", found=True)
    entries = workflow.list_runs(folder, contains, kind)
    if as_json:
        print_text(json.dumps([entry.model_dump() for entry in entries], indent=2), whole=True)
        return
    from finetune.cli.printing import console
    from finetune.reports.listing import runs_table

    console(140).print(runs_table(entries, str(folder)))


def _delete(names: list[str], folder: Path, dry_run: bool, yes: bool) -> None:
    from finetune.errors import Change, RecipeError
    from finetune.reports.listing import size_text
    from finetune.workflows import runs as workflow

    entries = workflow.choose_runs(names, folder)
    for entry in entries:
        print_text(f"{'would delete' if dry_run else 'delete'}  {entry.path}  ({entry.kind}, {size_text(entry.size)})")
    if dry_run:
        print_text("dry run: nothing was deleted")
        return
    if not yes and not sys.stdin.isatty():
        why = "nobody can be asked here. Look first, with --dry-run."
        raise RecipeError(why, Change(arguments={"yes": True}), argument="delete", found=names[0])
    if yes or typer.confirm("Delete for good?"):
        workflow.delete_runs(entries)
        print_text(f"deleted, {size_text(sum(entry.size for entry in entries))} freed")
    else:
        print_text("nothing was deleted")
