"""One run from start to record: the only file where everything meets. Reads top to bottom."""

from __future__ import annotations

import contextlib
import datetime
import errno
import functools
import logging
import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor

from finetune.atomic import replaced_file, replaced_folder
from finetune.data.labels import count_labels
from finetune.data.split_file import write_split
from finetune.data.tokens import Collator, TrainSet
from finetune.errors import FinetuneError, OutputError, RunFailed
from finetune.kernels import install_kernels
from finetune.measurement.gap import compute_gap, gap_intervals
from finetune.measurement.scores import compute_scores, fit_temperature
from finetune.models.dropout import dropout_sites
from finetune.models.load import encoder_parameters, load_model, start_at
from finetune.recipe import Recipe
from finetune.records.environment import read_code, read_device, read_versions
from finetune.records.facts import ModelFacts, RunBudget, RunTime
from finetune.records.schema import (
    Calibration,
    Checkpoint,
    Evaluation,
    FinishedRecord,
    Gap,
    RunRecord,
    WeightGroup,
)
from finetune.records.store import RunFolder
from finetune.techniques import overrides, source_digest
from finetune.training.arguments import build_arguments
from finetune.training.batches import StepBatches, StepLoader
from finetune.training.checkpoints import WEIGHTS, newest_checkpoint, read_state
from finetune.training.distributed import agree, is_main, rank, world_size
from finetune.training.interpolation import PretrainedPath
from finetune.training.observer import RunObserver, StopAt
from finetune.training.phases import MEASUREMENT, MODEL, OTHER, SAVING, TOKENS, WEIGHT_STATISTICS, Stopwatch
from finetune.training.prepare import (
    Prepared,
    active_techniques,
    augment_sources,
    configured_model,
    declared_cost,
    token_facts,
)
from finetune.training.selection import Selector, selected_weights, upwards
from finetune.training.trainer import Measured, RegularizedTrainer
from finetune.training.weights import weight_statistics

logger = logging.getLogger(__name__)

COPIES_ON_DISK = 9  # of the weights: two checkpoints with two Adam moments each, two selected ones, the model


def run_seed(
    prepared: Prepared,
    seed: int,
    folder: RunFolder,
    callbacks: Sequence[Any] = (),
    resume: bool = False,
    stopwatch: Stopwatch | None = None,
) -> FinishedRecord:
    """Train, measure and save one seed of a prepared recipe. The folder must be free, or the run's own to resume.

    Args:
        prepared: From `prepare`.
        seed: Of head, batch order, dropout and augmentation.
        folder: Where record, model and predictions go; written by the main process only.
        callbacks: transformers callbacks, such as a progress bar.
        resume: Continue from the newest complete checkpoint, if there is one.
        stopwatch: Has run since before, so that the record tells what preparing took, too.

    Returns:
        The finished record, the same in every process.

    Raises:
        RunFailed: Training could not go on; the record in the folder says why.
        KeyboardInterrupt: As it came; the record says "interrupted" and the run can be resumed.
    """
    with _remembered_warnings() as said:
        return _run_seed(prepared, seed, folder, callbacks, resume, said, stopwatch or Stopwatch())


def _run_seed(
    prepared: Prepared,
    seed: int,
    folder: RunFolder,
    callbacks: Sequence[Any],
    resume: bool,
    said: list[str],
    stopwatch: Stopwatch,
) -> FinishedRecord:
    started = time.perf_counter()
    stopwatch.switch(OTHER)
    with stopwatch.phase(MODEL):
        model, pretrained = _build_model(prepared, seed)
        _check_disk(folder.path, model, copies_on_disk(prepared.recipe))
        earlier = folder.read() if resume and is_main() else None
        spent = agree(None if earlier is None else earlier.time)
        run = _Run(prepared, seed, folder, model, pretrained, list(callbacks), stopwatch, started, spent)
    run.write_record(warnings=[*prepared.warnings, *said])
    if is_main() and prepared.stop_at is None:  # a refit trains on validation: its rows are no split
        write_split(prepared.data, folder.split)
    try:
        # One process looks, and tidies up; the others must not do the same at the same time.
        run.train(agree(newest_checkpoint(folder.checkpoints) if resume and is_main() else None))
        with stopwatch.phase(MEASUREMENT):
            run.measure()
        with stopwatch.phase(SAVING):
            run.save()
            run.trainer.writer.finish()
    except BaseException as error:
        failure = _explain(error, folder)
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with contextlib.suppress(OSError):  # a full disk must not hide the reason
            run.write_record(status=status, error=str(failure) or type(failure).__name__)
        run.complete_checkpoint()  # takes long where the disk is slow: who does not wait for it has the record
        raise failure from (None if failure is error else error)
    record = run.finish([*prepared.warnings, *said])
    run.remove_checkpoints()
    return record


