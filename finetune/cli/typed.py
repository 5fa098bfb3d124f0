"""The command line of this process, as it was typed and with a change."""

from __future__ import annotations

import shlex
import sys

from finetune.errors import Change


def typed_command() -> str:
    """The command line of this process: what the report says to reproduce it with."""
    return shlex.join(["finetune", *sys.argv[1:]])


def command_with(change: Change) -> str:
    """The same command with a change: what it sets replaces what was typed for the same key."""
    words = sys.argv[1:]
    kept = []
    index = 0
    while index < len(words):
        is_set = words[index] == "--set" and index + 1 < len(words)
        if is_set and words[index + 1].partition("=")[0].strip() in change.settings:
            index += 2
            continue
        kept.append(words[index])
        index += 1
    return f"{shlex.join(['finetune', *kept])} {change.for_command_line()}"
