"""Several `finetune` commands in one process: `python -m tests.in_turn '[["run", …], …]'`. Libraries load once."""

import json
import sys
from unittest.mock import patch

from finetune.cli.app import app

if __name__ == "__main__":
    *first, last = json.loads(sys.argv[1])
    with patch("finetune.training.distributed.leave"):  # accelerate joins processes once, and they leave with the last
        for arguments in first:
            app(arguments, standalone_mode=False)
    app(last, standalone_mode=False)
