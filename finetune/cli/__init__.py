"""The command line. Importing this loads neither torch nor pydantic: `--help` must answer at once."""

from finetune.cli.app import main

__all__ = ["main"]
