"""`finetune cell`: one run of a comparison, an ablation, a curve or a sweep, alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetune.cli.compare import GO_ON
from finetune.cli.help import examples
from finetune.cli.options import AllowCodeOption, JsonOption, QuietOption, TechniqueOption, reports_errors
from finetune.cli.output import print_text

EXAMPLES = examples(
    "finetune cell runs/compare-tweets 3f9a01bc",
)


@reports_errors(interrupted=GO_ON)
def cell(
    folder: Annotated[Path, typer.Argument(help="Folder of a comparison, ablation, curve or sweep that was started.")],
    key: Annotated[
        str, typer.Argument(help="Key of the run in jobs.json, its first characters, or the name of the run's folder.")
    ],
    technique: TechniqueOption = None,
    allow_code: AllowCodeOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run a single run of a comparison, ablation, curve or sweep: on another machine, or to see why it failed."""
    from finetune.cli.listening import choose_listener
    from finetune.workflows import cell as workflow

    entry, record = workflow.run_cell(
        folder, key, technique=technique, allow_code=allow_code, listener=choose_listener(quiet)
    )
    if as_json:
        print_text(record.model_dump_json(indent=2), whole=True)
        return
    from finetune.reports.matrix import job_title

    print_text(f"{job_title(entry)}: {record.status}")
