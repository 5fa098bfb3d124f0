"""What the tests of techniques share."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from finetune.techniques import TECHNIQUES
from finetune.techniques.registry import _ADDED


@pytest.fixture
def registry() -> Iterator[None]:
    """What a test adds to the registry is taken out again."""
    before, added, modules = dict(TECHNIQUES), dict(_ADDED), set(sys.modules)
    yield
    for current, earlier in ((TECHNIQUES, before), (_ADDED, added)):
        current.clear()  # type: ignore[attr-defined]  # a dict both times
        current.update(earlier)  # type: ignore[attr-defined]
    for name in [name for name in sys.modules if name.startswith("finetune_own_") and name not in modules]:
        del sys.modules[name]
