"""Objects in memory -> Arrow tables: a Dataset, a DataFrame, lists of texts and labels, or a dict with one per split.

pandas and `datasets` are looked up among the imported modules: a caller with an object of theirs has imported them.
"""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from finetune.data.arrow_files import READING_ERRORS, features_of, load_dataset_rows, why_unreadable
from finetune.data.column_names import distinct_names
from finetune.data.dataset_sets import KNOWN_SPLITS, SPLIT_NAMES
from finetune.data.label_cells import parse_name
from finetune.data.table import kind_of
from finetune.errors import DataError, suggest

EXPECTED = (
    'Expected a pandas DataFrame, a datasets.Dataset or DatasetDict, {"text": […], "label": […]}, a list of dicts, '
    '(texts, labels), or a dict of these with the keys "train", "validation" and "test".'
)
# Kind of cells that Arrow does not take -> why.
UNLIKE = {
    "a text": "text with half of a two-part character (a lone surrogate)",
    "a number": "numbers that no type of 64 bits holds together",
    "a list": "lists whose parts are not alike",
    "an object": "dicts whose parts are not alike",
}


@dataclass(frozen=True)
class Frame:
    """One table from memory.

    Attributes:
        origin: Name in messages: the DataFrame split train.
        rows: Number of rows.
        columns: Names of all columns in their order.
        content: The pyarrow.Table of those that can be read.
        unusable: Why the others cannot.
        notes: What the user should know.
    """

    origin: str
    rows: int
    columns: list[str]
    content: Any
    unusable: dict[str, str]
    notes: list[str] = field(default_factory=list)


def frames_of(data: object) -> tuple[str, dict[str, Frame]]:
    """The name of the data in messages, and split -> table; "all" for a single table.

    Raises:
        DataError: `data` has none of these types, or has no rows.
    """
    is_set = _is(data, "datasets", "DatasetDict")
    if not isinstance(data, Mapping) or not (is_set or _holds_splits(data)):
        frame = _frame(data, "")
        return frame.origin, {"all": frame}
    if not data:
        raise DataError("the DatasetDict: has no splits.")
    frames = {str(name): _frame(part, f" split {name}") for name, part in data.items()}
    return "the DatasetDict" if is_set else "the dict of splits", frames


def _holds_splits(data: Mapping[Any, Any]) -> bool:
    """Whether the values are tables and not columns: by what they are, or by the names of splits.

    Raises:
        DataError: They are, and a key is no split.
    """
    unknown = [str(name) for name in data if str(name).lower() not in KNOWN_SPLITS]
    if not any(_is_table(value) for value in data.values()):
        return bool(data) and not unknown
    if unknown:
        raise DataError(f"data[{unknown[0]!r}]: is no split.{suggest(unknown[0], SPLIT_NAMES)} {EXPECTED}")
    return True


def _is_table(value: object) -> bool:
    if isinstance(value, Mapping) or _is(value, "pandas", "DataFrame") or _is(value, "datasets", "Dataset"):
        return True
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _is(value: object, module: str, *names: str) -> bool:
    """Whether a value is of one of these classes. Of a module that is not imported, nothing is."""
    classes = [getattr(sys.modules.get(module), name, None) for name in names]
    return isinstance(value, tuple(kind for kind in classes if isinstance(kind, type)))


def _frame(data: Any, split: str) -> Frame:
    if _is(data, "datasets", "IterableDataset", "IterableDatasetDict"):
        raise DataError(
            f"the stream{split} ({type(data).__name__}): a stream can be neither counted nor split. Load the data "
            "without streaming=True, or take rows of it: datasets.Dataset.from_list(list(stream.take(1000)))."
        )
    if _is(data, "datasets", "Dataset"):
        frame = _of_dataset(data, f"the Dataset{split}")
    elif _is(data, "pandas", "DataFrame"):
        frame = _of_dataframe(data, f"the DataFrame{split}")
    elif isinstance(data, Mapping):
        frame = _of_columns(data, f"the dict of lists{split}")
    elif isinstance(data, tuple):
        frame = _of_texts_and_labels(data, f"the texts and labels{split}")
    elif isinstance(data, list):
        frame = _of_rows(data, f"the list of dicts{split}")
    else:
        raise DataError(f"data{split}: is a {type(data).__module__}.{type(data).__qualname__}. {EXPECTED}")
    if not frame.columns or not frame.rows:
        raise DataError(f"{frame.origin}: has no {'columns' if frame.rows else 'rows'}.")
    return frame


def _of_dataset(dataset: Any, origin: str) -> Frame:
    """With the features of `datasets`, so that classes keep their names and order."""
    import datasets
    import pyarrow

    reasons = {name: why_unreadable(feature) for name, feature in dataset.features.items()}
    unusable = {name: why for name, why in reasons.items() if why is not None}
    readable = [name for name, why in reasons.items() if why is None]
    features = datasets.Features({name: dataset.features[name] for name in readable})
    content = pyarrow.table({})
    if readable:
        content = load_dataset_rows(dataset.select_columns(readable), origin, "Load it again.")
    content = content.replace_schema_metadata(features.arrow_schema.metadata)
    return Frame(origin, len(dataset), list(reasons), content, unusable, _left_out(origin, unusable))


