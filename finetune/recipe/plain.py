"""Python values in the form that YAML would give."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any


def to_plain(value: Any) -> Any:
    """numpy numbers and arrays, tuples, ranges and paths as numbers, lists and texts; anything else unchanged.

    Integer keys become texts, as in a YAML file: {0: "negative"} in data.label_map.
    """
    if hasattr(value, "tolist"):  # numpy's arrays and numbers, without importing numpy
        return to_plain(value.tolist())
    if isinstance(value, Mapping):
        return {_plain_key(key): to_plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | range):
        return [to_plain(entry) for entry in value]
    return str(value) if isinstance(value, PurePath) else value


def _plain_key(key: Any) -> Any:
    key = to_plain(key)
    return str(key) if isinstance(key, int) and not isinstance(key, bool) else key
