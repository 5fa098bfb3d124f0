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
    demo,
    diagnose,
    environment,
    evaluate,
    explain,
    export,
    inspection,
    library,
    predict,
    push,
    report,
    run,
    runs,
    sweep,
    tune,
    work,
)
from finetune.cli.help import DATA, EXPERIMENTS, LIBRARY, MODELS, START, WIDEST, Command, Commands, examples
from finetune.cli.output import notice
from finetune.cli.process import ending, handle_signals, outlive_readers, prepare_process

app = typer.Typer(
    name="finetune",
    help="Fine-tune BERT-style encoders on few labelled texts, and measure how regularization changes the gap.",
    epilog=examples("finetune check tweets", "finetune run --preset strong", "finetune compare --seeds 5")
    + "\n\nOptions of a command: finetune COMMAND --help",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
)
for _group, _name, _function, _examples in (
    (START, "run", run.run, run.EXAMPLES),
    (START, "compare", compare.compare, compare.COMPARE_EXAMPLES),
    (EXPERIMENTS, "ablate", compare.ablate, compare.ABLATE_EXAMPLES),
    (EXPERIMENTS, "curve", curve.curve, curve.EXAMPLES),
    (EXPERIMENTS, "sweep", sweep.sweep, sweep.EXAMPLES),
    (EXPERIMENTS, "tune", tune.tune, tune.EXAMPLES),
    (EXPERIMENTS, "report", report.report, report.REPORT_EXAMPLES),
    (EXPERIMENTS, "runs", runs.runs, runs.EXAMPLES),
    (EXPERIMENTS, "work", work.work, work.EXAMPLES),
    (EXPERIMENTS, "cell", cell.cell, cell.EXAMPLES),
    (DATA, "check", check.check, check.EXAMPLES),
    (MODELS, "diagnose", diagnose.diagnose, diagnose.EXAMPLES),
    (MODELS, "predict", predict.predict, predict.EXAMPLES),
    (MODELS, "evaluate", evaluate.evaluate, evaluate.EXAMPLES),
    (MODELS, "explain", explain.explain, explain.EXAMPLES),
    (MODELS, "export", export.export, export.EXAMPLES),
    (MODELS, "demo", demo.demo, demo.EXAMPLES),
    (MODELS, "push", push.push, push.EXAMPLES),
    (LIBRARY, "ls", library.ls, library.LS_EXAMPLES),
    (LIBRARY, "show", inspection.show, inspection.SHOW_EXAMPLES),
    (LIBRARY, "cp", library.cp, library.CP_EXAMPLES),
    (LIBRARY, "diff", inspection.diff, inspection.DIFF_EXAMPLES),
    (LIBRARY, "validate", inspection.validate, inspection.VALIDATE_EXAMPLES),
    (LIBRARY, "env", environment.env, environment.EXAMPLES),
):
    app.command(_name, cls=Command, epilog=_examples, rich_help_panel=_group)(_function)


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
    outlive_readers()
    handle_signals()
    try:
        app(args=sys.argv[1:], prog_name="finetune")
    except KeyboardInterrupt as interrupt:  # before its command has begun
        how, code = ending(interrupt)
        notice(how)
        sys.exit(code)
