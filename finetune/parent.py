"""Processes that end with the one that started them."""

from __future__ import annotations

import os
import signal
import threading
import time


def end_with(parent: int) -> None:
    """End this process, whatever it is doing, when its parent is gone, so that a killed experiment or launcher leaves
    nothing running.

    Args:
        parent: Process id of the parent, passed by the parent, which may die before this process checks.
    """
    is_child = os.getppid() == parent

    def watch() -> None:
        while os.getppid() == parent or (not is_child and _is_alive(parent)):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
