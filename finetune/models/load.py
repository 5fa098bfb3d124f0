"""Loads the encoder with its head from an installed package, a local folder or the hub, by one code path."""

import logging
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModel, AutoModelForSequenceClassification

from finetune.errors import Change, ModelError, first_line
from finetune.model_files import folder_digest, loading_errors, quiet_loading
from finetune.models.configuration import load_saved_config, locate_model, not_loaded
from finetune.models.head import HeadStart, head_names, resolve_head, start_outputs
from finetune.models.layers import is_in_pooling_layer
from finetune.models.pooling import Pooling, apply_pooling, resolve_pooling, trained_pooling
from finetune.models.pooling_layer import finish_pooling_layer
from finetune.recipe import ModelSection
from finetune.tasks import Task

logger = logging.getLogger(__name__)

FINGERPRINTED = (".json", ".txt", ".safetensors", ".bin", ".model")  # another list would change content keys
PROBLEM_TYPES: dict[Task, str] = {
    "single_label": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}


def model_fingerprint(section: ModelSection) -> str:
    """Identity of the pretrained model: sha256 over the files of a folder, or the hub id and its revision; and the
    pooling that it was trained with, if files below the folder give it.

    Raises:
        ModelError: As in `locate_model`.
    """
    location = locate_model(section)
    is_folder = Path(location).is_dir()
    files = (
        folder_digest(Path(location), FINGERPRINTED) if is_folder else f"{section.id}@{section.revision or 'newest'}"
    )
    pooling = trained_pooling(section, location)
    return files if pooling is None else f"{files}+{pooling}"


def load_config(section: ModelSection, task: Task, labels: list[str] | None) -> Any:
    """Load the configuration and set the task, `problem_type`, names of the outputs, and pooling.

    Args:
        section: The model section of the recipe.
        task: single_label, multi_label or regression.
        labels: Names in the order of the logits; None for regression (one output).

    Raises:
        ModelError: The model cannot be found or fetched, or as in `resolve_pooling`.
    """
    names = labels if labels is not None else ["value"]
    config = load_saved_config(
        section,
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
        problem_type=PROBLEM_TYPES[task],
    )
    apply_pooling(config, resolve_pooling(section, locate_model(section), config))
    return config


def find_pooling(section: ModelSection) -> Pooling:
    """Pooling that the head of this model reads, and why.

    Raises:
        ModelError: As in `load_config`.
    """
    return resolve_pooling(section, locate_model(section), load_saved_config(section))


def pooled_for_pairs(section: ModelSection) -> ModelSection:
    """The section for rows that are pairs of texts: `pooling: auto` means the first token where the encoder was trained
    to pool single texts. A model that cannot be loaded keeps its section, and is refused where it is loaded.
    """
    try:
        is_of_single_texts = section.pooling == "auto" and find_pooling(section).of_single_texts
    except ModelError:
        return section
    return section.model_copy(update={"pooling": "cls"}) if is_of_single_texts else section


def find_head(section: ModelSection, task: Task, labels: list[str] | None) -> HeadStart:
    """Start of the outputs, and why. Arguments as in `load_config`.

    Raises:
        ModelError: As in `find_start`.
    """
    return find_start(section, task, labels)[1]


def find_start(section: ModelSection, task: Task, labels: list[str] | None) -> tuple[Pooling, HeadStart]:
    """Pooling that the head of this model reads and start of its outputs, and why. Arguments as in `load_config`.

    Raises:
        ModelError: As in `load_config`, or the head cannot be kept as `model.head` says.
    """
    return _start(section, PROBLEM_TYPES[task], labels if labels is not None else ["value"])


def _start(section: ModelSection, problem_type: str, names: list[str]) -> tuple[Pooling, HeadStart]:
    saved = load_saved_config(section)
    pooling = resolve_pooling(section, locate_model(section), saved)
    return pooling, resolve_head(section, saved, problem_type, names, pooling.adds_layer)


