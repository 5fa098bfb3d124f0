"""Compressed files and archives are read like those that are not, and what is damaged is named."""

import bz2
import gzip
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow
import pyarrow.parquet
import pytest

from finetune.data import compressed
from finetune.data.sources import read_sources
from finetune.data.table import Table
from finetune.errors import DataError
from finetune.recipe import DataSection
from tests.raising import refusal

TEXTS, LABELS = [f"text {row}" for row in range(20)], ["a", "b"] * 10
CSV = "".join(["text,label\n", *(f"{text},{label}\n" for text, label in zip(TEXTS, LABELS, strict=True))]).encode()


def zst(content: bytes) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


def parquet() -> bytes:
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table({"text": TEXTS, "label": LABELS}), sink)
    return bytes(sink.getvalue())


FORMATS = {
    ".csv": CSV,
    ".tsv": CSV.replace(b",", b"\t"),
    ".jsonl": b"".join(
        json.dumps({"text": text, "label": label}).encode() + b"\n" for text, label in zip(TEXTS, LABELS, strict=True)
    ),
    ".json": json.dumps([{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]).encode(),
    ".parquet": parquet(),
}
PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zst,
}


def tables(path: Path, **settings: str) -> dict[str, Table]:
    return read_sources(DataSection(source=str(path), **settings))


def rows(table: Table) -> tuple[list[str], list[str]]:
    return list(table.columns["text"]), list(table.columns["label"])


def archive(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name.replace("__", "/").replace("_", "."), content)
    return path


def problem(path: Path, **settings: str) -> str:
    return refusal(DataError, tables, path, **settings)


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_is_read_from_every_packing(tmp_path: Path, suffix: str, packing: str) -> None:
    path = tmp_path / f"d{suffix}{packing}".upper()
    path.write_bytes(PACKED[packing](FORMATS[suffix]))
    assert rows(tables(path)["all"]) == (TEXTS, LABELS)


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_one_file_of_an_archive_is_read_by_its_path_in_it(tmp_path: Path, suffix: str) -> None:
    path = archive(tmp_path / "d.zip", **{f"in__rows_{suffix[1:]}": FORMATS[suffix], "in__README_md": b"read me"})
    (table,) = tables(path).values()
    assert rows(table) == (TEXTS, LABELS)
    assert table.origin == f"{path}/in/rows{suffix}"
    assert rows(tables(path / f"in/rows{suffix}")["all"]) == (TEXTS, LABELS)
    assert list(tables(path, validation=str(path))) == ["train", "validation"]


def test_an_archive_of_splits_is_a_folder_of_splits(tmp_path: Path) -> None:
    files = {"x__train_csv": CSV, "x__dev_tsv": FORMATS[".tsv"], "x__test_csv_gz": gzip.compress(CSV)}
    path = archive(tmp_path / "d.zip", **files, **{".hidden_csv": CSV})
    found = tables(path)
    assert list(found) == ["train", "validation", "test"]
    assert all(rows(table) == (TEXTS, LABELS) for table in found.values())
    assert "data.validation: expected a file" in problem(path, validation=str(path))


def test_splits_of_a_folder_may_be_compressed(tmp_path: Path) -> None:
    (tmp_path / "train.csv.gz").write_bytes(gzip.compress(CSV))
    (tmp_path / "test.csv").write_bytes(CSV)
    assert list(tables(tmp_path)) == ["train", "test"]


@pytest.mark.parametrize("packing", PACKED)
def test_what_is_cut_or_of_another_kind_is_named(tmp_path: Path, packing: str) -> None:
    path = tmp_path / f"d.csv{packing}"
    path.write_bytes(PACKED[packing](CSV)[:-9])
    assert problem(path).startswith(f"{path}: cannot be unpacked: ")
    path.write_bytes(CSV)
    assert problem(path).startswith(f"{path}: cannot be unpacked: ")


def test_archives_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "d.zip").write_bytes(CSV)
    assert "d.zip: cannot be unpacked: File is not a zip file" in problem(tmp_path / "d.zip")
    assert "holds no train file" in problem(archive(tmp_path / "e.zip", a_csv=CSV, b_csv=CSV))
    assert "no file or folder" in problem(archive(tmp_path / "f.zip", a_csv=CSV) / "b.csv")


def test_what_tells_about_an_archive_is_no_data(tmp_path: Path) -> None:
    path = archive(tmp_path / "d.zip", all_jsonl=FORMATS[".jsonl"], README_txt=b"read me", LICENSE_txt=b"free")
    assert rows(tables(path)["all"]) == (TEXTS, LABELS)


def test_a_named_format_is_that_of_the_files_in_an_archive(tmp_path: Path) -> None:
    path = archive(tmp_path / "d.zip", rows_dat=CSV, readme_txt=b"read me")
    assert rows(tables(archive(tmp_path / "e.zip", rows_csv=CSV), format="csv")["all"]) == (TEXTS, LABELS)
    assert rows(tables(archive(tmp_path / "f.zip", rows_dat=CSV), format="csv")["all"]) == (TEXTS, LABELS)
    assert "It holds rows.dat." in problem(path)
    said = problem(archive(tmp_path / "g.zip", SMSSpam=CSV, readme=b"read me"))
    assert "It holds SMSSpam." in said
    assert f"--set data.format=tsv --data {tmp_path}/g.zip/SMSSpam" in said
    two = problem(archive(tmp_path / "h.zip", a_csv=CSV, b_csv=CSV))
    assert "It holds a.csv, b.csv." in two
    assert f"--data {tmp_path}/h.zip/a.csv (that file alone), or --data {tmp_path}/h.zip/b.csv" in two


def test_an_encrypted_archive_is_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "d.zip", a_csv=CSV)
    content = bytearray(path.read_bytes())
    for start in (content.index(b"PK\x03\x04") + 6, content.index(b"PK\x01\x02") + 8):
        content[start] |= 1  # the flag of encryption
    path.write_bytes(content)
    assert "a.csv: is encrypted. Save the archive without a password." in problem(path)


def test_where_pyarrow_has_no_zstd_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d.csv.zst").write_bytes(zst(CSV))
    monkeypatch.setattr(pyarrow, "Codec", SimpleNamespace(is_available=lambda name: False))
    assert "this pyarrow was built without zstd. Try: pip install" in problem(tmp_path / "d.csv.zst")


def test_suffixes_of_a_format_are_found_below_those_of_packing() -> None:
    assert compressed.data_suffix(Path("a.b/D.CSV.GZ")) == ".csv"
    assert compressed.data_stem(Path("train-00000-of-00002.csv.zst")) == "train-00000-of-00002"
    assert compressed.data_suffix(Path("d.gz")) == ""
