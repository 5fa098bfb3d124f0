"""Generated data files, valid and damaged, and what must hold when they are read. `scripts/fuzz_data` runs many."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet

from finetune.data.compressed import open_bytes
from finetune.data.encoding import open_text
from finetune.data.load import load_data
from finetune.data.rows import Data
from finetune.data.sources import _files_of, read_sources
from finetune.errors import DataError, FinetuneError
from finetune.recipe import DataSection

LABELS = [
    *("None", "n/a", "007", "TRUE", "true", " padded", "NaN", "null", "1.10", "1e5", "2020-01-01", "-1", "0x1F"),
    *("", "a,b", "a;b", 'say "x"', "two\nlines", "tab\tbed", "é", "漢字", "😀", "#x", "1_000", "\\n", "'q'"),
]
PIECES = [
    *(
        "word",
        "Word",
        " ",
        "  ",
        ",",
        ";",
        "|",
        "\t",
        '"',
        '""',
        "'",
        "\n",
        "\r\n",
        "\r",
        "\\",
        "\\n",
        "{",
        "}",
        "[",
        "]",
    ),
    *("é", "ß", "ł", "ж", "漢", "😀", "\u2028", "\x85", "\x0b", "#", "%", "None", "1", "007", "\\u00e9", "/", ":"),
]
SUFFIXES = ("csv", "tsv", "json", "jsonl", "ndjson", "parquet")
Rows = list[tuple[str, str]]


@dataclass
class File:
    """A generated file: its name and bytes, the rows in it, and the settings it needs."""

    name: str
    content: bytes
    rows: Rows
    settings: dict[str, Any] = field(default_factory=dict)


def make_rows(random_: random.Random, encoding: str, without: str = "") -> Rows:
    """Two or three classes of 6 to 10 rows; texts that differ, in the encoding and without some characters."""

    def fits(text: str) -> bool:
        return text.encode(encoding, "ignore").decode(encoding) == text and not set(without) & set(text)

    labels = random_.sample([label for label in LABELS if fits(label) and label.strip()], random_.randint(2, 3))
    pieces = [piece for piece in PIECES if fits(piece)]
    rows = [
        ("".join(random_.choices(pieces, k=random_.randint(0, 12))) + f"row{index}x{random_.choice(pieces)}", label)
        for index, label in enumerate(labels * random_.randint(6, 10))
    ]
    random_.shuffle(rows)
    return rows


def make_file(random_: random.Random) -> File:
    """A valid file of any format, rendered in one of the ways that people's programs do."""
    suffix = random_.choice(SUFFIXES)
    if suffix == "parquet":
        rows = make_rows(random_, "utf-8")
        return File("d.parquet", _as_parquet(rows), rows)
    encoding = random_.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"])
    rows = make_rows(random_, encoding)
    settings: dict[str, Any] = {"encoding": encoding} if encoding == "cp1252" or random_.random() < 0.2 else {}
    if suffix in ("csv", "tsv"):
        delimiter = random_.choice(",;\t|")
        if random_.random() < 0.3:
            settings["delimiter"] = delimiter
        text = _as_delimited(random_, rows, delimiter, random_.choice(["\n", "\r\n", "\r"]))
    else:
        text = _as_json(random_, rows, lines=suffix != "json" or random_.random() < 0.2)
    return File(f"d.{suffix}", text.encode(encoding), rows, settings)


def _as_delimited(random_: random.Random, rows: Rows, delimiter: str, end: str) -> str:
    always = random_.random() < 0.3
    extra = random_.random() < 0.5  # a column that nobody uses

    def cell(value: str) -> str:
        needed = any(mark in value for mark in (delimiter, '"', "\n", "\r"))
        return '"' + value.replace('"', '""') + '"' if needed or always else value

    lines = [("id", "text", "label")] + [(f"{index}", *row) for index, row in enumerate(rows)]
    body = end.join(delimiter.join(cell(value) for value in (line if extra else line[1:])) for line in lines)
    return body + random_.choice(["", end, end * 2])


