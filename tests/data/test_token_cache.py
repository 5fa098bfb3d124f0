"""Tokens are made once for all seeds, presets and processes, and never trusted when damaged."""

from __future__ import annotations

import json
import logging
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from finetune.data import token_cache
from finetune.data.sorted_sets import MeasuredSet
from finetune.data.token_cache import cached_arrays
from finetune.data.tokens import Encoder
from finetune.data.train_set import TrainSet
from tests.data.test_tokens import LIMIT, TEXTS, make_data, make_tokenizer

ARRAYS = {"ids": np.arange(1000, dtype=np.int32), "types": np.zeros(7, dtype=np.int8), "none": np.zeros(0)}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path / "cache"))
    token_cache._warn_once.cache_clear()
    yield tmp_path / "cache"
    token_cache._warn_once.cache_clear()


class Maker:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, Any]:
        self.calls += 1
        return dict(ARRAYS)


def check(arrays: Any) -> None:
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_arrays_are_made_once_and_mapped_read_only(cache: Path) -> None:
    make = Maker()
    for _ in range(3):
        arrays = cached_arrays("tokens", "key", make)
        check(arrays)
    assert make.calls == 1
    assert isinstance(arrays["ids"], np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        arrays["ids"][0] = 1


def test_threads_that_ask_at_once_make_it_once(cache: Path) -> None:
    make, start = Maker(), threading.Barrier(4)
    found: list[Any] = []

    def ask() -> None:
        start.wait()
        found.append(cached_arrays("tokens", "key", make))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert make.calls == 1
    for arrays in found:
        check(arrays)


@pytest.mark.parametrize("damage", ["empty", "half", "a bit"])
def test_a_damaged_file_is_made_anew(cache: Path, damage: str) -> None:
    make = Maker()
    cached_arrays("tokens", "key", make)
    file = cache / "tokens" / "key.arrays"
    content = bytearray(file.read_bytes())
    content[2000] ^= 1
    file.unlink()  # what is mapped must not be changed under it
    file.write_bytes({"empty": b"", "half": bytes(content[:1500]), "a bit": bytes(content)}[damage])
    check(cached_arrays("tokens", "key", make))
    check(cached_arrays("tokens", "key", make))
    assert make.calls == 2


def test_without_a_folder_arrays_stay_in_memory_and_that_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cache: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path / "file"))
    make = Maker()
    with caplog.at_level(logging.WARNING):
        check(cached_arrays("tokens", "key", make))
        check(cached_arrays("tokens", "other", make))
    assert make.calls == 2
    (said,) = [record.getMessage() for record in caplog.records]
    assert "FINETUNE_CACHE=DIR" in said


def test_every_changed_bit_of_a_file_is_found(cache: Path) -> None:
    make = Maker()
    cached_arrays("tokens", "key", make)
    file = cache / "tokens" / "key.arrays"
    content, random = file.read_bytes(), Random(0)
    for _ in range(200):
        at, bit = random.randrange(600), 1 << random.randrange(8)  # the header, and the beginning of the numbers
        file.unlink(missing_ok=True)
        file.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        check(cached_arrays("tokens", "key", make))
    assert make.calls > 100


@pytest.mark.parametrize(
    "header", [[["ids", "|O", 1, 0]], [["ids", "<i4", 10**9, 0]], [["ids", "<i4", -1, 0]], [1], {}]
)
def test_a_file_that_somebody_made_up_is_made_anew(cache: Path, header: Any) -> None:
    """With a checksum that fits: objects are never mapped, and nothing outside the file is."""
    make, text = Maker(), json.dumps(header).encode()
    (cache / "tokens").mkdir(parents=True)
    start = token_cache._START.pack(token_cache.MAGIC, len(text), zlib.crc32(text))
    (cache / "tokens" / "key.arrays").write_bytes(start + text + bytes(100))
    check(cached_arrays("tokens", "key", make))
    assert make.calls == 1


def test_the_cache_is_private_to_its_user(cache: Path) -> None:
    cached_arrays("tokens", "key", Maker())
    assert cache.stat().st_mode & 0o777 == 0o700


class Counting:
    """A tokenizer that remembers which texts it was called with."""

    def __init__(self, kind: str = "bert") -> None:
        self._tokenizer = make_tokenizer(kind)
        self.texts: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, texts: Any, *others: Any, **settings: Any) -> Any:
        self.texts += texts
        return self._tokenizer(texts, *others, **settings)


def used(encoder: Encoder) -> None:
    """What seeds and warnings of a preparation ask of it."""
    rows = make_data().train
    for seed in range(3):
        TrainSet(rows, encoder, {}, seed)
    MeasuredSet(rows, encoder)
    encoder.lengths(rows.texts, rows.pairs)


def test_texts_are_tokenised_once_over_seeds_and_preparations(cache: Path) -> None:
    for mode in ("head", "windows"):
        tokenizers = [Counting() for _ in range(3)]
        for tokenizer in tokenizers:
            used(Encoder(tokenizer, make_data(), LIMIT, mode, 2))  # type: ignore[arg-type]
        once = [
            *TEXTS,
            *(text for text in TEXTS if len(text) > 55 and mode == "head"),
        ]
        assert [tokenizer.texts for tokenizer in tokenizers] == [once, [], []]


def test_whatever_changes_the_tokens_changes_the_file(cache: Path) -> None:
    def made(tokenizer: Any, limit: int = LIMIT, mode: Any = "windows", overlap: int = 2, texts: Any = TEXTS) -> int:
        Encoder(tokenizer, make_data(), limit, mode, overlap).encode_once(texts, None)
        return len(list((cache / "tokens").glob("*.arrays")))

    assert made(make_tokenizer()) == 1
    assert made(make_tokenizer()) == 1
    assert made(make_tokenizer("roberta")) == 2
    assert made(make_tokenizer(), limit=LIMIT + 1) == 3
    assert made(make_tokenizer(), mode="tail") == 4
    assert made(make_tokenizer(), overlap=3) == 5
    assert made(make_tokenizer(), texts=TEXTS[:-1]) == 6
    assert made(make_tokenizer(), texts=["".join(TEXTS)]) == 7
    larger = make_tokenizer()
    larger.add_tokens(["lovely film"])
    assert made(larger) == 8


def test_two_texts_and_a_pair_have_keys_of_their_own(cache: Path) -> None:
    encoder = Encoder(make_tokenizer(), make_data(), LIMIT)
    assert len(encoder.encode_once(["good", "bad"], None)) == 2
    assert len(encoder.encode_once(["good"], ["bad"])) == 1
    assert len(encoder.encode_once(["goodbad"], None)) == 1
