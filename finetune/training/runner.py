"""One run from start to record: the only file where everything meets. Reads top to bottom."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import transformers

from finetune.data.split_file import write_split
from finetune.errors import Change, FinetuneError, OutputError, RunFailed
from finetune.kernels.install import install_kernels
from finetune.models.outputs import Outputs
from finetune.records.facts import EarlyStop
from finetune.records.schema import Evaluation, FinishedRecord
from finetune.records.store import RunFolder
from finetune.training.building import LoadedModel, build_model, build_selector, build_trainer, class_weights
from finetune.training.checkpoints import WEIGHTS, newest_checkpoint, read_state
from finetune.training.disk import check_room, copies_on_disk
from finetune.training.distributed import agree, is_main, rank
from finetune.training.failures import explain
from finetune.training.final_weights import FinalWeights
from finetune.training.head import start_head
from finetune.training.names import weight_names
from finetune.training.observer import RunObserver
from finetune.training.outcomes import technique_outcomes
from finetune.training.phases import (
    FIRST_STAGE,
    HEAD,
    LEARNING_RATE,
    MEASUREMENT,
    MODEL,
    OTHER,
    SAVING,
    WEIGHT_STATISTICS,
    Stopwatch,
)
from finetune.training.prepare import Prepared, configured_model
from finetune.training.rate_choice import choose_rate, is_to_choose, with_choice
from finetune.training.record import (
    RecordFile,
    has_pooling,
    has_scale,
    logged_warnings,
    opening_record,
    refuse_changed_techniques,
    warning_texts,
)
from finetune.training.saving import prediction_arrays, save_model, save_predictions
from finetune.training.scale import put_into_head
from finetune.training.served import describe_served
from finetune.training.stage import run_stages
from finetune.training.tracking.session import Tracking, open_tracking
from finetune.training.weights import weight_statistics

logger = logging.getLogger(__name__)


def run_seed(
    prepared: Prepared,
    seed: int,
    folder: RunFolder,
    callbacks: Sequence[Any] = (),
    resume: bool = False,
    stopwatch: Stopwatch | None = None,
    group: str | None = None,
) -> FinishedRecord:
    """Train, measure and save one seed of a prepared recipe. The folder must be free, or the run's own to resume.

    Args:
        prepared: From `prepare`.
        seed: Of head, batch order, dropout and augmentation.
        folder: Where record, model and predictions go; written by the main process only.
        callbacks: transformers callbacks, such as a progress bar.
        resume: Continue from the newest complete checkpoint, if there is one.
        stopwatch: Has run since before, so that the record tells what preparing took, too.
        group: The experiment that the run is part of, for trackers.

    Returns:
        The finished record, the same in every process.

    Raises:
        OutputError: There is too little room on the disk; or a user's technique has changed since the run started.
        RunFailed: Training could not go on; the record in the folder says why.
        KeyboardInterrupt: As it came; the record says "interrupted" and the run can be resumed.
    """
    with logged_warnings() as logged:
        return _run_seed(prepared, seed, folder, callbacks, resume, logged, stopwatch or Stopwatch(), group)


def _run_seed(
    prepared: Prepared,
    seed: int,
    folder: RunFolder,
    callbacks: Sequence[Any],
    resume: bool,
    logged: list[str],
    stopwatch: Stopwatch,
    group: str | None,
) -> FinishedRecord:
    started = time.perf_counter()
    stopwatch.switch(OTHER)
    with stopwatch.phase(MODEL):
        written = folder.read() if resume and is_main() else None
        refuse_changed_techniques(
            prepared.recipe, agree({} if written is None else written.code.techniques), folder.path
        )
        if not agree(written is None or has_scale(prepared, written)):
            why = "was started by a version that scaled the numbers to predict in another way, and cannot go on."
            raise OutputError(why, Change(text="Start a new run."), argument="output", found=str(folder.path))
        if not agree(written is None or has_pooling(prepared, written)):
            why = f"its head reads something else than {prepared.pooling.kind} (model.pooling), and it cannot go on."
            raise OutputError(why, Change(text="Start a new run."), argument="output", found=str(folder.path))
    record = RecordFile(folder, stopwatch, started, agree(None if written is None else written.time))
    if is_to_choose(prepared):
        prepared = _choose_rate(prepared, seed, folder, callbacks, resume, record)
        logged.clear()  # what the trainings of the choice had to say: it is not of this run
    with stopwatch.phase(MODEL):
        loaded = build_model(prepared, seed, stopwatch)
        check_room(folder.path, loaded.model, copies_on_disk(prepared.recipe))
        tracking = open_tracking(prepared, seed, folder.path, group, stopwatch, is_main())
        run = Run(prepared, seed, folder, loaded, [*callbacks, tracking], stopwatch, record)
    record.write(warnings=[*warning_texts(prepared), *logged])
    with _failure_recorded(record, prepared, folder, run.complete_checkpoint), tracking:
        if is_main() and prepared.keeps_split:
            write_split(prepared.data, folder.split)
        # One process looks, and tidies up; the others must not do the same at the same time.
        run.train(agree(newest_checkpoint(folder.checkpoints) if resume and is_main() else None))
        with stopwatch.phase(MEASUREMENT):
            run.measure()
        run.tell_final(tracking)
        with stopwatch.phase(SAVING):
            run.save()
            run.trainer.writer.finish()
    finished = run.record.finish([*warning_texts(prepared, run.record.record.budget), *logged])
    if is_main():
        folder.remove_checkpoints()
    return finished


def _choose_rate(
    prepared: Prepared, seed: int, folder: RunFolder, callbacks: Sequence[Any], resume: bool, record: RecordFile
) -> Prepared:
    """The run at the learning rate that folds of its training rows choose. The record is there from the start on, so
    that an interrupted choice can be resumed."""
    bare = configured_model(prepared.recipe, prepared.data.task, prepared.data.labels)
    record.open(opening_record(prepared, seed, bare))
    record.write()
    with record.stopwatch.phase(LEARNING_RATE), _failure_recorded(record, prepared, folder):
        choice = choose_rate(prepared, seed, folder, callbacks, resume, run_seed)
    for told in callbacks:
        if hasattr(told, "rate_chosen"):
            told.rate_chosen(choice)
    return with_choice(prepared, choice)


@contextlib.contextmanager
def _failure_recorded(
    record: RecordFile, prepared: Prepared, folder: RunFolder, last: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Write into the record why the run ended, and raise it in the user's words; `last` comes in between."""
    try:
        yield
    except BaseException as error:
        failure = explain(error, prepared.recipe, folder.path)
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with contextlib.suppress(OSError, RunFailed):  # a full disk, or no folder, must not hide the reason
            record.write(status=status, error=_reason(failure))
        last()  # completing a checkpoint takes long where the disk is slow: who does not wait for it has the record
        raise failure from (None if failure is error else error)


