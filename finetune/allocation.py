"""How training gets its memory from the system. Call it before torch makes its first tensor."""

import contextlib
import ctypes
import os

# Of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD = -1
_MMAP_MAX = -4
_NEVER = 2**31 - 1  # bytes; the largest that mallopt takes


def tune_allocator() -> None:
    """Let every step of training reuse the memory of the step before.

    - Freed memory stays with the process. By default glibc hands each large tensor back to the system, whose fresh
      pages must be zeroed and mapped one by one: thousands of page faults a step of a small encoder, and a tenth of
      its time.
    - Large tensors lie in pages of 2 MiB, where Linux gives them.

    Own settings (THP_MEM_ALLOC_ENABLE, MALLOC_…, GLIBC_TUNABLES) are left alone; other systems, too.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ):
        return
    with contextlib.suppress(AttributeError, OSError, TypeError):  # no glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _NEVER)


def release_memory() -> None:
    """Hand what is free back to the system. For a process that trains again: what the last run left in pieces between
    larger things would otherwise be kept beside what the next one takes."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # no glibc
        ctypes.CDLL(None).malloc_trim(0)
