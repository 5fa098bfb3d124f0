"""One level over transformers' Trainer: our objective, our measurement, our batches. No technique by name."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME
from transformers.trainer_callback import PrinterCallback

from finetune.data.tokens import MeasuredSet
from finetune.errors import RunFailed
from finetune.measurement.modules import Meter
from finetune.tasks import Task
from finetune.techniques import (
    Budget,
    GradientView,
    StepView,
    Technique,
    TrainStep,
    WeightNames,
    overrides,
)
from finetune.techniques.rates import TOP_LAYER, changes_rates, part_budget
from finetune.training.averaging import WeightAverage
from finetune.training.batches import StepLoader
from finetune.training.checkpoints import CheckpointWriter, complete_checkpoint, keep_selected, on_host
from finetune.training.finite import FiniteWatch, passes_behind
from finetune.training.names import weight_names
from finetune.training.phases import (
    BATCHES,
    CHECKPOINTS,
    EVALUATION,
    FORWARD_BACKWARD,
    OPTIMIZER,
    Stopwatch,
)
from finetune.training.rates import RatePlan

Measured = tuple[NDArray[Any], NDArray[Any]]  # logits and targets, in the order of the rows


def plain_losses(task: str, logits: Tensor, labels: Tensor) -> Tensor:
    """The task's loss of each row, (batch,): cross-entropy, mean binary cross-entropy over labels, or squared error."""
    if task == "single_label":
        return F.cross_entropy(logits, labels, reduction="none")
    if task == "multi_label":
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=-1)
    return F.mse_loss(logits.squeeze(-1), labels, reduction="none")


