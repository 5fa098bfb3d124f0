"""The number of rounds that reaches libgomp: it says itself what it goes by."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TORCH = importlib.util.find_spec("torch")
LIBRARIES = (
    [] if TORCH is None or TORCH.origin is None else sorted((Path(TORCH.origin).parent / "lib").glob("libgomp*"))
)
PROGRAM = """
import ctypes, sys
from finetune.cli.process import prepare_process
prepare_process()
assert "torch" not in sys.modules
ctypes.CDLL(sys.argv[1])
"""
WORKER = "from finetune.experiments.executors.worker import load_libraries; load_libraries(1)"
pytestmark = pytest.mark.skipif(not LIBRARIES, reason="torch brings no libgomp here")


def rounds(code: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    wanted = {**kept, "OMP_DISPLAY_ENV": "verbose", "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-c", code, str(LIBRARIES[0])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=wanted)
    return re.findall(r"GOMP_SPINCOUNT = '(\w+)'", done.stdout + done.stderr)[0]


@pytest.mark.parametrize("code", [PROGRAM, WORKER], ids=["program", "worker"])
def test_threads_spin_for_microseconds(code: str) -> None:
    assert rounds(code) == "1000"


def test_own_settings_are_left_alone() -> None:
    assert rounds(PROGRAM, GOMP_SPINCOUNT="77") == "77"
    assert rounds(PROGRAM, OMP_WAIT_POLICY="passive") == "0"
