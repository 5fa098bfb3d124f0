"""What a run costs, and what it ran on."""

from __future__ import annotations

import platform
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FLAGS = ("avx512f", "avx512_bf16", "amx_bf16", "amx_tile")


@dataclass
class Clock:
    """CPU and wall seconds of a block, and the peak of resident memory in it. For `with`."""

    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_rss_mib: float | None = None

    def __enter__(self) -> Clock:
        self._resets = _reset_peak()
        self.wall_seconds, self.cpu_seconds = -time.perf_counter(), -time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall_seconds += time.perf_counter()
        self.cpu_seconds += time.process_time()
        self.peak_rss_mib = _peak() if self._resets else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def as_dict(self) -> dict[str, float | None]:
        return {
            "cpu_seconds": round(self.cpu_seconds, 1),
            "wall_seconds": round(self.wall_seconds, 1),
            "peak_rss_mib": None if self.peak_rss_mib is None else round(self.peak_rss_mib),
        }


def _reset_peak() -> bool:
    """Let the peak start at what is resident now. Linux only; elsewhere the peak is that of the process."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _peak() -> float | None:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return None


def processor() -> dict[str, Any]:
    """Name of the processor, and which of the instructions that matter here it has."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {"name": platform.processor(), "flags": []}
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = fields.get("flags", "").split()
    return {"name": fields.get("model name", ""), "flags": [flag for flag in FLAGS if flag in flags]}
