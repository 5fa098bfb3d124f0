"""Which rows have the same text, or nearly the same.

Three kinds of twins, the strongest first:

- exact: the texts are equal;
- normalised: equal after Unicode NFKC, case folding, and each run of punctuation and white space as one space;
- near: the sets of character 5-grams of the normalised texts have a Jaccard similarity of at least 0.8. Five characters
  are about a word, so order and spelling count; 0.8 is what web-scale deduplication uses (Lee et al. 2022,
  arXiv:2107.06499): about one word in ten changed. Texts below 20 characters have too few 5-grams and are
  compared by the first two kinds only.

For text pairs, both texts must be twins: hypotheses on the same premise are not copies of each other. Candidates for
near twins come from MinHash signatures cut into bands; every one is verified on the true sets, so none is reported by
mistake, and 99.8 % of those at 0.8 (more above it) are found.
"""

from __future__ import annotations

import functools
import random
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from finetune.data.rows import Rows

Kind = Literal["exact", "normalised", "near"]
TextKey = tuple[str, str]  # normalised text, and second text or ""

NEAR = 0.8  # Jaccard similarity
SHINGLE = 5  # characters
SHORT = 20  # characters of a normalised text below which near is not asked
BANDS, BAND = 20, 6  # 1 − (1 − 0.8⁶)²⁰ = 99.8 % of twins at 0.8 share a band, 1.4 % of pairs at 0.3 do
LIKELY = 0.65  # similarity as estimated by 120 hashes: four standard errors below NEAR
CROWD = 64  # rows of one bucket that are compared with each other; more are texts from one template
BLOCK = 20_000  # rows held at a time where a large table is searched
_COEFFICIENTS = np.random.default_rng(5).integers(1, 2**63, SHINGLE, dtype=np.uint64) | np.uint64(1)
_NO_SHINGLES: NDArray[np.uint32] = np.empty(0, dtype=np.uint32)


@dataclass(frozen=True)
class Twin:
    """Position `row` of one split has the text at position `original` of another split (or of its own)."""

    original: int
    row: int
    kind: Kind


