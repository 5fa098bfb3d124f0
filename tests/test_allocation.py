"""Memory that a step frees is there for the next one, and garbage is searched for rarely."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from finetune.allocation import collecting_rarely

# Allocates, fills and frees what the gradient of a small encoder's word embeddings takes, and counts page faults.
FAULTS = """
import resource, sys
if sys.argv[1] == "tuned":
    from finetune.allocation import tune_allocator
    tune_allocator()
import torch
def fill():
    torch.ones(30522, 384)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
fill()
before = fill()
for _ in range(10):
    after = fill()
print(after - before)
"""


def faults(how: str, **environment: str) -> int:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "THP_", "GLIBC_"))}
    command = [sys.executable, "-c", FAULTS, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**kept, **environment})
    return int(done.stdout)


HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
on_small_pages = pytest.mark.skipif(
    not HUGE.is_file() or "[always]" in HUGE.read_text(), reason="pages are of 2 MiB anyway, or not Linux"
)


@on_small_pages
def test_freed_memory_is_used_again_instead_of_asked_for() -> None:
    pages = 30522 * 384 * 4 // 4096
    assert faults("plain") > 5 * pages  # ten tensors, or nearly
    assert faults("tuned") < pages / 10


@on_small_pages
def test_own_settings_are_left_alone() -> None:
    assert faults("tuned", MALLOC_ARENA_MAX="4", THP_MEM_ALLOC_ENABLE="0") > 10_000


# Fills and frees 200 MB, and prints by how many MB resident memory falls when it is released.
RELEASED = """
import re
from pathlib import Path
from finetune.allocation import release_memory, tune_allocator
tune_allocator()
import torch
def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
torch.ones(50_000_000)
before = resident()
release_memory()
print(before - resident())
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="not Linux")
def test_what_is_free_is_handed_back_on_request() -> None:
    done = subprocess.run([sys.executable, "-c", RELEASED], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 150


def test_garbage_is_searched_for_as_before_after_an_error() -> None:
    usual = gc.get_threshold()

    def fail() -> None:
        with collecting_rarely():
            assert gc.get_threshold() == (50_000, *usual[1:])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert gc.get_threshold() == usual
