"""The Ray executor on a real cluster of two nodes: workers, nodes and drivers die, and every run ends once.

Ray takes 240 MB and is no part of the extra `test`: `pip install -c constraints.txt -e '.[ray]'` runs these tests.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from finetune.errors import OutputError, RecipeError, RunFailed
from finetune.experiments.executors import ray_executor
from finetune.experiments.executors.ray_cluster import Node, Share, connect, share_cluster
from finetune.experiments.executors.ray_executor import RayExecutor
from finetune.experiments.executors.resources import MEMORY_OF_A_WORKER
from finetune.experiments.jobs import Event, Task
from tests.experiments.conftest import add_node
from tests.experiments.handing_out import Desk, recipe_of, task, timeless
from tests.programs import Program
from tests.raising import refuses
from tests.running import REPOSITORY, assert_same_weights, finetune, train

Write = Callable[..., Path]
WORKER = "finetune.experiments.executors.worker"
CACHE = "FINETUNE_CACHE"


# --- shares ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "jobs", "tasks", "per_gpu", "share"),
    [
        ([Node(4), Node(4)], "auto", 20, 1, Share(8, 1, 0)),
        ([Node(4), Node(4)], "2", 20, 1, Share(2, 4, 0)),
        ([Node(4), Node(4)], "3", 20, 1, Share(3, 2, 0)),
        ([Node(3), Node(2)], "3", 20, 1, Share(3, 1, 0)),  # 5 // 3 is 1
        ([Node(2), Node(2)], "auto", 1, 1, Share(1, 2, 0)),  # no task spans two nodes
        ([Node(8, memory=2.5 * MEMORY_OF_A_WORKER), Node(8, memory=0.0)], "auto", 20, 1, Share(2, 8, 0)),
        ([Node(8, 2), Node(64)], "auto", 20, 1, Share(2, 4, 1.0)),  # a node without GPUs takes no part
        ([Node(8, 2), Node(8, 1)], "auto", 20, 3, Share(9, 1, 0.3333)),
        ([Node(8, 2)], "4", 20, 1, Share(4, 2, 0.5)),
    ],
)
def test_what_each_run_gets_of_the_cluster(
    nodes: list[Node], jobs: str, tasks: int, per_gpu: int, share: Share
) -> None:
    assert share_cluster(nodes, jobs, tasks, per_gpu) == share


@pytest.mark.parametrize(
    ("nodes", "jobs", "per_gpu", "told"),
    [
        ([], "auto", 1, "has no CPUs"),
        ([Node(2), Node(1)], "4", 1, r"--jobs 4: the cluster has 3 CPUs.*wait forever. Try: --jobs 3"),
        ([Node(2)], "auto", 2, "--jobs-per-gpu 2: the cluster has no GPU"),
        ([Node(2)], "two", 1, "expected a number from 1, or auto"),
    ],
)
def test_what_the_cluster_could_never_run_is_refused(nodes: list[Node], jobs: str, per_gpu: int, told: str) -> None:
    with refuses(RecipeError, told):
        share_cluster(nodes, jobs, 20, per_gpu)


def test_without_ray_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr("finetune.experiments.executors.ray_cluster.importlib.import_module", missing)
    with refuses(RecipeError, r'--executor ray: needs the package ray.*pip install "finetune\[ray\]"'):
        connect()


# --- a real cluster --------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _as_small_as_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_executor, "STOPPING", 3.0)


@pytest.fixture
def long_recipe(write_recipe: Write) -> Path:
    """Ends long after its first evaluation."""
    return write_recipe(training={"epochs": 20})


def workers() -> list[psutil.Process]:
    """Processes of this test on all nodes that train: they have been given its cache, and others' have not."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        with suppress(psutil.Error):
            if WORKER in (process.info["cmdline"] or ()) and process.environ().get(CACHE) == os.environ[CACHE]:
                found.append(process)
    return found


def kill_workers() -> None:
    for process in workers():
        process.kill()


def at_first_evaluation(key: str) -> Callable[[Event], bool]:
    return lambda event: event.kind == "evaluated" and event.key == key


def assert_as_alone(recipe: Path, folder: Path, alone: Path) -> None:
    train(recipe, alone, "none")
    assert timeless(folder) == timeless(alone)
    assert_same_weights(folder, alone)


@pytest.mark.usefixtures("ray_cluster")
def test_a_run_whose_process_is_killed_goes_on_and_an_error_of_python_is_not_tried_again(
    long_recipe: Path, tmp_path: Path
) -> None:
    plain = recipe_of(long_recipe, "none")
    absent = plain.model_copy(update={"model": plain.model.model_copy(update={"id": str(tmp_path / "no-model")})})
    desk = Desk(
        [task("plain", plain, tmp_path / "plain"), task("absent", absent, tmp_path / "absent")],
        at_first_evaluation("plain"),
        kill_workers,
    )
    executor = RayExecutor("2", 2)
    assert (executor.slots, executor.threads) == (2, 1)
    executor.run(desk, desk)
    assert desk.kinds("plain") == ["started", "busy", "started", "finished"]
    assert [kind for kind in desk.kinds("absent") if kind != "busy"][-1:] == ["failed"]
    assert "no-model" in desk.message("absent")
    assert_as_alone(long_recipe, tmp_path / "plain", tmp_path / "alone")
    assert workers() == []
    assert list(tmp_path.glob(".partial-ray-*")) == []


