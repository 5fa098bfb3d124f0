"""Memory of a process: allocation of tensors, and the search for garbage. Set it before torch is imported."""

import contextlib
import ctypes
import gc
import os
from collections.abc import Iterator

# Of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD = -1
_MMAP_MAX = -4
_NEVER = 2**31 - 1  # bytes; the largest that mallopt takes

_NEW_OBJECTS = 50_000  # between two searches for garbage; Python's default is 700


def tune_allocator() -> None:
    """Let every training step reuse the memory of the previous one.

    - Freed memory stays with the process. By default glibc hands each large tensor back to the system, whose fresh
      pages must be zeroed and mapped one by one: thousands of page faults a step of a small encoder, and a tenth of
      its time.
    - Large tensors lie in pages of 2 MiB, where Linux gives them.

    Settings of the user (THP_MEM_ALLOC_ENABLE, MALLOC_…, GLIBC_TUNABLES) are left alone. Other systems are not changed.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ):
        return
    with contextlib.suppress(AttributeError, OSError, TypeError):  # no glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _NEVER)


@contextlib.contextmanager
def collecting_rarely() -> Iterator[None]:
    """Let Python search for garbage after 50,000 new objects instead of 700, inside.

    For imports and data: a million objects that stay, and the search through them took a sixth of an import's time. Not
    for training, where tensors in reference cycles wait for the next search: it took 18 % more memory.
    """
    usual = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def release_memory() -> None:
    """Return free memory to the system. For a process that trains again: fragments that the last run left between
    larger blocks would otherwise be kept in addition to the memory of the next run.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # no glibc
        ctypes.CDLL(None).malloc_trim(0)
