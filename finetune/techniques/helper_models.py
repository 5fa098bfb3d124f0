"""Finding, identifying and loading the helper models that some augmentation needs in addition to the trained one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from finetune.errors import Change, ModelError, first_line
from finetune.model_files import folder_digest, loading_errors, quiet_loading

T = TypeVar("T")

_HASHED = (".json", ".txt", ".model", ".spm", ".safetensors", ".bin")  # another list would change cached texts' keys


def load_part(part: str, location: str, key: str, advice: Change) -> Any:
    """The configuration or the tokenizer of a model.

    Args:
        part: AutoConfig or AutoTokenizer.
        location: Folder or hub id.
        key: The setting that names it, for messages.
        advice: What to change if it cannot be loaded.

    Raises:
        ModelError: It cannot be loaded.
    """
    import transformers

    def load() -> Any:
        return getattr(transformers, part).from_pretrained(_expanded(location), trust_remote_code=False)

    return _guarded(load, location, key, advice)


def load_weights(kind: str, location: str, key: str, advice: Change, revision: str | None = None) -> Any:
    """A model in fp32 and eval mode, on the GPU if there is one. Random states are left unchanged.

    Args:
        kind: AutoModelForMaskedLM or AutoModelForSeq2SeqLM.
        location: Folder or hub id.
        key: The setting that names it, for messages.
        advice: What to change if it cannot be loaded.
        revision: Commit or tag of a hub id.

    Raises:
        ModelError: It cannot be loaded, or the checkpoint lacks some of its weights, which would be random.
    """
    import torch
    import transformers

    def load() -> Any:
        return getattr(transformers, kind).from_pretrained(
            _expanded(location),
            revision=revision,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )

    with quiet_loading(), torch.random.fork_rng(devices=[]):
        model, report = _guarded(load, location, key, advice)
    missing = sorted(name for name in report["missing_keys"] if name.endswith("weight"))
    if missing:
        why = f"'{location}' has no trained weights for {missing[0]} ({len(missing)} missing), so its output is random."
        raise ModelError(why, advice, key=key, found=location)
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def fingerprint(location: str, config: Any) -> str:
    """Identifies the model: sha256 over the files of a folder, or the hub id and its commit."""
    folder = Path(_expanded(location))
    if not folder.is_dir():
        return f"{location}@{getattr(config, '_commit_hash', None)}"
    return folder_digest(folder, _HASHED)


def _expanded(location: str) -> str:
    return str(Path(location).expanduser()) if location.startswith("~") else location


def _guarded(load: Callable[[], T], location: str, key: str, advice: Change) -> T:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice to install what is not needed (sacremoses)
            return load()
    except loading_errors() as error:
        why = f"'{location}' cannot be loaded: {first_line(error)}."
        raise ModelError(why, advice, key=key, found=location) from error
