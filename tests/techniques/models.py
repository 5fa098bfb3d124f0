"""Tiny models as a run loads them, with a technique prepared."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from finetune.models.load import build_without_weights, load_config, load_model
from finetune.recipe import ModelSection
from finetune.techniques import ModelChanges, Technique, implementations
from tests.conftest import save_tiny_model

# As its checkpoints are: relative positions and a convolution are shared by all layers.
_CHANGES: dict[str, dict[str, Any]] = {
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "conv_kernel_size": 3}
}
_ROOT = TemporaryDirectory(prefix="finetune-tests-", ignore_cleanup_errors=True)
BATCH = [[2, 11, 12, 13, 3], [2, 17, 18, 19, 3]]


@cache
def tiny_folder(architecture: str, **changes: Any) -> Path:
    """Folder of a tiny model, built once."""
    name = "-".join([architecture, *(f"{key}{value}" for key, value in changes.items())])
    return save_tiny_model(Path(_ROOT.name) / name, architecture, **(_CHANGES.get(architecture, {}) | changes))


def loaded(folder: Path, *techniques: Technique, seed: int = 0) -> Any:
    """The classifier with its weights, prepared by the techniques."""
    section = ModelSection(id=str(folder))
    config = load_config(section, "single_label", ["bad", "good"])
    for configure_model in implementations(techniques, ModelChanges.configure_model):
        configure_model(config)
    model = load_model(section, config, seed)
    for prepare_model in implementations(techniques, ModelChanges.prepare_model):
        prepare_model(model)
    return model


def without_weights(folder: Path, *techniques: Technique) -> Any:
    """The same on torch's meta device, as a run is checked."""
    config = load_config(ModelSection(id=str(folder)), "single_label", ["bad", "good"])
    for configure_model in implementations(techniques, ModelChanges.configure_model):
        configure_model(config)
    model = build_without_weights(config)
    for prepare_model in implementations(techniques, ModelChanges.prepare_model):
        prepare_model(model)
    return model


def trainable(model: Any) -> set[str]:
    return {name for name, value in model.named_parameters() if value.requires_grad}
