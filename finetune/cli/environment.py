"""`finetune env`: what to paste into a bug report."""

import importlib.util
import json

from finetune.cli.help import examples
from finetune.cli.options import JsonOption, reports_errors
from finetune.cli.output import print_text

EXAMPLES = examples(
    "finetune env --json",
)


@reports_errors()
def env(as_json: JsonOption = False) -> None:
    """Print versions, device and what is installed, to paste into a bug report."""
    from finetune.packages import DEMO_PACKAGES
    from finetune.records.environment import read_code, read_device, read_versions

    facts = {
        "finetune": read_code().model_dump(),
        "versions": read_versions(),
        "device": read_device().model_dump(),
        "demo": {
            pip_name: importlib.util.find_spec(name) is not None for name, pip_name in sorted(DEMO_PACKAGES.items())
        },
    }
    if as_json:
        print_text(json.dumps(facts, indent=2), whole=True)
        return
    for title, values in facts.items():
        print_text(title)
        for key, value in values.items():
            print_text(f"  {key:<14} {'-' if value is None else value}")
