"""Checkpoints are written while training goes on: what they hold, when they count, and what their errors do."""

import re
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import Trainer

from finetune.errors import RunFailed
from finetune.records.store import read_record
from finetune.training.checkpoints import MARKER, CheckpointWriter, copy_to_host, newest_checkpoint
from finetune.training.trainer import RegularizedTrainer
from tests.interrupting import AtStep, InterruptAt, killed, timeless
from tests.raising import refuses
from tests.running import assert_same_weights, train

Write = Callable[..., Path]
EPOCH = 6  # steps: 48 rows in batches of 8
STOPPING = {"early_stopping": {"metric": "loss", "patience": 2, "min_delta": 0.0}}


# --- the writer -------------------------------------------------------------------------------------------------


def test_one_checkpoint_is_written_at_a_time() -> None:
    writer, may_end, order = CheckpointWriter(), threading.Event(), []

    def first() -> None:
        may_end.wait()
        order.append("first")

    writer.start(first)
    assert order == []
    threading.Timer(0, may_end.set).start()
    writer.start(lambda: order.append("second"))
    writer.finish()
    assert order == ["first", "second"]


@pytest.mark.parametrize("ask", ["check", "finish", "start"])
def test_an_error_of_writing_comes_out_once_whatever_is_called_next(ask: str) -> None:
    writer = CheckpointWriter()
    writer.start(_no_space)
    assert writer._thread is not None
    writer._thread.join()
    with pytest.raises(OSError, match="No space left"):
        writer.start(lambda: None) if ask == "start" else getattr(writer, ask)()
    writer.check()
    writer.finish()


def test_looking_for_errors_waits_for_nothing() -> None:
    writer, may_end = CheckpointWriter(), threading.Event()
    writer.start(lambda: may_end.wait() and _no_space())
    writer.check()
    may_end.set()
    with pytest.raises(OSError, match="No space left"):
        writer.finish()


