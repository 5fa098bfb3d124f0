"""Runs tasks on a Ray cluster: one actor per slot, wherever there is room; tasks of a lost node continue elsewhere."""

from __future__ import annotations

import contextlib
import os
import pickle
import secrets
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import finetune
from finetune import own_code
from finetune.atomic import PARTIAL
from finetune.errors import Change, OutputError, RunFailed, first_line
from finetune.experiments.executors import TaskSource
from finetune.experiments.executors.local import ENDED, PATIENCE
from finetune.experiments.executors.losses import Losses
from finetune.experiments.executors.ray_cluster import Share, alive_nodes, connect, share_cluster
from finetune.experiments.executors.ray_host import LISTENING, Host, Setup, look
from finetune.experiments.executors.watch import Watch
from finetune.experiments.jobs import Event, Task
from finetune.techniques import carry_techniques

STARTING = 180.0  # seconds in which one slot must have started: else others have the whole cluster, and keep it
ANSWERING = 180.0  # seconds in which each node must have looked at the folders; it starts a process for that
STOPPING = 10.0  # seconds that idle workers get to end
CARRIED = ("FINETUNE_", "HF_", "TRANSFORMERS_", "TOKENIZERS_")  # environment variables, but for secrets


class RayExecutor:
    """Slots of a running Ray cluster; see `connect` for which one.

    Raises:
        RecipeError: See `connect` and `share_cluster`.
    """

    def __init__(
        self, jobs: str = "auto", tasks: int = 1, jobs_per_gpu: int = 1, cell_timeout: float | None = None
    ) -> None:
        self.share = share_cluster(list(alive_nodes(connect()).values()), jobs, tasks, jobs_per_gpu)
        self.slots = self.share.slots
        self.threads = self.share.threads
        self._timeout = cell_timeout
        self._losses = Losses()

    def run(self, source: TaskSource, on_event: Callable[[Event], None]) -> None:
        """See `Executor.run`.

        Raises:
            OutputError: A node does not see the folder of the experiment.
            RunFailed: No slot could be started.
        """
        first = source.next()
        if first is None:
            return
        ray = connect()
        try:
            with _marked(first.folder) as marker:
                setup = _setup(marker, self.threads, self._timeout)
                _check_nodes(ray, setup)
                crew = Crew(ray, setup, self.share, self._losses)
                with crew.working():
                    crew.work(_Ahead(first, source), on_event)
        finally:
            ray.shutdown()  # ends what it has started


class _Ahead:
    """A source of which one task was taken already."""

    def __init__(self, first: Task, rest: TaskSource) -> None:
        self._first: Task | None = first
        self._rest = rest

    def next(self) -> Task | None:
        first, self._first = self._first, None
        return first if first is not None else self._rest.next()


