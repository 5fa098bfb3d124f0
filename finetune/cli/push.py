"""`finetune push`: a trained model to the hub."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from finetune.cli.help import examples
from finetune.cli.options import QuietOption, reports_errors
from finetune.cli.output import print_text
from finetune.cli.predict import ModelArgument

EXAMPLES = examples(
    "finetune push runs/compare-tweets me/tweets-sentiment --dry-run",
    "finetune push runs/compare-tweets me/tweets-sentiment",
)

RepoArgument = Annotated[str, typer.Argument(metavar="REPO", help="OWNER/NAME on the hub; made if there is none.")]
PublicOption = Annotated[bool, typer.Option("--public", help="Everybody may see it. Default: private.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show every file with its size, and the model card; send nothing.")
]
MessageOption = Annotated[str | None, typer.Option("--message", help="Of the commit.")]


@reports_errors("Files are sent in one commit: the same command starts again, without those that have arrived.")
def push(
    model: ModelArgument,
    repo: RepoArgument,
    public: PublicOption = False,
    dry_run: DryRunOption = False,
    message: MessageOption = None,
    quiet: QuietOption = False,
) -> None:
    """Send a model with its card to a repository of the hub: private, and nothing but the model's own files."""
    from finetune.cli.listening import WarningListener
    from finetune.reports.push import render_plan, render_sent
    from finetune.workflows.push import MESSAGE
    from finetune.workflows.push import push as workflow

    if quiet or not sys.stderr.isatty():
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
    listener = WarningListener(notes=not quiet)
    result = workflow(model, repo, public=public, dry_run=dry_run, message=message or MESSAGE, listener=listener)
    if result.url is None:
        print_text(render_plan(repo, public, result.sizes, result.card))
    else:
        print_text(render_sent(repo, result.sizes, result.url))
