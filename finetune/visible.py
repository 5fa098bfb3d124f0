"""Untrusted texts on a terminal: characters that move the cursor, clear the screen or reverse a line are escaped."""

import re

# Control characters but tab and new line; marks that change the direction of text; line separators; lone surrogates.
_ACTING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with such characters as \\u escapes; inside JSON it still means the same."""
    return _ACTING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
