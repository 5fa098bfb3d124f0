"""One level over transformers' Trainer: our objective, our batches, our checkpoints. No technique by name."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME
from transformers.trainer_callback import PrinterCallback

from finetune.data.sorted_sets import MeasuredSet
from finetune.data.tokens import Item
from finetune.errors import Change
from finetune.measurement.modules import Meter
from finetune.models.outputs import Outputs, model_outputs
from finetune.techniques import Budget, OptimizerSteps, has_hook
from finetune.techniques.rates import changes_rates
from finetune.training.averaging import WeightAverage
from finetune.training.batches import StepLoader
from finetune.training.callbacks import PartFreezing, StepClock, TechniqueHooks
from finetune.training.checkpoints import CheckpointWriter, Snapshot, copy_to_host
from finetune.training.disk import writing_to
from finetune.training.evaluations import HAS_LEARNED
from finetune.training.finite import FiniteWatch, NotFinite, reading_delay
from finetune.training.names import weight_names
from finetune.training.objective import Objective
from finetune.training.outputs import split_outputs
from finetune.training.phases import BATCHES, CHECKPOINTS, EVALUATION, FORWARD_BACKWARD, Stopwatch
from finetune.training.rates import RatePlan
from finetune.training.repetition import RepeatablePasses, repeats_passes
from finetune.training.scale import TargetScale
from finetune.training.unlabelled import UnlabelledTexts


class RegularizedTrainer(Trainer):
    """Trainer whose loss is exact under accumulation and processes, and whose evaluation is the clean model.

    Args:
        model: A sequence classifier in fp32.
        args: From `build_arguments`.
        objective: What training minimises, with the techniques of the run.
        budget: Steps and learning rates.
        pretrained: Name -> value as loaded, for the parameters of the encoder.
        train_loader: Batches of this process.
        measured: Name -> split measured at every evaluation (train_probe, validation).
        meter: Turns logits into scores.
        scale: What numbers are scaled by in training; outputs are measured in units of the data.
        has_learned: Outputs on validation -> whether they beat the same answer for every text beyond chance; None where
            nobody asks.
        collate: Pads the batches of measured splits.
        bf16: Whether training passes run under bf16 autocast. Weights and losses stay fp32.
        evaluate_in_bf16: Whether evaluations during training run under bf16 autocast, too: of 1,000 rows about one is
            classified differently. What is reported in the end is measured in fp32.
        callbacks: Further callbacks.
        run_state: What a checkpoint keeps of the run itself: history and selection.
        stopwatch: Is told what the time goes into.
        unlabelled: Texts without labels that are trained on beside the batches; None: there are none.
    """

    # Ours is a mean over the rows of a micro-batch, rescaled in `compute_loss`: Trainer divides by accumulation.
    loss_is_scaled_for_ga = False
    control: Any  # of Trainer, which mypy does not read
    optimizer: Any
    lr_scheduler: Any

    def __init__(
        self,
        model: Any,
        args: TrainingArguments,
        *,
        objective: Objective,
        budget: Budget,
        pretrained: Mapping[str, Tensor],
        train_loader: StepLoader,
        measured: Mapping[str, MeasuredSet],
        meter: Meter,
        scale: TargetScale | None,
        has_learned: Callable[[Outputs], bool] | None,
        collate: Callable[..., Any],
        bf16: bool,
        evaluate_in_bf16: bool,
        callbacks: Sequence[TrainerCallback],
        run_state: Callable[[], dict[str, Any]],
        stopwatch: Stopwatch,
        unlabelled: UnlabelledTexts | None = None,
    ) -> None:
        # Before Trainer looks at it: encoder heads accept loss arguments and then ignore them, which would multiply
        # the loss by the accumulation steps and by the number of processes (transformers #47688).
        model.accepts_loss_kwargs = False
        super().__init__(model, args, data_collator=collate, eval_dataset=dict(measured), callbacks=list(callbacks))
        self.remove_callback(PrinterCallback)
        self.objective = objective
        self.techniques = objective.techniques
        self.train_loader = train_loader
        self.measured = measured
        self.meter = meter
        self.scale = scale
        self.has_learned = has_learned
        self.bf16 = bf16
        self.evaluate_in_bf16 = evaluate_in_bf16
        self.run_state = run_state
        self.stopwatch = stopwatch
        self.unlabelled = unlabelled
        self.clock = StepClock(stopwatch)
        self.writer = CheckpointWriter()
        self.average = WeightAverage(_trainable(model))
        self.rates = RatePlan(model, self.techniques, budget) if changes_rates(self.techniques) else None
        self.last_outputs: dict[str, Outputs] = {}  # of the last evaluation, where it was fp32
        self._watch = FiniteWatch(reading_delay(args.device))
        self._rows_in_step = 0
        repeats = repeats_passes(self.techniques)
        self._passes = RepeatablePasses(model, self.techniques, self._forward_backward) if repeats else None
        self._add_step_callbacks(budget, pretrained)

    def _add_step_callbacks(self, budget: Budget, pretrained: Mapping[str, Tensor]) -> None:
        parameters = _trainable(self.model)
        hooks = (OptimizerSteps.before_optimizer_step, OptimizerSteps.after_optimizer_step)
        hooked = has_hook(self.techniques, *hooks)
        start = _starting_values(self.model, pretrained) if hooked else {}
        names = weight_names(self.model, pretrained)
        self.add_callback(TechniqueHooks(parameters, self.techniques, names, start, budget, self.average))
        if self.rates is not None and self.accelerator.num_processes == 1:
            self.add_callback(PartFreezing(parameters, self.rates))
        self.add_callback(self.clock)

    # --- batches ------------------------------------------------------------------------------------------------

    def get_train_dataloader(self) -> StepLoader:
        return self.train_loader

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], None]:
        """Fetch the micro-batches of one optimizer step and count its rows over all processes."""
        with self.stopwatch.phase(BATCHES):
            batches = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        self._rows_in_step = sum(len(batch["labels"]) for batch in batches)
        if self.accelerator.num_processes > 1:
            rows = torch.tensor(self._rows_in_step, device=self.args.device)
            self._rows_in_step = int(self.accelerator.reduce(rows, "sum").item())
        if self.unlabelled is not None:
            with self.stopwatch.phase(FORWARD_BACKWARD):
                self.unlabelled.add_to(batches, self.state.global_step, self._clean_logits)
        return batches, None

    def _clean_logits(self, items: Sequence[Item]) -> Tensor:
        """(items, outputs) float32, of the model in eval mode; computed by all processes together."""
        outputs = model_outputs(
            self.model,
            [{**item, "labels": 0} for item in items],
            self.data_collator,
            batch_size=self.args.per_device_eval_batch_size,
            device=self.args.device,
            autocast=torch.bfloat16 if self.evaluate_in_bf16 else None,
        )
        return torch.from_numpy(outputs.logits)

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Onto the device; from pinned memory without waiting for what a GPU is at."""
        return {
            key: self._prepare_inputs(value)
            if isinstance(value, dict)
            else value.to(self.args.device, non_blocking=True)
            for key, value in inputs.items()
        }

    # --- optimizer ----------------------------------------------------------------------------------------------

    def create_optimizer(self, model: Any = None) -> Any:
        """AdamW; with a group for each part of the model where techniques treat them differently."""
        if self.rates is None or self.optimizer is not None:
            return super().create_optimizer(model)
        model = self.model if model is None else model
        kind, options = self.get_optimizer_cls_and_kwargs(self.args, model)
        groups = self.rates.groups(model.named_parameters(), self.get_decay_parameter_names(model))
        self.optimizer = kind(groups, **options)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Linear warm-up and decay; of each part on its own where techniques treat them differently."""
        if self.rates is None or self.lr_scheduler is not None:
            return super().create_scheduler(num_training_steps, optimizer)
        optimizer = self.optimizer if optimizer is None else optimizer
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self.rates.factors(optimizer.param_groups))
        self._created_lr_scheduler = True
        return self.lr_scheduler

    def _get_learning_rate(self) -> float:
        """What the log says: of parts that differ, the highest."""
        if self.rates is None:
            return float(super()._get_learning_rate())
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    # --- one micro-batch ----------------------------------------------------------------------------------------

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The training objective of one micro-batch, scaled so that a step is the mean over its rows."""
        features = {key: value for key, value in inputs.items() if key not in ("labels", "unlabelled")}
        loss = self.objective.loss(model, features, inputs["labels"])
        # Trainer divides by the micro-batches and DDP by the processes; both are undone here, exactly 1 in the
        # plain case, because parts of a step may differ by a row.
        parts = self.current_gradient_accumulation_steps * self.accelerator.num_processes
        weight = len(inputs["labels"]) * parts / self._rows_in_step
        loss = loss * weight if weight != 1 else loss
        if self.unlabelled is None or "unlabelled" not in inputs:
            return loss
        return loss + self.unlabelled.loss(model, inputs["unlabelled"])

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """One micro-batch: forward and backward, and what techniques add to its gradients.

        Raises:
            RunFailed: The objective is not finite; names step and epoch. Or the last checkpoint could not be written
                because the disk is full.
            OSError: Or for another reason.
        """
        self.writer.check()
        frozen = frozenset() if self.rates is None else self.rates.frozen(self.state.global_step)
        with self.stopwatch.phase(FORWARD_BACKWARD):
            if self._passes is None:
                loss = self._forward_backward(model, inputs)
            else:
                # With several processes what is frozen in this step has gradients, too; no technique is to see them.
                seen = {name: value for name, value in _trainable(self.model).items() if name not in frozen}
                loss = self._passes.run(model, inputs, seen, ends_step=self.accelerator.sync_gradients)
        if frozen:
            # With one process they are not even computed; with several each must take part in the exchange.
            for name, parameter in self.model.named_parameters():
                if name in frozen:
                    parameter.grad = None
        return loss

    def _forward_backward(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        loss: Tensor = super().training_step(model, inputs)
        failure = functools.partial(self._not_finite, self.state.global_step + 1, self.state.epoch or 0)
        processes = self.accelerator.num_processes
        if processes == 1:
            self._watch.add(loss, functools.partial(failure, self._get_learning_rate()))
        # All processes must stop together, or the others would wait for the one that did.
        elif self.accelerator.reduce(torch.isfinite(loss).float(), "sum").item() != processes:
            value = "nan or infinite in another process" if torch.isfinite(loss) else loss.item()
            raise failure(self._get_learning_rate(), value)
        return loss

    def _not_finite(self, step: int, epoch: float, rate: float, value: float | str) -> NotFinite:
        return NotFinite(
            f"the training objective became {value} in step {step} of {self.state.max_steps} (epoch {epoch:.1f}), "
            f"learning rate {rate:.1e}.",
            self._smaller_rate(),
            *([Change(settings={"training.precision": "fp32"})] if self.bf16 else []),
        )

    def _smaller_rate(self) -> Change:
        return Change(settings={"training.learning_rate": float(f"{self.args.learning_rate / 5:.0e}")})

    def autocast_smart_context_manager(
        self, cache_enabled: bool | None = True
    ) -> contextlib.AbstractContextManager[Any]:
        """bf16 for training passes; evaluations decide for themselves."""
        if self.bf16 and self.model.training:
            return torch.autocast(self.args.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    # --- measuring ----------------------------------------------------------------------------------------------

    def split_outputs(self, split: MeasuredSet, bf16: bool = False) -> Outputs:
        """Outputs of the clean model for each row of a split, in their order; of a text in windows, the mean logits.
        Numbers are in units of the data."""
        outputs = split_outputs(
            self.model,
            split,
            self.data_collator,
            batch_size=self.args.per_device_eval_batch_size,
            device=self.args.device,
            autocast=torch.bfloat16 if bf16 else None,
            after_batch=lambda: self.callback_handler.on_prediction_step(self.args, self.state, self.control),
        )
        logits = outputs.logits if self.scale is None else self.scale.restored(outputs.logits)
        return Outputs(logits, outputs.targets)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Measure all splits and tell the callbacks once, with keys such as eval_validation_accuracy.

        Where techniques keep an average of the weights, the average is measured: it is what the run will save.

        Raises:
            RunFailed: The model's outputs are not finite, or an objective since the last evaluation was not.
        """
        self._watch.catch_up()
        with self.stopwatch.phase(EVALUATION), self.average.swapped_in():
            outputs = {name: self.split_outputs(split, self.evaluate_in_bf16) for name, split in self.measured.items()}
            self.last_outputs = {} if self.evaluate_in_bf16 else outputs
            metrics: dict[str, float] = {}
            for name, (logits, targets) in outputs.items():
                self._refuse_infinite(name, logits)
                scores = self.meter.measure(logits, targets)
                metrics |= {f"{metric_key_prefix}_{name}_{score}": value for score, value in scores.items()}
            if self.has_learned is not None:
                metrics[HAS_LEARNED] = float(self.has_learned(outputs["validation"]))
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
            return metrics

    def _refuse_infinite(self, split: str, logits: Any) -> None:
        if not np.isfinite(logits).all():
            raise NotFinite(
                f"the model's outputs on {split} are not finite after step {self.state.global_step}.",
                self._smaller_rate(),
            )

    # --- checkpoints --------------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Copy what training changes, and go on: the copies are written meanwhile. One checkpoint at a time."""
        with self.stopwatch.phase(CHECKPOINTS):
            self.writer.finish()
            with writing_to(Path(self.args.output_dir)):
                super()._save_checkpoint(model, trial)  # what is small
            self.accelerator.wait_for_everyone()  # each process has written its own random state
            if self.is_world_process_zero():
                self.writer.start(functools.partial(self._snapshot().write, self._save))

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Nothing at once: see `_snapshot`."""

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """Nothing at once: see `_snapshot`."""

    def _snapshot(self) -> Snapshot:
        states = {OPTIMIZER_NAME: self.optimizer.state_dict(), SCHEDULER_NAME: self.lr_scheduler.state_dict()}
        return Snapshot(
            folder=Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}",
            weights=copy_to_host(self.model.state_dict()),
            states={name: copy_to_host(state) for name, state in states.items()},
            parameters=[name for name, _ in self.model.named_parameters()],
            average=self.average.copy_to_host(),
            run=self.run_state() | ({} if self.unlabelled is None else {"unlabelled": self.unlabelled.to_dict()}),
        )

    def load_parameters(self, path: Path) -> None:
        """Read the weights of a checkpoint back, once it is written."""
        self.writer.finish()
        self.accelerator.wait_for_everyone()  # the main process may still have been writing
        weights = load_file(path)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(weights[name])

    def forget_training(self) -> None:
        """Drop gradients and the optimizer's moments, three times the memory of what trained: nothing trains on."""
        self.model.zero_grad(set_to_none=True)
        if self.optimizer is not None:
            self.optimizer.state.clear()

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: walking all modules at every step costs more than it tells."""
        return 0


def _starting_values(model: Any, pretrained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Where the encoder's parameters start, on the model's device: as loaded, unless a technique started them anew."""
    present = dict(model.named_parameters())
    return {
        name: same if torch.equal(present[name].detach(), same) else present[name].detach().clone()
        for name, value in pretrained.items()
        if name in present
        for same in [value.to(present[name].device)]
    }


def _trainable(model: Any) -> dict[str, torch.nn.Parameter]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad}
