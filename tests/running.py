"""Short cuts for tests that train: they go the way the command line goes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from finetune.records.schema import FinishedRecord
from finetune.records.store import RunFolder
from tests.programs import Program

REPOSITORY = Path(__file__).parent.parent


def train(
    recipe: Path,
    folder: Path,
    preset: str | None = None,
    overrides: Iterable[str] = (),
    seed: int = 0,
    callbacks: Iterable[Any] = (),
    resume: bool = False,
) -> FinishedRecord:
    """Resolve, prepare and run one seed."""
    from finetune.recipe import resolve
    from finetune.training.prepare import prepare
    from finetune.training.runner import run_seed

    prepared = prepare(resolve(str(recipe), preset, overrides=overrides).recipe)
    return run_seed(prepared, seed, RunFolder(folder), list(callbacks), resume)


def clean_items(encoder: Any, rows: Any) -> list[dict[str, Any]]:
    """What the model takes of some rows as they are in the file, labels included; in the order of the rows."""
    return [
        {**item, "labels": encoder.target(label)}
        for item, label in zip(encoder.encode(rows.texts, rows.pairs), rows.labels, strict=True)
    ]


def weights(folder: Path) -> dict[str, Any]:
    """The tensors of a run's shipped model."""
    from safetensors.torch import load_file

    return load_file(folder / "model" / "model.safetensors")


def assert_same_weights(first: Path, second: Path, tolerance: float = 0.0) -> None:
    """Bit for bit, or within an absolute tolerance."""
    import torch

    one, two = weights(first), weights(second)
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(
            two[name], value, rtol=0, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )


TORCHRUN = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", "-m")


def run_in_two_processes(*commands: Iterable[object]) -> subprocess.CompletedProcess[str]:
    """Commands of the program, one after the other, in two processes that start once for all of them."""
    given = json.dumps([[str(argument) for argument in command] for command in commands])
    done = finetune(given, launcher=("-m", "tests.in_turn"))
    assert done.returncode == 0, done.stderr
    return done


def finetune(
    *arguments: object, launcher: Iterable[str] = ("-m", "finetune"), cwd: Path = REPOSITORY, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own, which has loaded all libraries when it begins."""
    process = Program([*launcher, *arguments], cwd, {**os.environ, "OMP_NUM_THREADS": "1", **environment})
    try:
        printed, said = process.communicate()
    except BaseException:  # a program hands it on to its workers; a kill would leave them running
        process.send_signal(signal.SIGTERM)
        process.communicate()
        raise
    return subprocess.CompletedProcess([*launcher, *arguments], process.returncode or 0, printed, said)


def python(*arguments: object, cwd: Path = REPOSITORY, **environment: str) -> subprocess.CompletedProcess[str]:
    """A new interpreter, which loads what it needs by itself: what users start."""
    process = subprocess.Popen(
        [sys.executable, *(str(argument) for argument in arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    try:
        printed, said = process.communicate()
    except BaseException:  # torchrun hands it on to its workers; a kill would leave them running
        process.terminate()
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, printed, said)
