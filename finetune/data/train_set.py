"""Training rows as items, made anew in each epoch, and lists of items -> padded batches."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch

from finetune.data.rows import Rows
from finetune.data.tokens import Augment, AugmentTokens, Encoder, Item


class TrainSet(torch.utils.data.Dataset[Item]):
    """Training rows; augmented anew in each epoch if there are augmenters, else tokenised once.

    Where texts are cut into windows, a row is one of its windows, drawn anew each epoch. The random stream of a text
    is keyed by (seed, epoch, row, technique, which text of a pair): nothing depends on the order of reading or on the
    process, so a resumed or distributed run sees the same texts.

    Args:
        rows: Rows of the training split.
        encoder: Texts -> token ids.
        augmenters: Technique -> function that changes texts, in the order of the preset.
        seed: Seed of the run.
        token_augmenters: Technique -> function that changes token ids; applied after the others.
        targets: Training target of each row, if it is not its label.
    """

    def __init__(
        self,
        rows: Rows,
        encoder: Encoder,
        augmenters: Mapping[str, Augment],
        seed: int,
        token_augmenters: Mapping[str, AugmentTokens] = MappingProxyType({}),
        targets: Sequence[Any] | None = None,
    ) -> None:
        self._rows = rows
        self._encoder = encoder
        self._augmenters = augmenters
        self._token_augmenters = token_augmenters
        self._seed = seed
        self._epoch: int | None = None  # before the first, texts are clean
        self._targets = [encoder.target(label) for label in rows.labels] if targets is None else targets
        self._tokens = encoder.encode_once(rows.texts, rows.pairs)
        # Tokens of each row after cutting and before any augmentation; of windows the first, which is the longest.
        self.lengths: list[int] = self._tokens.sizes[self._tokens.first[:-1]].tolist()

    def __len__(self) -> int:
        return len(self._targets)

    def __getitem__(self, index: int) -> Item:
        item = self._tokens[self._piece(index)]
        if self._epoch is not None:
            for name, change in self._token_augmenters.items():
                stream = self._stream(self._epoch, index, name, "tokens")
                item["input_ids"] = change(item["input_ids"], stream)
        return {**item, "labels": self._targets[index]}

    def set_epoch(self, epoch: int) -> None:
        """Draw the texts of this epoch."""
        self._epoch = epoch
        if self._augmenters:
            texts = self.augmented(self._rows.texts, epoch, "text")
            pairs = None if self._rows.pairs is None else self.augmented(self._rows.pairs, epoch, "pair")
            self._tokens = self._encoder.encode(texts, pairs)

    def augmented(self, texts: Sequence[str], epoch: int, part: str) -> list[str]:
        """The texts of one epoch, each passed through every augmenter in turn."""
        changed = list(texts)
        for name, augment in self._augmenters.items():
            changed = augment(changed, [self._stream(epoch, row, name, part) for row in range(len(changed))])
        return changed

    def _piece(self, row: int) -> int:
        """The piece of a row in this epoch."""
        first, stop = int(self._tokens.first[row]), int(self._tokens.first[row + 1])
        if stop - first == 1:
            return first
        return self._stream(self._epoch or 0, row, "long_texts", "window").randrange(first, stop)

    def _stream(self, epoch: int, row: int, name: str, part: str) -> random.Random:
        return random.Random(f"{self._seed}/{epoch}/{row}/{name}/{part}")


class Collator:
    """Pads each batch to its own longest text; labels become int64 (classes) or float32."""

    def __init__(self, tokenizer: Any) -> None:
        self._fill = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}

    def __call__(self, items: Sequence[Item]) -> dict[str, torch.Tensor]:
        width = max(len(item["input_ids"]) for item in items)
        batch = {
            key: torch.tensor([item[key] + [self._fill.get(key, 0)] * (width - len(item[key])) for item in items])
            for key in items[0]
            if key != "labels"
        }
        batch["attention_mask"] = torch.tensor(
            [[1] * len(item["input_ids"]) + [0] * (width - len(item["input_ids"])) for item in items]
        )
        labels = torch.tensor([item["labels"] for item in items])
        batch["labels"] = labels if labels.dtype == torch.int64 else labels.float()
        return batch
