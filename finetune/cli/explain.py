"""`finetune explain`: which words moved an answer."""

from __future__ import annotations

from typing import Annotated

import typer

from finetune.cli.help import OF_DATA, examples
from finetune.cli.options import JsonOption, QuietOption, reports_errors
from finetune.cli.output import print_text
from finetune.cli.predict import ModelArgument, ReadingSetOption
from finetune.errors import RecipeError

EXAMPLES = examples(
    "finetune explain runs/tweets-strong-seed0 'what a day'",
    "finetune explain runs/tweets-strong-seed0 --data new.csv --rows 3,17 --json",
    "finetune explain model/ 'a man plays' --pair 'somebody plays'",
)


@reports_errors()
def explain(
    model: ModelArgument,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="Texts to explain, instead of --data.")
    ] = None,
    pairs: Annotated[
        list[str] | None, typer.Option("--pair", metavar="TEXT", help="Second text, for a model of pairs. Repeatable.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="File with texts, as for predict.", rich_help_panel=OF_DATA)
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option("--rows", metavar="NUMBERS", help="Row numbers in the file, from 1.", rich_help_panel=OF_DATA),
    ] = None,
    label: Annotated[str | None, typer.Option("--label", help="Label to explain. Default: the predicted one.")] = None,
    overrides: ReadingSetOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show which words moved an answer, checked by removing them, and the nearest training texts."""
    if bool(texts) == (data is not None):
        either = "give either texts or a file with --data and --rows, not both."
        raise RecipeError(either if texts else "give texts, or a file with --data and --rows.")
    numbers = _numbers(rows)
    from finetune.cli.listening import WarningListener
    from finetune.workflows.explain import explain as workflow

    result = workflow(
        model,
        texts or (),
        pairs,
        data=data,
        rows=numbers,
        label=label,
        overrides=overrides or (),
        listener=WarningListener(notes=not quiet),
    )
    if as_json:
        print_text(result.to_json(), whole=True)
    else:
        from finetune.reports.explanation import render_explanations

        print_text(render_explanations(result.explanations))


def _numbers(rows: str | None) -> list[int]:
    parts = [part.strip() for part in (rows or "").split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts):
        raise RecipeError("expected row numbers, such as 3,17.", argument="rows", found=rows)
    return [int(part) for part in parts]
