"""A checksum inside a JSON file, which detects a changed bit that still reads as JSON."""

from __future__ import annotations

import hashlib
import json
from typing import Any

KEY = "checksum"


def with_checksum(text: str) -> str:
    """The text of a non-empty JSON object -> the same with a checksum as its last entry."""
    return f'{text.rstrip()[:-1].rstrip()},\n  "{KEY}": "{_checksum(json.loads(text))}"\n}}\n'


def read_checked(text: str) -> dict[str, Any]:
    """The content of such a text, without the checksum.

    Raises:
        ValueError: It is no JSON object, or the content does not match the checksum.
    """
    return checked(read_object(text))


def read_object(text: str) -> dict[str, Any]:
    """The content of such a text as it is, for a look at its version.

    Raises:
        ValueError: It is no JSON object.
    """
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("it holds no JSON object")
    return content


def checked(content: dict[str, Any]) -> dict[str, Any]:
    """The parsed content, without the checksum. Texts of older versions have no checksum.

    Raises:
        ValueError: The content does not match the checksum.
    """
    if KEY in content and content.pop(KEY) != _checksum(content):
        raise ValueError(f"the content does not match its checksum: damaged, or edited (then remove its entry '{KEY}')")
    return content


def _checksum(content: Any) -> str:
    return f"sha256:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"
