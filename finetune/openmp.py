"""How CPU threads wait for each other. Call it before torch is imported."""

import os

_ROUNDS = "1000"  # a few microseconds; what libgomp itself takes where a program has more threads than processors


def yield_while_waiting() -> None:
    """Let a thread that waits for another one release its processor after some microseconds.

    Each operation of torch ends when its last thread does. By default GNU's OpenMP (libgomp, torch's on Linux) lets the
    others spin for 300,000 rounds meanwhile. On a busy machine the last thread then waits for a processor on which its
    own siblings spin: a training step takes ten times as long as with one thread.

    Settings of the user (GOMP_SPINCOUNT, OMP_WAIT_POLICY) are left alone. Libraries other than libgomp ignore it.

    Source: the GNU libgomp manual, GOMP_SPINCOUNT.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _ROUNDS)
