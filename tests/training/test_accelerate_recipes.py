"""The configurations in recipes/accelerate: accelerate reads them, and that for CPUs starts processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file

from finetune.records.store import RunFolder
from tests.running import REPOSITORY, python

FILES = {path.stem: path for path in (REPOSITORY / "recipes" / "accelerate").glob("*.yaml")}


@pytest.mark.parametrize(
    ("name", "processes", "machines", "kind"),
    [("one-gpu", 1, 1, "NO"), ("gpus", 8, 1, "MULTI_GPU"), ("nodes", 16, 2, "MULTI_GPU"), ("cpu", 2, 1, "MULTI_GPU")],
)
def test_accelerate_reads_them(name: str, processes: int, machines: int, kind: str) -> None:
    config = load_config_from_file(str(FILES[name]))
    assert (config.num_processes, config.num_machines, config.distributed_type) == (processes, machines, kind)
    assert config.mixed_precision == "no", "precision is the recipe's"
    assert config.use_cpu == (name == "cpu")


def test_every_configuration_is_among_those() -> None:
    assert sorted(FILES) == ["cpu", "gpus", "nodes", "one-gpu"]


def test_the_one_for_cpus_starts_two_processes_that_join(write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    done = python(
        *("-m", "accelerate.commands.launch", "--config_file", FILES["cpu"], "--main_process_port", "0"),
        *("-m", "finetune", "run", write_recipe(), "--preset", "none", "--output", tmp_path / "run", "--quiet"),
    )
    assert done.returncode == 0, done.stderr
    record = RunFolder(tmp_path / "run").read()
    assert record is not None
    assert (record.status, record.budget.processes) == ("finished", 2)