@contextlib.contextmanager
def _remembered_warnings() -> Iterator[list[str]]:
    """What the package warns of while a run is made and trained, each text once: it belongs into the record too."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            is_warning = record.levelno >= logging.WARNING and not record.name.endswith(".progress")
            if is_warning and record.getMessage() not in said:
                said.append(record.getMessage())

    listener, logger = Listener(), logging.getLogger("finetune")
    logger.addHandler(listener)
    try:
        yield said
    finally:
        logger.removeHandler(listener)


class _Run:
    """The moving parts of one run, in the order of their use: train, measure, save."""

    def __init__(
        self,
        prepared: Prepared,
        seed: int,
        folder: RunFolder,
        model: Any,
        pretrained: Mapping[str, Tensor],
        callbacks: list[Any],
        stopwatch: Stopwatch,
        started: float,
        spent: RunTime | None = None,
    ) -> None:
        recipe, data, budget = prepared.recipe, prepared.data, prepared.budget
        self.prepared = prepared
        self.folder = folder
        self.model = model
        self.pretrained = pretrained
        self.outputs: dict[str, dict[str, Measured]] = {}  # selected, last -> split -> logits and targets
        self.stopwatch = stopwatch
        self.started = started  # of this leg, by time.perf_counter
        # An interrupted run goes on counting: what it cost is what all its legs took.
        self.earlier_seconds = 0.0 if spent is None else spent.seconds
        self.record = _opening_record(prepared, seed, model)
        if spent is not None:
            stopwatch.add(spent.phases)
            self._update(time=self.record.time.model_copy(update={"resumed": spent.resumed + 1}))
        self.observer = RunObserver(_selector(prepared), self._keep_history)
        collator = Collator(prepared.tokenizer)
        with stopwatch.phase(TOKENS):
            train_set = TrainSet(data.train, prepared.encoder, _augmenters(prepared), seed, _token_augmenters(prepared))
        batches = StepBatches(
            rows=len(data.train),
            batch_size=recipe.training.batch_size,
            accumulation=recipe.training.accumulation,
            rank=rank(),
            world=world_size(),
            seed=seed,
            lengths=train_set.lengths if recipe.training.group_by_length else None,
            classes=data.train.labels if recipe.training.sampling == "balanced" else None,
        )
        decay = sum(technique.decay_strength(budget) for technique in recipe.techniques.values())
        fixed = prepared.stop_at is not None
        arguments = build_arguments(recipe.training, budget, seed, decay, folder.checkpoints, fixed)
        stops = [] if prepared.stop_at is None else [StopAt(prepared.stop_at)]
        self.trainer = RegularizedTrainer(
            model,
            arguments,
            task=data.task,
            techniques=recipe.techniques,
            budget=budget,
            pretrained=pretrained,
            train_loader=StepLoader(train_set, batches, collator, pin_memory=not arguments.use_cpu),
            measured={name: prepared.measured[name] for name in ("train_probe", "validation")},
            meter=prepared.meter,
            collate=collator,
            class_weights=_class_weights(prepared),
            bf16=prepared.bf16,
            rounds=prepared.bf16 and recipe.training.kernels == "fast",
            callbacks=[self.observer, *stops, *callbacks],
            run_state=self.observer.to_dict,
            stopwatch=stopwatch,
        )
        kernels = self._install_kernels() if recipe.training.kernels == "fast" else []
        self._update(model=self.record.model.model_copy(update={"kernels": kernels}))
        # Same head and batches everywhere; dropout masks of their own in each process. Process 0 is unchanged.
        transformers.set_seed(seed + rank())

    def _install_kernels(self) -> list[str]:
        """On the model as Trainer has it: on its device, not yet wrapped for several processes."""
        is_read_elsewhere = bool(_own_techniques(self.prepared.recipe))
        return install_kernels(self.trainer.model, is_read_elsewhere, self.prepared.bf16)

    # --- train --------------------------------------------------------------------------------------------------

    def train(self, checkpoint: Path | None) -> None:
        """Train from the start, or from a complete checkpoint to where the run would have ended."""
        if checkpoint is not None:
            self.observer.restore(read_state(checkpoint))
        if checkpoint is not None and self._is_over():
            self._load_weights(checkpoint / WEIGHTS)
            self.trainer.average.restore(checkpoint)
        else:
            if checkpoint is not None:
                self.trainer.average.restore(checkpoint)
            with self.stopwatch.phase(MODEL):  # until the first epoch begins
                self.trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        self.trainer.average.adopt()
        until_now = {"training_seconds": self._elapsed(), **self._first_step()}
        self._update(time=self.record.time.model_copy(update=until_now))

    def _is_over(self) -> bool:
        selector = self.observer.selector
        stopped = selector is not None and selector.state.stopped
        return stopped or self.observer.history[-1].step >= (self.prepared.stop_at or self.prepared.budget.steps or 0)

    def _keep_history(self, history: list[Evaluation]) -> None:
        self.write_record(history=list(history))

    # --- measure ------------------------------------------------------------------------------------------------

    def measure(self) -> None:
        """Measure the last checkpoint, then the one that ships; test is opened here and nowhere else."""
        last, selected = self.observer.history[-1], self._selected_evaluation()
        at_end = self.trainer.last_outputs or self._predict_gap_splits()
        at_selected = dict(at_end)
        if selected.step != last.step:
            self._load_weights(selected_weights(self.folder.checkpoints, selected.step))
            at_selected = self._predict_gap_splits()
            self._verify_restored(selected, at_selected["validation"])
        at_selected, share = self._as_shipped(at_selected)
        for name, technique in self.prepared.recipe.techniques.items():
            for warning in technique.shipped_warnings(self.model):
                logger.warning("%s", warning.below(f"techniques.{name}").for_command_line())
        if "test" in self.prepared.measured:
            at_selected["test"] = self.trainer.predict_rows(self.prepared.measured["test"])
        self.outputs = {"selected": at_selected, "last": at_end}
        ships = self._checkpoint(selected, at_selected).model_copy(update={"share": share})
        self._update(
            history=self.observer.history,
            selected=ships,
            last=ships.model_copy(update={"test": None, "share": None})
            if selected.step == last.step and share is None
            else self._checkpoint(last, at_end),
            calibration=self._calibration(at_selected),
            weights=self._weight_statistics(),
            budget=self.record.budget.model_copy(update={"steps_done": last.step}),
        )

    def _weight_statistics(self) -> dict[str, WeightGroup]:
        with self.stopwatch.phase(WEIGHT_STATISTICS):
            return weight_statistics(self.model, self.pretrained)

    def _as_shipped(self, outputs: dict[str, Measured]) -> tuple[dict[str, Measured], float | None]:
        """Let techniques finish the selected weights; measure again where they did.

        Returns:
            Outputs of the weights that ship, and the share of the fine-tuned weights if they were interpolated.
        """
        techniques = self.prepared.recipe.techniques.values()
        finishing = [technique for technique in techniques if overrides(technique, "finish_model")]
        if finishing:
            self.trainer.writer.finish()  # it still asks the model for its configuration
        for technique in finishing:
            technique.finish_model(self.model)
        shares = sorted({share for technique in techniques for share in technique.interpolations()})
        if not shares:
            return (self._predict_gap_splits() if finishing else outputs), None
        path = PretrainedPath(self.model, self.pretrained)
        given = self.prepared.share
        share = path.go_to_best(shares if given is None else [given], self._validation_quality)
        return self._predict_gap_splits(), share

    def _validation_quality(self) -> tuple[float, float]:
        """Metric and loss of the present weights on validation, both with "higher is better"."""
        prepared = self.prepared
        measure = prepared.measure
        scores = prepared.meter.measure(*self.trainer.predict_rows(prepared.measured["validation"]))
        metric = prepared.metric or measure.selects
        return upwards(metric, scores[metric]), upwards(measure.loss, scores[measure.loss])

    def _selected_evaluation(self) -> Evaluation:
        history = self.observer.history
        if self.observer.selector is None:
            return history[-1]
        step = self.observer.selector.state.best_step
        return next(evaluation for evaluation in history if evaluation.step == step)

    def _predict_gap_splits(self) -> dict[str, Measured]:
        return {name: self.trainer.predict_rows(split) for name, split in self.trainer.measured.items()}

    def _verify_restored(self, selected: Evaluation, validation: Measured) -> None:
        """As it was measured in training. Another machine that resumed rounds otherwise; damage shows."""
        loss = self.prepared.measure.loss
        if self.trainer.rounds:  # else fp32 is what it was measured in
            (validation,) = self.trainer.predict_as_in_training([self.prepared.measured["validation"]])
        again, before = self.prepared.meter.measure(*validation)[loss], selected.validation[loss]
        if before is None or not math.isclose(again, before, rel_tol=1e-2, abs_tol=1e-4):
            raise RunFailed(
                f"the restored weights of step {selected.step} measure {loss} {again} on validation, but measured "
                f"{before} in training: the selected checkpoint is damaged."
            )

    def _load_weights(self, path: Path) -> None:
        self.trainer.writer.finish()
        self.trainer.accelerator.wait_for_everyone()  # the main process may still have been writing
        weights = load_file(path)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(weights[name])

    def _checkpoint(self, evaluation: Evaluation, outputs: dict[str, Measured]) -> Checkpoint:
        scores = {name: self.prepared.meter.measure(*measured) for name, measured in outputs.items()}
        intervals = gap_intervals(self.prepared.data.task, outputs["train_probe"], outputs["validation"])
        gaps = compute_gap(scores["train_probe"], scores["validation"])
        none = (None, None)
        return Checkpoint(
            step=evaluation.step,
            epoch=evaluation.epoch,
            train_probe=_defined(scores["train_probe"]),
            validation=_defined(scores["validation"]),
            test=_defined(scores["test"]) if "test" in scores else None,
            gap={
                name: Gap(value=value, low=intervals.get(name, none)[0], high=intervals.get(name, none)[1])
                for name, value in _defined(gaps).items()
            },
        )

    def _calibration(self, outputs: dict[str, Measured]) -> Calibration | None:
        if self.prepared.data.task != "single_label":
            return None
        temperature = fit_temperature(*outputs["validation"])
        if "test" not in outputs:
            return Calibration(temperature=temperature, test_nll=None)
        logits, targets = outputs["test"]
        scaled = compute_scores("single_label", logits / temperature, targets)
        return Calibration(temperature=temperature, test_nll=scaled["nll"])

    # --- save ---------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """The model as plain transformers loads it, and every row's logits for later statistics."""
        if not is_main():
            return
        with replaced_folder(self.folder.model) as partial:
            self.model.save_pretrained(partial)
            self.prepared.encoder.save_tokenizer(partial)
        with replaced_file(self.folder.predictions) as partial:
            np.savez_compressed(partial, **self._predictions())

    def _predictions(self) -> dict[str, Any]:
        arrays: dict[str, Any] = {}
        for name, rows in self.prepared.data.splits().items():  # one logit vector a row, however many windows it has
            arrays[f"{name}_rows"] = np.array(rows.ids)
            arrays[f"{name}_targets"] = self.outputs["selected"][name][1]
        for checkpoint, outputs in self.outputs.items():
            arrays |= {f"{checkpoint}_{name}_logits": measured[0] for name, measured in outputs.items()}
        return arrays

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

    def write_record(self, **changes: Any) -> None:
        with self.stopwatch.phase(SAVING):
            self._update(**changes, time=self._time())
            if is_main():
                self.folder.write(self.record)

    def finish(self, warnings: list[str]) -> FinishedRecord:
        """Write the record of the finished run."""
        with self.stopwatch.phase(SAVING):
            self.record = record = self.record.finish(warnings=warnings, time=self._time())
            if is_main():
                self.folder.write(record)
        return record

    def _time(self) -> RunTime:
        phases = {name: round(seconds, 3) for name, seconds in self.stopwatch.seconds().items()}
        until_now = {"seconds": self._elapsed(), "total_seconds": round(sum(phases.values()), 3), "phases": phases}
        return self.record.time.model_copy(update=until_now)

    def remove_checkpoints(self) -> None:
        """A finished run is not resumed; its checkpoints are three times the size of the model."""
        if is_main():
            shutil.rmtree(self.folder.checkpoints, ignore_errors=True)

    def _update(self, **changes: Any) -> None:
        self.record = self.record.model_copy(update=changes)

    def _elapsed(self) -> float:
        return round(time.perf_counter() - self.started + self.earlier_seconds, 2)

    def _first_step(self) -> dict[str, float]:
        """Seconds from the call of `run_seed` to the first optimizer step; nothing where none was taken."""
        begun = self.trainer.clock.first_step
        return {} if begun is None else {"first_step": round(begun - self.started, 2)}


