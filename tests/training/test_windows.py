"""Runs on texts that are longer than the model sees at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from finetune.recipe import resolve
from finetune.training.prepare import prepare
from tests.conftest import labelled_texts, write_csv
from tests.interrupting import interrupted_and_resumed, timeless
from tests.running import assert_same_weights, train

Write = Callable[..., Path]
FILLER = "the plot was a scene , "


@pytest.fixture
def long_recipe(tmp_path: Path, write_recipe: Write) -> Callable[..., Path]:
    """Every second text is long, and what decides its class stands at its end."""
    rows = [(FILLER * (4 * (index // 2 % 2)) + text, label) for index, (text, label) in enumerate(labelled_texts(64))]
    source = write_csv(tmp_path / "long.csv", ["text", "label"], rows)

    def write(mode: str = "windows", **data: object) -> Path:
        section = {"source": str(source), "check": False, "max_length": 12, "long_texts": mode, "overlap": 2, **data}
        return write_recipe("long", data=section, training={"epochs": 2, "group_by_length": True})

    return write


def test_what_is_measured_is_the_mean_over_the_windows_of_the_model_that_ships(
    long_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    """Recomputed with plain transformers, window by window."""
    record = train(long_recipe(), tmp_path / "run")
    prepared = prepare(resolve(str(long_recipe())).recipe)
    assert len(prepared.measured["validation"]) > record.data.rows["validation"] == 16
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "model")
    saved = np.load(tmp_path / "run" / "predictions.npz")
    for split, rows in prepared.data.measured_splits().items():
        expected = []
        for text in rows.texts:
            windows = tokenizer(
                text,
                truncation=True,
                max_length=12,
                stride=2,
                return_overflowing_tokens=True,
                return_attention_mask=False,
            )
            with torch.no_grad():
                logits = [
                    model(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits[0]
                    for ids, types in zip(windows["input_ids"], windows["token_type_ids"], strict=True)
                ]
            expected.append(torch.stack(logits).mean(dim=0).numpy())
        np.testing.assert_allclose(saved[f"selected_{split}_logits"], expected, atol=1e-5)
        assert saved[f"{split}_targets"].tolist() == [prepared.encoder.target(label) for label in rows.labels]
        assert saved[f"{split}_targets"].dtype == np.int64
    assert record.budget.steps_done == 2 * 4, "an epoch counts rows, not windows"


def test_a_resumed_run_draws_the_same_windows(long_recipe: Callable[..., Path], tmp_path: Path) -> None:
    whole = train(long_recipe(), tmp_path / "whole")
    resumed = interrupted_and_resumed(long_recipe(), tmp_path / "resumed", 5)
    assert timeless(resumed) == timeless(whole)
    assert_same_weights(tmp_path / "resumed", tmp_path / "whole")


def warnings_of(recipe: Path) -> list[str]:
    warnings = prepare(resolve(str(recipe)).recipe).warnings
    return [warning.for_command_line() for warning in warnings if warning.key.startswith("data.")]


@pytest.mark.parametrize(("mode", "lost"), [("head", "end"), ("tail", "start"), ("head_tail", "middle")])
def test_texts_that_lose_tokens_are_counted(long_recipe: Callable[..., Path], mode: str, lost: str) -> None:
    recipe = long_recipe(mode, overlap=None)
    prepared = prepare(resolve(str(recipe)).recipe)
    count = sum(text.startswith(FILLER) for text in prepared.data.train.texts)
    expected = f"{count} of 32 training texts are longer than 12 tokens and lose tokens: their {lost}"
    assert any(expected in text for text in warnings_of(recipe))


def test_a_text_that_just_fits_loses_nothing(long_recipe: Callable[..., Path]) -> None:
    longest = max(prepare(resolve(str(long_recipe("head", overlap=None))).recipe).encoder.lengths([FILLER * 4], None))
    assert warnings_of(long_recipe("head", overlap=None, max_length=longest + 10)) == []


def test_what_the_shipped_model_cannot_do_alone_is_said(long_recipe: Callable[..., Path]) -> None:
    (windows,) = warnings_of(long_recipe())
    assert "The saved model is a plain transformers model" in windows
    assert "average the logits of all" in windows
    assert any("sees only their start" in text for text in warnings_of(long_recipe("head_tail", overlap=None)))


@pytest.mark.parametrize("mode", ["tail", "head_tail", "windows"])
def test_cutting_what_is_short_is_said_to_act_on_nothing(long_recipe: Callable[..., Path], mode: str) -> None:
    overlap = 2 if mode == "windows" else None
    (warning,) = warnings_of(long_recipe(mode, max_length=64, overlap=overlap))
    assert warning.endswith("no text is longer than data.max_length=64 tokens. Try: --set data.long_texts=head")