def normalise(text: str) -> str:
    """The text without case, punctuation and extra spacing; a text of punctuation only keeps its punctuation."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[^\w\s]|_", _blank_punctuation, folded).split()) or " ".join(folded.split())


def _blank_punctuation(match: re.Match[str]) -> str:
    """Symbols and emoji stay: they can be all that a message says."""
    return " " if unicodedata.category(match[0]).startswith("P") else match[0]


def text_keys(rows: Rows) -> list[TextKey]:
    """The normalised text (and second text, or "") of each row."""
    seconds = [""] * len(rows) if rows.pairs is None else [normalise(pair) for pair in rows.pairs]
    return list(zip((normalise(text) for text in rows.texts), seconds, strict=True))


def find_leaks(kept: Rows, other: Rows) -> list[int]:
    """Positions in `other`, ascending, whose text is equal or nearly equal to one of `kept`.

    Every row is searched, whatever the size: `other` is searched in blocks, in memory bounded by `kept` and a block.
    """
    leaks = []
    texts = _Texts(kept, text_keys(kept))
    sketch = _sketch(texts.keys, range(len(kept)))
    for start in range(0, len(other), BLOCK):
        block = other.take(range(start, min(start + BLOCK, len(other))))
        keys = text_keys(block)
        found = _find([texts, _Texts(block, keys)], [sketch, _sketch(keys, range(len(block)))], within=False)
        leaks += [start + twin.row for twin in found[0, 1]]
    return leaks


def find_twins(
    parts: Sequence[Rows],
    within: bool = True,
    limit: int | None = None,
    keys: Sequence[list[TextKey]] | None = None,
) -> dict[tuple[int, int], list[Twin]]:
    """Twins of each row in its own and in every earlier part.

    Args:
        parts: Splits, those that are kept first.
        within: Also look for twins inside a part.
        limit: Rows that take part in the search for near twins: where there are more, a fixed sample of the first part
            and all of the other parts. Equal texts are always searched in all rows.
        keys: `text_keys` of each part, where they are known.

    Returns:
        (part of the original, part of the row) -> one twin per row that has any, by row: of the strongest kind, and
        the most similar or the first of it. Inside a part the original stands before its copies.
    """
    keys = [text_keys(rows) for rows in parts] if keys is None else keys
    texts = [_Texts(rows, of_part) for rows, of_part in zip(parts, keys, strict=True)]
    searched = zip(keys, _searched(parts, limit), strict=True)
    return _find(texts, [_sketch(of_part, positions) for of_part, positions in searched], within)


def _searched(parts: Sequence[Rows], limit: int | None) -> list[Sequence[int]]:
    """Positions in each part that take part in the search for near twins."""
    positions: list[Sequence[int]] = [range(len(rows)) for rows in parts]
    rest = sum(len(rows) for rows in parts[1:])
    if limit is not None and len(parts[0]) + rest > limit:
        positions[0] = sorted(random.Random(0).sample(positions[0], max(0, limit - rest)))
    return positions


class _Texts:
    """The texts of one part.

    Attributes:
        raw, keys: Of each row, as written and normalised.
    """

    def __init__(self, rows: Rows, keys: list[TextKey]) -> None:
        seconds = [""] * len(rows) if rows.pairs is None else rows.pairs
        self.raw: list[TextKey] = list(zip(rows.texts, seconds, strict=True))
        self.keys = keys

    @functools.cached_property
    def firsts(self) -> tuple[dict[TextKey, int], dict[TextKey, int]]:
        """Text as written and normalised text -> the first row with it."""
        exact: dict[TextKey, int] = {}
        normalised: dict[TextKey, int] = {}
        for row, (raw, key) in enumerate(zip(self.raw, self.keys, strict=True)):
            exact.setdefault(raw, row)
            normalised.setdefault(key, row)
        return exact, normalised


class _Sketch(NamedTuple):
    """What near twins are searched by in one part.

    Attributes:
        groups: Normalised text -> its rows.
        asked: Those that are long enough, in the order of their rows.
        sets, signatures: The shingles of each of them, and their MinHash.
    """

    groups: dict[TextKey, list[int]]
    asked: list[TextKey]
    sets: list[tuple[NDArray[np.uint32], NDArray[np.uint32]]]
    signatures: NDArray[np.uint32]


def _sketch(keys: list[TextKey], positions: Sequence[int]) -> _Sketch:
    groups: dict[TextKey, list[int]] = defaultdict(list)
    for row in positions:
        groups[keys[row]].append(row)
    asked = [key for key in groups if max(map(len, key)) >= SHORT]
    sets = [(shingles(text), shingles(second)) for text, second in asked]
    return _Sketch(groups, asked, sets, _sign(sets))


def _find(texts: Sequence[_Texts], sketches: Sequence[_Sketch], within: bool) -> dict[tuple[int, int], list[Twin]]:
    """As `find_twins`."""
    pairs = [(a, b) for b in range(len(texts)) for a in range(b + 1) if a < b or within]
    twins = {(a, b): _equal_twins(texts[a], texts[b]) for a, b in pairs}
    similar = _near_groups(sketches, within)
    for (a, b), of_parts in twins.items():
        taken = {twin.row for twin in of_parts}
        for (_, key), ((_, original), _) in sorted(similar[a, b].items()):
            first = sketches[a].groups[original][0]
            of_parts += [Twin(first, row, "near") for row in sketches[b].groups[key] if row not in taken]
        of_parts.sort(key=lambda twin: twin.row)
    return twins


def _equal_twins(earlier: _Texts, texts: _Texts) -> list[Twin]:
    """Exact and normalised twins of the rows of a part in an earlier one, or above them in the same."""
    exact, normalised = earlier.firsts
    twins = []
    for row, (raw, key) in enumerate(zip(texts.raw, texts.keys, strict=True)):
        same, alike = exact.get(raw), normalised.get(key)
        if same is not None and (earlier is not texts or same < row):
            twins.append(Twin(same, row, "exact"))
        elif alike is not None and (earlier is not texts or alike < row):
            twins.append(Twin(alike, row, "normalised"))
    return twins


def _near_groups(sketches: Sequence[_Sketch], within: bool) -> dict[tuple[int, int], dict[Any, tuple[Any, float]]]:
    """(part, part) -> group -> its most similar group in that part, and how similar; a group is a text of a part."""
    best: dict[tuple[int, int], dict[Any, tuple[Any, float]]] = defaultdict(dict)
    asked = [(part, key) for part, sketch in enumerate(sketches) for key in sketch.asked]
    if len(asked) < 2:
        return best
    sets = [shingled for sketch in sketches for shingled in sketch.sets]
    for i, j in _likely_pairs(np.concatenate([sketch.signatures for sketch in sketches])):
        # Groups stand in the order of their parts, and of rows inside a part: i is the original.
        part, other = asked[i][0], asked[j][0]
        if (part == other and not within) or asked[i][1] == asked[j][1]:
            continue
        similarity = min(
            _similarity(asked[i][1][side], asked[j][1][side], sets[i][side], sets[j][side]) for side in (0, 1)
        )
        earlier = best[part, other].get(asked[j])
        if similarity >= NEAR and (earlier is None or similarity > earlier[1]):
            best[part, other][asked[j]] = (asked[i], similarity)
    return best


def shingles(text: str) -> NDArray[np.uint32]:
    """Hashes of the distinct character 5-grams, ascending; none for a text below 20 characters.

    Multilinear hashing (Lemire & Kaser 2014): two 5-grams share a hash with probability 2⁻³².
    """
    if len(text) < SHORT:
        return _NO_SHINGLES
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    hashed = np.lib.stride_tricks.sliding_window_view(codes, SHINGLE) @ _COEFFICIENTS
    return np.unique((hashed >> np.uint64(32)).astype(np.uint32))


def _similarity(text: str, other: str, a: NDArray[np.uint32], b: NDArray[np.uint32]) -> float:
    """Jaccard similarity of the 5-grams; of texts too short for it, whether they are equal."""
    if text == other:
        return 1.0
    if len(a) == 0 or len(b) == 0:
        return 0.0
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / (len(a) + len(b) - shared)


def _sign(sets: Sequence[tuple[NDArray[np.uint32], NDArray[np.uint32]]]) -> NDArray[np.uint32]:
    """MinHash signatures, (texts, hashes). Equal shingles of first and second texts count as different."""
    if not sets:
        return np.empty((0, BANDS * BAND), dtype=np.uint32)
    from datasketch import MinHash  # slow to import, and needed here only

    both = ([*first.tolist(), *(second ^ np.uint32(1)).tolist()] for first, second in sets)
    # The shingles are hashed already; affine32 is named so that a new default cannot change what is found.
    signed = MinHash.generator(both, num_perm=BANDS * BAND, seed=1, hashfunc=int, scheme="affine32")
    return np.array([minhash.hashvalues for minhash in signed], dtype=np.uint32)


def _likely_pairs(signatures: NDArray[np.uint32]) -> Iterator[tuple[int, int]]:
    """Pairs (i < j) that share a band and look similar enough over all hashes; ascending, each once."""
    pairs: set[tuple[int, int]] = set()
    for band in range(BANDS):
        for bucket in _buckets(signatures, band):
            hashes = signatures[bucket]
            estimated = (hashes[:, None] == hashes[None]).mean(axis=2)
            pairs.update(
                (int(bucket[a]), int(bucket[b])) for a, b in np.argwhere(estimated >= LIKELY).tolist() if a < b
            )
    yield from sorted(pairs)


def _buckets(signatures: NDArray[np.uint32], band: int) -> Iterator[NDArray[np.int64]]:
    """Ascending positions that share a band. A large bucket comes in crowds, alike by the next band too."""
    columns = np.arange(band * BAND, (band + 2) * BAND) % signatures.shape[1]
    order = np.lexsort(signatures[:, columns[::-1]].T)
    sorted_band = signatures[order][:, columns[:BAND]]
    ends = np.flatnonzero((sorted_band[1:] != sorted_band[:-1]).any(axis=1)) + 1
    for bucket in np.split(order, ends):
        for start in range(0, len(bucket) if len(bucket) > 1 else 0, CROWD):
            yield np.sort(bucket[start : start + CROWD])