def _reason(failure: BaseException) -> str:
    """As a record keeps it."""
    text = failure.for_command_line() if isinstance(failure, FinetuneError) else str(failure)
    return text or type(failure).__name__


class Run:
    """The moving parts of one run, in the order of their use: train, measure, save.

    Args:
        prepared: From `prepare`.
        seed: Of head, batch order, dropout and augmentation.
        folder: Of the run.
        loaded: The model.
        callbacks: transformers callbacks.
        stopwatch: Is told what the time goes into.
        record: Where the record goes.
    """

    def __init__(
        self,
        prepared: Prepared,
        seed: int,
        folder: RunFolder,
        loaded: LoadedModel,
        callbacks: Sequence[Any],
        stopwatch: Stopwatch,
        record: RecordFile,
    ) -> None:
        self.prepared = prepared
        self.seed = seed
        self.folder = folder
        self.loaded = loaded
        self.stopwatch = stopwatch
        self.outputs: dict[str, dict[str, Outputs]] = {}  # selected, last -> split -> outputs of each row
        self.record = record
        record.open(opening_record(prepared, seed, loaded.model))
        self.observer = RunObserver(build_selector(prepared), self._keep_history)
        callbacks = [self.observer, *callbacks]
        run_state = self.observer.to_dict
        self.trainer = build_trainer(prepared, seed, loaded, folder.checkpoints, callbacks, run_state, stopwatch)
        kernels = self._install_kernels() if prepared.recipe.training.kernels == "fast" else []
        self.record.update(model=self.record.record.model.model_copy(update={"kernels": kernels}))
        # Same head and batches everywhere; dropout masks of their own in each process. Process 0 is unchanged.
        transformers.set_seed(seed + rank())

    def _install_kernels(self) -> list[str]:
        """On the model as Trainer has it: on its device, not yet wrapped for several processes."""
        is_read_elsewhere = bool(self.record.record.code.techniques)
        return install_kernels(self.trainer.model, is_read_elsewhere, self.prepared.bf16)

    def _keep_history(self, history: list[Evaluation]) -> None:
        self.record.write(history=list(history))

    def train(self, checkpoint: Path | None) -> None:
        """Train from the start, or from a complete checkpoint to where the run would have ended."""
        trainer = self.trainer
        if checkpoint is None:
            with self.stopwatch.phase(FIRST_STAGE):
                run_stages(self.prepared, trainer.model, self.seed, trainer.args.device)
            with self.stopwatch.phase(HEAD):
                start_head(self.prepared, trainer.model, class_weights(self.prepared), trainer.args.device)
        else:
            state = read_state(checkpoint)
            self.observer.restore(state)
            trainer.average.restore(checkpoint)
            if trainer.unlabelled is not None:
                trainer.unlabelled.restore(state["unlabelled"])
        if checkpoint is not None and self._is_over():
            trainer.load_parameters(checkpoint / WEIGHTS)
        else:
            with self.stopwatch.phase(MODEL):  # until the first epoch begins
                trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        trainer.forget_training()
        trainer.average.replace_weights()
        if trainer.unlabelled is not None:
            trainer.unlabelled.warn_if_unused()
        first = trainer.clock.first_step
        from_call = {} if first is None else {"first_step": self.record.since_start(first)}
        self.record.update_time(training_seconds=self.record.seconds(), **from_call)

    def _is_over(self) -> bool:
        selector = self.observer.selector
        stopped = selector is not None and selector.state.stopped
        return stopped or self.observer.history[-1].step >= (self.prepared.stop_at or self.prepared.budget.steps or 0)

    def measure(self) -> None:
        """Measure the last checkpoint, then the final weights."""
        checkpoints, pretrained = self.folder.checkpoints, self.loaded.pretrained
        names = weight_names(self.loaded.model, pretrained)  # before adapters are merged
        results = FinalWeights(self.prepared, self.trainer, self.observer, pretrained, checkpoints).measure()
        self.outputs = results.outputs
        ended = self._how_it_ended()
        with self.stopwatch.phase(WEIGHT_STATISTICS):
            weights = weight_statistics(self.loaded.model, pretrained)
            about = (self.prepared, self.record.record, self.loaded.model, names, pretrained)
            how = (self.observer.history[-1].epoch, self._stopped_early())
            techniques = technique_outcomes(*about, results.selected, *how)
        self.record.update(
            history=self.observer.history,
            selected=results.selected,
            last=results.last,
            calibration=results.calibration,
            thresholds=results.thresholds,
            weights=weights,
            techniques=techniques,
            budget=self.record.record.budget.model_copy(update=ended),
        )

    def tell_final(self, tracking: Tracking) -> None:
        """Tell the trackers what is measured; they have not begun where nothing was left to train."""
        trainer, selected, last = self.trainer, self.record.record.selected, self.observer.history[-1]
        assert selected is not None, "it has been measured"
        trainer.state.global_step, trainer.state.epoch = last.step, last.epoch
        tracking.begin(trainer.args, trainer.state, trainer.control, self.loaded.model)
        tracking.log_final(selected)

    def _how_it_ended(self) -> dict[str, Any]:
        """Of the record's budget."""
        selector, stopped = self.observer.selector, self._stopped_early()
        ended: dict[str, Any] = {"steps_done": self.observer.history[-1].step}
        if selector is not None and selector.rule.stop:
            rule = {"stopped": stopped, "patience": selector.rule.patience, "learned_step": selector.state.learned_step}
            ended["early_stopping"] = EarlyStop(**rule)
        return ended

    def _stopped_early(self) -> bool | None:
        """Whether the rule that selects the checkpoint ended the run before its last step; None if there is no rule."""
        selector = self.observer.selector
        is_short = self.observer.history[-1].step < (self.prepared.budget.steps or 0)
        return None if selector is None else selector.state.stopped and is_short

    def save(self) -> None:
        """The model as plain transformers loads it, and every row's logits for later statistics."""
        if not is_main():
            return
        if self.prepared.keeps_model:
            served = describe_served(self.prepared, self.record.record, self.outputs["selected"]["validation"])
            if self.prepared.scale is not None:
                put_into_head(self.loaded.model, self.prepared.scale)
            save_model(self.loaded.model, self.prepared.encoder, served, self.folder.model)
        splits = self.prepared.data.measured_splits()
        save_predictions(prediction_arrays(splits, self.outputs), self.folder.predictions)

    def complete_checkpoint(self) -> None:
        """Let the checkpoint that is being written become one to resume from; the run ends for another reason."""
        try:
            try:
                self.trainer.writer.finish()
            except KeyboardInterrupt:  # again: the program would wait at its end anyway, but without the folder's lock
                self.trainer.writer.finish()
                raise
        except Exception as error:
            logger.warning("the last checkpoint could not be written: %s. --resume takes the one before it", error)
