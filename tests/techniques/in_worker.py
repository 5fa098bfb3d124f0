"""What a spawned process of a test does: it gets the techniques, reads the recipe and trains."""

from __future__ import annotations

import pickle
from pathlib import Path


def train_in_worker(carried: bytes, recipe: bytes, folder: str) -> None:
    from finetune.records.store import RunFolder
    from finetune.techniques import receive_techniques
    from finetune.training.prepare import prepare
    from finetune.training.runner import run_seed

    receive_techniques(carried)
    run_seed(prepare(pickle.loads(recipe)), 0, RunFolder(Path(folder)))