def _no_space(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def test_a_copy_has_memory_of_its_own_and_keeps_what_is_shared() -> None:
    tied, alone = torch.ones(2, 3), torch.zeros(4)
    state = {"a": tied, "b": {"c": tied.detach(), "d": [alone, 1.5]}, "e": (0.9, 0.999), "f": None}
    copy = copy_to_host(state)
    for value in (tied, alone):
        value.add_(7)
    assert copy["a"].tolist() == [[1.0] * 3] * 2
    assert copy["a"] is copy["b"]["c"]
    assert copy["b"]["d"][0].tolist() == [0.0] * 4
    assert (copy["b"]["d"][1], copy["e"], copy["f"]) == (1.5, (0.9, 0.999), None)


# --- what lies on disk ------------------------------------------------------------------------------------------


class Held:
    """Keeps the writing of one checkpoint back until it is released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: int, then: Callable[[], Any] = lambda: None) -> None:
        self.begun, self.release = threading.Event(), threading.Event()
        original = RegularizedTrainer._save

        def save(trainer: Any, folder: str, state_dict: Any = None) -> None:
            if folder.endswith(f"checkpoint-{step}"):
                self.begun.set()
                self.release.wait()
                then()
            original(trainer, folder, state_dict)

        monkeypatch.setattr(RegularizedTrainer, "_save", save)

    def release_when_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        finish = CheckpointWriter.finish

        def release_and_finish(writer: CheckpointWriter) -> None:
            if self.begun.is_set():
                self.release.set()
            finish(writer)

        monkeypatch.setattr(CheckpointWriter, "finish", release_and_finish)


@pytest.mark.parametrize("techniques", [{}, {"ema": {"horizon": 0.2}}], ids=["plain", "average"])
def test_it_holds_what_was_there_when_it_was_due_however_late_it_is_written(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, techniques: dict[str, Any]
) -> None:
    """Three steps later, the optimizer has changed every tensor; a resumed run must not see that."""
    recipe = write_recipe(techniques=techniques)
    whole = train(recipe, tmp_path / "whole")
    held = Held(monkeypatch, EPOCH)
    callbacks = [AtStep(EPOCH + 3, held.release.set), InterruptAt(EPOCH + 4)]
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "cut", callbacks=callbacks)
    assert newest_checkpoint(tmp_path / "cut" / "checkpoints") == tmp_path / "cut" / "checkpoints" / "checkpoint-6"
    assert timeless(train(recipe, tmp_path / "cut", resume=True)) == timeless(whole)
    assert_same_weights(tmp_path / "cut", tmp_path / "whole")


def test_its_files_are_those_of_a_plain_trainer(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit; beside them lie our own state and the marker."""
    plain, ours = tmp_path / "plain", tmp_path / "run" / "checkpoints" / "checkpoint-12"
    original = RegularizedTrainer._save_checkpoint

    def save(self: Any, model: Any, trial: Any) -> None:
        original(self, model, trial)
        if self.state.global_step == 2 * EPOCH:
            Trainer.save_model(self, str(plain), _internal_call=True)
            Trainer._save_optimizer_and_scheduler(self, str(plain))

    monkeypatch.setattr(RegularizedTrainer, "_save_checkpoint", save)
    with pytest.raises(KeyboardInterrupt):
        train(write_recipe(), tmp_path / "run", "medium", ["training.epochs=5"], callbacks=[InterruptAt(13)])
    names = {path.name for path in plain.iterdir()}
    assert {"model.safetensors", "config.json", "optimizer.pt", "scheduler.pt"} <= names
    for name in names:
        assert (ours / name).read_bytes() == (plain / name).read_bytes(), name
    beside = {"COMPLETE", "finetune_state.json", "rng_state.pth", "trainer_state.json"}
    assert {path.name for path in ours.iterdir()} == names | beside


def test_selected_weights_are_not_written_twice(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(techniques=STOPPING)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "run", callbacks=[InterruptAt(EPOCH + 1)])
    kept = tmp_path / "run" / "checkpoints"
    assert (kept / "selected-6.safetensors").samefile(kept / "checkpoint-6" / "model.safetensors")


def test_selected_weights_of_an_average_are_the_average(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(techniques={**STOPPING, "ema": {"decay": 0.8}})
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "run", callbacks=[InterruptAt(EPOCH + 1)])
    kept = tmp_path / "run" / "checkpoints"
    selected, last = (load_file(kept / name) for name in ("selected-6.safetensors", "checkpoint-6/model.safetensors"))
    average = load_file(kept / "checkpoint-6" / "average.safetensors")
    assert selected.keys() == average.keys()
    assert all(torch.equal(selected[name], value) for name, value in average.items())
    assert any(not torch.equal(selected[name], last[name]) for name in selected)


def test_a_file_system_without_hard_links_will_do(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    recipe = write_recipe(techniques=STOPPING, training={"learning_rate": 0.02, "epochs": 16})
    whole = train(recipe, tmp_path / "whole")
    assert whole.selected is not None
    assert whole.last is not None
    assert whole.selected.step < whole.last.step, "nothing would have been read back"
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert timeless(train(recipe, tmp_path / "copied")) == timeless(whole)
    assert_same_weights(tmp_path / "copied", tmp_path / "whole")


# --- the end of a run -------------------------------------------------------------------------------------------

PENDING = """
    import os, signal, threading
    from pathlib import Path
    from transformers import TrainerCallback
    from finetune.training import checkpoints, trainer
    from tests.running import train

    complete, save = checkpoints.complete_checkpoint, trainer.RegularizedTrainer._save
    reached = threading.Event()
    def hold(checkpoint):
        if str(checkpoint).endswith("checkpoint-12"):
            reached.set()
            threading.Event().wait()
    def held_complete(checkpoint, state):
        hold(checkpoint)
        complete(checkpoint, state)
    def held_save(self, checkpoint, state_dict=None):
        hold(checkpoint)
        save(self, checkpoint, state_dict)

    class Kill(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 15:
                reached.wait()
                os.kill(os.getpid(), signal.SIGKILL)

    def die(moment, recipe, folder):
        if moment == "before-its-first-file":
            trainer.RegularizedTrainer._save = held_save
        else:
            checkpoints.complete_checkpoint = held_complete
        train(Path(recipe), Path(folder), "strong", ["training.epochs=5"], callbacks=[Kill()])
"""


def test_killed_while_a_checkpoint_is_pending_a_run_goes_on_from_the_one_before(
    write_recipe: Write, tmp_path: Path
) -> None:
    recipe, moments = write_recipe(), ("before-its-first-file", "before-its-marker")
    whole = train(recipe, tmp_path / "whole", "strong", ["training.epochs=5"])
    killed(PENDING, *((moment, recipe, tmp_path / moment) for moment in moments))
    for moment in moments:
        kept = tmp_path / moment / "checkpoints"
        assert [path.parent.name for path in kept.glob(f"*/{MARKER}")] == ["checkpoint-6"], moment
        assert (kept / "checkpoint-12").is_dir(), moment
        steps: list[int] = []
        first = AtStep(EPOCH + 1, partial(steps.append, EPOCH + 1))
        resumed = train(recipe, tmp_path / moment, "strong", ["training.epochs=5"], resume=True, callbacks=[first])
        assert steps == [EPOCH + 1], moment
        assert timeless(resumed) == timeless(whole), moment
        assert_same_weights(tmp_path / moment, tmp_path / "whole")


def test_ctrl_c_waits_for_the_checkpoint_that_is_being_written(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch, EPOCH)
    held.release_when_waited_for(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(write_recipe(), tmp_path / "cut", callbacks=[AtStep(EPOCH + 1, held.begun.wait), InterruptAt(EPOCH + 1)])
    assert read_record(tmp_path / "cut" / "run.json").status == "interrupted"
    assert newest_checkpoint(tmp_path / "cut" / "checkpoints") == tmp_path / "cut" / "checkpoints" / "checkpoint-6"


def _await_writing() -> None:
    for thread in threading.enumerate():
        if thread.name == "checkpoint":
            thread.join()


def test_a_full_disk_ends_the_run_at_the_next_step(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    after = [AtStep(step, lambda step=step: steps.append(step)) for step in range(EPOCH + 1, 3 * EPOCH)]
    with monkeypatch.context() as patch:
        Held(patch, EPOCH, then=_no_space).release.set()
        with refuses(RunFailed, match=r"disk of .* is full.*--resume"):
            train(write_recipe(), tmp_path / "run", callbacks=[AtStep(EPOCH + 1, _await_writing), *after])
    assert steps in ([], [EPOCH + 1])
    record = read_record(tmp_path / "run" / "run.json")
    assert (record.status, len(record.history)) == ("failed", 1)


def test_a_full_disk_at_the_last_checkpoint_fails_the_run_and_only_that_epoch_is_lost(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe()
    whole = train(recipe, tmp_path / "whole")
    with monkeypatch.context() as patch:
        Held(patch, 3 * EPOCH, then=_no_space).release.set()
        with refuses(RunFailed, match=r"disk of .* is full.*--resume"):
            train(recipe, tmp_path / "run")
    assert read_record(tmp_path / "run" / "run.json").status == "failed"
    steps: list[int] = []
    first = AtStep(2 * EPOCH + 1, lambda: steps.append(1))
    assert timeless(train(recipe, tmp_path / "run", resume=True, callbacks=[first])) == timeless(whole)
    assert steps == [1]
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_ctrl_c_says_that_the_last_checkpoint_could_not_be_written(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The interruption stays one: the run can be resumed, from the checkpoint before."""
    held = Held(monkeypatch, 2 * EPOCH, then=_no_space)
    held.release_when_waited_for(monkeypatch)
    interrupting = [AtStep(2 * EPOCH + 1, held.begun.wait), InterruptAt(2 * EPOCH + 1)]
    with pytest.raises(KeyboardInterrupt):
        train(write_recipe(), tmp_path / "run", callbacks=interrupting)
    assert re.search(r"last checkpoint could not be written: the disk of .* is full", caplog.text)
    assert read_record(tmp_path / "run" / "run.json").status == "interrupted"
    assert newest_checkpoint(tmp_path / "run" / "checkpoints") == tmp_path / "run" / "checkpoints" / "checkpoint-6"
