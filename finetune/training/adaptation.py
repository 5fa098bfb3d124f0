"""Masked-language modelling on the texts of a run before fine-tuning, for the technique that requests it."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import DataCollatorForLanguageModeling, get_linear_schedule_with_warmup

from finetune.cache import cached_folder
from finetune.data.tokens import Encoder
from finetune.data.train_set import Collator
from finetune.errors import Change, ModelError, OutputError, RunFailed
from finetune.models.configuration import locate_model
from finetune.models.load import model_fingerprint
from finetune.recipe import ModelSection, Recipe
from finetune.techniques import Adaptation, ModelChanges, Technique, hook_of
from finetune.techniques.changes import turned_off
from finetune.techniques.helper_models import load_weights
from finetune.training.draws import STREAMS, Draws
from finetune.training.phases import ADAPTATION, Stopwatch
from finetune.training.random_state import same_random_state
from finetune.training.version import ALGORITHM_VERSION

if TYPE_CHECKING:
    from finetune.training.prepare import Prepared

progress = logging.getLogger(f"{__name__}.progress")  # not of the record

WEIGHTS = "encoder.safetensors"
REPORT_SECONDS = 30.0
WARMUP, DECAY = 0.06, 0.01  # of the source of `adapt`, table 14


class Asked(NamedTuple):
    """The technique that requests an adaptation, and the adaptation."""

    name: str
    plan: Adaptation


def asked_adaptation(techniques: Mapping[str, Technique]) -> Asked | None:
    """The requested adaptation, or None; two of them are a conflict."""
    plans = {name: hook_of(technique, ModelChanges.adaptation)() for name, technique in techniques.items()}
    return next((Asked(name, plan) for name, plan in plans.items() if plan is not None), None)


def check_adaptation(recipe: Recipe, tokenizer: Any) -> None:
    """Refuse a checkpoint that cannot predict hidden tokens, if a technique requires that. Reads its weights.

    Raises:
        ModelError: It has no head for masked words, the architecture has none, or the tokenizer has no mask token.
    """
    asked = asked_adaptation(recipe.techniques)
    if asked is None:
        return
    if tokenizer.mask_token_id is None:
        why = "the tokenizer of this model has no mask token."
        raise ModelError(why, turned_off(asked.name), key=f"techniques.{asked.name}")
    _refuse_headless(recipe.model, asked.name)


@functools.cache
def _refuse_headless(section: ModelSection, name: str) -> None:
    """Once a process: plans ask for every variant."""
    _masked_model(section, name)


def _masked_model(section: ModelSection, name: str) -> Any:
    """With its head for masked words, in fp32 and eval mode, on the GPU if there is one."""
    key = f"techniques.{name}"
    return load_weights("AutoModelForMaskedLM", locate_model(section), key, turned_off(name), section.revision)


def adapted_encoder(prepared: Prepared, seed: int, stopwatch: Stopwatch) -> dict[str, Tensor]:
    """Name in the encoder -> value after the adaptation, on the CPU; empty if no technique requests one.

    It is made once for each model, set of texts, plan and seed, and kept in the cache. A killed process leaves nothing
    there, and the next one makes the same again.

    Raises:
        ModelError: The checkpoint has no head for masked words.
        RunFailed: The objective was not finite.
        OutputError: The cache cannot be written.
    """
    asked = asked_adaptation(prepared.recipe.techniques)
    if asked is None:
        return {}

    def make(folder: Path) -> None:
        save_file(_adapt(prepared, asked, seed), folder / WEIGHTS)

    with stopwatch.phase(ADAPTATION):
        try:
            return load_file(cached_folder("adapted", _key(prepared, asked.plan, seed), make) / WEIGHTS)
        except OSError as error:
            why = f"the adapted encoder is kept in the cache, which cannot be written: {error.strerror or error}."
            raise OutputError(why, Change(text="Name a folder that can be: FINETUNE_CACHE=DIR")) from error


def apply_encoder(model: Any, adapted: Mapping[str, Tensor]) -> None:
    """Put the values of `adapted_encoder` into a classifier, in place."""
    with torch.no_grad():
        parameters = dict(model.base_model.named_parameters())
        for name, value in adapted.items():
            parameters[name].copy_(value)


def _texts(prepared: Prepared) -> tuple[list[str], list[str] | None]:
    """Of the rows that are trained on, and without labels."""
    parts = [prepared.data.train, *([] if prepared.data.unlabelled is None else [prepared.data.unlabelled])]
    texts = [text for rows in parts for text in rows.texts]
    return texts, None if parts[0].pairs is None else [pair for rows in parts for pair in rows.pairs or ()]


def _key(prepared: Prepared, plan: Adaptation, seed: int) -> str:
    """sha256 over everything that decides the result."""
    section, encoder = prepared.recipe.data, prepared.encoder
    about = [
        ALGORITHM_VERSION,
        model_fingerprint(prepared.recipe.model),
        [encoder.identity, encoder.max_length, section.long_texts, section.overlap],
        _texts(prepared),
        [plan.steps, plan.learning_rate, plan.probability, prepared.recipe.training.batch_size, prepared.bf16, seed],
        [torch.__version__, transformers.__version__, torch.cuda.is_available()],
    ]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _adapt(prepared: Prepared, asked: Asked, seed: int) -> dict[str, Tensor]:
    """Train on masked texts; the random streams of the run stay as they were."""
    name, plan = asked
    reported = time.monotonic()
    with same_random_state():
        model = _masked_model(prepared.recipe.model, name).train()
        torch.manual_seed(seed)
        optimizer = torch.optim.AdamW(model.parameters(), lr=plan.learning_rate, weight_decay=DECAY)
        schedule = get_linear_schedule_with_warmup(optimizer, round(WARMUP * plan.steps), plan.steps)
        batches = MaskedTexts(prepared.encoder, *_texts(prepared), prepared.recipe.training.batch_size, plan, seed)
        for step in range(plan.steps):
            batch = {name: value.to(model.device) for name, value in batches[step].items()}
            if bool((batch["labels"] >= 0).any()):  # of few short texts no token may have been chosen
                with torch.autocast(model.device.type, torch.bfloat16, enabled=prepared.bf16):
                    loss = model(**batch).loss
                loss.backward()
                _refuse_infinite(loss, step, asked)
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
            schedule.step()
            if time.monotonic() - reported >= REPORT_SECONDS:
                reported = time.monotonic()
                progress.warning("%s: step %d of %d on masked texts", name, step + 1, plan.steps)
    return {name: value.detach().cpu().contiguous() for name, value in model.base_model.named_parameters()}


def _refuse_infinite(loss: Tensor, step: int, asked: Asked) -> None:
    if not bool(torch.isfinite(loss)):
        key, plan = f"techniques.{asked.name}.learning_rate", asked.plan
        smaller = Change(settings={key: float(f"{plan.learning_rate / 5:.0e}")})
        raise RunFailed(f"the objective became {loss.item()} in step {step + 1} of {plan.steps}.", smaller, key=key)


class MaskedTexts:
    """Batches of masked texts by step; the masks come from torch's global stream.

    Args:
        encoder: Texts -> token ids; a text in windows is included with all of its windows.
        texts: All texts.
        pairs: Second texts, or None.
        batch_size: Texts per batch.
        plan: Sets the fraction of masked tokens.
        seed: Seed of the order.
    """

    def __init__(
        self,
        encoder: Encoder,
        texts: list[str],
        pairs: list[str] | None,
        batch_size: int,
        plan: Adaptation,
        seed: int,
    ) -> None:
        self._tokens = encoder.encode_once(texts, pairs)
        self._draws = Draws(len(self._tokens), seed, STREAMS["pieces"])
        self._batch_size = batch_size
        self._collate = Collator(encoder.tokenizer)
        self._special = torch.tensor(encoder.tokenizer.all_special_ids)
        self._masking = DataCollatorForLanguageModeling(encoder.tokenizer, mlm_probability=plan.probability)

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        drawn = self._draws.part(step * self._batch_size, self._batch_size)
        batch = self._collate([{**self._tokens[piece], "labels": 0} for _, piece in drawn])
        special = torch.isin(batch["input_ids"], self._special)
        batch["input_ids"], batch["labels"] = self._masking.torch_mask_tokens(batch["input_ids"], special)
        return batch