def _of_dataframe(data: Any, origin: str) -> Frame:
    pandas = sys.modules["pandas"]
    if isinstance(data.columns, pandas.MultiIndex):
        raise DataError(f"{origin}: its columns are a MultiIndex. Give each one name: data.droplevel(0, axis=1)")
    if isinstance(data.index, pandas.MultiIndex):
        raise DataError(f"{origin}: its index is a MultiIndex. Make columns of it: data.reset_index()")
    plain = isinstance(data.index, pandas.RangeIndex) and data.index.start == 0 and data.index.step == 1
    notes = [] if plain else [f"{origin}: its index is not used; rows are counted from 1 in their order"]
    names = distinct_names([str(name) for name in data.columns], origin, notes)
    columns = {name: data.iloc[:, position] for position, name in enumerate(names)}
    return _collect(origin, len(data), columns, notes)


def _of_columns(data: Mapping[Any, Any], origin: str) -> Frame:
    """Column -> values: a list, or anything else with a length, such as an array, a Series or a column of a Dataset."""
    notes: list[str] = []
    names = distinct_names([str(name) for name in data], origin, notes)
    columns = {}
    for name, values in zip(names, data.values(), strict=True):
        if isinstance(values, str | bytes | Mapping | AbstractSet) or not hasattr(values, "__len__"):
            raise DataError(f"{origin}: '{name}' is {_described(values)}; expected a list with one cell per row.")
        columns[name] = list(values)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        counted = ", ".join(f"'{name}' has {length}" for name, length in lengths.items())
        raise DataError(f"{origin}: the lists differ in length: {counted}. Every list needs one cell per row.")
    return _collect(origin, next(iter(lengths.values()), 0), columns, notes)


def _of_texts_and_labels(data: tuple[Any, ...], origin: str) -> Frame:
    if len(data) != 2:
        raise DataError(f"{origin}: the tuple has {len(data)} parts, not 2. {EXPECTED}")
    return _of_columns({"text": data[0], "label": data[1]}, origin)


def _of_rows(data: list[Any], origin: str) -> Frame:
    """Column -> cell for each row; a column that a row lacks is empty there."""
    names: dict[str, None] = {}
    for number, row in enumerate(data, start=1):
        if not isinstance(row, Mapping):
            raise DataError(f"{origin}: entry {number} is {_described(row)}; expected a dict. {EXPECTED}")
        names.update(dict.fromkeys(str(name) for name in row))
    rows = [{str(name): cell for name, cell in row.items()} for row in data]
    return _collect(origin, len(data), {name: [row.get(name) for row in rows] for name in names}, [])


def _described(value: object) -> str:
    return f"a {type(value).__name__} ({reprlib.repr(value)})"


def _collect(origin: str, rows: int, columns: Mapping[str, Any], notes: list[str]) -> Frame:
    """Columns as Arrow arrays, as far as they can be."""
    import pyarrow

    arrays: dict[str, Any] = {}
    unusable: dict[str, str] = {}
    for name, values in columns.items():
        try:
            arrays[name] = _as_arrow(values)
        except _UnusableError as error:
            unusable[name] = str(error)
    for name, feature in features_of(pyarrow.table(arrays).schema).items():
        why = why_unreadable(feature)
        if why is not None:
            unusable[name] = why
            del arrays[name]
    return Frame(origin, rows, list(columns), pyarrow.table(arrays), unusable, notes + _left_out(origin, unusable))


def _left_out(origin: str, unusable: Mapping[str, str]) -> list[str]:
    return [f"{origin}: column '{name}' is left out: it {why}" for name, why in unusable.items()]


class _UnusableError(Exception):
    """Why the cells of a column are no data."""


def _as_arrow(values: Any) -> Any:
    """A list or Series as an Arrow array; NaN, NaT and the like become empty cells.

    Raises:
        _UnusableError: Its cells are of several kinds, or of one that is no data.
    """
    import pyarrow

    if not isinstance(values, list) and str(values.dtype) != "object":
        try:
            array = pyarrow.array(values, from_pandas=True)
            if not isinstance(array.type, pyarrow.BaseExtensionType):
                return array.cast(array.type.value_type) if pyarrow.types.is_dictionary(array.type) else array
        except (*READING_ERRORS, pyarrow.ArrowException):
            pass  # a type that pandas knows and Arrow does not: its cells tell
    cells = [_plain_cell(value) for value in (values if isinstance(values, list) else values.astype(object))]
    kinds = _first_rows(cells)
    if set(kinds) == {"a number", "a text"}:  # as in a CSV, where both are texts
        cells = [cell if isinstance(cell, str) or kind_of(cell) == "nothing" else parse_name(cell) for cell in cells]
    elif len(kinds) > 1:
        (kind, row), (other, other_row), *_ = kinds.items()
        raise _UnusableError(f"holds {kind} in row {row} and {other} in row {other_row}; make its cells alike")
    if any(isinstance(cell, AbstractSet) for cell in cells):
        raise _UnusableError("holds sets, whose order is not fixed; make them lists: sorted(labels)")
    try:
        return pyarrow.array(cells, from_pandas=True)
    except (*READING_ERRORS, pyarrow.ArrowException) as error:
        # Not in Arrow's words: they may hold an address, and the reason is part of what names the data.
        kind = next(iter(kinds), "nothing")
        raise _UnusableError(
            "holds " + UNLIKE.get(kind, f"{kind}, which is not a text, a number or a list of them")
        ) from error


def _plain_cell(value: Any) -> Any:
    """numpy's and torch's values as Python's."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _first_rows(cells: Iterable[Any]) -> dict[str, int]:
    """Kind of the filled cells -> the first row that has it."""
    kinds: dict[str, int] = {}
    for row, cell in enumerate(cells, start=1):
        kinds.setdefault(kind_of(cell), row)
    kinds.pop("nothing", None)
    return kinds
