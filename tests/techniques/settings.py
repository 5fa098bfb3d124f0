"""What to test a technique with, where its defaults do not make it runnable on tiny models and few rows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from finetune.techniques import TECHNIQUES, Technique
from tests.techniques.helper_folders import save_masked_model, save_translator

# Second models that techniques load. A folder known before it is there: `make_helpers` fills it.
HELPERS = Path(os.environ["FINETUNE_CACHE"]).with_name("helpers")
SETTINGS: dict[str, dict[str, Any]] = {
    "weight_decay": {"total_shrink": 0.1},
    "dropout": {"hidden": 0.2, "attention": 0.1, "classifier": 0.3},
    "max_norm": {"head": 0.05},
    "lora": {"dropout": 0.0},
    "layer_drop": {"probability": 0.5},
    "ema": {"horizon": 0.4},
    "swa": {"start": 0.0},
    "wise_ft": {"shares": [0.5]},
    "early_stopping": {"patience": 1},
    "adapt": {"steps": 2},
    "match": {"threshold": 0.1, "start": 0.0, "full": 0.1, "ratio": 2},
    "synonyms": {"thesaurus": "embeddings", "similarity": 0.05},
    "contextual": {"model": str(HELPERS / "masked")},
    "back_translation": {"forward": str(HELPERS / "forward"), "backward": str(HELPERS / "backward")},
}


def make_helpers() -> None:
    """Tiny models for the techniques that need one beside the model that is trained; made once a process."""
    if not HELPERS.exists():
        save_masked_model(HELPERS / "masked")
        save_translator(HELPERS / "forward", "en", "de", seed=1)
        save_translator(HELPERS / "backward", "de", "en", seed=2)


def settings_of(name: str) -> dict[str, Any]:
    return SETTINGS.get(name, {})


def make(name: str) -> Technique:
    return TECHNIQUES[name](**settings_of(name))