def _build_model(prepared: Prepared, seed: int) -> tuple[Any, dict[str, Tensor]]:
    """The model as it is trained, and the encoder's weights as they were loaded.

    The latter are taken before any technique touches the model, and before a resumed run loads its checkpoint.
    """
    recipe, data = prepared.recipe, prepared.data
    pretrained: dict[str, Tensor] = {}

    def load(config: Any) -> Any:
        model = load_model(recipe.model, config, seed)
        pretrained.update({name: value.detach().clone() for name, value in encoder_parameters(model).items()})
        if data.task == "regression":
            start_at(model, float(np.mean(data.train.labels)))
        return model

    return configured_model(recipe, data.task, data.labels, load), pretrained


def _selector(prepared: Prepared) -> Selector | None:
    if prepared.rule is None or prepared.metric is None:
        return None
    return Selector(prepared.rule, prepared.metric, prepared.measure.loss)


def _augmenters(prepared: Prepared) -> dict[str, Any]:
    techniques = {name: value for name, value in prepared.recipe.techniques.items() if value.augments}
    if not techniques:
        return {}
    sources = augment_sources(prepared.recipe, prepared.data, prepared.tokenizer)
    return {name: technique.augmenter(sources) for name, technique in techniques.items()}


def _token_augmenters(prepared: Prepared) -> dict[str, Any]:
    return {
        name: functools.partial(technique.augment_tokens, tokens=token_facts(prepared.tokenizer))
        for name, technique in prepared.recipe.techniques.items()
        if overrides(technique, "augment_tokens")
    }


