"""Files -> tables. Read by Python's own csv and json, which change no value: no types are guessed, so that a label
`None`, `007` or `TRUE` and a text that looks like a date stay what they are."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.errors import DataError
from finetune.packages import PREFIX, package_path
from finetune.recipe import DataSection

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
    try:
        path = Path(reference).expanduser()
        found = path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{key}: '{reference}' is no path: {error}.") from error
    if not found:
        raise DataError(
            f"{key}: no file or folder '{reference}' (looked in {Path.cwd()}). Type: --data PATH, or --set {key}=PATH"
        )
    return path


def _split_files(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for split, stems in SPLIT_FILES.items():
        matches = [path for path in sorted(folder.iterdir()) if path.stem in stems and path.suffix.lower() in SUFFIXES]
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
    text = _decode(path, section.encoding)
    if suffix == ".jsonl":
        table = _parse_jsonl(path, text)
    else:
        table = _parse_csv(path, text, section.delimiter or ("\t" if suffix == ".tsv" else ","))
    if len(table) == 0:
        raise DataError(f"{path}: has columns but no rows.")
    return table


def _decode(path: Path, encoding: str) -> str:
    """The text of a file, without a byte-order mark.

    Raises:
        DataError: It cannot be read or decoded; names the line and the byte.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path} line {line}: byte 0x{raw[error.start]:02x} is not {encoding}. Save the file as UTF-8, or name "
            "its encoding, for example: --set data.encoding=cp1252"
        ) from error
    except (LookupError, ValueError) as error:  # unknown, or a codec that does not make text
        raise DataError(f"data.encoding: {encoding!r} is no text encoding of Python. Try utf-8 or latin-1.") from error
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise DataError(f"{path}: is empty.")
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(
            f"{path} line {line}: holds a NUL character, so it is no text file (UTF-16? --set data.encoding=utf-16)."
        )
    return text


def _parse_csv(path: Path, text: str, delimiter: str) -> Table:
    """Python's own reader, without any guessing of types: `None`, `n/a`, `007` and `TRUE` stay what they are."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            if header is None and cells:
                header = cells
                _check_header(path, header, delimiter)
            elif cells:
                _check_width(path, line, cells, header or [], delimiter)
                rows.append(cells)
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num}: malformed CSV: {error}.") from error
    return Table(str(path), {name: [row[index] for row in rows] for index, name in enumerate(header or [])})


def _check_width(path: Path, line: int, cells: list[str], header: list[str], delimiter: str) -> None:
    if len(cells) != len(header):
        raise DataError(
            f"{path} line {line}: {len(cells)} cells where the header has {len(header)} ({', '.join(header)}). "
            f"Quote texts that hold a '{delimiter}': \"like, this\"."
        )


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


def _parse_jsonl(path: Path, text: str) -> Table:
    """One object a line. A key that a row lacks is None there; kinds of values must agree."""
    rows: list[dict[str, Any]] = []
    kinds: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            rows.append(_parse_json_line(f"{path} line {number}", line))
            for key, value in rows[-1].items():
                kind = _json_kind(value)
                known, first = kinds.get(key, ("nothing", number))
                if "nothing" not in (kind, known) and kind != known:
                    raise DataError(
                        f"{path} line {number}: '{key}' is {kind} here and {known} in line {first}. Make them alike."
                    )
                if known == "nothing":
                    kinds[key] = (kind, number)
    if not kinds:
        raise DataError(f"{path}: its objects have no keys.")
    return Table(str(path), {key: [row.get(key) for row in rows] for key in kinds})


def _parse_json_line(where: str, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
        line.encode("utf-8")
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON: {error.msg} at column {error.colno}.") from error
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: holds half of a two-part character (a lone surrogate).") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON: {error}.") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected an object {{…}}, found a {type(row).__name__}.")
    return row


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        repeated = next(key for key, _ in pairs if sum(other == key for other, _ in pairs) > 1)
        raise ValueError(f"key '{repeated}' is given twice")
    return content


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _json_kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, int | float):
        return "a number"
    return "a text" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"
