"""Token masking: which tokens, how many, from which stream, and never of a text that is measured."""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats
from transformers import AutoTokenizer, TrainerCallback

from finetune.data.rows import Data, Rows
from finetune.data.tokens import Encoder
from finetune.data.train_set import TrainSet
from finetune.errors import ModelError
from finetune.techniques import TokenFacts
from finetune.techniques.token_masking import TokenMasking, masked
from tests.conftest import labelled_texts
from tests.raising import refuses
from tests.running import train

Write = Callable[..., Path]
MASK, SPECIAL = 4, frozenset({0, 1, 2, 3, 4})
FACTS = TokenFacts(MASK, SPECIAL)
IDS = [2, 11, 12, 1, 13, 14, 3, 15, 16, 3]


# --- one text ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probability", [0.05, 0.1, 0.5, 0.9])
def test_each_ordinary_token_is_masked_with_the_probability_and_on_its_own(probability: float) -> None:
    rng = random.Random(0)
    found = np.array([masked(IDS, probability, MASK, SPECIAL, rng) for _ in range(3000)]) == MASK
    ordinary = [place for place, token in enumerate(IDS) if token not in SPECIAL]
    for place in ordinary:
        assert stats.binomtest(int(found[:, place].sum()), 3000, probability).pvalue > 1e-4
    both = found[:, 1] & found[:, 2]
    assert stats.binomtest(int(both.sum()), 3000, probability**2).pvalue > 1e-4
    assert not np.delete(found, ordinary, axis=1).any()


def test_what_is_not_masked_stays_in_its_place() -> None:
    rng = random.Random(1)
    for _ in range(200):
        found = masked(IDS, 0.5, MASK, SPECIAL, rng)
        assert len(found) == len(IDS)
        assert all(new in (MASK, old) for old, new in zip(IDS, found, strict=True))
        assert [new for old, new in zip(IDS, found, strict=True) if old in SPECIAL] == [2, 1, 3, 3]


def test_the_given_text_is_not_changed_in_place() -> None:
    ids = list(IDS)
    TokenMasking(probability=0.9).augment_tokens(ids, random.Random(0), FACTS)
    assert ids == IDS


def test_texts_without_an_ordinary_token_stay_as_they_are() -> None:
    for ids in ([], [2, 3], [2, 1, 3, 0, 0]):
        assert TokenMasking(probability=0.99).augment_tokens(ids, random.Random(0), FACTS) == ids


def test_the_stream_alone_decides() -> None:
    technique = TokenMasking(probability=0.5)
    one, two, other = (technique.augment_tokens(IDS, random.Random(key), FACTS) for key in ("a", "a", "c"))
    assert one == two != other


@pytest.mark.parametrize("ids", [IDS, []])
def test_a_tokenizer_without_a_mask_token_is_refused(ids: list[int]) -> None:
    """Even for an empty text, so that a check can ask before there is any."""
    with refuses(ModelError, match=r"techniques\.token_masking: .*no mask token.*techniques\.token_masking=off"):
        TokenMasking().augment_tokens(ids, random.Random(0), TokenFacts(None, SPECIAL))


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1])
def test_values_out_of_range_are_refused(probability: float) -> None:
    with pytest.raises(ValidationError):
        TokenMasking(probability=probability)


# --- the training set -------------------------------------------------------------------------------------------


def train_set(tiny_model: Path, pairs: bool = False, seed: int = 0, probability: float = 0.5) -> TrainSet:
    texts, labels = zip(*labelled_texts(12), strict=True)
    rows = Rows(list(texts), list(texts) if pairs else None, list(labels), [f"file:{row}" for row in range(12)])
    encoder = Encoder(
        AutoTokenizer.from_pretrained(tiny_model),
        Data("single_label", ["bad", "good"], rows, [], rows, None, {}, ""),
        64,
    )
    mask = partial(TokenMasking(probability=probability).augment_tokens, tokens=FACTS)
    return TrainSet(rows, encoder, {}, seed, {"token_masking": mask})


def inputs(dataset: TrainSet) -> list[list[int]]:
    return [dataset[row]["input_ids"] for row in range(len(dataset))]


