"""Several `finetune` commands in one process: `python -m tests.in_turn '[["run", …], …]'`. Libraries load once.

Ends with the exit code of the first that fails.
"""

import json
import sys
from unittest.mock import patch

from finetune.cli.app import app


def execute(arguments: list[str]) -> None:
    if code := app(arguments, standalone_mode=False):  # so called it returns the code of an exit
        sys.exit(code)


if __name__ == "__main__":
    *first, last = json.loads(sys.argv[1])
    with patch("finetune.training.distributed.leave"):  # accelerate joins processes once, and they leave with the last
        for each in first:
            execute(each)
    execute(last)
