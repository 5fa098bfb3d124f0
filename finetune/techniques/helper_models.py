"""Second models, which some augmentation needs in addition to the trained one: finding, identifying, loading."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from finetune.errors import Change, ModelError

T = TypeVar("T")

_HASHED = (".json", ".txt", ".model", ".spm", ".safetensors", ".bin")


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

    return _guarded(lambda: getattr(transformers, part).from_pretrained(_expanded(location)), location, key, advice)


def load_weights(kind: str, location: str, key: str, advice: Change) -> Any:
    """A model in fp32 and eval mode, on the GPU if there is one. No random state is moved.

    Args:
        kind: AutoModelForMaskedLM or AutoModelForSeq2SeqLM.
        location: Folder or hub id.
        key: The setting that names it, for messages.
        advice: What to change if it cannot be loaded.

    Raises:
        ModelError: It cannot be loaded, or the checkpoint has not all of its weights: the rest would be random.
    """
    import torch
    import transformers

    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        with torch.random.fork_rng(devices=[]):
            model, report = _guarded(
                lambda: getattr(transformers, kind).from_pretrained(
                    _expanded(location), dtype=torch.float32, output_loading_info=True
                ),
                location,
                key,
                advice,
            )
    finally:
        transformers.logging.set_verbosity(verbosity)
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
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in _HASHED:
            with path.open("rb") as file:
                digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _expanded(location: str) -> str:
    return str(Path(location).expanduser()) if location.startswith("~") else location


def _guarded(load: Callable[[], T], location: str, key: str, advice: Change) -> T:
    from safetensors import SafetensorError

    # What transformers and safetensors raise for folders that hold no model, or a damaged one.
    errors = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError, SafetensorError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice to install what is not needed (sacremoses)
            return load()
    except errors as error:
        line = str(error).strip().split("\n", 1)[0].rstrip(".")
        raise ModelError(f"'{location}' cannot be loaded: {line}.", advice, key=key, found=location) from error
