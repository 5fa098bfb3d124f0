"""A call of a workflow from Python: its request, and its text, which the report shows to reproduce it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

from finetune.workflows.asking import Request
from finetune.workflows.default_listener import chosen_listener


def split_call(name: str, arguments: Mapping[str, Any]) -> tuple[Request, dict[str, Any]]:
    """The arguments of `finetune.<name>` -> its request and the others, with its command and its listener filled in."""
    request, rest = Request.split(arguments)
    rest["command"] = rest["command"] or python_call(name, arguments)
    rest["listener"] = chosen_listener(rest["listener"])
    return request, rest


def python_call(name: str, arguments: Mapping[str, Any]) -> str:
    """`finetune.compare(data=<DataFrame>, seeds=3)`: without arguments that are at their defaults; data in memory is
    shown by its type."""
    import finetune

    defaults = {key: value.default for key, value in inspect.signature(getattr(finetune, name)).parameters.items()}
    aside = ("command", "listener")  # decide nothing about what is run
    given = {
        key: value for key, value in arguments.items() if key not in aside and not _is_default(value, defaults.get(key))
    }
    return f"finetune.{name}({', '.join(f'{key}={_shown(value)}' for key, value in given.items())})"


def _is_default(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, str | int | float | tuple | bool) and bool(value == default))


def _shown(value: Any) -> str:
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, str | int | float | bool | PathLike):
        return repr(fspath(value) if isinstance(value, PathLike) else value)
    if (
        isinstance(value, list | tuple)
        and all(isinstance(each, str | int | float) for each in value)
        and len(value) < 50
    ):
        return repr(list(value))
    text = repr(value)
    return text if isinstance(value, dict) and len(text) < 300 else f"<{type(value).__name__}>"
