"""The cache of rewritten texts: made once, shared, kept when interrupted, mended when damaged."""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune.errors import DataError
from finetune.techniques import text_cache
from finetune.techniques.text_cache import Variant, cache_key, draw_variants, stored_texts

KEYS = [cache_key("text", number) for number in range(10)]


class Maker:
    """Makes texts, three at a time, and counts; stops with an error after some batches if told to."""

    def __init__(self, fails_after: int | None = None) -> None:
        self.made: list[str] = []
        self.calls = 0
        self._fails_after = fails_after

    def __call__(self, keys: list[str]) -> Iterator[dict[str, str]]:
        self.calls += 1
        for batch, start in enumerate(range(0, len(keys), 3)):
            if batch == self._fails_after:
                raise KeyboardInterrupt
            chunk = keys[start : start + 3]
            self.made += chunk
            yield {key: f"made of {key}" for key in chunk}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder" / "texts.sqlite3"


def expected(keys: list[str]) -> dict[str, str]:
    return {key: f"made of {key}" for key in keys}


def test_what_was_made_is_not_made_again(file: Path) -> None:
    first, second = Maker(), Maker()
    assert stored_texts(file, KEYS, first, "test") == expected(KEYS)
    assert first.made == KEYS
    assert stored_texts(file, KEYS, second, "test") == expected(KEYS)
    assert second.calls == 0


def test_only_what_is_missing_is_made(file: Path) -> None:
    stored_texts(file, KEYS[:4], Maker(), "test")
    more = Maker()
    assert stored_texts(file, KEYS[2:8], more, "test") == expected(KEYS[2:8])
    assert more.made == KEYS[4:8]


def test_a_key_that_is_wanted_twice_is_made_once(file: Path) -> None:
    maker = Maker()
    assert stored_texts(file, KEYS[:2] * 3, maker, "test") == expected(KEYS[:2])
    assert maker.made == KEYS[:2]


def test_nothing_wanted_is_nothing_made(file: Path) -> None:
    maker = Maker()
    assert stored_texts(file, [], maker, "test") == {}
    assert maker.calls == 0


def test_more_keys_than_a_query_takes(file: Path) -> None:
    keys = [cache_key(number) for number in range(1700)]
    assert stored_texts(file, keys, Maker(), "test") == expected(keys)
    again = Maker()
    assert stored_texts(file, keys, again, "test") == expected(keys)
    assert again.calls == 0


def test_a_killed_preparation_continues_where_it_was(file: Path) -> None:
    """Two batches of three were done; the third was never begun."""
    killed, after = Maker(fails_after=2), Maker()
    with pytest.raises(KeyboardInterrupt):
        stored_texts(file, KEYS, killed, "test")
    assert killed.made == KEYS[:6]
    assert stored_texts(file, KEYS, after, "test") == expected(KEYS)
    assert after.made == KEYS[6:]