def _class_weights(prepared: Prepared) -> torch.Tensor | None:
    """n / (K × rows of the class): mean 1 over the training rows, so that the learning rate keeps its meaning."""
    labels = prepared.data.labels
    if prepared.recipe.training.class_weights == "none" or labels is None:
        return None
    counts = count_labels(prepared.data.train)
    rows = len(prepared.data.train)
    return torch.tensor([rows / (len(counts) * counts[name]) for name in labels])


def _defined(scores: Mapping[str, float | None]) -> dict[str, float | None]:
    """JSON has no nan: what is undefined becomes None."""
    return {name: value if value is not None and math.isfinite(value) else None for name, value in scores.items()}


def _opening_record(prepared: Prepared, seed: int, model: Any) -> RunRecord:
    recipe, budget = prepared.recipe, prepared.budget
    return RunRecord(
        status="running",
        recipe=recipe.to_dict(),
        preset=recipe.preset,
        seed=seed,
        data=prepared.facts(),
        model=ModelFacts(
            architecture=type(model).__name__,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            trainable=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
            dropout={site.path: site.probability for site in dropout_sites(model)},
        ),
        techniques=active_techniques(recipe, budget),
        budget=RunBudget(
            steps=budget.steps,
            steps_per_epoch=budget.steps_per_epoch,
            warmup_steps=budget.warmup_steps,
            processes=world_size(),
            precision="bf16" if prepared.bf16 else "fp32",
            cost=declared_cost(recipe, budget),
        ),
        code=read_code().model_copy(update=_own_techniques(prepared.recipe)),
        versions=read_versions(),
        device=read_device(),
        warnings=prepared.warnings,
        time=RunTime(started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")),
    )


def _own_techniques(recipe: Recipe) -> dict[str, Any]:
    """sha256 of the files of the user's own techniques, which no commit of ours names."""
    digests = {name: source_digest(type(technique)) for name, technique in recipe.techniques.items()}
    own = {name: digest for name, digest in digests.items() if digest}
    return {"techniques": own} if own else {}


def copies_on_disk(recipe: Recipe) -> int:
    """Of the weights, at most: each of the two checkpoints holds the average too, where one is kept."""
    averaging = any(overrides(technique, "average_share") for technique in recipe.techniques.values())
    return COPIES_ON_DISK + (2 if averaging else 0)


def _check_disk(path: Path, model: Any, copies: int) -> None:
    """Refuse to start what cannot be saved.

    Raises:
        OutputError: With what is needed and what is free, in MB.
    """
    existing = next(parent for parent in (path, *path.resolve().parents) if parent.exists())
    needed = copies * 4 * sum(parameter.numel() for parameter in model.parameters())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise OutputError(
            f"--output {path}: checkpoints and model of this run need {needed // 10**6} MB, {free // 10**6} MB are "
            "free. Free some space, or choose another disk: --output DIR"
        )


def _explain(error: BaseException, folder: RunFolder) -> BaseException:
    """What the user can mend becomes a RunFailed; everything else stays what it is, traceback and all."""
    if isinstance(error, FinetuneError | KeyboardInterrupt):
        return error
    text = str(error)
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or "No space left" in text or "file write failed" in text or "unexpected pos" in text:
        return RunFailed(
            f"the disk of {folder.path} is full. Free some space, then run the same command with --resume."
        )
    if isinstance(error, torch.OutOfMemoryError):
        return RunFailed(f"out of GPU memory. Try: --set training.accumulation=2 (same batch, half the memory): {text}")
    return error
