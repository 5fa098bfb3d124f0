"""Kill and resume: whatever moment a run dies at, it ends as if it had not."""

import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from finetune.errors import OutputError, RunFailed
from finetune.records.store import RunFolder, read_record
from finetune.training.checkpoints import MARKER, complete_checkpoint, newest_checkpoint
from tests.cli.invoking import invoke
from tests.interrupting import AtStep, InterruptAt, killed, timeless
from tests.raising import refuses
from tests.running import assert_same_weights, finetune, train

Write = Callable[..., Path]
STOPPABLE = ["training.epochs=5"]  # strong has patience 3


@pytest.mark.parametrize("step", [3, 6, 15])  # before the first checkpoint (6 steps an epoch), at one, between two
def test_a_resumed_run_equals_one_that_never_stopped(write_recipe: Write, tmp_path: Path, step: int) -> None:
    recipe = write_recipe()
    whole = train(recipe, tmp_path / "whole", "strong", STOPPABLE)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "cut", "strong", STOPPABLE, callbacks=[InterruptAt(step)])
    left = read_record(tmp_path / "cut" / "run.json")
    assert left.status == "interrupted"
    assert len(left.history) == step // 6 - (1 if step % 6 == 0 else 0)
    resumed = train(recipe, tmp_path / "cut", "strong", STOPPABLE, resume=True)
    assert timeless(resumed) == timeless(whole)
    assert_same_weights(tmp_path / "cut", tmp_path / "whole")


