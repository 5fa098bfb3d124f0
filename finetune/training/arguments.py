"""The only place where TrainingArguments are built."""

import math
from pathlib import Path

import torch
from transformers import TrainingArguments

from finetune.recipe import TrainingSection
from finetune.techniques import Budget
from finetune.training.distributed import world_size


def build_arguments(
    training: TrainingSection, budget: Budget, seed: int, decay: float, checkpoints: Path, fixed_steps: bool = False
) -> TrainingArguments:
    """Translate a recipe's budget. Arguments not set here keep transformers' default.

    Args:
        training: The training section of the recipe.
        budget: Epochs, warm-up steps and the learning rate.
        seed: Seed of head, batch order and dropout.
        decay: Decoupled weight decay; 0 for none.
        checkpoints: Folder of this run's checkpoints, fresh or being resumed.
        fixed_steps: Take the schedule's length from the budget instead of from the number of training rows.
    """
    processes = world_size()
    on_cpu = not torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=budget.epochs,
        max_steps=(budget.steps or -1) if fixed_steps else -1,
        # Batches come from StepBatches; this only feeds Trainer's own bookkeeping.
        per_device_train_batch_size=math.ceil(training.batch_size / (processes * training.accumulation)),
        per_device_eval_batch_size=training.eval_batch_size,
        gradient_accumulation_steps=training.accumulation,
        learning_rate=budget.learning_rate,
        warmup_steps=budget.warmup_steps,
        max_grad_norm=training.max_grad_norm,
        weight_decay=decay,
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        logging_nan_inf_filter=False,  # it hides what we stop for
        report_to="none",
        disable_tqdm=True,  # ours shows the gap
        seed=seed,
        data_seed=seed,
        use_cpu=on_cpu,
        accelerator_config={"non_blocking": not on_cpu},  # batches to measure; their memory is pinned, by default
        tf32=False,  # what is measured in fp32 must not depend on the GPU's generation
        ddp_backend="gloo" if on_cpu and processes > 1 else None,
        ddp_find_unused_parameters=False if processes > 1 else None,
        ddp_broadcast_buffers=False if processes > 1 else None,  # they are constants, such as pretrained weights
        average_tokens_across_devices=False,  # would scale a mean by the number of processes
        remove_unused_columns=False,
    )
    if arguments.n_gpu > 1:
        # One process uses one GPU: Trainer would replicate each step over all of them. `--launch N` uses N.
        arguments._n_gpu = 1
    return arguments
