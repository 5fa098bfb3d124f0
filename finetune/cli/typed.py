"""The command line of this process, as typed or with a change."""

from __future__ import annotations

import shlex
import sys

from finetune.errors import Change


def typed_command() -> str:
    """The command line of this process, which the report shows to reproduce it."""
    return shlex.join(["finetune", *sys.argv[1:]])


def command_with(change: Change) -> str:
    """The same command with a change: its settings replace those typed for the same key."""
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