def test_every_epoch_masks_anew_from_the_clean_text(tiny_model: Path) -> None:
    dataset = train_set(tiny_model)
    clean = inputs(dataset)
    epochs = []
    for epoch in range(6):
        dataset.set_epoch(epoch)
        epochs.append(inputs(dataset))
        for before, after in zip(clean, epochs[-1], strict=True):
            assert all(new in (MASK, old) for old, new in zip(before, after, strict=True))
    assert len({str(epoch) for epoch in epochs}) == 6
    hidden = [sum(token == MASK for text in epoch for token in text) for epoch in epochs]
    ordinary = sum(token not in SPECIAL for text in clean for token in text)
    for count in hidden:  # in the last epoch as in the first: masks do not add up
        assert stats.binomtest(count, ordinary, 0.5).pvalue > 1e-4


def test_an_epoch_depends_on_seed_epoch_and_row_alone(tiny_model: Path) -> None:
    resumed, whole, other = train_set(tiny_model), train_set(tiny_model), train_set(tiny_model, seed=1)
    for epoch in range(4):
        whole.set_epoch(epoch)
    resumed.set_epoch(3)
    other.set_epoch(3)
    assert inputs(resumed) == inputs(whole) != inputs(other)


def test_both_texts_of_a_pair_are_masked_and_keep_their_segments(tiny_model: Path) -> None:
    dataset = train_set(tiny_model, pairs=True, probability=0.9)
    before = [dataset[row] for row in range(len(dataset))]
    dataset.set_epoch(0)
    for row, item in enumerate(before):
        after = dataset[row]
        assert after["token_type_ids"] == item["token_type_ids"]
        assert after["labels"] == item["labels"]
        segments = {
            segment for token, segment in zip(after["input_ids"], after["token_type_ids"], strict=True) if token == MASK
        }
        assert segments == {0, 1}


# --- in a run ---------------------------------------------------------------------------------------------------


class _Reader(TrainerCallback):
    """The model's input ids, pass by pass, in training and in measurement."""

    def __init__(self) -> None:
        self.training: list[list[int]] = []
        self.measured: list[list[int]] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        model = kwargs["model"]

        def read(module: Any, inputs: tuple[Any, ...]) -> None:
            (self.training if module.training else self.measured).extend(inputs[0].tolist())

        model.get_input_embeddings().register_forward_pre_hook(read)


def test_training_sees_masks_and_measurement_never(write_recipe: Write, tmp_path: Path) -> None:
    reader = _Reader()
    recipe = write_recipe(techniques={"token_masking": {"probability": 0.3}})
    train(recipe, tmp_path / "run", callbacks=[reader])
    ordinary = [token for text in reader.training for token in text if token not in SPECIAL or token == MASK]
    masks = sum(token == MASK for token in ordinary)
    assert stats.binomtest(masks, len(ordinary), 0.3).pvalue > 1e-4
    assert len(reader.training) == 3 * 48
    assert len(reader.measured) > 3 * 16
    assert not any(MASK in text for text in reader.measured)


def test_the_train_probe_is_clean(write_recipe: Write, tmp_path: Path) -> None:
    """Rows of the probe are training rows; at a rate of nothing they measure as without masks."""
    training = {"learning_rate": 1e-12, "epochs": 1}
    one = train(write_recipe("plain", training=training), tmp_path / "plain")
    recipe = write_recipe(training=training, techniques={"token_masking": {"probability": 0.9}})
    two = train(recipe, tmp_path / "masked")
    assert two.history[0].train_probe["nll"] == pytest.approx(one.history[0].train_probe["nll"], rel=1e-6)
    assert two.history[0].objective != pytest.approx(one.history[0].objective, rel=1e-6)


def test_it_follows_augmentation_of_the_text(write_recipe: Write, tmp_path: Path) -> None:
    """AEDA inserts marks, ids 5 to 10 here; masks come on top of what it made."""
    reader = _Reader()
    techniques = {"token_masking": {"probability": 0.3}, "aeda": {"probability": 1.0}}
    train(write_recipe(techniques=techniques, training={"epochs": 1}), tmp_path / "run", callbacks=[reader])
    assert any(5 <= token <= 10 for text in reader.training for token in text)
    assert any(token == MASK for text in reader.training for token in text)


def test_a_run_with_such_a_tokenizer_stops_before_its_first_step(
    write_recipe: Write, tmp_path: Path, tiny_model: Path
) -> None:
    import json
    import shutil

    model = tmp_path / "maskless"
    shutil.copytree(tiny_model, model)
    path = model / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["mask_token"] = None
    path.write_text(json.dumps(config), encoding="utf-8")
    with refuses(ModelError, match=r"techniques\.token_masking"):
        train(write_recipe(model=model, techniques={"token_masking": {}}), tmp_path / "run")
