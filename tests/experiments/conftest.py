"""Clusters on this machine: nodes of Ray, and the commands of SLURM."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune.experiments.executors import slurm_executor
from tests.experiments import fake_slurm


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """Two nodes of one CPU each, in processes of this machine, at RAY_ADDRESS."""
    pytest.importorskip("ray", reason="the extra ray is not installed: pip install -c constraints.txt -e '.[ray]'")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # 15 by default: tests would wait for everything else on the machine
        made = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80_000_000},
        )
        patch.setenv("RAY_ADDRESS", made.address)
        for _ in range(2):
            add_node(made)
        yield made
        made.shutdown()


def add_node(cluster: Any) -> Any:
    return cluster.add_node(num_cpus=1, object_store_memory=80_000_000)


@pytest.fixture
def slurm_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of its state; the executor looks often."""
    state = tmp_path / "state"
    state.mkdir()
    fake_slurm.install(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(state))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name, seconds in {"LOOKING": 0.1, "ASKING": 0.5, "SETTLING": 0.5}.items():
        monkeypatch.setattr(slurm_executor, name, seconds)
    return state
