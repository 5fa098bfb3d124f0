"""`finetune demo`: a page to try a model."""

from __future__ import annotations

from typing import Annotated

import typer

from finetune.cli.help import examples
from finetune.cli.options import reports_errors
from finetune.cli.output import notice, print_text
from finetune.cli.predict import ModelArgument

EXAMPLES = examples("finetune demo runs/compare-tweets", "finetune demo runs/tweets-strong-seed0 --port 9000")

PortOption = Annotated[int, typer.Option("--port", help="Port on 127.0.0.1; 0: any free one.")]


@reports_errors()
def demo(model: ModelArgument, port: PortOption = 8765) -> None:
    """Serve a page, on this machine only, to try a model with your own texts."""
    from finetune.workflows.demo import open_demo

    server = open_demo(model, port)
    print_text(f"Demo   {server.url}   (on this machine only; Ctrl-C stops it)")
    server.serve()
    notice("note: the demo has ended")
