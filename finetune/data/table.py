"""What reading a file gives: named columns, packed so that a million texts take about as much memory as their file."""

from __future__ import annotations

import math
import numbers
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, overload

from finetune.errors import Change, DataError, Problem, as_problem

CHUNK = 8192  # rows that are packed together
NAMED = 5  # bad rows that are named; the others are only counted


def _plain(chunk: Any) -> list[Any]:
    return chunk if isinstance(chunk, list) else chunk.to_pylist()


class UnusableColumn(DataError):
    """A column holds what cannot be used. Who asks for its cells knows which key of the recipe names it."""


class Column(Sequence[Any]):
    """Values of a column. Iterating and single rows are cheap; neither unpacks more than a chunk.

    Args:
        chunks: Lists, or Arrow arrays: a Python text costs 49 bytes beside its characters, one in Arrow 8.
        decode: Chunk -> values; may raise UnusableColumn, so that a column nobody uses may hold what cannot be used.
    """

    def __init__(self, chunks: Sequence[Any], decode: Callable[[Any], list[Any]] = _plain) -> None:
        self._chunks = list(chunks)
        self._starts = [0, *accumulate(len(chunk) for chunk in self._chunks)]
        self._decode = decode

    def __len__(self) -> int:
        return self._starts[-1]

    def __iter__(self) -> Any:
        for chunk in self._chunks:
            yield from self._decode(chunk)

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        positions = range(len(self))[index]  # takes care of negative ones, and raises IndexError
        if isinstance(positions, range):
            return [self[position] for position in positions]
        number = bisect_right(self._starts, positions) - 1
        offset = positions - self._starts[number]
        return self._decode(self._chunks[number][offset : offset + 1])[0]


@dataclass(frozen=True)
class _Taken:
    """Some rows of a column, unpacked when they are asked for."""

    column: Sequence[Any]
    rows: Sequence[int]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> _Taken:
        return _Taken(self.column, self.rows[part])

    def values(self) -> list[Any]:
        return [self.column[row] for row in self.rows]


def pack(values: list[Any]) -> Any:
    """Texts (and None) as an Arrow array; anything else as the list it is."""
    if not all(value is None or isinstance(value, str) for value in values):
        return values
    import pyarrow

    return pyarrow.array(values, pyarrow.large_string())


def kind_of(value: Any) -> str:
    """What a cell is, in words; cells of one column must be of one kind. Empty cells are "nothing"."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "nothing"
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, numbers.Number):
        return "a number"
    kinds = ((str, "a text"), (list, "a list"), (dict, "an object"))
    return next(
        (name for kind, name in kinds if isinstance(value, kind)), f"a value of type {type(value).__qualname__}"
    )


@dataclass(frozen=True)
class Table:
    """One source of rows.

    Attributes:
        origin: The name to call it in messages.
        columns: Name -> one value a row.
        label_names: Name -> classes in their order, for columns that the source declares as classes.
        notes: What was recognised in the content.
        warnings: What the user should look at.
        dropped: Reason -> rows left out.
        numbers: Row number in the source, from 1, of each row; None: they count through.
    """

    origin: str
    columns: dict[str, Sequence[Any]]
    label_names: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    numbers: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def number(self, index: int) -> int:
        """Number in the source, from 1, of the row at a position from 0."""
        return index + 1 if self.numbers is None else self.numbers[index]

    def take(self, rows: Sequence[int]) -> Table:
        """The table of these rows, without what reading had to say."""
        columns: dict[str, Sequence[Any]] = {
            name: Column([_Taken(column, rows)], _Taken.values) for name, column in self.columns.items()
        }
        return Table(self.origin, columns, self.label_names, numbers=[self.number(row) for row in rows])


class BadRows:
    """Rows that cannot be read: an error, or left out and counted where the user asked for it."""

    def __init__(self, skip: bool) -> None:
        self._skip = skip
        self._named: list[str] = []
        self.count = 0

    def add(self, problem: str | Problem) -> None:
        """Count a row that cannot be read.

        Raises:
            DataError: Unless such rows are to be left out.
        """
        problem = as_problem(problem)
        if not self._skip:
            leave_out = Change(settings={"data.skip_bad_rows": True}, note="leaves such rows out")
            raise DataError(replace(problem, changes=(*problem.changes, leave_out)))
        self.count += 1
        if self.count <= NAMED:
            self._named.append(f"left out: {problem.for_command_line()}")

    def warnings(self) -> list[str]:
        more = self.count - len(self._named)
        return self._named + ([f"left out: {more} more rows that cannot be read"] if more else [])

    def dropped(self) -> Counter[str]:
        return Counter({"row that cannot be read": self.count} if self.count else {})


def refuse_repeated(names: Sequence[str], origin: str) -> None:
    """Raises:
    DataError: Two columns have the same name.
    """
    repeated = next((name for name, count in Counter(names).items() if count > 1), None)
    if repeated is not None:
        raise DataError(f"{origin}: column name {repeated!r} appears twice. Rename one of the columns.")


def join_tables(origin: str, tables: list[Table]) -> Table:
    """One below the other.

    Raises:
        DataError: Their columns differ.
    """
    first = tables[0]
    for table in tables[1:]:
        if set(table.columns) != set(first.columns):
            raise DataError(
                f"{table.origin}: has the columns {', '.join(table.columns)}, but {first.origin} has "
                f"{', '.join(first.columns)}. Parts of one split need the same columns."
            )
        if table.label_names != first.label_names:
            raise DataError(f"{table.origin}: declares other classes than {first.origin}.")
    return Table(
        origin,
        {name: Column([table.columns[name] for table in tables], list) for name in first.columns},
        first.label_names,
        [note for table in tables for note in table.notes],
        [warning for table in tables for warning in table.warnings],
        sum((table.dropped for table in tables), Counter()),
    )
