"""Processes that begin with all libraries loaded: a program that starts takes five seconds for them, a fork none."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path


def fork(run: Callable[[], object]) -> int:
    """Call `run` in a copy of this process, which must have no other threads: a copy would lose them.

    The copy ends with what `run` exits with; with 1 after an error, which it prints.

    Returns:
        The number of the new process.
    """
    threads = [path.read_text(encoding="utf-8").strip() for path in Path("/proc/self/task").glob("*/comm")]
    threads = [name for name in threads if name != "jemalloc_bg_thd"]  # pyarrow's; jemalloc minds forks
    assert len(threads) == 1, f"a library starts threads: {threads}"
    if process := os.fork():
        return process
    code = 1
    try:
        run()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
