"""Texts -> tokens: what of a long text is kept, and how its windows are trained on and measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune.data.rows import Data, Rows
from finetune.data.sorted_sets import MeasuredSet
from finetune.data.tokens import Encoder, Item
from finetune.data.train_set import TrainSet
from finetune.errors import DataError, RecipeError
from tests.conftest import MARKS, SPECIAL, WORDS
from tests.raising import refuses

LIMIT = 12
MODES = ("head", "tail", "head_tail", "windows")
# What stands around one text and around two, by kind of model; T5 has nothing in front, GPT nothing at all.
TEMPLATES = {
    "bert": ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
    "roberta": ("[CLS] $A [SEP]", "[CLS] $A [SEP] [SEP] $B [SEP]"),
    "t5": ("$A [SEP]", "$A [SEP] $B [SEP]"),
    "gpt": ("$A", "$A $B"),
    "xlnet": ("$A [SEP] [CLS]:1", "$A [SEP] $B:1 [SEP]:1 [CLS]:2"),
}
TEXTS = [
    "good movie",
    "the plot was awful and nasty , a sad film . very very poor scene : bad actor , the movie is not lovely",
    " ".join(WORDS),
    " ".join(WORDS[:10]),
    " ".join(WORDS[:11]),
    "[CLS] good [SEP] movie is bad , [SEP] but it was a nice great lovely film [SEP]",
]


def make_tokenizer(kind: str = "bert") -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*SPECIAL, *MARKS, *WORDS])}, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    single, pair = TEMPLATES[kind]
    backend.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    inputs = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
        model_input_names=inputs if kind in ("roberta", "t5", "gpt") else [*inputs, "token_type_ids"],
    )


def make_data(pairs: bool = False, texts: list[str] = TEXTS) -> Data:
    rows = Rows(texts, texts[::-1] if pairs else None, ["bad", "good"] * (len(texts) // 2), [str(i) for i in texts])
    return Data("single_label", ["bad", "good"], rows, [0, 1], rows, None, {}, "made")


def make_encoder(mode: Any, kind: str = "bert", pairs: bool = False, overlap: int = 3, limit: int = LIMIT) -> Encoder:
    return Encoder(make_tokenizer(kind), make_data(pairs), limit, mode, overlap)


def own(kind: str, second: list[str] | None = None, **settings: Any) -> list[Item]:
    """The tokenizer's own pieces, by its own means."""
    encoded = make_tokenizer(kind)(
        TEXTS, second, truncation=True, max_length=LIMIT, return_attention_mask=False, **settings
    )
    encoded.pop("overflow_to_sample_mapping", None)
    return [{name: values[index] for name, values in encoded.items()} for index in range(len(encoded["input_ids"]))]


@pytest.mark.parametrize("kind", TEMPLATES)
@pytest.mark.parametrize("paired", [False, True])
def test_head_is_what_the_tokenizer_keeps(kind: str, paired: bool) -> None:
    second = TEXTS[::-1] if paired else None
    assert list(make_encoder("head", kind, paired).encode(TEXTS, second)) == own(kind, second)


@pytest.mark.parametrize("kind", TEMPLATES)
def test_tail_is_what_a_tokenizer_that_truncates_on_the_left_keeps(kind: str) -> None:
    tokenizer = make_tokenizer(kind)
    tokenizer.truncation_side = "left"
    expected = tokenizer(TEXTS, truncation=True, max_length=LIMIT)["input_ids"]
    assert [item["input_ids"] for item in make_encoder("tail", kind).encode(TEXTS, None)] == expected


@pytest.mark.parametrize("kind", TEMPLATES)
@pytest.mark.parametrize("overlap", [0, 3, 8])
def test_windows_are_the_tokenizers_own_with_that_stride(kind: str, overlap: int) -> None:
    tokens = make_encoder("windows", kind, overlap=overlap).encode(TEXTS, None)
    assert list(tokens) == own(kind, stride=overlap, return_overflowing_tokens=True)
    assert tokens.first.tolist()[:2] == [0, 1], "a short text is one window"
    assert np.diff(tokens.first)[2] > 1


