"""`finetune work`: one of several machines that run a comparison together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetune.cli.experiment_options import (
    DEFAULT_EXECUTOR,
    CellTimeoutOption,
    ExecutorOption,
    JobsOption,
    PerGpuOption,
)
from finetune.cli.help import examples
from finetune.cli.options import AllowCodeOption, QuietOption, TechniqueOption, reports_errors
from finetune.cli.output import print_text

EXAMPLES = examples(
    "finetune work /shared/compare-tweets --jobs 4",
)


@reports_errors(interrupted="stopped; completed work is kept, and other machines take over the runs in progress here.")
def work(
    folder: Annotated[Path, typer.Argument(help="Folder of a comparison, ablation, curve or sweep that was started.")],
    technique: TechniqueOption = None,
    allow_code: AllowCodeOption = False,
    executor: ExecutorOption = DEFAULT_EXECUTOR,
    jobs: JobsOption = "auto",
    jobs_per_gpu: PerGpuOption = 1,
    cell_timeout: CellTimeoutOption = None,
    quiet: QuietOption = False,
) -> None:
    """Run the remaining runs of a comparison, ablation, curve or sweep, with other machines that share its folder."""
    from finetune.cli.listening import choose_listener
    from finetune.workflows import work as workflow

    result = workflow.work(
        folder,
        technique=technique,
        allow_code=allow_code,
        executor=executor,
        jobs=jobs,
        jobs_per_gpu=jobs_per_gpu,
        cell_timeout=cell_timeout,
        listener=choose_listener(quiet),
    )
    print_text(f"{result.finished} of {result.runs} runs have finished, {result.here} of them here")
    print_text(f"For the report, and the model of a comparison, run the command that started it:\n$ {result.command}")
    result.raise_failures()