class Crew:
    """The slots and their tasks.

    Args:
        ray: The connected module.
        setup: Setup of each slot.
        share: Resources of each slot, and the number of slots.
        losses: Losses of all tasks.
    """

    def __init__(self, ray: Any, setup: Setup, share: Share, losses: Losses) -> None:
        self._ray = ray
        self._share = share
        self._losses = losses
        self._setup = ray.put(setup)
        self._actor = ray.remote(Host).options(
            num_cpus=share.threads, num_gpus=share.gpu or None, max_restarts=0, max_task_retries=0
        )
        self._slots: list[Slot] = []
        self._waiting: deque[Task] = deque()
        self._up = time.monotonic()  # when a slot was last seen working, or the first one was asked for

    def work(self, source: TaskSource, on_event: Callable[[Event], None]) -> None:
        """Take tasks until there are none, and all taken ones have ended."""
        while True:
            while self._out() < self._share.slots and (task := source.next()) is not None:
                self._waiting.append(task)
            if not self._out():
                return
            self._hand_out()
            for event in self._listen():
                on_event(event)

    def _out(self) -> int:
        """Tasks that were taken and have not ended."""
        return len(self._waiting) + sum(slot.key is not None for slot in self._slots)

    def _hand_out(self) -> None:
        while len(self._slots) < self._out():
            self._slots.append(Slot(self._actor.remote(self._setup)))
        for slot in self._slots:
            if slot.is_idle and self._waiting:
                slot.give(self._waiting.popleft())

    def _listen(self) -> Iterator[Event]:
        """What the next slot to say anything says. One that is lost is left out from here on."""
        heard = {slot.call: slot for slot in self._slots if slot.call is not None}
        done, _ = self._ray.wait(list(heard), num_returns=1, timeout=LISTENING)
        for call in done:
            slot = heard[call]
            try:
                yield from self._taken_in(slot, self._ray.get(call))
                self._up = time.monotonic()
            except self._ray.exceptions.RayError as error:
                yield from self._lost(slot, f"its node or process is gone: {first_line(error)}")
        for slot in [slot for slot in heard.values() if slot.is_silent()]:
            self._ray.kill(slot.actor)
            yield from self._lost(slot, "its node stopped answering")
        if not any(slot.is_up for slot in self._slots) and time.monotonic() - self._up > STARTING:
            raise RunFailed(self._nothing_starts())

    def _taken_in(self, slot: Slot, said: Any) -> Iterator[Event]:
        if isinstance(said, str):  # it has started, or tells why not
            if said:
                raise _refused([said])
            slot.is_up, slot.call = True, None
            return
        for event in said:
            slot.take(event)
            yield self._losses.after(event) if event.died else event
        slot.listen()

    def _lost(self, slot: Slot, message: str) -> Iterator[Event]:
        self._slots.remove(slot)
        if slot.key is not None:
            yield self._losses.after(Event("failed", slot.key, slot.step, message=message, died=True))

    def _nothing_starts(self) -> str:
        free = self._ray.available_resources()
        gpu = f" and {self._share.gpu:g} GPU" if self._share.gpu else ""
        return (
            f"the Ray cluster has had no room for a run for {STARTING:.0f} seconds: each takes {self._share.threads} "
            f"CPU{gpu}, and {free.get('CPU', 0):g} CPU and {free.get('GPU', 0):g} GPU are free. `ray status` shows "
            "what uses them. Type the command again when they are free: completed work is kept."
        )

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Context of the work: the slots are removed at its end, and at Ctrl-C tasks save their state."""
        try:
            yield
        except KeyboardInterrupt:
            busy = [slot for slot in self._slots if slot.key is not None]
            self._finish([slot.actor.interrupt.remote() for slot in busy], PATIENCE)
            raise
        finally:
            self._finish([slot.actor.stop.remote() for slot in self._slots if slot.is_idle], STOPPING)
            for slot in self._slots:
                self._ray.kill(slot.actor)

    def _finish(self, calls: Sequence[Any], seconds: float) -> None:
        if calls:
            self._ray.wait(calls, num_returns=len(calls), timeout=seconds)


class Slot:
    """An actor as seen from this process.

    Attributes:
        actor: The Ray actor.
        call: Call that it has not answered yet.
        is_up: Whether it has started.
        key: Key of its current task.
        step: Optimizer steps of that task, as last reported.
    """

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.call: Any = actor.start.remote()
        self.is_up = False
        self.key: str | None = None
        self.step = 0
        self._watch = Watch()

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a task."""
        return self.is_up and self.key is None

    def give(self, task: Task) -> None:
        self.key, self.step = task.key, 0
        self.actor.give.remote(task.key, pickle.dumps(task))
        self.listen()

    def take(self, event: Event) -> None:
        """Update the state from an event."""
        self.step = max(self.step, event.step)
        if event.kind in ENDED:
            self.key = None

    def listen(self) -> None:
        """Request the next events of its task."""
        self._watch.is_alive()
        self.call = None if self.key is None else self.actor.events.remote()

    def is_silent(self) -> bool:
        """Whether it has not answered for a long time, although it had started."""
        return self.is_up and self.call is not None and bool(self._watch.lost())


def _setup(marker: Path, threads: int, timeout: float | None) -> Setup:
    path = (each for each in sys.path if each and not each.startswith(sys.prefix))
    carried = {name: value for name, value in os.environ.items() if name.startswith(CARRIED) and "TOKEN" not in name}
    carried[own_code.VARIABLE] = own_code.carried()
    place = (str(Path.cwd()), str(marker), finetune.__version__, tuple(path), carried)
    return Setup(*place, threads, carry_techniques(), timeout)


@contextlib.contextmanager
def _marked(folder: Path) -> Iterator[Path]:
    """A new file beside the runs, with a name that was never used before."""
    above = next(above for above in folder.absolute().parents if above.is_dir())
    marker = above / f"{PARTIAL}ray-{secrets.token_hex(8)}"
    marker.touch()
    try:
        yield marker
    finally:
        marker.unlink(missing_ok=True)


def _check_nodes(ray: Any, setup: Setup) -> None:
    """Refuse nodes that could not run any task.

    Raises:
        OutputError: They do not see the folder of the experiment, or have another version of finetune.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    check = ray.remote(look)
    nodes = [node for node, offered in alive_nodes(ray).items() if offered.cpus]
    calls = [
        check.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(setup)
        for node in nodes
    ]
    problems = []
    for call in calls:
        try:
            problems.append(ray.get(call, timeout=ANSWERING))
        except ray.exceptions.GetTimeoutError:
            problems.append("a node did not answer")
        except ray.exceptions.RayTaskError as error:  # most likely finetune is not installed there
            problems.append(f"a node cannot run finetune: {first_line(error.cause or error)}")
        except ray.exceptions.RayError:
            continue  # it has died: nothing is sent there
    if found := [problem for problem in dict.fromkeys(problems) if problem]:
        raise _refused(found)


def _refused(problems: Sequence[str]) -> OutputError:
    return OutputError(
        f"{'; '.join(problems)}. All nodes of the Ray cluster must see the folder of the experiment and the current "
        "folder under the same paths, and have the same version of finetune.",
        Change(text="Use folders of a shared file system (--output), or stop those nodes (ray stop)."),
        argument="executor",
        found="ray",
    )