def test_head_tail_keeps_a_quarter_of_max_length_from_the_start_and_the_rest_from_the_end() -> None:
    """12 tokens with [CLS] and [SEP]: 3 from the start, 10 − 3 = 7 from the end."""
    item = make_encoder("head_tail").encode([TEXTS[2]], None)[0]
    words = {word: index for index, word in enumerate([*SPECIAL, *MARKS, *WORDS])}
    assert item["input_ids"] == [2, *(words[word] for word in [*WORDS[:3], *WORDS[-7:]]), 3]
    assert item["token_type_ids"] == [0] * 12


@pytest.mark.parametrize("mode", MODES)
def test_no_piece_is_over_max_length_and_short_texts_stay_whole(mode: str) -> None:
    tokens = make_encoder(mode).encode(TEXTS, None)
    whole = make_tokenizer()(TEXTS)["input_ids"]
    assert tokens.lengths.tolist() == [len(ids) for ids in whole] == make_encoder(mode).lengths(TEXTS, None)
    assert tokens.sizes.max() == LIMIT
    for row in (0, 3):  # the second just fits
        assert tokens[int(tokens.first[row])]["input_ids"] == whole[row]


def test_lengths_of_pairs_count_both_texts() -> None:
    expected = [len(ids) for ids in make_tokenizer()(TEXTS, TEXTS[::-1])["input_ids"]]
    assert make_encoder("head", pairs=True).lengths(TEXTS, TEXTS[::-1]) == expected


@pytest.mark.parametrize(("own", "positions", "limit"), [(64, 32, 32), (64, 512, 64), (64, None, 64), (10**30, 32, 32)])
def test_the_limit_is_that_of_tokenizer_and_model(own: int, positions: int | None, limit: int) -> None:
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = own
    assert Encoder(tokenizer, make_data(), limit, positions=positions).limit == limit
    with refuses(DataError, match=rf"at most {limit}\..*--set data\.max_length={limit}"):
        Encoder(tokenizer, make_data(), limit + 1, positions=positions)