def _as_json(random_: random.Random, rows: Rows, lines: bool) -> str:
    ascii_only = random_.random() < 0.5
    objects = [{"label": label, "id": index, "text": text} for index, (text, label) in enumerate(rows)]
    if not lines:
        return json.dumps(objects, ensure_ascii=ascii_only, indent=random_.choice([None, 2]))
    end = random_.choice(["\n", "\r\n", "\n\n"])
    return end.join(json.dumps(row, ensure_ascii=ascii_only) for row in objects) + random_.choice(["", end])


def _as_parquet(rows: Rows) -> bytes:
    sink = pyarrow.BufferOutputStream()
    texts, labels = zip(*rows, strict=True)
    pyarrow.parquet.write_table(pyarrow.table({"text": texts, "label": labels}), sink)
    return bytes(sink.getvalue())


def damage(random_: random.Random, content: bytes) -> bytes:
    """One to three accidents: cut, flipped, inserted, deleted, doubled or swapped."""
    for _ in range(random_.randint(1, 3)):
        content = random_.choice(ACCIDENTS)(random_, content)
    return content


def _place(random_: random.Random, content: bytes) -> int:
    return random_.randrange(len(content) + 1)


def _cut(random_: random.Random, content: bytes) -> bytes:
    return content[: _place(random_, content)]


def _flip(random_: random.Random, content: bytes) -> bytes:
    if not content:
        return content
    at = random_.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << random_.randrange(8))]) + content[at + 1 :]


def _insert(random_: random.Random, content: bytes) -> bytes:
    at = _place(random_, content)
    return (
        content[:at]
        + random_.choice([b"\0", b'"', b",", b"\n", b"\r", b"\xff", b"{", b"]", b"\\", b"\t"])
        + content[at:]
    )


def _delete(random_: random.Random, content: bytes) -> bytes:
    at = _place(random_, content)
    return content[:at] + content[at + random_.randint(1, 20) :]


def _double(random_: random.Random, content: bytes) -> bytes:
    start, end = sorted((_place(random_, content), _place(random_, content)))
    return content[:end] + content[start:end] + content[end:]


