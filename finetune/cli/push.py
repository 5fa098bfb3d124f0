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

RepoArgument = Annotated[
    str, typer.Argument(metavar="REPO", help="OWNER/NAME on the hub; created if it does not exist.")
]
PublicOption = Annotated[
    bool, typer.Option("--public", help="Make the repository visible to everybody. Default: private.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show every file with its size, and the model card; upload nothing.")
]
MessageOption = Annotated[str | None, typer.Option("--message", help="Message of the commit.")]


@reports_errors("Files are uploaded in one commit: the same command starts again, without those already uploaded.")
def push(
    model: ModelArgument,
    repo: RepoArgument,
    public: PublicOption = False,
    dry_run: DryRunOption = False,
    message: MessageOption = None,
    quiet: QuietOption = False,
) -> None:
    """Upload a model and its card to a hub repository: private, and only the model's own files."""
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