@pytest.mark.parametrize("mode", MODES)
def test_many_texts_are_the_same_as_a_few(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is handed to the tokenizer at once changes nothing."""
    together = list(make_encoder(mode).encode(TEXTS, None))
    monkeypatch.setattr("finetune.data.tokens.AT_ONCE", 2)
    assert list(make_encoder(mode).encode(TEXTS, None)) == together


@pytest.mark.parametrize("mode", MODES[1:])
def test_pairs_can_only_be_cut_by_the_tokenizer(mode: str) -> None:
    with refuses(RecipeError, match=r"data\.long_texts: .* --set data\.long_texts=head"):
        make_encoder(mode, pairs=True)


def test_windows_that_never_get_on_are_refused() -> None:
    with refuses(RecipeError, match=r"data\.overlap: .*10 tokens.*data\.max_length=12 has room for 10"):
        make_encoder("windows", overlap=10)
    make_encoder("windows", overlap=9)
    make_encoder("head", overlap=10)  # nothing overlaps


def test_more_tokens_than_the_model_takes_are_refused() -> None:
    with refuses(DataError, match=r"--set data\.max_length=64"):
        make_encoder("head", limit=65)


def test_what_ships_cuts_at_the_same_length_and_for_tail_on_the_same_side(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    for mode, side in (("head", "right"), ("tail", "left")):
        encoder = make_encoder(mode)
        encoder.encode(TEXTS, None)
        encoder.save_tokenizer(tmp_path / mode)
        shipped = AutoTokenizer.from_pretrained(tmp_path / mode)
        assert shipped.truncation_side == side
        assert shipped.model_max_length == LIMIT
        assert encoder.tokenizer.model_max_length == 64, "the one that training uses is as it was"
        assert shipped.backend_tokenizer.truncation["max_length"] == LIMIT
        ids = shipped(TEXTS, truncation=True, max_length=LIMIT)["input_ids"]
        assert ids == [item["input_ids"] for item in encoder.encode(TEXTS, None)]


# --- training on windows --------------------------------------------------------------------------------------------


def drawn(dataset: TrainSet, epoch: int) -> list[tuple[int, ...]]:
    dataset.set_epoch(epoch)
    return [tuple(dataset[row]["input_ids"]) for row in range(len(dataset))]


def train_set(seed: int = 0, **changes: Any) -> TrainSet:
    return TrainSet(make_data().train, make_encoder("windows"), changes.pop("augmenters", {}), seed, **changes)


def test_an_epoch_has_one_window_of_each_row_and_in_time_all_of_them() -> None:
    dataset, tokens = train_set(), make_encoder("windows").encode(TEXTS, None)
    epochs = [drawn(dataset, epoch) for epoch in range(40)]
    assert len(dataset) == len(TEXTS)
    for row in range(len(TEXTS)):
        first, stop = tokens.first[row], tokens.first[row + 1]
        windows = {tuple(tokens[piece]["input_ids"]) for piece in range(first, stop)}
        assert {texts[row] for texts in epochs} == windows


def test_windows_depend_on_seed_epoch_and_row_alone() -> None:
    """So that a resumed run, and each of several processes, sees the same."""
    one, other = train_set(), train_set()
    epochs = [drawn(one, epoch) for epoch in range(5)]
    assert drawn(other, 3) == epochs[3]
    other.set_epoch(2)
    assert [tuple(other[row]["input_ids"]) for row in (5, 2, 1, 2)] == [epochs[2][row] for row in (5, 2, 1, 2)]
    assert [drawn(train_set(seed=1), epoch) for epoch in range(5)] != epochs


def test_lengths_are_those_of_what_is_trained_on() -> None:
    whole = [len(ids) for ids in make_tokenizer()(TEXTS)["input_ids"]]
    assert train_set().lengths == [min(length, LIMIT) for length in whole]


def test_texts_are_augmented_before_they_are_cut_and_their_tokens_after() -> None:
    def longer(texts: Any, streams: Any) -> list[str]:
        return [f"{text} {' '.join(WORDS)}" for text in texts]

    def masked(ids: list[int], stream: Any) -> list[int]:
        return [ids[0], *[4] * (len(ids) - 2), ids[-1]]

    plain = train_set(augmenters={"longer": longer})
    epochs = [drawn(plain, epoch) for epoch in range(20)]
    assert len({texts[0] for texts in epochs}) > 1, "a short text has become one of several windows"
    assert all(len(ids) <= LIMIT for texts in epochs for ids in texts)
    both = train_set(augmenters={"longer": longer}, token_augmenters={"masked": masked})
    assert [len(ids) for ids in drawn(both, 7)] == [len(ids) for ids in epochs[7]], "the same windows"
    assert set(drawn(both, 7)[2][1:-1]) == {4}


# --- measuring windows ----------------------------------------------------------------------------------------------


def in_sorted_order(measured: MeasuredSet, value: Callable[[Item], Any]) -> Any:
    return np.array([value(measured[index]) for index in range(len(measured))], dtype=np.float32)


def test_all_windows_are_measured_and_pooled_to_the_mean_of_each_row() -> None:
    measured = MeasuredSet(make_data().train, make_encoder("windows"))
    tokens = make_encoder("windows").encode(TEXTS, None)
    assert len(measured) == len(tokens) > len(TEXTS)
    sizes = [len(measured[index]["input_ids"]) for index in range(len(measured))]
    assert sizes == sorted(sizes)
    logits = in_sorted_order(measured, lambda item: [sum(item["input_ids"]), len(item["input_ids"])])
    expected = [
        np.mean([[sum(ids), len(ids)] for ids in windows], axis=0)
        for row in range(len(TEXTS))
        for windows in [[tokens[p]["input_ids"] for p in range(tokens.first[row], tokens.first[row + 1])]]
    ]
    assert measured.pooled(logits).dtype == np.float32
    np.testing.assert_allclose(measured.pooled(logits), expected, rtol=1e-6)
    labels = np.array([measured[index]["labels"] for index in range(len(measured))])
    assert measured.restore(labels).tolist() == [0, 1] * (len(TEXTS) // 2)
    assert measured.restore(labels).dtype == labels.dtype


def test_pooling_single_pieces_changes_no_bit() -> None:
    measured = MeasuredSet(make_data().train, make_encoder("head"))
    logits = np.random.default_rng(0).standard_normal((len(measured), 3)).astype(np.float32)
    np.testing.assert_array_equal(measured.pooled(logits), measured.restore(logits))
