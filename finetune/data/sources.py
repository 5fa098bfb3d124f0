"""Files -> tables of text. Reading is done by `datasets`; what is checked here is what it would pass silently."""

import codecs
import csv
import json
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.errors import DataError
from finetune.packages import PREFIX, package_path
from finetune.recipe import DataSection

logger = logging.getLogger(__name__)

SUFFIXES = (".csv", ".tsv", ".jsonl")
SPLIT_FILES = {"train": ("train",), "validation": ("validation", "valid", "dev"), "test": ("test",)}
csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True)
class Table:
    """One file: column name -> values, and the name to call it in messages."""

    origin: str
    columns: dict[str, list[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))


def read_sources(section: DataSection) -> dict[str, Table]:
    """Read the files of a recipe. Keys: train, validation, test; or "all" where one file must be split.

    Raises:
        DataError: A file is missing or malformed; names the file, the line and what to type.
    """
    location = _locate(section.source, "data.source")
    if location.is_dir():
        files = _split_files(location)
    elif section.validation is None and section.test is None:
        files = {"all": location}
    else:
        files = {"train": location}
    for split in ("validation", "test"):
        extra = getattr(section, split)
        if extra is not None:
            files[split] = _locate(extra, f"data.{split}")
    return {split: _read(path, section) for split, path in files.items()}


def _locate(reference: str, key: str) -> Path:
    if reference.startswith(PREFIX):
        try:
            return package_path(reference)
        except LookupError as error:
            raise DataError(f"{key}: {error}") from error
    path = Path(reference).expanduser()
    if not path.exists():
        raise DataError(
            f"{key}: no file or folder '{reference}' (looked in {Path.cwd()}). Type: --data PATH, or --set {key}=PATH"
        )
    return path


def _split_files(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for split, stems in SPLIT_FILES.items():
        matches = [path for stem in stems for path in sorted(folder.glob(f"{stem}.*")) if path.suffix in SUFFIXES]
        if len(matches) > 1:
            names = ", ".join(path.name for path in matches)
            raise DataError(f"data.source: {folder} holds {len(matches)} files for {split}: {names}. Keep one.")
        if matches:
            found[split] = matches[0]
    if "train" not in found:
        raise DataError(
            f"data.source: {folder} holds no train file; expected train.csv, train.tsv or train.jsonl "
            f"(and validation.*, test.*)."
        )
    return found


def _read(path: Path, section: DataSection) -> Table:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: expected a {', '.join(SUFFIXES)} file, found '{suffix or 'no suffix'}'.")
    _check_readable(path, section.encoding)
    if suffix == ".jsonl":
        table = _read_jsonl(path, section.encoding)
    else:
        table = _read_csv(path, section.encoding, section.delimiter or ("\t" if suffix == ".tsv" else ","))
    if len(table) == 0:
        raise DataError(f"{path}: has columns but no rows.")
    return table


def _check_readable(path: Path, encoding: str) -> None:
    """Decode the whole file once: names the byte that does not fit instead of failing in the middle."""
    try:
        codec = codecs.lookup(encoding)
    except LookupError as error:
        raise DataError(
            f"data.encoding: '{encoding}' is no encoding that Python knows. Try utf-8 or latin-1."
        ) from error
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
    if not raw.strip():
        raise DataError(f"{path}: is empty.")
    try:
        text = codec.decode(raw)[0]
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path} line {line}: byte 0x{raw[error.start]:02x} is not {encoding}. Save the file as UTF-8, or name "
            "its encoding, for example: --set data.encoding=cp1252"
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(
            f"{path} line {line}: holds a NUL character, so it is no text file (UTF-16? --set data.encoding=utf-16)."
        )


def _without_bom(encoding: str) -> str:
    """A byte-order mark belongs to no column name."""
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def _read_csv(path: Path, encoding: str, delimiter: str) -> Table:
    header, rows = _check_csv(path, encoding, delimiter)
    import datasets  # slow to import; asked for only when data is read

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        dataset = datasets.Dataset.from_csv(
            str(path),
            features=datasets.Features({name: datasets.Value("string") for name in header}),
            cache_dir=cache,
            keep_in_memory=True,
            sep=delimiter,
            encoding=_without_bom(encoding),
            na_filter=False,  # `None`, `n/a`, `007` and `TRUE` stay what they are
        )
    columns = {name: dataset[name][:] for name in header}
    if len(dataset) != rows:
        raise DataError(f"{path}: {rows} rows by one reader and {len(dataset)} by another: check its quotes.")
    return Table(str(path), columns)


def _check_csv(path: Path, encoding: str, delimiter: str) -> tuple[list[str], int]:
    """Header and number of rows, after checking that every row has as many cells as the header."""
    if len(delimiter) != 1:
        raise DataError(f"data.delimiter: expected one character, found {delimiter!r}.")
    rows = 0
    with path.open(encoding=_without_bom(encoding), newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = next(reader)
            _check_header(path, header, delimiter)
            start = reader.line_num + 1
            for row in reader:
                if row and len(row) != len(header):
                    raise DataError(
                        f"{path} line {start}: {len(row)} cells where the header has {len(header)} "
                        f"({', '.join(header)}). Quote texts that hold a '{delimiter}': \"like, this\"."
                    )
                rows += bool(row)
                start = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{path} line {reader.line_num}: malformed CSV: {error}.") from error
    return header, rows


def _check_header(path: Path, header: list[str], delimiter: str) -> None:
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise DataError(f"{path}: column name {repeated[0]!r} appears twice in the header.")
    if "" in header:
        raise DataError(f"{path}: column {header.index('') + 1} has no name. Every column needs one in the first line.")
    other = next((mark for mark in ";\t|," if mark != delimiter and mark in header[0]), None)
    if len(header) == 1 and other is not None:
        shown = "\\t" if other == "\t" else other
        raise DataError(
            f"{path}: the header is one column, {header[0]!r}; the delimiter looks like '{shown}'. "
            f"Type: --set 'data.delimiter=\"{shown}\"'"
        )


def _read_jsonl(path: Path, encoding: str) -> Table:
    _check_jsonl(path, encoding)
    import datasets

    datasets.disable_progress_bars()
    try:
        with tempfile.TemporaryDirectory() as cache:
            dataset = datasets.Dataset.from_json(
                str(path), cache_dir=cache, keep_in_memory=True, encoding=_without_bom(encoding)
            )
    except Exception as error:  # datasets wraps whatever pyarrow finds; the cause says what
        cause = error.__cause__ or error
        raise DataError(f"{path}: a column mixes kinds of values: {str(cause).splitlines()[0]}.") from error
    return Table(str(path), {name: dataset[name][:] for name in dataset.column_names})


def _check_jsonl(path: Path, encoding: str) -> None:
    kinds: dict[str, tuple[str, int]] = {}
    with path.open(encoding=_without_bom(encoding)) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path} line {number}: not JSON: {error.msg} at column {error.colno}.") from error
            if not isinstance(row, dict):
                raise DataError(f"{path} line {number}: expected an object {{…}}, found a {type(row).__name__}.")
            for key, value in row.items():
                kind = _json_kind(value)
                known, first = kinds.setdefault(key, (kind, number))
                if known == "nothing":
                    kinds[key] = (kind, number)
                elif kind not in ("nothing", known):
                    raise DataError(
                        f"{path} line {number}: '{key}' is {kind} here and {known} in line {first}. Make them alike."
                    )


def _json_kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, int | float):
        return "a number"
    return "a text" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"
