"""Errors as the command line shows them: what `pytest.raises(match=…)` compares is Python's form."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from finetune.errors import FinetuneError


@contextlib.contextmanager
def refuses(kind: type[FinetuneError], match: str = "") -> Iterator[pytest.ExceptionInfo[FinetuneError]]:
    """The block raises an error of this kind whose text, as it is typed on a command line, matches."""
    with pytest.raises(kind) as caught:
        yield caught
    shown = typed(caught.value)
    assert re.search(match, shown), f"{match!r} is not in {shown!r}"


def refusal(kind: type[FinetuneError], function: Callable[..., object], *arguments: Any, **settings: Any) -> str:
    """The text, as it is typed on a command line, of the error of this kind that a call raises."""
    with refuses(kind) as caught:
        function(*arguments, **settings)
    return typed(caught.value)


def typed(error: BaseException) -> str:
    """What the command line prints of an error, without its `error: `."""
    assert isinstance(error, FinetuneError), repr(error)
    return error.for_command_line()
