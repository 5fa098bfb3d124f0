"""What a run ran on: versions, code, device. No secrets, no paths, no host name."""

import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import finetune

PACKAGES = (
    "accelerate",
    "datasets",
    "evaluate",
    "numpy",
    "peft",
    "safetensors",
    "scikit-learn",
    "scipy",
    "tokenizers",
    "torch",
    "transformers",
)


@functools.cache
def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "missing"
    return versions


def read_versions() -> dict[str, str]:
    """Of Python and of what decides the figures; looked up once a process."""
    return dict(_versions())


def read_code() -> dict[str, Any]:
    """Version, and commit if the package runs from its own checkout."""
    folder = Path(finetune.__file__).parent
    commit = _git(folder, "rev-parse", "HEAD") if (folder.parent / ".git").exists() else None
    if commit is None:
        return {"version": finetune.__version__, "commit": None, "changed": None}
    return {
        "version": finetune.__version__,
        "commit": commit,
        "changed": bool(_git(folder.parent, "status", "--porcelain", "--", "finetune", "recipes")),
    }


def read_device() -> dict[str, Any]:
    """The kind of device and what limits its speed."""
    import torch  # slow to import; `finetune env` and a run ask for it, nothing else

    device: dict[str, Any] = {
        "kind": "cuda" if torch.cuda.is_available() else "cpu",
        "cpu_threads": torch.get_num_threads(),
    }
    if torch.cuda.is_available():
        device["name"] = torch.cuda.get_device_name()
        device["count"] = torch.cuda.device_count()
    else:
        device["name"] = _processor()
        device["bf16"] = has_fast_bf16()
    return device


def has_fast_bf16() -> bool:
    """Whether bf16 matrix products run in hardware: AVX512-BF16 or AMX on a CPU, compute capability 8 on a GPU."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux: the generic name has to do
    return platform.processor() or platform.machine()


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
