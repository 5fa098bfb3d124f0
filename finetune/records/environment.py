"""The environment of a run: versions, code, device. No secrets, no paths, no host name."""

import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import finetune
from finetune.records.facts import CodeVersion, Device

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
    """Versions of Python and of the packages that determine the numbers; looked up once per process."""
    return dict(_versions())


@functools.cache
def read_code() -> CodeVersion:
    """Version, and commit if the package runs from its own checkout, as of the first call in this process."""
    folder = Path(finetune.__file__).parent
    commit = _git(folder, "rev-parse", "HEAD") if (folder.parent / ".git").exists() else None
    if commit is None:
        return CodeVersion(version=finetune.__version__, commit=None, changed=None)
    changed = bool(_git(folder.parent, "status", "--porcelain", "--", "finetune", "recipes"))
    return CodeVersion(version=finetune.__version__, commit=commit, changed=changed)


def read_device() -> Device:
    """The kind of device and the facts that limit its speed."""
    import torch  # slow to import; `finetune env` and a run ask for it, nothing else

    threads = torch.get_num_threads()
    if torch.cuda.is_available():
        name, count = torch.cuda.get_device_name(), torch.cuda.device_count()
        return Device(kind="cuda", cpu_threads=threads, name=name, count=count)
    return Device(kind="cpu", cpu_threads=threads, name=_processor(), bf16=has_fast_bf16())


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
