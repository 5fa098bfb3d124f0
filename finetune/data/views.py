"""Two views of texts: as written, and altered. Created on demand: a run may see few of many texts."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from finetune.data.rows import Rows
from finetune.data.tokens import Augment, AugmentTokens, Encoder, Item, Tokens


class TextViews:
    """Items of texts without labels, as `TrainSet` makes those of training rows.

    The random stream of a text is keyed by (seed, draw, row, technique, which text of a pair): nothing depends on the
    process, or on which texts are asked for together.

    Args:
        rows: All texts.
        encoder: Texts -> token ids.
        augmenters: Name -> function that changes texts, in their order.
        token_augmenters: Name -> function that changes token ids; applied after the others.
        seed: Seed of the run.
    """

    def __init__(
        self,
        rows: Rows,
        encoder: Encoder,
        augmenters: Mapping[str, Augment],
        token_augmenters: Mapping[str, AugmentTokens],
        seed: int,
    ) -> None:
        self._rows = rows
        self._encoder = encoder
        self._augmenters = augmenters
        self._token_augmenters = token_augmenters
        self._seed = seed

    def __len__(self) -> int:
        return len(self._rows)

    def as_written(self, draws: Sequence[tuple[int, int]]) -> list[Item]:
        """The unaltered items of some draws.

        Args:
            draws: (number of times that all texts were drawn before, row).
        """
        texts, pairs = self._texts(draws)
        return self._items(self._encoder.encode(texts, pairs), draws)

    def altered(self, draws: Sequence[tuple[int, int]]) -> list[Item]:
        """The items of the same draws after every augmenter. For a text in windows it is the same window, if it still
        has as many."""
        texts, pairs = self._texts(draws)
        for name, augment in self._augmenters.items():
            texts = augment(texts, [self._stream(draw, name, "text") for draw in draws])
            if pairs is not None:
                pairs = augment(pairs, [self._stream(draw, name, "pair") for draw in draws])
        items = self._items(self._encoder.encode(texts, pairs), draws)
        for name, change in self._token_augmenters.items():
            for item, draw in zip(items, draws, strict=True):
                item["input_ids"] = change(item["input_ids"], self._stream(draw, name, "tokens"))
        return items

    def _texts(self, draws: Sequence[tuple[int, int]]) -> tuple[list[str], list[str] | None]:
        pairs = self._rows.pairs
        return [self._rows.texts[row] for _, row in draws], None if pairs is None else [pairs[row] for _, row in draws]

    def _items(self, tokens: Tokens, draws: Sequence[tuple[int, int]]) -> list[Item]:
        """One piece of each text."""
        items = []
        for index, draw in enumerate(draws):
            first, stop = int(tokens.first[index]), int(tokens.first[index + 1])
            place = 0.0 if stop - first == 1 else self._stream(draw, "long_texts", "window").random()
            items.append(tokens[first + int(place * (stop - first))])
        return items

    def _stream(self, draw: tuple[int, int], name: str, part: str) -> random.Random:
        times, row = draw
        return random.Random(f"{self._seed}/unlabelled {times}/{row}/{name}/{part}")
