"""The result of reading a file: named columns, packed so that a million texts take about as much memory as their
file."""

from __future__ import annotations

import math
import numbers
import re
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, overload

from finetune.data.equal_cells import are_texts
from finetune.errors import Change, DataError, Problem, as_problem

CHUNK = 1024  # rows that are packed together: to read one of them, all are unpacked
SHARED = 4  # times that each text of a chunk occurs on average, from which equal ones are one object
SEPARATOR = "\0"  # between packed texts: no file that is read as text has it
NAMED = 5  # bad rows that are named; the others are only counted
UNREADABLE = re.compile("[\0\ud800-\udfff]")  # NUL, and what stands for bytes that could not be decoded


def _plain(chunk: Any) -> list[Any]:
    if isinstance(chunk, Texts):
        return chunk.unpacked()
    return chunk if isinstance(chunk, list) else chunk.to_pylist()


class UnusableColumn(DataError):
    """A column holds unusable values. The caller that asks for its cells knows which key of the recipe names it."""


class Unreadable(str):
    """The text of a cell that holds bytes that are not text, with a replacement character for each of them. Where the
    cell is used, its row is bad; in other columns it does no harm.

    Attributes:
        why: File, line and what is wrong.
    """

    why: str

    @classmethod
    def of(cls, text: str, why: str) -> Unreadable:
        cell = cls(UNREADABLE.sub("\ufffd", text))
        cell.why = why
        return cell


class Texts(Sequence[str]):
    """Texts as packed bytes: a Python text costs 49 bytes more, one in Arrow 8.

    Args:
        joined: The texts in UTF-8, with SEPARATOR between them.
        count: Number of texts.
    """

    __slots__ = ("_count", "_joined")

    def __init__(self, joined: bytes, count: int) -> None:
        self._joined, self._count = joined, count

    def __len__(self) -> int:
        return self._count

    def unpacked(self) -> list[str]:
        """All of them."""
        return self._joined.decode().split(SEPARATOR)

    def contains(self, part: bytes) -> bool:
        """Whether a text has these bytes, which hold no SEPARATOR."""
        return part in self._joined

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self.unpacked()[index]


class Column(Sequence[Any]):
    """Values of a column. Iterating and single rows are cheap; neither unpacks more than a chunk.

    Args:
        chunks: Lists, Texts, or Arrow arrays.
        decode: Chunk -> values; may raise UnusableColumn, so that an unused column may hold unusable values.
    """

    def __init__(self, chunks: Sequence[Any], decode: Callable[[Any], list[Any]] = _plain) -> None:
        self._chunks = list(chunks)
        self._starts = [0, *accumulate(len(chunk) for chunk in self._chunks)]
        self._decode = decode
        self._last: tuple[int, list[Any]] = (-1, [])  # the chunk of Texts that was unpacked last

    def __len__(self) -> int:
        return self._starts[-1]

    def holds_texts(self) -> bool:
        """Whether all values are texts already."""
        return self._decode is _plain and all(
            isinstance(chunk, Texts) or (isinstance(chunk, list) and set(map(type, chunk)) <= {str})
            for chunk in self._chunks
        )

    def may_contain(self, part: str) -> bool:
        """Whether a text of the column has this part; True as well where cells are not packed texts."""
        if self._decode is not _plain:
            return True
        packed = [chunk for chunk in self._chunks if isinstance(chunk, Texts)]
        others = [chunk for chunk in self._chunks if not isinstance(chunk, Texts)]
        return any(chunk.contains(part.encode()) for chunk in packed) or any(
            not are_texts(chunk) or any(part in cell for cell in set(chunk)) for chunk in others
        )

    def holds_unreadable(self) -> bool:
        """Whether a cell is Unreadable."""
        parts = [chunk for chunk in self._chunks if isinstance(chunk, Column)]  # of joined tables
        cells = [chunk for chunk in self._chunks if isinstance(chunk, list)]
        return any(Unreadable in set(map(type, chunk)) for chunk in cells) or any(
            part.holds_unreadable() for part in parts
        )

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
        chunk = self._chunks[number]
        if not isinstance(chunk, Texts):
            return self._decode(chunk[offset : offset + 1])[0]
        last = self._last
        if last[0] != number:
            last = self._last = (number, chunk.unpacked())
        return last[1][offset]


