"""Silences the libraries, whose progress bars and advice would bury our own messages."""

import logging
import os
import sys
import warnings

from finetune.visible import visible

LOUD = ("transformers", "datasets", "accelerate", "evaluate", "torch")


class _Visible(logging.Formatter):
    """Labels and texts in a message are shown, and do nothing to the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def quieten_libraries() -> None:
    """Keep our own warnings and the libraries' errors; in processes other than the main one, errors only."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # torch's profiler; below, it says when it starts and stops
    if os.environ.get("RANK", "0") != "0":
        logging.disable(logging.WARNING)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Visible("warning: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("huggingface_hub").propagate = False  # it prints its warnings itself
    for library in LOUD:
        logging.getLogger(library).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="torch")
