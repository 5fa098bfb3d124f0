"""Weights of labels against torch's own `pos_weight`, and what a run is given."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from finetune.recipe import resolve
from finetune.training.building import class_weights
from finetune.training.objective import plain_losses
from finetune.training.prepare import prepare
from tests.conftest import labelled_texts, write_csv
from tests.running import train

Write = Callable[..., Path]


def test_weights_of_labels_are_torchs_pos_weight_up_to_a_factor() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(8, 3), torch.rand(8, 3).round()
    absent, present = torch.tensor([0.5, 0.6, 0.7]), torch.tensor([10.0, 2.0, 0.7])
    expected = F.binary_cross_entropy_with_logits(
        logits, labels, weight=absent, pos_weight=present / absent, reduction="none"
    )
    losses = plain_losses("multi_label", logits, labels, torch.stack([absent, present]))
    torch.testing.assert_close(losses, expected.mean(dim=1))


@pytest.fixture
def rare(tmp_path: Path, write_recipe: Write) -> Path:
    cells = [(text, i % 2, int(i % 10 == 0), 0) for i, (text, _) in enumerate(labelled_texts(120))]
    cells[0] = (*cells[0][:3], 1)
    source = write_csv(tmp_path / "rare.csv", ["text", "common", "rare", "one"], cells)
    data = {"source": str(source), "label": ["common", "rare", "one"], "check": False}
    return write_recipe(data=data, training={"class_weights": "balanced"})


def test_each_answer_to_each_label_weighs_the_same_in_sum(rare: Path) -> None:
    prepared = prepare(resolve(str(rare)).recipe)
    weights = class_weights(prepared)
    targets = torch.tensor([prepared.encoder.target(label) for label in prepared.data.train.labels])
    sums = torch.stack([(weights[0] * (1 - targets)).sum(0), (weights[1] * targets).sum(0)])
    has_both = targets.sum(0) > 0
    torch.testing.assert_close(sums[:, has_both], torch.full_like(sums, len(targets) / 2)[:, has_both])
    assert torch.isfinite(weights).all()


def test_balanced_weights_raise_the_probability_of_rare_labels(rare: Path, tmp_path: Path) -> None:
    means = {}
    for weighting in ("none", "balanced"):
        train(rare, tmp_path / weighting, overrides=[f"training.class_weights={weighting}"])
        means[weighting] = np.load(tmp_path / weighting / "predictions.npz")["selected_test_logits"].mean(axis=0)
    assert means["balanced"][1] > means["none"][1] + 0.3
