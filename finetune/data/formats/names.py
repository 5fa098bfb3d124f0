"""Names of formats, as people type them: `data.format=label_studio`."""

import re


def same_name(name: str, typed: str) -> bool:
    """Whether a typed name is that of a format: case, spaces and dashes do not count."""
    return _key(name) == _key(typed)


def typed_name(name: str) -> str:
    """How a name is typed: `Label Studio` -> `label_studio`."""
    return re.sub(r"[ -]+", "_", name.lower())


def _key(name: str) -> str:
    return re.sub(r"[ ._-]+", "", name.lower())
