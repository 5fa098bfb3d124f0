"""A checksum inside a JSON file, which detects a changed bit that still reads as JSON."""

from __future__ import annotations

import hashlib
import json
from typing import Any

KEY = "checksum"


def with_checksum(text: str) -> str:
    """The text of a non-empty JSON object -> the same with a checksum as its last entry."""
    return f'{text.rstrip()[:-1].rstrip()},\n  "{KEY}": "{_checksum(json.loads(text))}"\n}}\n'


def read_checked(text: str) -> Any:
    """The content of such a text, without the checksum.

    Raises:
        ValueError: It is not JSON, or the content does not match the checksum.
    """
    return checked(json.loads(text))


def checked(content: Any) -> Any:
    """The parsed content, without the checksum. Texts of older versions have no checksum.

    Raises:
        ValueError: The content does not match the checksum.
    """
    if isinstance(content, dict) and KEY in content and content.pop(KEY) != _checksum(content):
        raise ValueError(f"the content does not match its checksum: damaged, or edited (then remove its entry '{KEY}')")
    return content


def _checksum(content: Any) -> str:
    return f"sha256:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"