def test_the_runs_of_a_node_that_is_gone_go_on_elsewhere(ray_cluster: Any, long_recipe: Path, tmp_path: Path) -> None:
    desk = Desk(
        [task(key, recipe_of(long_recipe, "none"), tmp_path / key) for key in ("a", "b")],
        at_first_evaluation("a"),
        lambda: ray_cluster.remove_node(node_of_a_worker(ray_cluster), allow_graceful=False),
    )
    RayExecutor("2", 2).run(desk, desk)
    assert sorted(len(desk.kinds(key)) for key in ("a", "b")) == [2, 4]
    assert {desk.kinds(key)[-1] for key in ("a", "b")} == {"finished"}
    for key in ("a", "b"):
        assert_as_alone(long_recipe, tmp_path / key, tmp_path / f"alone-{key}")
    add_node(ray_cluster)


def node_of_a_worker(cluster: Any) -> Any:
    """The node that one of the training processes is on: its raylet is above it."""
    above = {process.pid for process in workers()[0].parents()}
    return next(
        node for node in cluster.worker_nodes if any(info.process.pid in above for info in node.all_processes["raylet"])
    )


@pytest.mark.usefixtures("ray_cluster")
def test_ctrl_c_lets_runs_write_where_they_were(long_recipe: Path, tmp_path: Path) -> None:
    def press() -> None:
        raise KeyboardInterrupt

    given = task("a", recipe_of(long_recipe, "none"), tmp_path / "a")
    desk = Desk([given], at_first_evaluation("a"), press)
    with pytest.raises(KeyboardInterrupt):
        RayExecutor("1", 1).run(desk, desk)
    assert timeless(given.folder)["status"] == "interrupted"
    assert workers() == []
    again = Desk([given])
    RayExecutor("1", 1).run(again, again)
    assert again.kinds("a") == ["started", "finished"]
    assert_as_alone(long_recipe, given.folder, tmp_path / "alone")


@pytest.mark.usefixtures("ray_cluster")
def test_a_driver_that_is_killed_leaves_nothing_running_and_its_command_goes_on(
    long_recipe: Path, tmp_path: Path
) -> None:
    arguments = ["compare", long_recipe, "--presets", "none,light", "--seeds", "1", "--final", "best"]
    arguments += ["--output", tmp_path / "ray"]
    given = [*arguments, "--executor", "ray", "--jobs", "2"]
    program = Program(["-m", "finetune", *given], REPOSITORY, {**os.environ, "OMP_NUM_THREADS": "1"})
    while not any((tmp_path / "ray").glob("cells/*/checkpoints/*")):
        assert program.returncode is None, program.communicate()
        time.sleep(0.1)
    program.kill()
    program.communicate()
    wait_for(lambda: not workers())
    done = finetune(*given)
    assert done.returncode == 0, done.stderr
    local = finetune(*arguments[:-1], tmp_path / "local", "--executor", "inline", "--jobs", "1")
    assert local.returncode == 0, local.stderr
    cells = sorted(path.name for path in (tmp_path / "local").glob("cells/*"))
    assert sorted(path.name for path in (tmp_path / "ray").glob("cells/*")) == cells
    for name in cells:
        assert timeless(tmp_path / "ray" / "cells" / name) == timeless(tmp_path / "local" / "cells" / name)


def wait_for(happened: Callable[[], bool]) -> None:
    while not happened():
        time.sleep(0.2)


@pytest.mark.usefixtures("ray_cluster")
def test_sigterm_saves_what_ctrl_c_saves_though_ray_takes_the_signal_for_itself(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    ray = connect()
    assert signal.getsignal(signal.SIGTERM) is before
    ray.shutdown()


@pytest.mark.usefixtures("ray_cluster")
def test_a_node_that_does_not_see_the_folder_is_named(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes of one machine see the same files; so the marker is removed before they look."""
    monkeypatch.setattr("finetune.experiments.executors.ray_host.LOOKING", 0.0)
    marked = ray_executor._marked
    monkeypatch.setattr(ray_executor, "_marked", lambda folder: _removed(marked(folder)))
    given = task("a", recipe_of(write_recipe(), "none"), tmp_path / "a")
    with refuses(OutputError, f"--executor ray: .* does not see {tmp_path}.*shared file system"):
        RayExecutor("1", 1).run(Desk([given]), lambda event: pytest.fail(str(event)))


class _removed:  # noqa: N801 - a context manager
    def __init__(self, marked: Any) -> None:
        self._marked = marked

    def __enter__(self) -> Path:
        marker: Path = self._marked.__enter__()
        marker.unlink()
        return marker

    def __exit__(self, *error: object) -> None:
        self._marked.__exit__(*error)


@pytest.mark.usefixtures("ray_cluster")
def test_a_cluster_that_others_keep_busy_is_said_instead_of_waited_for(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr(ray_executor, "STARTING", 5.0)
    executor = RayExecutor("1", 1)

    @ray.remote(num_cpus=1)
    class Other:
        def there(self) -> bool:
            return True

    others = [Other.remote() for _ in range(2)]
    assert ray.get([other.there.remote() for other in others]) == [True, True]
    given: Task = task("a", recipe_of(write_recipe(), "none"), tmp_path / "a")
    with pytest.raises(RunFailed, match=r"no room for a run.*each takes 1 CPU, and 0 CPU and 0 GPU are free"):
        executor.run(Desk([given]), lambda event: pytest.fail(str(event)))


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("ray://head:10001", "RAY_ADDRESS=ray://head:10001 is a client's address.*ray job submit"),
        ("127.0.0.1:1", "nothing listens at RAY_ADDRESS=127.0.0.1:1.*ray start --head"),
    ],
)
def test_an_address_where_no_cluster_is_is_refused(address: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    monkeypatch.setenv("RAY_ADDRESS", address)
    with refuses(RecipeError, f"--executor ray: {told}"):
        connect()
