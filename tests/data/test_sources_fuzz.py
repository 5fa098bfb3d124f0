"""A short run of `scripts/fuzz_data`: generated files, valid and damaged, through `load_data`."""

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.formats.fuzzing import CHECKS as EXPORT_CHECKS
from tests.data.fuzzing import CHECKS as FILE_CHECKS


@pytest.mark.parametrize("check", [*FILE_CHECKS, *EXPORT_CHECKS], ids=lambda check: check.__name__)
def test_generated_files_are_read_as_they_are_or_refused(check, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    @settings(max_examples=100, derandomize=True, deadline=None, database=None)
    @given(st.integers(0, 2**32))
    def holds(seed: int) -> None:
        check(random.Random(seed), Path(tempfile.mkdtemp(dir=tmp_path)))

    holds()
