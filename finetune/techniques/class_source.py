"""The source text of a class and of the code it uses, by which a resumed run detects that the class has changed.

It works for scripts and notebooks. Python does not find the class of a notebook cell, but it finds its methods, and
`linecache` holds the text of every cell that has run.
"""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

_CONSTANTS = (int, float, complex, str, bytes, type(None))  # a set has no order, and lists change


def source_of(kind: type) -> str:
    """The text of a class, and of base classes, functions and constants of the same module that it uses.

    Raises:
        OSError: There is no source text, for example for a class made by `type(…)` or in an interactive interpreter.
    """
    texts: dict[str, str] = {}
    _add(kind, kind.__name__, kind.__module__, texts)
    return "\n".join(f"# {name}\n{text}" for name, text in sorted(texts.items()))


def _add(value: Any, name: str, module: str, texts: dict[str, str]) -> None:
    """Put the text of `value` into `texts`, and that of what it uses."""
    if name in texts:
        return
    value = inspect.unwrap(value) if callable(value) else value
    if isinstance(value, _CONSTANTS) or (isinstance(value, tuple) and all(isinstance(v, _CONSTANTS) for v in value)):
        texts[name] = repr(value)
    elif isinstance(value, type | FunctionType) and value.__module__ == module:
        texts[name] = _class_text(value) if isinstance(value, type) else inspect.getsource(value)
        for used, thing in _used_by(value):
            _add(thing, used, module, texts)


def _used_by(value: type | FunctionType) -> Iterator[tuple[str, Any]]:
    """Name and value of base classes, and of variables outside a function that its code names."""
    if isinstance(value, type):
        yield from ((base.__name__, base) for base in value.__bases__)
    for function in _functions(value) if isinstance(value, type) else [value]:
        names = set(_names(function.__code__))
        yield from ((name, function.__globals__[name]) for name in sorted(names & set(function.__globals__)))
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        yield from ((name, cell.cell_contents) for name, cell in cells.items() if name != "__class__")


def _functions(kind: type) -> list[FunctionType]:
    """Methods and properties that a class defines itself; pydantic adds functions of its own module."""
    values = [getattr(value, "__func__", getattr(value, "fget", value)) for value in vars(kind).values()]
    functions = [inspect.unwrap(value) for value in values if isinstance(value, FunctionType)]
    return [function for function in functions if function.__module__ == kind.__module__]


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _class_text(kind: type) -> str:
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):  # what Python raises for a class without a file, by version
        found = _text_in_cells(kind)
    if found is None:
        raise OSError(f"the source text of class {kind.__name__} cannot be found")
    return found


def _text_in_cells(kind: type) -> str | None:
    """The definition that has the docstring of `kind`: in the cells of its methods, else in the newest cell."""
    cells = [function.__code__.co_filename for function in _functions(kind)]
    cells += [name for name in reversed(list(linecache.cache)) if not Path(name).exists()]
    for cell in dict.fromkeys(cells):
        lines = linecache.getlines(cell)
        try:
            tree = ast.parse("".join(lines))
        except SyntaxError:
            continue
        for node in reversed(list(ast.walk(tree))):
            if not isinstance(node, ast.ClassDef) or node.name != kind.__name__:
                continue
            if ast.get_docstring(node, clean=False) == kind.__doc__:
                return "".join(lines[node.lineno - 1 : node.end_lineno])
    return None
