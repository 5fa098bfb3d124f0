"""A saved model that reads texts as in its training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from transformers import AutoModelForSequenceClassification

from finetune.data.long_texts import LongTexts
from finetune.data.sorted_sets import SortedSet
from finetune.data.tokens import Encoder
from finetune.data.train_set import Collator
from finetune.errors import Change, ModelError, RecipeError, first_line, suggest
from finetune.exports.base import Format
from finetune.exports.registry import find_format
from finetune.exports.session import Session
from finetune.inference.folders import model_folder
from finetune.inference.predictions import Predictions, Reading
from finetune.kernels.install import install_kernels
from finetune.measurement.units import count_text
from finetune.model_files import loading_errors
from finetune.models.configuration import load_saved_config, load_tokenizer, locate_model, position_limit
from finetune.models.load import load_quietly
from finetune.models.outputs import model_outputs
from finetune.models.pooling_layer import finish_pooling_layer
from finetune.models.served import ServedModel, read_served
from finetune.recipe import ModelSection
from finetune.records.environment import has_fast_bf16
from finetune.records.explanation import Explanation
from finetune.tasks import Task

BATCH = 32  # pieces of texts; which is fast: scripts/bench_predict --parts batches
AT_ONCE = 8192  # rows that are tokenised, sorted by length and predicted together: memory does not grow with the file
Precision = Literal["fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
TASKS: dict[str | None, Task] = {
    "regression": "regression",
    "multi_label_classification": "multi_label",
    "single_label_classification": "single_label",
}


@dataclass(frozen=True)
class Classifier:
    """A sequence classifier with its tokenizer, the columns that it reads, and the meaning of its outputs.

    Attributes:
        origin: Folder or hub id.
        model: A model of transformers, in eval mode, with fp32 weights; for an exported model, a module that is called
            like one.
        device: Device of the model.
        encoder: Texts -> tokens, as in training.
        reading: What it reads, and what its outputs mean.
        served: The content of its finetune.json; None for a model of another program.
        format: Format of an exported model; None for a torch model.
        notes: What was assumed.
        precision: Precision of matrix products.
    """

    origin: str
    model: Any
    device: torch.device
    encoder: Encoder
    reading: Reading
    served: ServedModel | None
    format: Format | None = None
    notes: tuple[str, ...] = ()
    precision: Precision = "fp32"

    def predict(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        batch_size: int = BATCH,
        on_rows: Callable[[int], None] | None = None,
    ) -> Predictions:
        """Predict labels and probabilities, or numbers, for texts, in their order.

        Args:
            texts: First, or only, text of each row, as the template makes it from columns, where the model has one.
            pairs: Second text of each row, where the model was trained on pairs.
            batch_size: Pieces of texts in a forward pass.
            on_rows: Called from time to time with the number of rows done.

        Raises:
            RecipeError: Something is not a text; pairs are missing, or the model reads none; or there are more or fewer
                of them than texts.
        """
        texts = _listed("texts", texts)
        pairs = None if pairs is None else _listed("pairs", pairs)
        self._check_pairs(texts, pairs)
        parts = []
        for start in range(0, len(texts), AT_ONCE):
            stop = min(start + AT_ONCE, len(texts))
            parts.append(self._logits(texts[start:stop], None if pairs is None else pairs[start:stop], batch_size))
            if on_rows is not None:
                on_rows(stop)
        return Predictions.of(self.reading, parts)

    def explain(self, text: str, pair: str | None = None, label: str | None = None) -> Explanation:
        """Find the words of a text that moved the model's answer, checked by removing them. Needs captum.

        Args:
            text, pair: First, or only, text, and the second one where the model was trained on pairs.
            label: A label of the model; None: the predicted one, or for multi-label the most confident one.

        Raises:
            RecipeError: There is no text, a pair is missing, or the label is unknown.
            ModelError: The model is an exported one, or captum is not installed.
        """
        from finetune.inference.explaining import explain

        return explain(self, text, pair, label)

    def _logits(self, texts: Sequence[str], pairs: Sequence[str] | None, batch_size: int) -> Any:
        rows = SortedSet(self.encoder.encode(texts, pairs), [0] * len(texts))
        outputs = model_outputs(
            self.model,
            rows,
            Collator(self.encoder.tokenizer),
            batch_size=batch_size,
            device=self.device,
            autocast=torch.bfloat16 if self.precision == "bf16" else None,
        )
        return rows.pooled(outputs.logits)

    def _check_pairs(self, texts: Sequence[str], pairs: Sequence[str] | None) -> None:
        if pairs is None and self.reading.has_pairs:
            raise RecipeError("this model reads pairs: give the second texts, too.", argument="pairs", found=None)
        if pairs is not None and not self.reading.has_pairs:
            raise RecipeError("this model reads single texts. Leave it out.", argument="pairs", found=len(pairs))
        if pairs is not None and len(pairs) != len(texts):
            raise RecipeError(f"expected {len(texts)} texts, one for each row.", argument="pairs", found=len(pairs))


def _listed(argument: str, texts: Any) -> list[str]:
    """The texts by position, whatever the index of a pandas Series is.

    Raises:
        RecipeError: It is one text, or no sequence, or contains something else than texts.
    """
    if isinstance(texts, str):
        raise RecipeError(
            "expected a list of texts, found one text. Put it into brackets.", argument=argument, found=texts
        )
    if isinstance(texts, Mapping) or hasattr(texts, "columns"):
        whole = Change(text="Give one of its columns as a list, or the whole table to finetune.predict(MODEL, data).")
        raise RecipeError(f"expected a list of texts, found a table ({type(texts).__name__}).", whole, where=argument)
    if not isinstance(texts, Iterable):
        raise RecipeError(f"expected a list of texts, found {texts!r}.", where=argument)
    listed = list(texts)
    for position, each in enumerate(listed):
        if not isinstance(each, str):
            why = (
                f"expected texts, found {each!r} ({type(each).__name__}) at position {position}. Give '' for a row "
                "without a text, or the whole table to finetune.predict(MODEL, data)."
            )
            raise RecipeError(why, where=argument)
    return listed


def load(path: str | Path, *, precision: Precision = "fp32") -> Classifier:
    """Load a saved model: the folder of a run or a comparison, a model folder, an exported one, or a hub id.

    A model of another program is read by its own files: names of labels, kind of task, maximum length.

    Args:
        path: Folder or hub id of the model.
        precision: Precision of matrix products: "bf16" is faster on a processor that supports it, and changes the third
            digit of probabilities (docs/predicting.md).

    Raises:
        RecipeError: There is no such precision.
        ModelError: There is no model, it is damaged, it is not a sequence classifier, a package to run it is missing,
            or it is an exported one, which has the precision that it was exported with.
    """
    _check_precision(precision)
    section = ModelSection(id=model_folder(str(path)))
    location = locate_model(section)
    served = read_served(section, location)
    tokenizer = load_tokenizer(section)
    form = find_format(location)
    if form is not None and precision != "fp32":
        why = f"'{section.id}' is exported ({form.title}) and has the precision of its file. Leave it out."
        raise ModelError(why, argument="precision", found=precision)
    model, device = _load_classifier(section, location, precision) if form is None else _open(form, section, location)
    positions = position_limit(model.config)
    if served is not None:
        _check_outputs(section, served, model)
    reading, notes = (_read_config(section, model), _assumed(section)) if served is None else (_read_served(served), ())
    notes = (*notes, *_slow(precision))
    encoder = _encoder(section, tokenizer, reading, served, positions)
    return Classifier(location, model, device, encoder, reading, served, form, notes, precision)


def _check_precision(precision: Any) -> None:
    """
    Raises:
        RecipeError: There is no such precision.
    """
    if precision not in PRECISIONS:
        why = f"is not one of {', '.join(PRECISIONS)}.{suggest(str(precision), PRECISIONS)}"
        raise RecipeError(why, argument="precision", found=precision)


def _slow(precision: Precision) -> tuple[str, ...]:
    if precision == "fp32" or has_fast_bf16():
        return ()
    return ("bf16 is emulated on this machine, and slower than fp32",)


def _encoder(
    section: ModelSection, tokenizer: Any, reading: Reading, served: ServedModel | None, positions: int | None
) -> Encoder:
    """As in training; of a model of another program as its own files say."""
    if served is None:
        longest = min(tokenizer.model_max_length, positions or tokenizer.model_max_length)
        return Encoder(tokenizer, reading, longest, positions=positions)
    what = served.input
    if what.long_texts not in get_args(LongTexts):
        why = (
            f"finetune.json of '{section.id}' asks for a way to cut long texts that this version does not know: "
            f"{what.long_texts}."
        )
        raise ModelError(why, Change(text="Install a newer finetune."), argument="model", found=section.id)
    long_texts = cast(LongTexts, what.long_texts)
    return Encoder(tokenizer, reading, what.max_length, long_texts, what.overlap, positions)


def _load_classifier(section: ModelSection, location: str, precision: Precision) -> tuple[Any, torch.device]:
    """Of transformers, with our kernels, and where it is."""
    try:
        model, report = load_quietly(AutoModelForSequenceClassification, location, revision=section.revision)
    except loading_errors() as error:
        why = f"'{section.id}' cannot be loaded as a classifier: {first_line(error)}."
        raise ModelError(why, argument="model", found=section.id) from error
    missing = sorted(report["missing_keys"])
    if missing:
        why = (
            f"'{section.id}' is not a trained classifier: it lacks weights, such as {missing[0]}, which would be "
            "random numbers."
        )
        train = Change(command=f"finetune run --model {section.id} --data FILE")
        raise ModelError(why, train, argument="model", found=section.id)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).eval()
    finish_pooling_layer(model, is_new=False)
    install_kernels(model, is_read_elsewhere=False, bf16=precision == "bf16")
    return model, device


def _open(form: Format, section: ModelSection, location: str) -> tuple[Session, torch.device]:
    """An exported model, in as many threads as torch has."""
    form.check_installed(form.to_open)
    config = load_saved_config(section)
    try:
        run = form.open(Path(location), torch.get_num_threads())
    except Exception as error:  # each runtime has errors of its own
        why = f"'{section.id}': {form.file} cannot be opened: {first_line(error)}."
        raise ModelError(why, Change(text="Export it again."), argument="model", found=section.id) from error
    return Session(run, config), torch.device("cpu")


def _check_outputs(section: ModelSection, served: ServedModel, model: Any) -> None:
    """
    Raises:
        ModelError: finetune.json is not of these weights.
    """
    named, outputs = len(served.labels or [None]), model.config.num_labels
    if named != outputs:
        why = (
            f"'{section.id}': finetune.json describes {count_text(named, 'output')}, and config.json {outputs}, so "
            "they are of different models."
        )
        raise ModelError(why, Change(text="Copy the folder again."), argument="model", found=section.id)


def _read_served(served: ServedModel) -> Reading:
    return Reading(
        task=served.task,
        labels=served.labels,
        text=served.input.text,
        template=served.input.template,
        text_pair=served.input.text_pair,
        id=served.input.id,
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
        f"{section.id} has no finetune.json: labels and maximum length are those of its config.json and tokenizer, and "
        "probabilities are not calibrated",
    )
