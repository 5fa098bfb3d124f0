"""A saved model that reads texts as it was trained to read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import torch
from transformers import AutoModelForSequenceClassification

from finetune.data.long_texts import LongTexts
from finetune.data.sorted_sets import SortedSet
from finetune.data.tokens import Collator, Encoder
from finetune.errors import Change, ModelError, RecipeError, first_line
from finetune.inference.folders import model_folder
from finetune.inference.predictions import Predictions, Reading
from finetune.kernels.install import install_kernels
from finetune.model_files import loading_errors
from finetune.models.load import load_quietly, load_tokenizer, locate_model, position_limit
from finetune.models.outputs import model_outputs
from finetune.models.served import ServedModel, read_served
from finetune.recipe import ModelSection
from finetune.tasks import Task

BATCH = 64  # pieces of texts
AT_ONCE = 8192  # rows that are tokenised, sorted by length and predicted together: memory does not grow with the file
TASKS: dict[str | None, Task] = {
    "regression": "regression",
    "multi_label_classification": "multi_label",
    "single_label_classification": "single_label",
}


@dataclass(frozen=True)
class Classifier:
    """A sequence classifier with its tokenizer, and what it was trained to read and to say.

    Attributes:
        origin: Folder or hub id.
        model: Of transformers, in eval mode, in fp32.
        encoder: Texts -> tokens, as in training.
        reading: What it reads, and what its outputs mean.
        served: The content of its finetune.json; None for a model of another program.
        notes: What was assumed.
    """

    origin: str
    model: Any
    encoder: Encoder
    reading: Reading
    served: ServedModel | None
    notes: tuple[str, ...] = ()

    def predict(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        batch_size: int = BATCH,
        on_rows: Callable[[int], None] | None = None,
    ) -> Predictions:
        """Labels and probabilities, or numbers, of texts, in their order.

        Args:
            texts: First, or only, text of each row.
            pairs: Second text of each row, where the model was trained on pairs.
            batch_size: Pieces of texts in a forward pass.
            on_rows: Is told the number of rows done, now and then.

        Raises:
            RecipeError: Pairs are missing, or the model reads none; or their number is another one.
        """
        self._check_pairs(texts, pairs)
        parts = []
        for start in range(0, len(texts), AT_ONCE):
            stop = min(start + AT_ONCE, len(texts))
            parts.append(self._logits(texts[start:stop], None if pairs is None else pairs[start:stop], batch_size))
            if on_rows is not None:
                on_rows(stop)
        return Predictions.of(self.reading, parts)

    def _logits(self, texts: Sequence[str], pairs: Sequence[str] | None, batch_size: int) -> Any:
        rows = SortedSet(self.encoder.encode(texts, pairs), [0] * len(texts))
        outputs = model_outputs(
            self.model,
            rows,
            Collator(self.encoder.tokenizer),
            batch_size=batch_size,
            device=next(self.model.parameters()).device,
        )
        return rows.pooled(outputs.logits)

    def _check_pairs(self, texts: Sequence[str], pairs: Sequence[str] | None) -> None:
        if isinstance(texts, str):
            raise RecipeError("expected a list of texts, found one text. Put it into brackets.", argument="texts")
        if pairs is None and self.reading.has_pairs:
            raise RecipeError("this model reads pairs: name the second texts, too.", argument="pairs", found=None)
        if pairs is not None and not self.reading.has_pairs:
            raise RecipeError("this model reads single texts. Leave it out.", argument="pairs", found=len(pairs))
        if pairs is not None and len(pairs) != len(texts):
            raise RecipeError(f"expected {len(texts)} texts, one for each row.", argument="pairs", found=len(pairs))


def load(path: str | Path) -> Classifier:
    """Load a saved model: the folder of a run or a comparison, a model folder, or a hub id.

    A model of another program is read by what its own files say: names of labels, kind of task, the most tokens.

    Raises:
        ModelError: There is none, it is damaged, or it is no sequence classifier.
    """
    section = ModelSection(id=model_folder(str(path)))
    location = locate_model(section)
    served = read_served(section, location)
    tokenizer = load_tokenizer(section)
    model = _load_classifier(section, location)
    positions = position_limit(model.config)
    reading, notes = (_read_config(section, model), _assumed(section)) if served is None else (_read_served(served), ())
    if served is None:
        longest = min(tokenizer.model_max_length, positions or tokenizer.model_max_length)
        encoder = Encoder(tokenizer, reading, longest, positions=positions)
    else:
        what = served.input
        if what.long_texts not in get_args(LongTexts):
            why = f"finetune.json of '{section.id}' cuts long texts in a way that is not known here: {what.long_texts}."
            raise ModelError(why, Change(text="Install a newer finetune."), argument="model", found=section.id)
        long_texts = cast(LongTexts, what.long_texts)
        encoder = Encoder(tokenizer, reading, what.max_length, long_texts, what.overlap, positions)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device).eval()
    install_kernels(model, is_read_elsewhere=False, bf16=False)
    return Classifier(location, model, encoder, reading, served, notes)


def _load_classifier(section: ModelSection, location: str) -> Any:
    try:
        model, report = load_quietly(AutoModelForSequenceClassification, location, revision=section.revision)
    except loading_errors() as error:
        why = f"'{section.id}' cannot be loaded as a classifier: {first_line(error)}."
        raise ModelError(why, argument="model", found=section.id) from error
    missing = sorted(report["missing_keys"])
    if missing:
        why = (
            f"'{section.id}' is no trained classifier: it lacks weights, such as {missing[0]}, which would be random "
            "numbers."
        )
        train = Change(command=f"finetune run --model {section.id} --data FILE")
        raise ModelError(why, train, argument="model", found=section.id)
    return model


def _read_served(served: ServedModel) -> Reading:
    return Reading(
        task=served.task,
        labels=served.labels,
        text=served.input.text,
        template=served.input.template,
        text_pair=served.input.text_pair,
        has_pairs=served.input.pairs,
        temperature=served.temperature or 1.0,
        thresholds=served.thresholds or {},
    )


def _read_config(section: ModelSection, model: Any) -> Reading:
    """Of a model of another program."""
    config = model.config
    task = TASKS.get(config.problem_type, "regression" if config.num_labels == 1 else "single_label")
    labels = [str(config.id2label[index]) for index in sorted(config.id2label)]
    return Reading(task=task, labels=None if task == "regression" else labels)


def _assumed(section: ModelSection) -> tuple[str, ...]:
    return (
        f"{section.id} has no finetune.json: labels and the most tokens are those of its config.json and tokenizer, "
        "and probabilities are not calibrated",
    )
