"""Loads data for the runs of a comparison: shared sources are read and split once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from finetune.data.load import Source, Splits, read_source, select_rows, split_source
from finetune.data.rows import Data
from finetune.recipe import DataSection

# Keys of a section by the stage that first looks at them. A key that is not listed decides what is read: until a new
# one is entered here it costs time, and never gives a section the rows of another.
OF_SPLITS = frozenset(
    {"split_file", "train_size", "validation_size", "test_size", "folds", "fold", "split_seed", "drop_leaks", "labels"}
)
OF_SUBSET = frozenset({"subset", "subset_seed", "probe_size"})
OF_MODEL = frozenset({"max_length", "long_texts", "overlap", "check"})  # of what follows loading
# Rows that each stage remembers beside those of its last result: about 250 MB, as all stages share the texts.
REMEMBERED_ROWS = 5_000_000

Result = TypeVar("Result")


class Loader:
    """Reads each source once and splits it once in each way, as long as memory allows.

    The results are shared by all callers, who must not change them.
    """

    def __init__(self) -> None:
        self._sources: _Recent[Source] = _Recent(len)
        self._splits: _Recent[Splits] = _Recent(lambda splits: sum(map(len, splits.rows.values())))
        self._loaded = _Recent(_rows_of)

    def load(self, section: DataSection) -> Data:
        """As `load_data`; a file that has changed since it was read is not read again.

        Raises:
            DataError: As `load_data`.
        """
        return self._loaded.get(_key(section, OF_MODEL), lambda: self._load(section))

    def _load(self, section: DataSection) -> Data:
        source_key, split_key = _key(section, OF_MODEL | OF_SUBSET | OF_SPLITS), _key(section, OF_MODEL | OF_SUBSET)
        source = self._sources.get(source_key, lambda: read_source(section))
        splits = self._splits.get(split_key, lambda: split_source(section, source))
        return select_rows(section, splits)


class _Recent(Generic[Result]):
    """Remembers the last result, and those used before it up to a number of rows.

    Args:
        rows_of: Result -> the rows it has.
    """

    def __init__(self, rows_of: Callable[[Result], int]) -> None:
        self._rows_of = rows_of
        self._results: OrderedDict[str, Result] = OrderedDict()

    def get(self, key: str, make: Callable[[], Result]) -> Result:
        """The result for this key, computed if it is not cached."""
        if key not in self._results:
            self._results[key] = make()
        self._results.move_to_end(key)
        while len(self._results) > 1 and sum(map(self._rows_of, self._results.values())) > REMEMBERED_ROWS:
            self._results.popitem(last=False)
        return self._results[key]


def _rows_of(data: Data) -> int:
    return sum(map(len, data.whole_splits().values())) + len(data.unlabelled or ())


def _key(section: DataSection, idle: frozenset[str]) -> str:
    """Everything that decides the result of a stage."""
    return section.model_dump_json(exclude=set(idle))
