"""Errors as the command line shows them: what `pytest.raises(match=…)` compares is Python's form."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest

from finetune.errors import FinetuneError


@contextlib.contextmanager
def refuses(kind: type[FinetuneError], match: str = "") -> Iterator[pytest.ExceptionInfo[FinetuneError]]:
    """The block raises an error of this kind whose text, as it is typed on a command line, matches."""
    with pytest.raises(kind) as caught:
        yield caught
    shown = typed(caught.value)
    assert re.search(match, shown), f"{match!r} is not in {shown!r}"


def typed(error: BaseException) -> str:
    """What the command line prints of an error, without its `error: `."""
    assert isinstance(error, FinetuneError), repr(error)
    return error.for_command_line()