class Picked(Sequence[Any]):
    """Some values of a sequence that stay packed until they are asked for.

    Args:
        values: A column, or another sequence that is costly to hold as objects.
        positions: Positions of the values in it, in the order of this sequence.
    """

    def __init__(self, values: Sequence[Any], positions: Sequence[int]) -> None:
        self._values = values
        self._positions = positions

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[Any]:
        if self._positions == range(len(self._values)):
            return iter(self._values)
        return map(self._values.__getitem__, self._positions)

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self._values[position] for position in self._positions[index]]
        return self._values[self._positions[index]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def take(self, indices: Iterable[int]) -> Picked:
        """Some of these."""
        return Picked(self._values, array("q", map(self._positions.__getitem__, indices)))


class RowNumbers(Sequence[str]):
    """The numbers of `count` rows as texts, from 1; created on demand."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        position = range(self._count)[index]
        return [str(row + 1) for row in position] if isinstance(position, range) else str(position + 1)


def pick(values: Sequence[Any], positions: Sequence[int]) -> Sequence[Any]:
    """Values at these positions: packed values stay packed, others become a list."""
    if isinstance(values, Picked):
        return values.take(positions)
    if isinstance(values, Column | RowNumbers):
        return Picked(values, positions)
    return [values[position] for position in positions]


def pack(values: Sequence[Any]) -> Sequence[Any]:
    """A chunk of a column: texts in bytes, or as one object for all that are equal where few differ; texts and None as
    an Arrow array; anything else as the list it is."""
    kinds = set(map(type, values))
    if kinds == {str}:
        different = set(values)
        if SHARED * len(different) <= len(values):
            return list(map(dict(zip(different, different, strict=True)).__getitem__, values))
        joined = SEPARATOR.join(values)
        if joined.count(SEPARATOR) == len(values) - 1:
            return Texts(joined.encode(), len(values))
    if not kinds <= {str, type(None)}:
        return list(values)
    import pyarrow

    return pyarrow.array(values, pyarrow.large_string())


def packed(values: Sequence[Any]) -> Column:
    """A column of these values, in chunks as `pack` makes them."""
    return Column([pack(values[start : start + CHUNK]) for start in range(0, len(values), CHUNK)])


def kind_of(value: Any) -> str:
    """The kind of a cell in words; cells of one column must be of one kind. Empty cells are "nothing"."""
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
        origin: Its name in messages.
        columns: Name -> one value per row.
        label_names: Name -> classes in their order, for columns that the source declares as classes.
        notes: What was recognised in the content.
        warnings: What the user should look at.
        dropped: Reason -> rows left out.
        lines: Kind -> number of lines of the file: `row`, `header`, `blank` and others, which add up to all lines.
            Empty for formats without lines.
        roles: text or label -> its column, if the format defines it.
        numbers: Row number in the source, from 1, of each row; None: consecutive numbers.
        votes: The annotators' votes for each row, if training learns their distribution; else None.
    """

    origin: str
    columns: dict[str, Sequence[Any]]
    label_names: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    lines: Counter[str] = field(default_factory=Counter)
    roles: dict[str, str] = field(default_factory=dict)
    numbers: Sequence[int] | None = None
    votes: Sequence[list[Any]] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def number(self, index: int) -> int:
        """Number in the source, from 1, of the row at a position from 0."""
        return index + 1 if self.numbers is None else self.numbers[index]

    def take(self, rows: Sequence[int]) -> Table:
        """The table of these rows, without the messages of reading."""
        columns = {name: pick(column, rows) for name, column in self.columns.items()}
        numbers = [self.number(row) for row in rows]
        votes = None if self.votes is None else [self.votes[row] for row in rows]
        return Table(self.origin, columns, self.label_names, roles=self.roles, numbers=numbers, votes=votes)


class BadRows:
    """Rows that cannot be read: an error, or left out and counted if the user asked for it."""

    def __init__(self, skip: bool) -> None:
        self._skip = skip
        self._named: list[str] = []
        self.count = 0

    def add(self, problem: str | Problem) -> None:
        """Count a row that cannot be read.

        Raises:
            DataError: Such rows are not to be left out.
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


def unreadable_rows(*columns: Sequence[Any]) -> dict[int, str]:
    """Position of each row with an unreadable cell in one of these columns -> why. A cell may be a tuple of cells."""
    found: dict[int, str] = {}
    for column in columns:
        if isinstance(column, Column) and not column.holds_unreadable():
            continue
        if not isinstance(column, Column) and not set(map(type, column)) & {tuple, Unreadable}:
            continue
        for row, cell in enumerate(column):
            for part in cell if isinstance(cell, tuple) else (cell,):
                if isinstance(part, Unreadable):
                    found.setdefault(row, part.why)
    return found


def readable_rows(table: Table, *used: Sequence[Any]) -> Table:
    """The table without rows that have an unreadable cell; they are counted, and the first are named.

    Args:
        table: The table.
        used: Cells that are used, one per row in each sequence; without any, those of all columns.
    """
    bad = BadRows(skip=True)
    found = unreadable_rows(*(used or (column for column in table.columns.values() if isinstance(column, Column))))
    if not found:
        return table
    for _, why in sorted(found.items()):
        bad.add(why)
    kept = table.take([row for row in range(len(table)) if row not in found])
    return replace(
        kept,
        notes=table.notes,
        warnings=[*table.warnings, *bad.warnings()],
        dropped=table.dropped + bad.dropped(),
        lines=table.lines,
    )


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
        sum((table.lines for table in tables), Counter()),
        first.roles,
    )
