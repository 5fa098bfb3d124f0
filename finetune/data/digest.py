"""Digests that identify a data set, and detect changes in it."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from finetune.data.rows import Rows

BLOCK = 10_000  # rows whose JSON is held at a time


def fingerprint(splits: dict[str, Rows]) -> str:
    """sha256 over texts and labels of all splits, and over annotators' votes if they are learned."""
    digest = hashlib.sha256()
    for name in sorted(splits):
        rows = splits[name]
        votes = [] if rows.votes is None else [rows.votes]
        for part in _json_list(_json(name), rows.texts, rows.pairs, rows.labels, *votes):
            digest.update(part)
    return digest.hexdigest()


def text_digest(rows: Rows) -> str:
    """sha256 over the texts only: a row is the same after its label is corrected."""
    digest = hashlib.sha256()
    for part in _json_list(rows.texts, rows.pairs):
        digest.update(part)
    return digest.hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _json_list(*values: Sequence[Any] | bytes | None) -> Iterator[bytes]:
    """The JSON of a list of lists (or of finished JSON), in blocks."""
    opening = b"["
    for value in values:
        yield opening
        if isinstance(value, bytes):
            yield value
        elif value is None:
            yield b"null"
        else:
            yield b"["
            for start in range(0, len(value), BLOCK):
                yield (b", " if start else b"") + _json(value[start : start + BLOCK])[1:-1]
            yield b"]"
        opening = b", "
    yield b"]"
