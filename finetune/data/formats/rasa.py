"""Rasa NLU training data (YAML, versions 2 and 3): intents with examples, entities as `[text]{…}` or `[text](…)`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from finetune.data.encoding import TextFile
from finetune.data.table import Table
from finetune.errors import DataError

ENTITY = re.compile(r"\[(?P<text>[^\]]+?)\](?:\((?P<old>[^)]*?)\)|(?P<new>\{[^}]*?\})(?:\[[^\]]*\])?)")
OTHER = ("synonym", "regex", "lookup")  # of entities: they hold no texts


def rasa_table(file: TextFile, entries: list[Any]) -> Table:
    """A row for each example of an intent.

    Args:
        file: The file.
        entries: What it holds under `nlu`.

    Raises:
        DataError: There are no examples of intents.
    """
    path = file.path
    rows = [(text, intent) for entry in entries for text, intent in _examples(entry, path)]
    if not rows:
        raise DataError(f"{path}: none of the {len(entries)} entries under `nlu` is an intent with examples.")
    others = sum(1 for entry in entries if any(name in entry for name in OTHER))
    apart = f"; {others} entries are synonyms, lookups or patterns, which hold no texts" if others else ""
    joined = sorted({intent for _, intent in rows if "+" in intent})
    several = f"; {joined[0]} is one label (as several: --set data.label_separator=+)" if joined else ""
    note = f"{path}: read as NLU data of Rasa: {len(rows)} examples, none left out{apart}{several}"
    columns: dict[str, Sequence[Any]] = {"text": [text for text, _ in rows], "intent": [intent for _, intent in rows]}
    return Table(str(path), columns, notes=[*file.notes, note], warnings=file.warnings, roles={"label": "intent"})


def _examples(entry: Any, path: Path) -> Iterator[tuple[str, str]]:
    """Texts of an entry that is an intent."""
    if not isinstance(entry, dict):
        raise DataError(f"{path}: an entry under `nlu` is {str(entry)[:40]!r}, no intent with examples.")
    if "intent" not in entry:
        return
    examples = entry.get("examples", "")
    if isinstance(examples, str):
        lines = [line.strip() for line in examples.splitlines() if line.strip()]
        odd = next((line for line in lines if not line.startswith("-")), None)
        if odd is not None:
            raise DataError(f"{path}: intent {entry['intent']}: the example {odd!r} does not start with '- '.")
        texts = [line[1:].strip() for line in lines]
    elif isinstance(examples, list):
        texts = [str(each.get("text", "")).strip() if isinstance(each, dict) else str(each) for each in examples]
    else:
        raise DataError(f"{path}: intent {entry['intent']}: its examples are no list.")
    for text in texts:
        yield ENTITY.sub(lambda match: match["text"], text), str(entry["intent"])
