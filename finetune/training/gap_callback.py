"""`GapCallback`: the generalization gap in your own transformers Trainer."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Subset
from transformers import TrainerCallback

from finetune.errors import Change, DataError, ModelError, OutputError
from finetune.measurement.scores import compute_scores
from finetune.models.outputs import Outputs, model_outputs
from finetune.records.environment import read_code, read_device, read_versions
from finetune.records.facts import RunBudget, RunTime
from finetune.records.schema import OWN, OWN_TRAINER, Checkpoint, Evaluation, RunRecord
from finetune.records.store import RunFolder
from finetune.training.data_facts import data_facts
from finetune.training.evaluations import make_evaluation
from finetune.training.facts import model_facts
from finetune.training.measures import measure_for
from finetune.training.own_datasets import own_data
from finetune.training.random_state import same_random_state
from finetune.training.results import calibration_record, checkpoint_record, threshold_record
from finetune.training.saving import prediction_arrays, save_predictions

REGULARIZATION = ("weight_decay", "label_smoothing_factor", "neftune_noise_alpha")  # arguments of Trainer that are one


class GapCallback(TrainerCallback):
    """Measures the gap between training and validation rows while a Trainer of your own trains.

    At every evaluation (without evaluations: after every epoch) a fixed sample of the training rows is measured in the
    same way as validation: in eval mode, with the plain loss of the task. The trainer logs `gap_accuracy`, `gap_nll`,
    …, each with the ends of its 95 % interval (`gap_accuracy_low`, `gap_accuracy_high`); a positive gap means
    overfitting. Training is not changed: random states and the mode of the model are restored.

        trainer = Trainer(model, arguments, train_dataset=train, eval_dataset=validation, data_collator=collator)
        trainer.add_callback(GapCallback(trainer, "runs/mine-seed1"))
        trainer.train()

    Then `finetune report runs/mine-seed1` shows it.

    Args:
        trainer: Trainer of a sequence classifier (single-label, multi-label or regression) with labelled datasets.
        folder: Folder for record and predictions, for `finetune report`; new, or of an unfinished run. None: nothing is
            written.
        preset: Name of this way of training in a report of several runs.
        validation: The dataset that training rows are compared with; None: the trainer's `eval_dataset`.
        probe_size: Number of training rows to measure; None: as many as validation has.
        seed: Seed of the sample. Use the same for all runs that are compared.

    Raises:
        DataError: A dataset is missing, has no length, or has no usable labels.
        ModelError: The model is not a sequence classifier, or is distributed over devices.
        OutputError: The folder holds something else, or a finished run.
    """

    def __init__(
        self,
        trainer: Any,
        folder: str | Path | None = None,
        *,
        preset: str = OWN,
        validation: Any = None,
        probe_size: int | None = None,
        seed: int = 0,
    ) -> None:
        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            why = "the model is sharded over processes (FSDP or DeepSpeed), so no process can measure it."
            raise ModelError(why, Change(text="Train with one process per GPU (DDP), or without GapCallback."))
        self._trainer = trainer
        self._folder = None if folder is None else RunFolder(Path(folder))
        if self._folder is not None and trainer.is_world_process_zero():
            _refuse_foreign(self._folder)
        validation = _chosen_validation(trainer.eval_dataset) if validation is None else validation
        with same_random_state():
            data = own_data(trainer.model, trainer.train_dataset, validation, probe_size, seed)
        self._data = data
        self._splits = {"train_probe": Subset(trainer.train_dataset, data.probe), "validation": validation}
        self._preset = preset
        self._measure = measure_for(data, "auto")
        self._collate = trainer._get_collator_with_removed_columns(trainer.data_collator)
        self._refuse_without_labels()
        self._history: list[Evaluation] = []
        self._outputs: dict[str, Outputs] = {}  # of the last measurement
        self._checkpoint: Checkpoint | None = None  # the same, as it is recorded
        self._logs: dict[str, Any] = {}  # the last about training
        self._began = time.perf_counter()
        self._earlier: RunRecord | None = None  # of a training that is resumed
        self._opening: RunRecord | None = None

    # --- events -------------------------------------------------------------------------------------------------

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = time.perf_counter()
        self._earlier = earlier = self._folder.read() if self._folder is not None and state.global_step else None
        history = [] if earlier is None else earlier.history
        self._history = [evaluation for evaluation in history if evaluation.step <= state.global_step]
        self._opening = self._opening_record()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if "loss" in kwargs["logs"]:
            self._logs = dict(kwargs["logs"])

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._observe(control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if args.eval_strategy == "no":
            self._observe(control)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        restored = args.load_best_model_at_end and state.best_model_checkpoint is not None
        if not restored:
            self._observe(control)  # unless the last step was evaluated
        last, last_outputs = self._checkpoint, self._outputs
        if last is None or self._folder is None:
            return
        selected, selected_outputs = last, last_outputs
        if restored and state.best_global_step != last.step:
            selected_outputs = self._measure_splits()
            best = next((each for each in self._history if each.step == state.best_global_step), self._history[-1])
            selected = self._checkpoint_record(state.best_global_step, best.epoch, selected_outputs)
        if not self._trainer.is_world_process_zero():
            return
        outputs = {"selected": selected_outputs, "last": last_outputs}
        save_predictions(prediction_arrays(self._data.measured_splits(), outputs), self._folder.predictions)
        calibration = calibration_record(selected_outputs, self._data.task)
        thresholds = threshold_record(selected_outputs, self._data.task, self._data.labels)
        finished = self._record().finish(selected=selected, last=last, calibration=calibration, thresholds=thresholds)
        self._folder.write(finished)

    # --- measuring ----------------------------------------------------------------------------------------------

    def _observe(self, control: Any) -> None:
        """Measure, log and record the present weights, once per step."""
        state = self._trainer.state
        if self._history and self._history[-1].step == state.global_step and self._checkpoint is not None:
            return
        epoch = round(state.epoch or 0.0, 6)
        self._outputs = self._measure_splits()
        self._checkpoint = point = self._checkpoint_record(state.global_step, epoch, self._outputs)
        scores = {"train_probe": point.train_probe, "validation": point.validation}
        evaluation = make_evaluation(state, self._logs, scores)
        self._history = [*(each for each in self._history if each.step < state.global_step), evaluation]
        is_due = control.should_log
        self._trainer.log(_log_entries(point))
        control.should_log = is_due  # logging ours must not cost the trainer its own
        if self._folder is not None and self._trainer.is_world_process_zero():
            self._folder.write(self._record())

    def _measure_splits(self) -> dict[str, Outputs]:
        """Outputs of train sample and validation.

        Raises:
            ModelError: The model does not classify sequences.
        """
        args = self._trainer.args
        outputs = {}
        with same_random_state():
            for name, split in self._splits.items():
                logits, targets = model_outputs(
                    self._trainer.model,
                    split,
                    self._collate,
                    batch_size=args.per_device_eval_batch_size,
                    device=args.device,
                    autocast=torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else None,
                )
                if logits.ndim != 2:
                    why = f"logits have shape {logits.shape}, but GapCallback measures one prediction per row."
                    raise ModelError(why, Change(text="Use it with a sequence classifier."))
                outputs[name] = Outputs(logits, targets.ravel() if self._data.task == "regression" else targets)
        return outputs

    def _checkpoint_record(self, step: int, epoch: float, outputs: Mapping[str, Outputs]) -> Checkpoint:
        task = self._data.task
        return checkpoint_record(step, epoch, outputs, task, lambda *split: compute_scores(task, *split))

    def _refuse_without_labels(self) -> None:
        item = self._splits["validation"][0]
        if "labels" not in self._collate([item]):
            why = "the trainer's data_collator makes batches without 'labels'."
            raise DataError(why, Change(text="Use one that does, such as transformers.DataCollatorWithPadding."))

    # --- record -------------------------------------------------------------------------------------------------

    def _record(self) -> RunRecord:
        """The record so far, of all segments of a training that was resumed."""
        opening = self._opening or self._opening_record()  # an evaluation before training
        earlier = 0.0 if self._earlier is None else self._earlier.time.seconds
        seconds = round(time.perf_counter() - self._began + earlier, 2)
        return opening.model_copy(
            update={
                "history": self._history,
                "budget": self._budget(),
                "time": opening.time.model_copy(update={"seconds": seconds, "total_seconds": seconds}),
            }
        )

    def _opening_record(self) -> RunRecord:
        """The record as training begins."""
        trainer, data, earlier = self._trainer, self._data, self._earlier
        started = RunTime(started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))
        if earlier is not None:
            started = started.model_copy(update={"resumed": earlier.time.resumed + 1})
        return RunRecord(
            status="running",
            recipe=self._recipe(),
            preset=self._preset,
            seed=trainer.args.seed,
            data=data_facts(data, self._measure),
            model=model_facts(trainer.model),
            techniques={},
            budget=self._budget(),
            code=read_code(),
            versions=read_versions(),
            device=read_device(),
            time=started,
        )

    def _recipe(self) -> dict[str, Any]:
        """The arguments of the trainer, in the words of a recipe."""
        args = self._trainer.args
        chosen = {name: getattr(args, name, None) for name in REGULARIZATION}
        return {
            "name": OWN_TRAINER,
            "preset": self._preset,
            "model": {"id": self._trainer.model.config._name_or_path or type(self._trainer.model).__name__},
            "data": {"source": f"datasets {self._data.fingerprint[:12]}", "task": self._data.task},
            "training": {
                "epochs": args.num_train_epochs,
                "batch_size": self._rows_per_step(),
                "eval_batch_size": args.per_device_eval_batch_size,
                "learning_rate": args.learning_rate,
                "seeds": [args.seed],
            },
            "techniques": {name: {"value": value} for name, value in chosen.items() if value},
        }

    def _budget(self) -> RunBudget:
        args, state = self._trainer.args, self._trainer.state
        return RunBudget(
            steps=state.max_steps,
            steps_per_epoch=math.ceil(len(self._data.train) / self._rows_per_step()),
            warmup_steps=args.get_warmup_steps(state.max_steps),
            processes=args.world_size,
            precision="bf16" if args.bf16 else "fp16" if args.fp16 else "fp32",
            cost=1.0,
            steps_done=state.global_step,
        )

    def _rows_per_step(self) -> int:
        args = self._trainer.args
        return int(args.train_batch_size * args.gradient_accumulation_steps * args.world_size)


def _refuse_foreign(folder: RunFolder) -> None:
    """Refuse to write over anything but an unfinished run.

    Raises:
        OutputError: The folder holds something else.
    """
    folder.check_no_file()
    if folder.is_empty():
        return
    record = folder.read()
    if record is None or record.status == "finished":
        holds = "is not empty and holds no run." if record is None else "holds a finished run."
        raise OutputError(holds, Change(text="Choose another folder."), argument="folder", found=str(folder.path))


def _chosen_validation(datasets: Any) -> Any:
    """The trainer's only eval_dataset.

    Raises:
        DataError: There are several.
    """
    if not isinstance(datasets, Mapping):
        return datasets
    if len(datasets) == 1:
        return next(iter(datasets.values()))
    names = ", ".join(map(str, datasets))
    way = Change(text=f"Say which: GapCallback(trainer, validation=trainer.eval_dataset[{next(iter(datasets))!r}]).")
    raise DataError(f"the trainer has several eval datasets ({names}), and a gap is measured on one.", way)


def _log_entries(point: Checkpoint) -> dict[str, float]:
    """What the trainer logs: gaps with the ends of their intervals, and what they are the difference of."""
    entries: dict[str, float | None] = {}
    for name, gap in point.gap.items():
        entries |= {f"gap_{name}": gap.value, f"gap_{name}_low": gap.low, f"gap_{name}_high": gap.high}
    entries |= {f"train_probe_{name}": value for name, value in point.train_probe.items()}
    entries |= {f"validation_{name}": value for name, value in point.validation.items()}
    return {name: value for name, value in entries.items() if value is not None}