def _swap_lines(random_: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    a, b = random_.randrange(len(lines)), random_.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return b"\n".join(lines)


ACCIDENTS: list[Callable[[random.Random, bytes], bytes]] = [_cut, _flip, _insert, _delete, _double, _swap_lines]


def load_rows(folder: Path, file: File, **settings: Any) -> Rows:
    """All rows of all splits, sorted.

    Raises:
        FinetuneError: What a user would be told.
    """
    path = folder / file.name
    path.write_bytes(file.content)
    section = DataSection(
        source=str(path), text="text", label="label", task="single_label", **{**file.settings, **settings}
    )
    data = load_data(section)
    _check_counts(section, data)
    parts = [part for part in (data.train, data.validation, data.test) if part is not None]
    return sorted((text, label) for part in parts for text, label in zip(part.texts, part.labels, strict=True))


def _check_counts(section: DataSection, data: Data) -> None:
    """Every line and every row of the file is counted once."""
    (table,) = read_sources(section).values()
    used = sum(map(len, data.whole_splits().values()))
    assert used + sum(data.dropped.values()) == len(table) + sum(table.dropped.values())
    if table.lines:
        (path,) = [path for paths in _files_of(Path(section.source), section).values() for path in paths]
        with open_bytes(path) as opened:
            text = opened.read().decode(open_text(path, section).encoding, "surrogateescape").removeprefix("\ufeff")
        ends = text.replace("\r\n", "\n").replace("\r", "\n")
        assert sum(table.lines.values()) == ends.count("\n") + (not ends.endswith("\n")), dict(table.lines)
        assert table.lines["row"] == len(table)


def expected(rows: Rows) -> Rows:
    """What must arrive: texts as they are, labels without the spaces around them."""
    return sorted((text, label.strip()) for text, label in rows)


def check_valid(random_: random.Random, folder: Path) -> str:
    """A valid file arrives as it was generated."""
    file = make_file(random_)
    assert load_rows(folder, file) == expected(file.rows)
    return "valid: rows exactly as generated"


def check_dialect(random_: random.Random, folder: Path) -> str:
    """A delimited file of any way of quoting, with and without a header, with comments, packed or not, arrives as it
    was generated where the recipe says how it is written, and with the labels that it has where it does not."""
    file = make_dialect(random_)
    try:
        assert load_rows(folder, file) == expected(file.rows)
    except DataError:
        assert _is_ambiguous(file), "refused, although there is one way to read it"
        return "dialect: ambiguous, and said so"
    detected = {key: file.settings[key] for key in ("encoding", "columns", "comment") if key in file.settings}
    file.settings = detected
    try:
        found = load_rows(folder, file)
    except DataError:
        return "dialect: as generated; not detected, and said so"
    assert sorted(label for _, label in found) == sorted(label for _, label in expected(file.rows))
    return f"dialect: as generated; detected{'' if found == expected(file.rows) else ', quotes in texts differ'}"


def _is_ambiguous(file: File) -> bool:
    """Where every cell is in quotes, and quotes in texts may be written once, a text with quote, delimiter, quote looks
    like two cells; with a carriage return in it, too, nobody can say where its row ends."""
    between = f'"{file.settings["delimiter"]}"'
    return file.settings.get("quoting") == "all" and any(between in text and "\r" in text for text, _ in file.rows)


def make_dialect(random_: random.Random) -> File:
    """A valid CSV or TSV, written in one of the ways that need settings, with those settings."""
    delimiter = random_.choice(",;\t|")
    quoting = random_.choice(["none", "minimal", "single", "escape", "all", "sloppy"])
    without = {"none": f"{delimiter}\r\n", "sloppy": f"{delimiter}\r\n"}.get(quoting, "")
    rows = make_rows(random_, "utf-8", without)
    if quoting == "sloppy":
        rows = [(re.sub('"+', '"', text), label) for text, label in rows]
    settings: dict[str, Any] = {"delimiter": delimiter, "header": random_.random() < 0.5}
    settings |= {
        "none": {"quoting": "none"},
        "minimal": {"quoting": "minimal"},
        "single": {"quoting": "minimal", "quote_char": "'"},
        "escape": {"quoting": "minimal", "escape": "\\"},
        "all": {"quoting": "all"},
        "sloppy": {"quoting": "all"},
    }[quoting]
    lines = [delimiter.join(_in_dialect(cell, quoting, delimiter) for cell in row) for row in rows]
    if settings["header"]:
        lines.insert(0, delimiter.join(_in_dialect(name, quoting, delimiter) for name in ("text", "label")))
    else:
        settings["columns"] = ["text", "label"]
    if random_.random() < 0.3 and not any(line.startswith("#") for line in lines):
        settings["comment"] = "#"
        for _ in range(random_.randint(1, 4)):
            lines.insert(random_.randint(0, len(lines)), random_.choice(["# a comment", '#"', "#a,b;c\td|e", "#"]))
    if random_.random() < 0.2:
        lines.insert(0, f"sep={delimiter}")
    end = random_.choice(["\n", "\r\n"])
    content = end.join(lines) + random_.choice(["", end, end * 2])
    name, packed = _pack(random_, content.encode(), "d.tsv" if delimiter == "\t" else "d.csv")
    return File(name, packed, rows, settings)


def _in_dialect(value: str, quoting: str, delimiter: str) -> str:
    """A cell as it is written."""
    quote = "'" if quoting == "single" else '"'
    needed = value[:1] == "#" or any(mark in value for mark in (delimiter, quote, "\n", "\r"))
    if quoting == "none":
        return value
    if quoting == "sloppy":
        return f'"{value}"'
    if quoting == "escape":
        needed = needed or "\\" in value
        return f'"{value.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34))}"' if needed else value
    return f"{quote}{value.replace(quote, quote * 2)}{quote}" if needed or quoting == "all" else value


def _pack(random_: random.Random, content: bytes, name: str) -> tuple[str, bytes]:
    """As it is, or compressed in one of the ways that are read."""
    how = random_.choice(["", "", "", ".gz", ".bz2", ".xz", ".zst", ".zip"])
    packed = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    if how == ".zst":
        sink = pyarrow.BufferOutputStream()
        with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(content)
        return name + how, bytes(sink.getvalue())
    if how == ".zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"folder/{name}", content)
        return "d.zip", buffer.getvalue()
    return name + how, packed[how](content) if how else content


def check_damaged(random_: random.Random, folder: Path) -> str:
    """A damaged file is read or refused; nothing else happens."""
    file = random_.choice([make_file, make_file, make_dialect])(random_)
    file.content = damage(random_, file.content)
    skip = not file.name.endswith("parquet") and random_.random() < 0.5
    try:
        load_rows(folder, file, skip_bad_rows=skip)
    except FinetuneError:
        return "damaged: refused"
    return "damaged: read"


def check_one_bad_row(random_: random.Random, folder: Path) -> str:
    """Damage inside one line, without quotes, changes no other row where bad rows are left out.

    Where it is inside the text, the label of its row stays too.
    """
    rows = make_rows(random_, "utf-8", without='"\r\n')
    suffix, (start, middle, end) = random_.choice(
        [("csv", ('"', '","', '"')), ("jsonl", ('{"text": "', '", "label": "', '"}'))]
    )

    def inner(value: str) -> bytes:
        return (json.dumps(value)[1:-1] if suffix == "jsonl" else value).encode()

    lines = [start.encode() + inner(text) + middle.encode() + inner(label) + end.encode() for text, label in rows]
    bad = random_.randrange(len(rows))
    text, label = rows[bad]
    everywhere = random_.random() < 0.5
    if everywhere:
        lines[bad] = _without_quotes(damage(random_, lines[bad]))
    else:
        harmed = _without_quotes(damage(random_, inner(text)))
        lines[bad] = start.encode() + harmed + middle.encode() + inner(label) + end.encode()
    header = [] if suffix == "jsonl" else [b"text,label"]
    file = File(f"d.{suffix}", b"\n".join(header + lines), rows, {"encoding": "utf-8"})
    try:
        remaining = load_rows(folder, file, skip_bad_rows=True)
    except FinetuneError:  # such as a number where all other labels are texts
        return "one bad row: refused"
    for row in expected(rows[:bad] + rows[bad + 1 :]):
        assert row in remaining, f"{row} was lost"
        remaining.remove(row)
    assert len(remaining) <= 1, f"{remaining} of one line"
    if not everywhere:
        assert all(found == label.strip() for _, found in remaining), f"{remaining} of {text!r}, {label!r}"
    return f"one bad row: {'read' if remaining else 'left out'}, all others as generated"


def _without_quotes(content: bytes) -> bytes:
    return bytes(byte for byte in content if byte not in b'"\r\n')


def check_damaged_set(random_: random.Random, folder: Path) -> str:
    """A folder of `save_to_disk` with one damaged file is read or refused; nothing else happens."""
    rows = make_rows(random_, "utf-8")
    names = sorted({label for _, label in rows})
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
    place = folder / f"set{random_.getrandbits(64)}"  # Arrow keeps the files mapped
    values = {"text": [text for text, _ in rows], "label": [label for _, label in rows]}
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(values, features=features).save_to_disk(place)
    harmed = random_.choice(sorted(path for path in place.iterdir() if path.is_file()))
    harmed.write_bytes(damage(random_, harmed.read_bytes()))
    try:
        load_data(DataSection(source=str(place), text="text", label="label", task="single_label"))
    except FinetuneError:
        return "damaged saved set: refused"
    finally:
        shutil.rmtree(place)
    return "damaged saved set: read"


CHECKS = (check_valid, check_damaged, check_one_bad_row, check_damaged_set, check_dialect)