def test_a_run_that_dies_after_training_is_only_measured_again(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe()
    whole = train(recipe, tmp_path / "whole", "strong", STOPPABLE)
    with monkeypatch.context() as patch:
        patch.setattr("finetune.training.runner.Run.measure", _raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "cut", "strong", STOPPABLE)
    steps: list[int] = []
    resumed = train(recipe, tmp_path / "cut", "strong", STOPPABLE, resume=True, callbacks=[_CountSteps(steps)])
    assert steps == []
    assert timeless(resumed) == timeless(whole)
    assert_same_weights(tmp_path / "cut", tmp_path / "whole")


def _raise_interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


class _CountSteps(TrainerCallback):
    def __init__(self, steps: list[int]) -> None:
        self.steps = steps

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.steps.append(state.global_step)


MOMENTS = (
    "after-selecting",
    "while-copying",
    "while-writing-weights",
    "before-keeping-selected",
    "before-marker",
    "while-removing-old",
)
KILLER = """
    import os, signal
    from pathlib import Path
    from finetune.training import checkpoints, trainer
    from tests.running import train

    def on_second(owner, name):
        original, calls = getattr(owner, name), []
        def wrapped(*args, **kwargs):
            calls.append(1)
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)
        setattr(owner, name, wrapped)

    def die(moment, recipe, folder):
        on_second(*{
            "after-selecting": (trainer.RegularizedTrainer, "_save_checkpoint"),
            "while-copying": (trainer.RegularizedTrainer, "_snapshot"),
            "while-writing-weights": (trainer.RegularizedTrainer, "_save"),
            "before-keeping-selected": (checkpoints, "keep_selected"),
            "before-marker": (checkpoints, "complete_checkpoint"),
            "while-removing-old": (checkpoints, "_remove_others"),
        }[moment])
        train(Path(recipe), Path(folder))
"""


def test_kill_9_at_any_moment_of_a_save_can_be_resumed(write_recipe: Write, tmp_path: Path) -> None:
    """Weights, their average and selected ones are saved."""
    recipe = write_recipe(techniques={"early_stopping": {"patience": 2}, "ema": {"horizon": 0.2}})
    whole = train(recipe, tmp_path / "whole")
    killed(KILLER, *((moment, recipe, tmp_path / moment) for moment in MOMENTS))
    for moment in MOMENTS:
        resumed = train(recipe, tmp_path / moment, resume=True)
        assert timeless(resumed) == timeless(whole), moment
        assert_same_weights(tmp_path / moment, tmp_path / "whole")


def write_checkpoint(folder: Path, step: int) -> Path:
    """A complete one, whose step is the selected one; an older one stays."""
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir()
    for name in ("model.safetensors", "optimizer.pt", f"../selected-{step}.safetensors"):
        (checkpoint / name).write_bytes(f"{name} of step {step}".encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finetune.training.checkpoints._remove_others", lambda *_: None)
        complete_checkpoint(checkpoint, {"selection": {"best_step": step}})
    return checkpoint


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def change_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGED = (MARKER, "finetune_state.json", "model.safetensors", "optimizer.pt", "../selected-12.safetensors")


@pytest.mark.parametrize("damage", [cut, change_a_bit, Path.unlink], ids=["cut", "changed", "missing"])
@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage: Callable[[Path], Any]
) -> None:
    """Weights that changed by a bit would be trained further without a word: another result."""
    older, newer = write_checkpoint(tmp_path, 6), write_checkpoint(tmp_path, 12)
    damage(newer / name)
    assert newest_checkpoint(tmp_path) == older
    assert not newer.exists()
    if (name, damage) != (MARKER, Path.unlink):  # that is one whose writing was cut off
        assert "checkpoint-12: " in caplog.text
        assert "continues from checkpoint-6" in caplog.text


def test_weights_that_were_selected_before_keep_the_digest_of_when_they_were_written(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 6)
    change_a_bit(tmp_path / "selected-6.safetensors")
    (tmp_path / "checkpoint-12").mkdir()
    complete_checkpoint(tmp_path / "checkpoint-12", {"selection": {"best_step": 6}})
    assert newest_checkpoint(tmp_path) is None


def test_a_run_with_a_damaged_checkpoint_says_so_and_ends_as_if_it_had_not(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe()
    whole = train(recipe, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "cut", callbacks=[InterruptAt(8)])
    change_a_bit(tmp_path / "cut" / "checkpoints" / "checkpoint-6" / "model.safetensors")
    resumed = train(recipe, tmp_path / "cut", resume=True)
    (warning,) = set(resumed.warnings) - set(whole.warnings)
    assert "model.safetensors differs from what was written. The run starts again from the beginning" in warning
    assert timeless(resumed.model_copy(update={"warnings": whole.warnings})) == timeless(whole)


def test_checkpoints_that_a_kill_left_to_a_finished_run_go_at_the_next_look(
    write_recipe: Write, tmp_path: Path
) -> None:
    recipe = write_recipe()
    arguments = ("run", recipe, "--output", tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "remove_checkpoints", lambda _: None)
        assert invoke(*arguments).exit_code == 0
    assert (tmp_path / "run" / "checkpoints").is_dir()
    assert "finished already" in invoke(*arguments, "--resume").stderr
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("take_away", [shutil.rmtree, lambda path: path.rename(path.with_name("moved"))])
def test_a_folder_that_is_deleted_or_renamed_meanwhile_is_said_and_not_made_again(
    write_recipe: Write, tmp_path: Path, take_away: Callable[[Path], Any]
) -> None:
    with refuses(RunFailed, "was deleted or renamed while the run was in progress"):
        train(write_recipe(), tmp_path / "run", callbacks=[AtStep(3, lambda: take_away(tmp_path / "run"))])
    assert not (tmp_path / "run").exists()


def test_incomplete_checkpoints_are_passed_over_and_removed(tmp_path: Path) -> None:
    for step in (6, 12):
        write_checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-18").mkdir()
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-12"
    assert not (tmp_path / "checkpoint-18").exists()


def test_no_checkpoint_means_starting_over(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "missing") is None
    assert newest_checkpoint(tmp_path) is None


@pytest.mark.parametrize(
    ("signals", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGTERM SIGTERM", 143), ("SIGHUP SIGTERM", 129)]
)
def test_ctrl_c_sigterm_and_sighup_save_the_state_and_say_how_to_go_on(
    write_recipe: Write, tmp_path: Path, signals: str, code: int
) -> None:
    """Real signals, sent by the program to itself as soon as its first evaluation is recorded. SLURM and Kubernetes end
    jobs by SIGTERM, and launchers hand it on once more; a terminal that is closed sends SIGHUP."""
    recipe = write_recipe()
    script = tmp_path / "interrupting.py"
    script.write_text(
        textwrap.dedent("""
            import os, signal, sys
            from finetune.training import record, runner
            names = os.environ["SIGNALS"].split()
            def send():
                os.kill(os.getpid(), getattr(signal, names.pop(0)))
            original, write = runner.Run._keep_history, record.RecordFile.write
            def keep(self, history):
                original(self, history)
                send()
            def write_disturbed(self, **changes):
                if changes.get("status") == "interrupted" and names:
                    send()
                write(self, **changes)
            runner.Run._keep_history, record.RecordFile.write = keep, write_disturbed
            from finetune.cli import main
            main()
        """),
        encoding="utf-8",
    )
    run = finetune("run", recipe, "--output", tmp_path / "cut", launcher=[str(script)], SIGNALS=signals)
    assert run.returncode == code
    assert "To continue, type the same command with: --resume\n" in run.stderr  # --output is in the command
    assert "Traceback" not in run.stderr
    assert read_record(tmp_path / "cut" / "run.json").status == "interrupted"
    again = invoke("run", recipe, "--output", tmp_path / "cut")
    assert again.exit_code == 2
    assert "--resume" in again.stderr
    resumed = invoke("run", recipe, "--output", tmp_path / "cut", "--resume", "--json")
    assert resumed.exit_code == 0, resumed.stderr
    assert read_record(tmp_path / "cut" / "run.json").status == "finished"


def test_a_run_is_not_resumed_by_another_recipe(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe()
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "cut", callbacks=[InterruptAt(8)])
    run = invoke("run", recipe, "--output", tmp_path / "cut", "--resume", "--set", "training.epochs=9")
    assert run.exit_code == 2
    assert "training.epochs: 3 then, 9 now" in run.stderr


def test_a_run_is_not_resumed_on_other_data(write_recipe: Write, tmp_path: Path, reviews: Path) -> None:
    recipe = write_recipe()
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "cut", callbacks=[InterruptAt(8)])
    reviews.write_text(reviews.read_text(encoding="utf-8").replace("movie", "book"), encoding="utf-8")
    run = invoke("run", recipe, "--output", tmp_path / "cut", "--resume")
    assert run.exit_code == 2
    assert "data" in run.stderr
    assert "changed" in run.stderr


def test_a_folder_is_held_by_one_process(tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path / "run").locked(),
        pytest.raises(OutputError, match="another process"),
        RunFolder(tmp_path / "run").locked(),
    ):
        pass


@pytest.mark.parametrize("behind", [0, 1])  # at once, as on a CPU; a pass later, as on a GPU
@pytest.mark.parametrize(("step", "epoch", "evaluated"), [(10, "1.5", 1), (12, "1.8", 1), (18, "2.8", 2)])
def test_nan_stops_the_run_keeps_the_record_and_says_where(
    write_recipe: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    behind: int,
    step: int,
    epoch: str,
    evaluated: int,
) -> None:
    """In the last step of an epoch nothing is evaluated or saved any more."""
    from finetune.techniques import Technique

    calls = []

    def poison(self: Technique, loss: Any, _: Any) -> Any:
        calls.append(1)
        return loss * float("nan") if len(calls) == step else loss

    monkeypatch.setattr("finetune.techniques.weight_decay.WeightDecay.train_loss", poison, raising=False)
    monkeypatch.setattr("finetune.training.trainer.reading_delay", lambda _: behind)
    with pytest.raises(RunFailed, match=rf"became nan in step {step} of 18 \(epoch {epoch}\)"):
        train(write_recipe(), tmp_path / "run", "light", ["techniques.early_stopping=off"])
    record = read_record(tmp_path / "run" / "run.json")
    assert record.status == "failed"
    assert record.error is not None
    assert f"step {step}" in record.error
    assert len(record.history) == evaluated
    assert {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()} == {f"checkpoint-{6 * evaluated}"}


def test_a_full_disk_is_noticed_before_training(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    from types import SimpleNamespace

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000))
    with pytest.raises(OutputError, match="0 MB are free"):
        train(write_recipe(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_disk_that_fills_up_while_saving_fails_the_run_and_can_be_resumed(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe()
    with monkeypatch.context() as patch:
        patch.setattr("finetune.training.checkpoints.write_text", _no_space)
        with refuses(RunFailed, match=r"disk of .* is full.*--resume"):
            train(recipe, tmp_path / "run")
    assert read_record(tmp_path / "run" / "run.json").status == "failed"
    assert train(recipe, tmp_path / "run", resume=True).status == "finished"


def _no_space(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def test_old_names_of_layer_norm_weights_survive_a_resume(write_recipe: Write, tmp_path: Path) -> None:
    """The checkpoints of 2018 say gamma and beta; a resumed run must go on from its own values, not the pretrained."""
    from safetensors.torch import load_file, save_file

    from tests.conftest import save_tiny_model

    model = save_tiny_model(tmp_path / "old")
    weights = load_file(model / "model.safetensors")
    renamed = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in weights.items()
    }
    assert renamed.keys() != weights.keys()
    save_file(renamed, model / "model.safetensors", metadata={"format": "pt"})
    recipe = write_recipe(model=model)
    whole = train(recipe, tmp_path / "whole", "strong", STOPPABLE)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "cut", "strong", STOPPABLE, callbacks=[InterruptAt(15)])
    resumed = train(recipe, tmp_path / "cut", "strong", STOPPABLE, resume=True)
    assert timeless(resumed) == timeless(whole)
    assert_same_weights(tmp_path / "cut", tmp_path / "whole")


def test_several_seeds_are_resumed_together(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in the first of two seeds: the first goes on, the second starts."""
    recipe = write_recipe()
    arguments = ("run", recipe, "--output", tmp_path / "two", "--seed", 1, "--seed", 2, "--json")
    with monkeypatch.context() as patch:
        patch.setattr("finetune.training.runner.Run.measure", _raise_interrupt)
        stopped = invoke(*arguments)
    assert stopped.exit_code == 130
    assert "To continue, type the same command with: --resume\n" in stopped.stderr
    assert invoke(*arguments, "--resume").exit_code == 0
    for seed in (1, 2):
        assert read_record(tmp_path / "two" / f"seed-{seed}" / "run.json").status == "finished"


def test_a_seed_that_fails_does_not_hide_the_others(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    from finetune.training.runner import Run

    original = Run.train

    def fail_first(self: Run, checkpoint: Any) -> None:
        if self.record.record.seed == 1:
            raise RunFailed("planted")
        original(self, checkpoint)

    monkeypatch.setattr("finetune.training.runner.Run.train", fail_first)
    run = invoke("run", write_recipe(), "--output", tmp_path / "two", "--seed", 1, "--seed", 2, "--json")
    assert run.exit_code == 1
    assert "seed 1" in run.stderr
    assert "planted" in run.stderr
    assert [record["seed"] for record in json.loads(run.stdout)] == [2]
