"""Texts -> token ids, label cells -> targets, lists -> padded batches."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch

from finetune.data.rows import Data, Rows
from finetune.errors import DataError

Item = dict[str, Any]
Augment = Callable[[Sequence[str], Sequence[random.Random]], list[str]]  # texts and a random stream for each
AugmentTokens = Callable[[list[int], random.Random], list[int]]


class Encoder:
    """Tokenises rows of one data set.

    Args:
        tokenizer: A transformers tokenizer.
        data: For the task and the order of the labels.
        max_length: Texts are cut to this many tokens, special tokens included.

    Raises:
        DataError: `max_length` is more than the model takes.
    """

    def __init__(self, tokenizer: Any, data: Data, max_length: int) -> None:
        limit = tokenizer.model_max_length
        if max_length > limit:
            raise DataError(
                f"data.max_length: {max_length} tokens, but this model takes {limit}. "
                f"Type: --set data.max_length={limit}"
            )
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._task = data.task
        self._index = {name: index for index, name in enumerate(data.labels or [])}

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None) -> list[Item]:
        """Token ids and what else the model takes, one dict per text, unpadded."""
        second = None if pairs is None else list(pairs)
        encoded = self._tokenizer(
            list(texts),
            second,
            truncation=True,
            max_length=self._max_length,
            padding=False,
            return_attention_mask=False,
        )
        return [{key: encoded[key][index] for key in encoded} for index in range(len(texts))]

    def target(self, label: Any) -> Any:
        """int for single-label, K zeros and ones for multi-label, float for regression."""
        if self._task == "single_label":
            return self._index[label]
        if self._task == "multi_label":
            return [float(name in label) for name in self._index]
        return float(label)

    def encode_rows(self, rows: Rows) -> list[Item]:
        return [
            {**item, "labels": self.target(label)}
            for item, label in zip(self.encode(rows.texts, rows.pairs), rows.labels, strict=True)
        ]


class TrainSet(torch.utils.data.Dataset[Item]):
    """Training rows; augmented afresh each epoch when there are augmenters, else tokenised once.

    The random stream of a text is keyed by (seed, epoch, row, technique, which text of a pair): nothing depends on
    the order of reading or on the process, so a resumed or distributed run sees the same texts.

    Args:
        rows: Of the training split.
        encoder: Texts -> token ids.
        augmenters: Technique -> change of texts, in the order of the preset.
        seed: Of the run.
        token_augmenters: Technique -> change of token ids; they follow the others.
    """

    def __init__(
        self,
        rows: Rows,
        encoder: Encoder,
        augmenters: Mapping[str, Augment],
        seed: int,
        token_augmenters: Mapping[str, AugmentTokens] = MappingProxyType({}),
    ) -> None:
        self._rows = rows
        self._encoder = encoder
        self._augmenters = augmenters
        self._token_augmenters = token_augmenters
        self._seed = seed
        self._targets = [encoder.target(label) for label in rows.labels]
        self._clean = encoder.encode(rows.texts, rows.pairs)
        self._items = self._clean
        self.lengths = [len(item["input_ids"]) for item in self._clean]  # tokens, before any augmentation

    def __len__(self) -> int:
        return len(self._targets)

    def __getitem__(self, index: int) -> Item:
        return {**self._items[index], "labels": self._targets[index]}

    def set_epoch(self, epoch: int) -> None:
        """Draw the texts of this epoch. Does nothing without augmenters."""
        if self._augmenters:
            texts = self.augmented(self._rows.texts, epoch, "text")
            pairs = None if self._rows.pairs is None else self.augmented(self._rows.pairs, epoch, "pair")
            self._items = self._encoder.encode(texts, pairs)
        if self._token_augmenters:
            items = self._items if self._augmenters else self._clean
            self._items = [self._with_changed_tokens(item, epoch, row) for row, item in enumerate(items)]

    def augmented(self, texts: Sequence[str], epoch: int, part: str) -> list[str]:
        """The texts of one epoch, each passed through every augmenter in turn."""
        changed = list(texts)
        for name, augment in self._augmenters.items():
            changed = augment(changed, [self._stream(epoch, row, name, part) for row in range(len(changed))])
        return changed

    def _with_changed_tokens(self, item: Item, epoch: int, row: int) -> Item:
        ids = item["input_ids"]
        for name, change in self._token_augmenters.items():
            ids = change(ids, self._stream(epoch, row, name, "tokens"))
        return {**item, "input_ids": ids}

    def _stream(self, epoch: int, row: int, name: str, part: str) -> random.Random:
        return random.Random(f"{self._seed}/{epoch}/{row}/{name}/{part}")


class MeasuredSet(torch.utils.data.Dataset[Item]):
    """Rows that are measured: clean, and sorted by length so that batches hold little padding.

    `restore(array)` puts what was computed in sorted order back into the order of the rows.
    """

    def __init__(self, rows: Rows, encoder: Encoder) -> None:
        items = encoder.encode_rows(rows)
        self._order = sorted(range(len(items)), key=lambda index: len(items[index]["input_ids"]))
        self._items = [items[index] for index in self._order]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Item:
        return self._items[index]

    def restore(self, values: Any) -> Any:
        """Reorder the first axis of a numpy array."""
        restored = values.copy()
        restored[self._order] = values
        return restored


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