@pytest.mark.parametrize("damage", ["not a database", "cut", "empty"])
def test_a_damaged_file_is_replaced(file: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    many = [cache_key("many", number) for number in range(300)]
    stored_texts(file, many, Maker(), "test")
    whole = file.read_bytes()
    file.write_bytes(
        {"not a database": b"no database at all" * 500, "cut": whole[: len(whole) // 2], "empty": b""}[damage]
    )
    maker = Maker()
    with caplog.at_level(logging.WARNING):
        assert stored_texts(file, many, maker, "test") == expected(many)
    assert maker.made == many
    assert ("was damaged" in caplog.text) is (damage != "empty")  # nothing in it is what a new one looks like
    again = Maker()
    assert stored_texts(file, many, again, "test") == expected(many)
    assert again.calls == 0


def test_a_folder_that_cannot_be_written_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"techniques\.test: .*texts\.sqlite3.*export FINETUNE_CACHE=DIR"):
        stored_texts(tmp_path / "file" / "texts.sqlite3", KEYS, Maker(), "test")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_file_without_the_right_to_write_is_not_deleted(file: Path) -> None:
    stored_texts(file, KEYS[:2], Maker(), "test")
    file.chmod(0o400)
    with pytest.raises(DataError, match="FINETUNE_CACHE"):
        stored_texts(file, KEYS, Maker(), "test")
    assert stored_texts(file, KEYS[:2], Maker(), "test") == expected(KEYS[:2])


def _prepare(file: Path, log: Path) -> None:
    """In a process of its own: slow enough for the others to meet it."""

    def make(keys: list[str]) -> Iterator[dict[str, str]]:
        for key in keys:
            time.sleep(0.03)
            with log.open("a") as lines:
                lines.write(f"{key}\n")
            yield {key: f"made of {key} by {os.getpid()}"}

    found = stored_texts(file, KEYS, make, "test")
    with log.with_name(f"found-{os.getpid()}").open("w") as lines:
        lines.write("\n".join(found[key] for key in KEYS))


def test_processes_share_the_work_and_see_the_same_texts(file: Path, tmp_path: Path) -> None:
    """Each text is made once, by whoever comes first, and all read that one."""
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    processes = [context.Process(target=_prepare, args=(file, log)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(log.read_text().split()) == sorted(KEYS)
    found = {path.read_text() for path in tmp_path.glob("found-*")}
    assert len(found) == 1


def test_a_long_preparation_says_how_far_it_is(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_cache, "PROGRESS_SECONDS", 0.0)
    with caplog.at_level(logging.WARNING):
        stored_texts(file, KEYS, Maker(), "test")
    assert "techniques.test: 3 of 10 texts rewritten" in caplog.text


def test_keys_differ_when_anything_differs() -> None:
    parts = [("a", 1), ("a", 2), ("b", 1), ("a1",), ("a", "1"), (["a"], 1), ("a", 1, None), ("ä", 1), ("😀", 1)]
    assert len({cache_key(*part) for part in parts}) == len(parts)


# --- drawing among variants ---------------------------------------------------------------------------------


class Rewriter:
    """Marks texts with the number of the variant, and writes down what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[Variant]] = []

    def __call__(self, wanted: list[Variant]) -> dict[Variant, str]:
        self.asked.append(wanted)
        return {(text, number): f"{text}/{number}" for text, number in wanted}


def streams(count: int, salt: str = "") -> list[random.Random]:
    return [random.Random(f"{salt}{number}") for number in range(count)]


def test_all_variants_are_made_before_training_and_drawn_in_it() -> None:
    rewrite = Rewriter()
    augment = draw_variants(rewrite, ["a", "b", "a"], 1.0, 3, "test")
    assert rewrite.asked == [[(text, number) for text in "ab" for number in range(3)]]
    drawn = augment(["a"] * 300, streams(300))
    assert set(drawn) == {"a/0", "a/1", "a/2"}
    assert all(60 < drawn.count(text) < 140 for text in set(drawn))
    assert len(rewrite.asked) == 1


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_probability_is_the_share_of_texts_that_change(probability: float) -> None:
    augment = draw_variants(Rewriter(), ["a"], probability, 2, "test")
    drawn = augment(["a"] * 4000, streams(4000))
    assert sum(text != "a" for text in drawn) / 4000 == pytest.approx(probability, abs=0.04)


def test_the_same_streams_give_the_same_texts() -> None:
    augment = draw_variants(Rewriter(), ["a", "b"], 0.5, 3, "test")
    texts = ["a", "b"] * 20
    assert augment(texts, streams(40)) == augment(texts, streams(40))
    assert augment(texts, streams(40)) != augment(texts, streams(40, "other"))


def test_texts_that_were_changed_before_are_rewritten_too_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rewrite = Rewriter()
    augment = draw_variants(rewrite, ["a"], 1.0, 1, "test")
    with caplog.at_level(logging.WARNING):
        assert augment(["a", "x", "x"], streams(3)) == ["a/0", "x/0", "x/0"]
        assert augment(["y", ""], streams(2)) == ["y/0", "/0"]
    assert rewrite.asked == [[("a", 0)], [("x", 0)], [("y", 0), ("", 0)]]
    assert caplog.text.count("Put it first") == 1


def test_the_file_is_plain_sqlite(file: Path) -> None:
    """Whoever wants to see what was made can: sqlite3 texts.sqlite3 'select text from texts'."""
    stored_texts(file, KEYS[:1], Maker(), "test")
    with sqlite3.connect(file) as store:
        assert store.execute("SELECT key, text FROM texts").fetchall() == [(KEYS[0], f"made of {KEYS[0]}")]
