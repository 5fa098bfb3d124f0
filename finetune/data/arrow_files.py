"""Arrow data -> table, with the features of `datasets`, which say what the numbers in a column mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from finetune.data.column_names import distinct_names
from finetune.data.compressed import is_compressed, open_bytes
from finetune.data.table import Column, Table, UnusableColumn
from finetune.errors import DataError, first_line

# What a damaged or hostile file makes of the libraries' readers.
READING_ERRORS = (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, NotImplementedError)
Decode = Callable[[Any], Any]


def read_parquet(path: Path) -> Table:
    """All rows of a Parquet file.

    Raises:
        DataError: It is damaged or is not Parquet.
    """
    return _distinct(path, load_parquet(path))


def read_arrow(path: Path) -> Table:
    """All rows of a Feather or Arrow IPC file, or of an Arrow stream.

    Raises:
        DataError: It is damaged or is none of these.
    """
    import pyarrow
    import pyarrow.feather

    with open_bytes(path) as opened:
        content = pyarrow.BufferReader(opened.read())
    try:
        try:
            table = pyarrow.feather.read_table(content)
        except pyarrow.ArrowInvalid:
            content.seek(0)
            table = pyarrow.ipc.open_stream(content).read_all()
        table.validate(full=True)
    except (*READING_ERRORS, pyarrow.ArrowException) as error:
        raise DataError(
            f"{path}: cannot be read as Feather or Arrow: {first_line(error)}. Is the file whole?"
        ) from error
    return _distinct(path, table)


def _distinct(path: Path, table: Any) -> Table:
    """Our table, in which columns of one name are told apart."""
    notes: list[str] = []
    names = distinct_names(table.column_names, str(path), notes)
    table = table.rename_columns(names) if notes else table  # which loses the features
    return replace(arrow_table(str(path), table, features_of(table.schema)), notes=notes)


def load_parquet(path: Path) -> Any:
    """The pyarrow.Table of a Parquet file, checked.

    Raises:
        DataError: As `read_parquet`.
    """
    import pyarrow.parquet

    source: Any = path
    if is_compressed(path):  # Parquet is read from its end
        with open_bytes(path) as packed:
            source = pyarrow.BufferReader(packed.read())
    try:
        with pyarrow.parquet.ParquetFile(source, page_checksum_verification=True) as file:
            table = file.read()
        table.validate(full=True)
    except (*READING_ERRORS, pyarrow.ArrowException) as error:
        raise DataError(
            f"{path}: cannot be read as Parquet: {first_line(error)}. Is the file whole? It has "
            f"{source.size() if source is not path else path.stat().st_size} bytes."
        ) from error
    return table


def load_dataset_rows(dataset: Any, origin: str, way_out: str) -> Any:
    """The pyarrow.Table with all rows of a `datasets.Dataset`, checked.

    Raises:
        DataError: It cannot be read; ends with the way out.
    """
    import pyarrow

    try:
        content = dataset.with_format("arrow")[:]
        content.validate(full=True)  # what comes from a damaged file would crash at its first use
    except (*READING_ERRORS, pyarrow.ArrowException) as error:
        raise DataError(f"{origin}: cannot be read: {first_line(error)}. {way_out}") from error
    return content


def arrow_table(origin: str, table: Any, features: dict[str, Any]) -> Table:
    """Convert a pyarrow.Table to ours. The content of a column is read only when it is used."""
    return Table(
        origin,
        {
            name: Column(table.column(name).chunks, _chunk_decoder(origin, name, features[name]))
            for name in table.column_names
        },
        {name: names for name in table.column_names if (names := class_names(features[name])) is not None},
    )


def features_of(schema: Any) -> dict[str, Any]:
    """Column -> feature of `datasets`; the Arrow type if `datasets` has no feature for it."""
    import datasets

    try:
        return dict(datasets.Features.from_arrow_schema(schema))
    except READING_ERRORS:  # the file's own account of its features is damaged, or a type is unknown
        features: dict[str, Any] = {}
        for field in schema.remove_metadata():
            try:
                features[field.name] = datasets.features.features.generate_from_arrow_type(field.type)
            except READING_ERRORS:
                features[field.name] = field.type
        return features


def class_names(feature: Any) -> list[str] | None:
    """Names, in order, of a column of classes or of lists of classes."""
    import datasets

    inner = getattr(feature, "feature", feature)
    return list(inner.names) if isinstance(inner, datasets.ClassLabel) else None


def why_unreadable(feature: Any) -> str | None:
    """Why a column of this feature cannot be used; None if its cells are texts, numbers, or lists of them."""
    if _decoder(feature) is not None:
        return None
    return f"holds {_feature_name(feature)}, which is not a text, a number or a list of them"


def unreadable_column(origin: str, name: str, why: str) -> UnusableColumn:
    """The error of using an unusable column."""
    return UnusableColumn(f"{origin}: column '{name}' {why}. Name another column.")


def _chunk_decoder(origin: str, name: str, feature: Any) -> Callable[[Any], list[Any]]:
    decode = _decoder(feature)

    def decode_chunk(chunk: Any) -> list[Any]:
        if decode is None:
            raise unreadable_column(origin, name, why_unreadable(feature) or "")
        try:
            return [decode(value) for value in chunk.to_pylist()]
        except (*READING_ERRORS, IndexError) as error:
            raise DataError(f"{origin}: column '{name}' ({_feature_name(feature)}): {first_line(error)}.") from error

    return decode_chunk


def _feature_name(feature: Any) -> str:
    dtype = getattr(feature, "dtype", None)
    return dtype if isinstance(dtype, str) else type(feature).__name__


def _decoder(feature: Any) -> Decode | None:
    """What turns a value of this feature into a text, number, truth value, list or dict; None for all else."""
    import datasets

    if isinstance(feature, datasets.ClassLabel):
        return _class_decoder(feature)
    if isinstance(feature, datasets.Value):
        return _value_decoder(feature.dtype)
    if isinstance(feature, dict):
        parts = {key: _decoder(part) for key, part in feature.items()}
        readable = {key: decode for key, decode in parts.items() if decode is not None}
        return None if len(readable) < len(parts) else lambda value: _decode_object(value, readable)
    if isinstance(feature, datasets.List | datasets.LargeList | list):
        inner = _decoder(feature[0] if isinstance(feature, list) else feature.feature)
        return None if inner is None else lambda value: None if value is None else [inner(part) for part in value]
    return None


def _class_decoder(feature: Any) -> Decode:
    """Name of a class; None for -1, with which unlabelled test splits are filled."""
    names = list(feature.names)

    def name_of(value: int | None) -> str | None:
        if value is None or value == -1:
            return None
        if not 0 <= value < len(names):
            raise ValueError(f"class {value} of {len(names)}")
        return names[value]

    return name_of


def _value_decoder(dtype: str) -> Decode | None:
    if "binary" in dtype or dtype.startswith("duration"):
        return None
    if dtype.startswith("float"):
        return lambda value: None if value is None or math.isnan(value) else value  # pandas' sign for missing
    if dtype.startswith("decimal"):
        return lambda value: None if value is None else str(value)  # all digits
    if dtype.startswith(("date", "time")):
        return lambda value: None if value is None else value.isoformat()
    return lambda value: value


def _decode_object(value: Any, parts: dict[str, Decode]) -> Any:
    return None if value is None else {key: decode(value.get(key)) for key, decode in parts.items()}
