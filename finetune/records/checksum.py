"""A checksum inside a JSON file: a changed bit that still reads as JSON is found, and not taken for a number."""

from __future__ import annotations

import hashlib
import json
from typing import Any

KEY = "checksum"


def with_checksum(text: str) -> str:
    """The text of a JSON object that is not empty -> the same with a checksum as its last entry."""
    return f'{text.rstrip()[:-1].rstrip()},\n  "{KEY}": "{_checksum(json.loads(text))}"\n}}\n'


def read_checked(text: str) -> Any:
    """The content of such a text, without the checksum.

    Raises:
        ValueError: It is no JSON, or another content than the checksum was made of.
    """
    return checked(json.loads(text))


def checked(content: Any) -> Any:
    """What such a text holds, without the checksum. One of an older version has none.

    Raises:
        ValueError: The checksum was made of another content.
    """
    if isinstance(content, dict) and KEY in content and content.pop(KEY) != _checksum(content):
        raise ValueError(f"the content does not fit its checksum: damaged, or edited (then remove its entry '{KEY}')")
    return content


def _checksum(content: Any) -> str:
    return f"sha256:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"
