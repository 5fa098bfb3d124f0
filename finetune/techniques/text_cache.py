"""Rewritten texts on disk: made once, shared by all runs and processes of this machine that need the same ones.

The expensive work is done once per text, not once per epoch: a training text gets a few rewritten variants before
training, and each epoch draws among them. Keys depend on content (text, models, settings, number of the variant), so a
cache never goes stale, and all seeds of a comparison find the same texts in it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from filelock import FileLock

from finetune.errors import Change, DataError
from finetune.techniques.hooks.augmentation import BatchAugment

logger = logging.getLogger(__name__)
progress = logging.getLogger(f"{__name__}.progress")  # shown like a warning, and not in a run's record

Variant = tuple[str, int]  # a text, and which of its rewritings
Make = Callable[[list[str]], Iterator[Mapping[str, str]]]  # keys -> batches of key and text

PROGRESS_SECONDS = 30.0
_KEYS_PER_QUERY = 500  # SQLite takes 999 values in a query everywhere
_TABLE = "CREATE TABLE IF NOT EXISTS texts (key TEXT PRIMARY KEY, text TEXT NOT NULL)"


def cache_key(*parts: object) -> str:
    """sha256 of `parts`, which may hold JSON values only; 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def stored_texts(file: Path, keys: Sequence[str], make: Make, name: str) -> dict[str, str]:
    """The text of every key: read from `file` if it is there, else made and written to it, batch by batch.

    One process makes the texts, the others wait and read what it wrote: all of them see the same texts, whatever their
    hardware. Texts that an interrupted process has written are used. A damaged file is replaced.

    Args:
        file: File of the cache; its folder need not exist.
        keys: Keys from `cache_key`.
        make: Yields texts for the keys it is given, all of them in the end. Not called if none is missing.
        name: Name of the technique, for messages.

    Raises:
        DataError: The file cannot be written; the error says which folder to choose.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        stored = _read_if_intact(file, keys)
        if len(stored) < len(set(keys)):
            with FileLock(f"{file}.lock"), closing(_open(file, name)) as store:
                stored = _read(store, keys)
                _add_missing(store, [key for key in dict.fromkeys(keys) if key not in stored], make, name)
                stored = _read(store, keys)
    except (OSError, sqlite3.Error) as error:
        raise DataError(
            f"the rewritten texts cannot be stored in {file}: {error}.",
            Change(command="export FINETUNE_CACHE=DIR", note="another folder"),
            key=f"techniques.{name}",
        ) from error
    return stored


def draw_variants(
    rewrite: Callable[[list[Variant]], Mapping[Variant, str]],
    texts: Sequence[str],
    probability: float,
    variants: int,
    name: str,
) -> BatchAugment:
    """Rewrite all training texts now, and draw among their variants in each epoch.

    A text that another technique has changed before is rewritten in every epoch.

    Args:
        rewrite: Texts and numbers of variants -> rewritten texts.
        texts: Texts of the training rows.
        probability: Fraction of the texts that are changed in an epoch.
        variants: Number of rewritten versions of a text.
        name: Name of the technique, for messages.
    """
    ready = dict(rewrite([(text, number) for text in dict.fromkeys(texts) for number in range(variants)]))
    warned: list[str] = []

    def augment(texts: Sequence[str], streams: Sequence[random.Random]) -> list[str]:
        drawn = [
            (text, rng.randrange(variants)) if rng.random() < probability else None
            for text, rng in zip(texts, streams, strict=True)
        ]
        missing = list(dict.fromkeys(variant for variant in drawn if variant is not None and variant not in ready))
        if missing and not warned:
            warned.append(name)
            logger.warning(
                "techniques.%s: another technique changes the texts before it, so its model has to run in every "
                "epoch. Put it first among the techniques of the recipe.",
                name,
            )
        rewritten = {**ready, **rewrite(missing)} if missing else ready
        return [text if variant is None else rewritten[variant] for text, variant in zip(texts, drawn, strict=True)]

    return augment


def _add_missing(store: sqlite3.Connection, missing: list[str], make: Make, name: str) -> None:
    if not missing:
        return
    started = shown = time.monotonic()
    done = 0
    for batch in make(missing):
        with store:  # commits: what is made stays made
            store.executemany("INSERT OR REPLACE INTO texts VALUES (?, ?)", batch.items())
        done += len(batch)
        now = time.monotonic()
        if now - shown > PROGRESS_SECONDS:
            shown = now
            left = (now - started) / done * (len(missing) - done) / 60
            progress.warning(
                "techniques.%s: %d of %d texts rewritten, about %.0f min left. This is done once; the texts are then "
                "kept.",
                name,
                done,
                len(missing),
                left,
            )


def _read_if_intact(file: Path, keys: Sequence[str]) -> dict[str, str]:
    """Without a lock, so that no process waits without need. Empty if the file is missing or damaged."""
    if not file.is_file():
        return {}
    try:
        with closing(sqlite3.connect(file, timeout=60)) as store:
            return _read(store, keys)
    except sqlite3.Error:
        return {}


def _open(file: Path, name: str) -> sqlite3.Connection:
    """The cache, empty if there was none. Only under the lock: a damaged one is deleted.

    SQLite's default journal and no WAL: that one does not work in network folders, where homes of clusters are.
    """
    store = sqlite3.connect(file, timeout=60)
    try:
        store.execute(_TABLE)
        (verdict,) = store.execute("PRAGMA quick_check").fetchone()
        if verdict == "ok":
            return store
    except sqlite3.OperationalError:  # no permission, full disk, locked: deleting would not help
        store.close()
        raise
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    store.close()
    logger.warning("techniques.%s: %s was damaged (%s); its texts are made again.", name, file, verdict)
    file.unlink()
    file.with_name(f"{file.name}-journal").unlink(missing_ok=True)
    store = sqlite3.connect(file, timeout=60)
    store.execute(_TABLE)
    return store


def _read(store: sqlite3.Connection, keys: Sequence[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        chunk = keys[start : start + _KEYS_PER_QUERY]
        query = f"SELECT key, text FROM texts WHERE key IN ({', '.join('?' * len(chunk))})"
        texts.update(store.execute(query, chunk).fetchall())
    return texts