def load_quietly(auto: Any, location: str | Path, **options: Any) -> tuple[Any, dict[str, Any]]:
    """A pretrained model in fp32 and transformers' report of its weights, without printing it or a progress bar.

    Args:
        auto: A class of transformers with `from_pretrained`.
        location: Folder or hub id.
        options: Further arguments of it.

    Raises:
        Exception: One of `loading_errors`.
    """
    with quiet_loading():
        model, report = auto.from_pretrained(
            location,
            trust_remote_code=False,
            dtype=torch.float32,  # the default is the checkpoint's: an fp16 checkpoint would train in fp16
            output_loading_info=True,
            **options,
        )
    return model, report


def load_model(section: ModelSection, config: Any, seed: int) -> Any:
    """Build the sequence classifier from `config` with the pretrained weights, in fp32.

    The seed is set before the model is built, so every preset starts from the same head: a new one, or that of the
    checkpoint with its rows in the order of `find_head`.

    Raises:
        ModelError: There are no weights, or the architecture has no sequence-classification head.
    """
    location = locate_model(section)
    pooling, head = _start(section, config.problem_type, list(config.id2label.values()))
    transformers.set_seed(seed)
    try:
        model, report = load_quietly(
            AutoModelForSequenceClassification,
            location,
            config=config,
            revision=section.revision,
            ignore_mismatched_sizes=True,
        )
    except loading_errors() as error:
        raise not_loaded(section, error) from error
    # Old checkpoints name LayerNorm weights gamma and beta. transformers renames them while loading, and back while
    # saving; a resumed Trainer would then not find them and silently keep the pretrained ones.
    model._weight_conversions = []
    mismatched = {str(key[0] if isinstance(key, tuple) else key) for key in report["mismatched_keys"]}
    _report_new_weights(model, section, set(report["missing_keys"]), mismatched)
    start_outputs(model, head, {*report["missing_keys"], *mismatched}, seed)
    finish_pooling_layer(model, is_new=pooling.adds_layer)
    return model


def load_exported(folder: str | Path) -> Any:
    """The model of a finished run, as plain transformers loads it, in fp32.

    Args:
        folder: Folder of the model, or its hub id.

    Raises:
        ModelError: The folder holds no such model.
    """
    try:
        return load_quietly(AutoModelForSequenceClassification, folder)[0]
    except loading_errors() as error:
        raise ModelError(f"the model in {folder} cannot be loaded: {first_line(error)}.") from error


def pretrained_embeddings(section: ModelSection) -> torch.Tensor:
    """The word embeddings as they were pretrained, (vocabulary, width) float32.

    Raises:
        ModelError: There are no weights.
    """
    try:
        model = AutoModel.from_pretrained(
            locate_model(section), revision=section.revision, trust_remote_code=False, dtype=torch.float32
        )
    except loading_errors() as error:
        raise not_loaded(section, error) from error
    embeddings: torch.Tensor = model.get_input_embeddings().weight.detach()
    return embeddings


def build_without_weights(config: Any) -> Any:
    """The model's modules on torch's meta device: for tables and checks, with no memory and no weights."""
    try:
        with torch.device("meta"):
            model = AutoModelForSequenceClassification.from_config(config)
    except loading_errors() as error:
        why = f"no sequence classifier of type '{config.model_type}': {first_line(error)}."
        raise ModelError(why, key="model.id") from error
    finish_pooling_layer(model, is_new=False)
    return model


def encoder_parameters(model: Any) -> dict[str, Any]:
    """Name -> parameter of the encoder alone; an added pooling layer has nothing pretrained."""
    head = head_names(model)
    return {
        name: value
        for name, value in model.named_parameters()
        if name not in head and not is_in_pooling_layer(model, name)
    }


def _report_new_weights(model: Any, section: ModelSection, missing: set[str], mismatched: set[str]) -> None:
    head = head_names(model)
    unexpected = sorted(
        name for name in missing - head if "pooler" not in name and not is_in_pooling_layer(model, name)
    )
    if unexpected:
        logger.warning(
            "model.id: '%s' lacks %d weights of the encoder (%s …): they start at random values, so this is not "
            "the pretrained model you expect.",
            section.id,
            len(unexpected),
            unexpected[0],
        )
    wrong = sorted(mismatched - head)
    if wrong:
        why = f"'{section.id}': {wrong[0]} has a different size than config.json says."
        raise ModelError(why, Change(text="Download or export the folder again."), key="model.id", found=section.id)
