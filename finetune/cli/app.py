"""The Typer application: only names, help and order of the commands."""

import sys
from typing import Annotated

import typer

import finetune
from finetune.cli import (
    cell,
    check,
    compare,
    curve,
    diagnose,
    environment,
    evaluate,
    inspection,
    library,
    predict,
    report,
    run,
    sweep,
    work,
)
from finetune.cli.process import handle_signals, prepare_process

app = typer.Typer(
    name="finetune",
    help="Fine-tune BERT-style encoders on few labelled texts, and measure how regularization changes the gap.",
    epilog="Start here:  finetune run --preset strong",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", epilog=run.EXAMPLES)(run.run)
app.command("compare", epilog=compare.COMPARE_EXAMPLES)(compare.compare)
app.command("ablate", epilog=compare.ABLATE_EXAMPLES)(compare.ablate)
app.command("curve", epilog=curve.EXAMPLES)(curve.curve)
app.command("sweep", epilog=sweep.EXAMPLES)(sweep.sweep)
app.command("diagnose", epilog=diagnose.EXAMPLES)(diagnose.diagnose)
app.command("predict", epilog=predict.EXAMPLES)(predict.predict)
app.command("evaluate", epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command("report", epilog=report.REPORT_EXAMPLES)(report.report)
app.command("ls", epilog=library.LS_EXAMPLES)(library.ls)
app.command("show", epilog=inspection.SHOW_EXAMPLES)(inspection.show)
app.command("cp", epilog=library.CP_EXAMPLES)(library.cp)
app.command("diff", epilog=inspection.DIFF_EXAMPLES)(inspection.diff)
app.command("validate", epilog=inspection.VALIDATE_EXAMPLES)(inspection.validate)
app.command("check", epilog=check.EXAMPLES)(check.check)
app.command("work", epilog=work.EXAMPLES)(work.work)
app.command("cell", epilog=cell.EXAMPLES)(cell.cell)
app.command("env", epilog=environment.EXAMPLES)(environment.env)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"finetune {finetune.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    prepare_process()


def main() -> None:
    """Entry point of `finetune` and `python -m finetune`."""
    handle_signals()
    app(args=sys.argv[1:], prog_name="finetune")
