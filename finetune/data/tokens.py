"""Texts -> token ids, label cells -> targets. Without torch: checks of the data need none."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import random
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from finetune.data.long_texts import LongTexts, kept_spans
from finetune.data.rows import Kind, target_reader
from finetune.data.token_cache import Arrays, cached_arrays
from finetune.errors import Change, DataError, RecipeError

Item = dict[str, Any]
Augment = Callable[[Sequence[str], Sequence[random.Random]], list[str]]  # texts and a random stream for each
AugmentTokens = Callable[[list[int], random.Random], list[int]]

OVERLAP = 32  # tokens that neighbouring windows share, when the recipe does not say
AT_ONCE = 1000  # texts handed to the tokenizer: its Python lists of the rest are never all there
FORMAT = 1  # of what is cached: raise it when the same key would have to mean other arrays


class Tokens:
    """Pieces of texts as the model reads them, unpadded, in flat arrays: no Python list of all tokens is kept.

    A text is one piece; in windows it has as many as it needs. Indexing and iterating give pieces.

    Attributes:
        lengths: (rows,) tokens of each text before anything was cut, special tokens included.
        first: (rows + 1,) index of the first piece of each row, and the number of pieces.
        sizes: (pieces,) tokens of each piece.
    """

    def __init__(self, arrays: Arrays) -> None:
        self.lengths = arrays["lengths"]
        self.first = arrays["first"]
        self.sizes = np.diff(arrays["offsets"])
        self._offsets = arrays["offsets"]
        self._inputs = {name: arrays[name] for name in arrays if name not in ("lengths", "first", "offsets")}

    def share(self, token: int | None) -> float | None:
        """Fraction of all tokens that are this one; None where there is no such token, or no text."""
        ids = self._inputs.get("input_ids")
        return None if token is None or ids is None or not len(ids) else float(np.mean(ids == token))

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, piece: int) -> Item:
        start, stop = self._offsets[piece], self._offsets[piece + 1]
        return {name: values[start:stop].tolist() for name, values in self._inputs.items()}

    def __iter__(self) -> Iterator[Item]:
        return (self[piece] for piece in range(len(self)))


class Encoder:
    """Tokenises rows of one data set.

    Args:
        tokenizer: A transformers tokenizer.
        data: The task, the order of the labels, and whether texts are pairs.
        max_length: Texts are cut to this many tokens, special tokens included.
        long_texts: Which part of a longer text is kept.
        overlap: Tokens that neighbouring windows share; None: 32.
        positions: Number of positions of the model; None: as many as the tokenizer says.

    Raises:
        DataError: `max_length` is more than the model can read.
        RecipeError: `long_texts` cannot cut pairs, or `overlap` leaves no room for further tokens.
    """

    def __init__(
        self,
        tokenizer: Any,
        data: Kind,
        max_length: int,
        long_texts: LongTexts = "head",
        overlap: int | None = None,
        positions: int | None = None,
    ) -> None:
        limit: int = tokenizer.model_max_length if positions is None else min(tokenizer.model_max_length, positions)
        if max_length > limit:
            shorter = Change(settings={"data.max_length": limit})
            why = f"{max_length} tokens, but this model takes at most {limit}."
            raise DataError(why, shorter, key="data.max_length", found=max_length)
        if long_texts != "head" and data.has_pairs:
            raise RecipeError(
                f"{long_texts} cuts single texts, but these rows are pairs (data.text_pair), in which the longer text "
                "loses its end.",
                Change(settings={"data.long_texts": "head"}),
                key="data.long_texts",
                found=long_texts,
            )
        room = max_length - tokenizer.num_special_tokens_to_add(pair=False)
        overlap = OVERLAP if overlap is None else overlap
        if long_texts == "windows" and overlap >= room:
            raise RecipeError(
                f"windows cannot share {overlap} tokens, as data.max_length={max_length} has room for {room} tokens of "
                "a text.",
                Change(settings={"data.overlap": room // 4}),
                key="data.overlap",
                found=overlap,
            )
        self._limit = limit
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._long_texts = long_texts
        self._overlap = overlap
        self._target = target_reader(data.task, data.labels)
        self._encoded: dict[str, Tokens] = {}

    @property
    def tokenizer(self) -> Any:
        return self._tokenizer

    @property
    def max_length(self) -> int:
        return self._max_length

    @property
    def limit(self) -> int:
        """The most tokens that both tokenizer and model can read: some tokenizers name no limit, or a larger one."""
        return self._limit

    @property
    def overlap(self) -> int | None:
        """Tokens that neighbouring windows share; None without windows."""
        return self._overlap if self._long_texts == "windows" else None

    @property
    def long_texts(self) -> LongTexts:
        """Which part of a text that is too long is kept."""
        return self._long_texts

    @property
    def truncation_side(self) -> str:
        """The side at which a plain tokenizer cuts to come closest to this."""
        return "left" if self._long_texts == "tail" else "right"

    def lengths(self, texts: Sequence[str], pairs: Sequence[str] | None) -> list[int]:
        """Tokens of each text (or pair) before anything is cut, special tokens included."""
        counts: list[int] = self.encode_once(texts, pairs).lengths.tolist()
        return counts

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None) -> Tokens:
        """The model's input for each text, cut to `max_length`."""
        return Tokens(_packed(self._pieces(texts, pairs)))

    def encode_once(self, texts: Sequence[str], pairs: Sequence[str] | None) -> Tokens:
        """As `encode`, for texts that are used again: by the next seed, preset or process of this machine."""
        if self.identity is None:
            return self.encode(texts, pairs)
        settings = [FORMAT, self.identity, self._max_length, self._long_texts, self._overlap]
        digest = hashlib.sha256(json.dumps(settings).encode())
        for part in (texts, pairs or ()):
            digest.update(f"{len(part)}\n".encode())
            for text in part:
                encoded = text.encode("utf-8", "surrogatepass")
                digest.update(b"%d " % len(encoded) + encoded)
        key = digest.hexdigest()
        if key not in self._encoded:
            self._encoded[key] = Tokens(cached_arrays("tokens", key, lambda: _packed(self._pieces(texts, pairs))))
        return self._encoded[key]

    @functools.cached_property
    def identity(self) -> str | None:
        """sha256 over everything that determines the tokens of a text; None for a tokenizer that cannot be
        serialised."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            return None
        import tokenizers
        import transformers

        backend.no_truncation()  # what the last call left behind; every call sets both anew
        backend.no_padding()
        about = [
            backend.to_str(),
            type(self._tokenizer).__name__,
            self._tokenizer.special_tokens_map,
            self._tokenizer.model_input_names,
            self._tokenizer.truncation_side,
            tokenizers.__version__,
            transformers.__version__,
        ]
        return hashlib.sha256(json.dumps(about, default=str).encode()).hexdigest()

    def _pieces(self, texts: Sequence[str], pairs: Sequence[str] | None) -> Iterator[tuple[int, list[Item]]]:
        """The length before cutting and the pieces of each text."""
        for start in range(0, len(texts), AT_ONCE):
            stop = start + AT_ONCE
            first, second = list(texts[start:stop]), None if pairs is None else list(pairs[start:stop])
            whole = self._call(first, second, truncation=False, return_special_tokens_mask=True)
            special = whole.pop("special_tokens_mask")
            lengths = [len(ids) for ids in whole["input_ids"]]
            long = [row for row, length in enumerate(lengths) if length > self._max_length]
            cut = iter(self._cut(long, first, second, whole, special))
            for row, length in enumerate(lengths):
                is_long = length > self._max_length
                yield length, next(cut) if is_long else [{name: values[row] for name, values in whole.items()}]

    def _cut(
        self, long: list[int], first: list[str], second: list[str] | None, whole: Item, special: list[list[int]]
    ) -> list[list[Item]]:
        """The pieces of the texts that are too long."""
        if not long:
            return []
        if self._long_texts == "head":  # left to the tokenizer, which knows how to share out the room between pairs
            pairs = None if second is None else [second[row] for row in long]
            cut = self._call([first[row] for row in long], pairs, truncation=True, max_length=self._max_length)
            return [[{name: values[index] for name, values in cut.items()}] for index in range(len(long))]
        return [self.framed({name: values[row] for name, values in whole.items()}, special[row]) for row in long]

    def framed(self, whole: Item, special: list[int]) -> list[Item]:
        """Pieces of one text that is too long, each with the same special tokens around it as the whole text.

        Args:
            whole: Name -> values, one for each token, such as ids.
            special: 1 for each special token, else 0.
        """
        start, stop = special.index(0), len(special) - special[::-1].index(0)
        room = self._max_length - (len(special) - (stop - start))
        # A quarter from the start: 128 of 512 tokens (Sun et al. 2019, arXiv:1905.05583, section 5.3.1).
        pieces = kept_spans(self._long_texts, stop - start, room, self._max_length // 4, self._overlap)
        return [
            {
                name: [
                    *values[:start],
                    *(value for span in spans for value in values[start + span.start : start + span.stop]),
                    *values[stop:],
                ]
                for name, values in whole.items()
            }
            for spans in pieces
        ]

    def _call(self, first: list[str], second: list[str] | None, **settings: Any) -> Item:
        """verbose=False: our own warning about long texts comes once, with a count."""
        return dict(
            self._tokenizer(first, second, padding=False, return_attention_mask=False, verbose=False, **settings)
        )

    def save_tokenizer(self, folder: Path) -> None:
        """Save the tokenizer, set to cut texts as here where possible: to the same length, and for `tail` at their
        start."""
        exported = copy.deepcopy(self._tokenizer)
        exported.model_max_length = self._max_length
        exported.truncation_side = self.truncation_side
        exported("a", truncation=True, max_length=self._max_length)  # its file keeps the settings of the last call
        exported.save_pretrained(folder)

    def target(self, label: Any) -> Any:
        """int for single-label, K zeros and ones for multi-label, float for regression."""
        return self._target(label)


def _packed(rows: Iterable[tuple[int, list[Item]]]) -> Arrays:
    """Lengths and pieces of texts -> the arrays of `Tokens`."""
    lengths, first, offsets = array("q"), array("q", [0]), array("q", [0])
    inputs: dict[str, array[int]] = {}
    for length, pieces in rows:
        lengths.append(length)
        for piece in pieces:
            for name, values in piece.items():
                kind = "b" if name == "token_type_ids" else "i"  # a byte, or four
                inputs.setdefault(name, array(kind)).fromlist(values)
            offsets.append(len(inputs["input_ids"]))
        first.append(len(offsets) - 1)
    flat = {"lengths": lengths, "first": first, "offsets": offsets, **inputs}
    return {name: np.asarray(values) for name, values in flat.items()}
