"""`data.template`: text with the names of columns in braces."""

from string import Formatter


def template_parts(template: str) -> list[tuple[str, str | None]]:
    """Split '{title}: {body}' into pairs of the text before each column and the column; None for trailing text.

    Raises:
        ValueError: A brace is open or stray, braces hold nothing or more than a name, or no column is named.
    """
    parts: list[tuple[str, str | None]] = []
    for literal, name, spec, conversion in Formatter().parse(template):
        if name is not None and (not name.strip() or spec or conversion):
            raise ValueError("expected one column name, and nothing else, between { and }")
        parts.append((literal, name))
    if not any(name is not None for _, name in parts):
        raise ValueError("names no column in { }")
    return parts