class RegularizedTrainer(Trainer):
    """Trainer whose loss is exact under accumulation and processes, and whose evaluation is the clean model.

    Args:
        model: A sequence classifier in fp32.
        args: From `build_arguments`.
        task: single_label, multi_label or regression.
        techniques: Name -> technique, in the order of the preset.
        budget: Steps and learning rates.
        pretrained: Name -> value as loaded, for the parameters of the encoder.
        train_loader: Batches of this process.
        measured: Name -> split measured at every evaluation (train_probe, validation).
        meter: Turns logits into scores.
        collate: Pads the batches of measured splits.
        class_weights: (K,) weights with mean 1 over the training rows, or None.
        bf16: Whether training passes run under bf16 autocast. Weights and losses stay fp32.
        rounds: Whether evaluations while training run under bf16 autocast, too: of 1,000 rows about one is classified
            otherwise. What is reported in the end is measured in fp32.
        callbacks: Further callbacks.
        run_state: What a checkpoint keeps of the run itself: history and selection.
        stopwatch: Is told what the time goes into.
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
        task: Task,
        techniques: Mapping[str, Technique],
        budget: Budget,
        pretrained: Mapping[str, Tensor],
        train_loader: StepLoader,
        measured: Mapping[str, MeasuredSet],
        meter: Meter,
        collate: Callable[..., Any],
        class_weights: Tensor | None,
        bf16: bool,
        rounds: bool,
        callbacks: list[TrainerCallback],
        run_state: Callable[[], dict[str, Any]],
        stopwatch: Stopwatch,
    ) -> None:
        # Before Trainer looks at it: encoder heads accept loss arguments and then ignore them, which would multiply
        # the loss by the accumulation steps and by the number of processes (transformers #47688).
        model.accepts_loss_kwargs = False
        super().__init__(model, args, data_collator=collate, eval_dataset=dict(measured), callbacks=callbacks)
        self.remove_callback(PrinterCallback)
        self.task = task
        self.techniques = list(techniques.values())
        self.budget = budget
        names = weight_names(model, pretrained)
        self.average = WeightAverage(_trainable(model))
        self.rates = RatePlan(model, self.techniques, budget) if changes_rates(self.techniques) else None
        looks = any(
            overrides(technique, "before_optimizer_step") or overrides(technique, "after_optimizer_step")
            for technique in self.techniques
        )
        self.add_callback(_TechniqueHooks(self, names, _starting_values(self.model, pretrained) if looks else {}))
        self.train_loader = train_loader
        self.measured = measured
        self.meter = meter
        self.class_weights = None if class_weights is None else class_weights.to(args.device)
        self.bf16 = bf16
        self.rounds = rounds
        self.run_state = run_state
        self.stopwatch = stopwatch
        self.clock = StepClock(stopwatch)
        self.add_callback(self.clock)
        self.writer = CheckpointWriter()
        self._watch = FiniteWatch(passes_behind(args.device))
        self.last_outputs: dict[str, Measured] = {}  # of the last evaluation, where it was fp32
        self._rows_in_step = 0
        self._passes: list[_Pass] = []  # of the optimizer step in progress, where a technique may repeat them
        self._repeats = any(
            overrides(technique, "after_backward") or overrides(technique, "after_gradients")
            for technique in self.techniques
        )

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
        return batches, None

    def _prepare_inputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Onto the device; from pinned memory without waiting for what a GPU is at."""
        return {key: value.to(self.args.device, non_blocking=True) for key, value in inputs.items()}

    # --- optimizer ----------------------------------------------------------------------------------------------

    def create_optimizer(self, model: Any = None) -> Any:
        """AdamW; with a group for each part of the model where techniques treat them differently."""
        if self.rates is None or self.optimizer is not None:
            return super().create_optimizer(model)
        of = self.model if model is None else model
        kind, options = self.get_optimizer_cls_and_kwargs(self.args, of)
        groups = self.rates.groups(of.named_parameters(), self.get_decay_parameter_names(of))
        self.optimizer = kind(groups, **options)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Linear rise and fall; of each part on its own where techniques treat them differently."""
        if self.rates is None or self.lr_scheduler is not None:
            return super().create_scheduler(num_training_steps, optimizer)
        of = self.optimizer if optimizer is None else optimizer
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(of, self.rates.factors(of.param_groups))
        self._created_lr_scheduler = True
        return self.lr_scheduler

    def _get_learning_rate(self) -> float:
        """What the log says: of parts that differ, the highest."""
        if self.rates is None:
            return float(super()._get_learning_rate())
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    # --- objective ----------------------------------------------------------------------------------------------

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The training objective of one micro-batch, scaled so that a step is the mean over its rows."""
        features = {key: value for key, value in inputs.items() if key != "labels"}
        labels = inputs["labels"]
        step = self._pass(model, features, labels)
        loss = step.example_losses(step.logits).mean()
        for technique in self.techniques:
            loss = technique.train_loss(loss, step)
        # Trainer divides by the micro-batches and DDP by the processes; both are undone here, exactly 1 in the
        # plain case, because parts of a step may differ by a row.
        parts = self.current_gradient_accumulation_steps * self.accelerator.num_processes
        share = len(labels) * parts / self._rows_in_step
        return loss * share if share != 1 else loss

    def _pass(self, model: Any, features: dict[str, Any], labels: Tensor) -> TrainStep:
        """One forward pass over a micro-batch, as the techniques see it."""
        with _kept_output(self.model.base_model) as encoded:
            logits: Tensor = model(**features).logits

        def head_forward() -> Tensor:
            with _replaced_output(self.model.base_model, encoded[0]):
                again: Tensor = self.model(**features).logits
            return again.float()

        step = TrainStep(
            logits=logits.float(),
            labels=labels,
            forward=lambda: self._pass(model, features, labels),
            head_forward=head_forward,
            losses_for=self._example_losses,
            row_weights=self._row_weights(labels),
            model=self.model,
            task=self.task,
        )
        for technique in self.techniques:
            step = technique.change_pass(step)
        return step

    def _example_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        replaced = (technique.example_losses(logits, labels) for technique in self.techniques)
        losses = next((found for found in replaced if found is not None), None)
        if losses is None:
            losses = plain_losses(self.task, logits, labels)
        return losses if self.class_weights is None else losses * self.class_weights[labels]

    def _row_weights(self, labels: Tensor) -> Tensor:
        if self.class_weights is None:
            return torch.ones(len(labels), device=labels.device)
        return self.class_weights[labels]

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """One micro-batch: forward and backward, and what techniques add to its gradients.

        Raises:
            RunFailed: The objective is not finite; names step and epoch.
            OSError: The last checkpoint could not be written; or another error of writing it.
        """
        self.writer.check()
        with self.stopwatch.phase(FORWARD_BACKWARD):
            loss = self._forward_backward(model, inputs) if not self._repeats else self._with_repetition(model, inputs)
        if self.rates is not None:
            # With one process they are not even computed; with several each must take part in the exchange.
            resting = self.rates.resting(self.state.global_step)
            for name, parameter in self.model.named_parameters():
                if name in resting:
                    parameter.grad = None
        return loss

    def _with_repetition(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        done = _Pass(inputs, _RandomState())
        loss = self._forward_backward(model, inputs)
        # With several processes what rests in this step has gradients, too; no technique is to see them.
        resting = frozenset() if self.rates is None else self.rates.resting(self.state.global_step)
        parameters = {name: value for name, value in _trainable(self.model).items() if name not in resting}
        view = GradientView(self.model, parameters, lambda: self._repeat(model, [done]))
        for technique in self.techniques:
            technique.after_backward(view)
        self._passes.append(done)
        if self.accelerator.sync_gradients:
            passes, self._passes = self._passes, []
            view = GradientView(self.model, parameters, lambda: self._repeat(model, passes))
            for technique in self.techniques:
                technique.after_gradients(view)
        return loss

    def _repeat(self, model: Any, passes: Sequence[_Pass]) -> None:
        """The same passes again, dropout masks included; the random stream goes on as if nothing had happened."""
        present = _RandomState()
        for done in passes:
            done.random.set()
            self._forward_backward(model, done.inputs)
        present.set()

    def _forward_backward(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        loss: Tensor = super().training_step(model, inputs)
        step, epoch, rate = self.state.global_step + 1, self.state.epoch or 0, self._get_learning_rate()

        def complaint(found: float | str) -> RunFailed:
            return RunFailed(
                f"the training objective became {found} in step {step} of {self.state.max_steps} (epoch {epoch:.1f}), "
                f"learning rate {rate:.1e}. Try a smaller one: --set training.learning_rate="
                f"{self.args.learning_rate / 5:.0e}, or --set training.precision=fp32"
            )

        processes = self.accelerator.num_processes
        if processes == 1:
            self._watch.add(loss, complaint)
        # All processes must stop together, or the others would wait for the one that did.
        elif self.accelerator.reduce(torch.isfinite(loss).float(), "sum").item() != processes:
            raise complaint("nan or infinite in another process" if torch.isfinite(loss) else loss.item())
        return loss

    def autocast_smart_context_manager(
        self, cache_enabled: bool | None = True
    ) -> contextlib.AbstractContextManager[Any]:
        """bf16 for training passes; `predict_rows` decides for itself."""
        if self.bf16 and self.model.training:
            return torch.autocast(self.args.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    # --- measurement --------------------------------------------------------------------------------------------

    def predict_rows(self, split: MeasuredSet) -> Measured:
        """Logits (rows, outputs) and targets of the clean model in eval mode and fp32, gathered over processes.

        Of a text in windows, the mean of their logits.

        Leaves the random state as it was: how often one measures must not change what is trained.
        """
        return self._predict([split], rounds=False)[0]

    def predict_as_in_training(self, splits: Iterable[MeasuredSet]) -> list[Measured]:
        """As `predict_rows`, in the precision of the evaluations while training."""
        return self._predict(splits, self.rounds)

    def _predict(self, splits: Iterable[MeasuredSet], rounds: bool) -> list[Measured]:
        measured = []
        # Around all batches: weights are converted once.
        with torch.random.fork_rng(devices=[]), torch.autocast(self.args.device.type, torch.bfloat16, enabled=rounds):
            for split in splits:
                output = self.evaluation_loop(self.get_eval_dataloader(split), description="Evaluation")
                measured.append((split.pooled(output.predictions), split.restore(output.label_ids)))
        return measured

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Measure all splits and tell the callbacks once, with keys such as eval_validation_accuracy.

        Where techniques keep an average of the weights, it is in the model meanwhile: what is measured is what ships.

        Raises:
            RunFailed: The model's outputs are not finite, or an objective since the last evaluation was not.
        """
        self._watch.catch_up()
        with self.stopwatch.phase(EVALUATION), self.average.swapped_in():
            return self._measure_all(metric_key_prefix)

    def _measure_all(self, metric_key_prefix: str) -> dict[str, float]:
        outputs = dict(zip(self.measured, self.predict_as_in_training(self.measured.values()), strict=True))
        self.last_outputs = {} if self.rounds else outputs
        metrics: dict[str, float] = {}
        for name, (logits, targets) in outputs.items():
            if not np.isfinite(logits).all():
                raise RunFailed(
                    f"the model's outputs on {name} are not finite after step {self.state.global_step}. Try a "
                    f"smaller learning rate: --set training.learning_rate={self.args.learning_rate / 5:.0e}"
                )
            scores = self.meter.measure(logits, targets)
            metrics |= {f"{metric_key_prefix}_{name}_{score}": value for score, value in scores.items()}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[None, Tensor, Tensor]:
        """Logits and targets; no loss: Trainer's would be the objective, batch by batch."""
        features = self._prepare_inputs(inputs)
        labels = features.pop("labels")
        with torch.no_grad():
            logits: Tensor = model(**features).logits
        return None, logits.float(), labels

    # --- checkpoints --------------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Copy what training changes, and go on: the copies are written meanwhile. One checkpoint at a time."""
        with self.stopwatch.phase(CHECKPOINTS):
            self.writer.finish()
            super()._save_checkpoint(model, trial)  # what is small
            self.accelerator.wait_for_everyone()  # each process has written its own random state
            if self.is_world_process_zero():
                self.writer.start(self._checkpoint_of_now())

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Nothing at once: see `_checkpoint_of_now`."""

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """Nothing at once: see `_checkpoint_of_now`."""

    def _checkpoint_of_now(self) -> Callable[[], None]:
        """Returns what writes the present state, however much later it is called."""
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        run, average = self.run_state(), self.average.copied()
        is_best = run["selection"] is not None and run["selection"]["best_step"] == self.state.global_step
        parameters = [name for name, _ in self.model.named_parameters()]
        weights = on_host(self.model.state_dict())
        states = {
            OPTIMIZER_NAME: on_host(self.optimizer.state_dict()),
            SCHEDULER_NAME: on_host(self.lr_scheduler.state_dict()),
        }

        def write() -> None:
            self._save(str(folder), state_dict=weights)
            for name, state in states.items():
                torch.save(state, folder / name)
            average.save(folder)
            if is_best:
                measured = average.put_into({name: weights[name] for name in parameters})
                keep_selected(folder, measured)
            complete_checkpoint(folder, run)

        return write

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: walking all modules at every step costs more than it tells."""
        return 0


class _TechniqueHooks(TrainerCallback):
    """Calls the techniques around each optimizer step."""

    def __init__(self, trainer: RegularizedTrainer, names: WeightNames, pretrained: Mapping[str, Tensor]) -> None:
        self._trainer = trainer
        self._names = names
        self._parameters = _trainable(trainer.model)
        self._pretrained = pretrained
        self._budget = part_budget(trainer.techniques, TOP_LAYER, trainer.budget)

    def _view(self, optimizer: Any) -> StepView:
        return StepView(self._parameters, optimizer, self._pretrained, self._names, self._budget)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._trainer.rates is not None and self._trainer.accelerator.num_processes == 1:
            resting = self._trainer.rates.resting(state.global_step)
            for name, parameter in self._parameters.items():
                parameter.requires_grad_(name not in resting)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for technique in self._trainer.techniques:
            technique.before_optimizer_step(self._view(kwargs["optimizer"]))

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for technique in self._trainer.techniques:
            technique.after_optimizer_step(self._view(kwargs["optimizer"]))
        step, budget = state.global_step + 1, self._trainer.budget
        for technique in self._trainer.techniques:
            self._trainer.average.update(technique.average_share(step, budget))


class StepClock(TrainerCallback):
    """Tells the stopwatch what comes between the phases that the trainer itself sees the start and end of.

    Attributes:
        first_step: When the first optimizer step began, by time.perf_counter.
    """

    def __init__(self, stopwatch: Stopwatch) -> None:
        self._stopwatch = stopwatch
        self.first_step: float | None = None

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._stopwatch.switch(BATCHES)  # an epoch's texts are augmented before its first batch

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._stopwatch.switch(OPTIMIZER)  # what follows forward and backward pass
        self.first_step = self.first_step or time.perf_counter()


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


class _RandomState:
    """The random streams that a pass draws from: of the CPU, and of the GPU where there is one."""

    def __init__(self) -> None:
        self._cpu = torch.get_rng_state()
        self._gpu = torch.cuda.get_rng_state() if torch.cuda.is_available() else None

    def set(self) -> None:
        torch.set_rng_state(self._cpu)
        if self._gpu is not None:
            torch.cuda.set_rng_state(self._gpu)


@dataclass(frozen=True)
class _Pass:
    """A micro-batch and the random state from which it was computed."""

    inputs: dict[str, Any]
    random: _RandomState


@contextlib.contextmanager
def _kept_output(module: torch.nn.Module) -> Iterator[list[Any]]:
    """The outputs of a module, call by call."""
    outputs: list[Any] = []
    hook = module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        hook.remove()


@contextlib.contextmanager
def _replaced_output(module: torch.nn.Module, output: Any) -> Iterator[None]:
    """The module returns `output` without computing anything."""
    module.forward = lambda *args, **kwargs: output
    try:
        yield
    finally:
        del module.forward
