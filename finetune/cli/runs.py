"""`finetune runs`: list the runs in runs/, compare two, write an index page of all, or delete some."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finetune.cli.help import examples
from finetune.cli.options import JsonOption, reports_errors
from finetune.cli.output import print_text

if TYPE_CHECKING:
    from finetune.records.listing import TwoListed

SHOWN, CHANGED = "Which ones", "What to do with them"
EXAMPLES = examples(
    "finetune runs",
    "finetune runs --kind compare --data tweets --status unfinished",
    "finetune runs --compare tweets-none-seed0 tweets-strong-seed0",
    "finetune runs --index",
    "finetune runs --delete tweets-none-seed0 --dry-run",
)


ContainsOption = Annotated[
    str, typer.Option("--contains", help="Only those whose path, data or preset contains this.", rich_help_panel=SHOWN)
]
KindOption = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="Only run, compare, ablate, curve, sweep, tune or unreadable.",
        rich_help_panel=SHOWN,
    ),
]
StatusOption = Annotated[
    str | None,
    typer.Option(
        "--status",
        metavar="STATUS",
        help="Only finished, running, failed, interrupted, or unfinished (all but finished).",
        rich_help_panel=SHOWN,
    ),
]
DataOption = Annotated[
    str | None,
    typer.Option("--data", metavar="NAME", help="Only those on this data, e.g. 'tweets*'.", rich_help_panel=SHOWN),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        "--preset", metavar="NAME", help="Only runs of this preset, and experiments with it.", rich_help_panel=SHOWN
    ),
]
CompareOption = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--compare",
        metavar="A B",
        help="Show the numbers of two side by side, and the settings that differ.",
        rich_help_panel=CHANGED,
    ),
]
IndexOption = Annotated[
    bool,
    typer.Option("--index", help="Write index.html: one page with links to all reports.", rich_help_panel=CHANGED),
]
DeleteOption = Annotated[
    list[str] | None,
    typer.Option(
        "--delete",
        metavar="NAME",
        help="Delete this run or experiment, after asking. Repeatable.",
        rich_help_panel=CHANGED,
    ),
]
DryOption = Annotated[
    bool, typer.Option("--dry-run", help="With --delete: only show what would be deleted.", rich_help_panel=CHANGED)
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="With --delete: do not ask.", rich_help_panel=CHANGED)]


@reports_errors()
def runs(
    folder: Annotated[Path, typer.Argument(help="Folder with runs and experiments.")] = Path("runs"),
    contains: ContainsOption = "",
    kind: KindOption = None,
    status: StatusOption = None,
    data: DataOption = None,
    preset: PresetOption = None,
    compare: CompareOption = None,
    index: IndexOption = False,
    delete: DeleteOption = None,
    dry_run: DryOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """List runs and experiments with score, gap, date and size; compare two, or delete some.

    Deletes only folders that hold a run or an experiment, and none in which a process is running.
    """
    filters = {"contains": contains or None, "kind": kind, "status": status, "data": data, "preset": preset}
    _refuse_idle({name: value for name, value in filters.items() if value is not None}, compare, index, delete, as_json)
    if delete:
        _delete(delete, folder, dry_run, yes)
        return
    if dry_run or yes:
        from finetune.errors import RecipeError

        raise RecipeError("works with --delete only.", argument="dry_run" if dry_run else "yes", found=True)
    if compare is not None:
        _compare(compare, folder, as_json)
        return
    from finetune.workflows import runs as workflow

    entries = workflow.list_runs(folder, contains, kind, status=status, data=data, preset=preset)
    if index:
        print_text(f"written to {workflow.write_index(entries, folder)}")
    elif as_json:
        print_text(json.dumps([entry.model_dump() for entry in entries], indent=2), whole=True)
    elif not entries:
        chosen = " that the options choose" if contains or any(filters.values()) else ""
        print_text(f"{folder}: no runs or experiments{chosen}")
    else:
        from finetune.cli.printing import console
        from finetune.reports.listing import runs_table

        console(140).print(runs_table(entries, str(folder)))


def _refuse_idle(
    filters: dict[str, str],
    compare: tuple[str, str] | None,
    index: bool,
    delete: list[str] | None,
    as_json: bool,
) -> None:
    """Raises RecipeError for options of which one would do nothing."""
    from finetune.errors import RecipeError

    if filters and (delete or compare):
        name = next(iter(filters))
        raise RecipeError(
            "filters a list, and has no effect on runs that are named. Leave it out.",
            argument=name,
            found=filters[name],
        )
    if sum([bool(delete), compare is not None, index]) > 1:
        raise RecipeError("--compare, --delete and --index cannot be combined.")
    if as_json and (delete or index):
        why = "applies to lists and comparisons only. Leave it out."
        raise RecipeError(why, argument="json", found=True)


def _compare(names: tuple[str, str], folder: Path, as_json: bool) -> None:
    from finetune.workflows import runs as workflow

    pair = workflow.compare_runs(*names, folder)
    if as_json:
        print_text(pair.model_dump_json(indent=2), whole=True)
        return
    print_pair(pair, str(folder))


def print_pair(pair: TwoListed, folder: str) -> None:
    """The numbers of both, and the settings that differ."""
    from finetune.cli.printing import console
    from finetune.reports.listing import pair_tables

    out = console(140)
    for table in pair_tables(pair, folder):
        out.print(table)


def _delete(names: list[str], folder: Path, dry_run: bool, yes: bool) -> None:
    from finetune.errors import Change, RecipeError
    from finetune.reports.listing import size_text
    from finetune.workflows import runs as workflow

    entries = workflow.choose_runs(names, folder)
    workflow.check_deletable(entries)
    for entry in entries:
        print_text(f"{'would delete' if dry_run else 'delete'}  {entry.path}  ({entry.kind}, {size_text(entry.size)})")
    if dry_run:
        total = size_text(sum(entry.size for entry in entries))
        print_text(f"dry run: nothing was deleted; {total} would be freed")
        return
    if not yes and not sys.stdin.isatty():
        why = "cannot ask for confirmation here (no terminal). Look first, with --dry-run."
        raise RecipeError(why, Change(arguments={"yes": True}), argument="delete", found=names[0])
    if yes or typer.confirm("Delete permanently?"):
        workflow.delete_runs(entries)
        print_text(f"deleted, {size_text(sum(entry.size for entry in entries))} freed")
    else:
        print_text("nothing was deleted")
