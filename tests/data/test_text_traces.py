"""What programs leave in texts by mistake is said, with how to mend it; texts without it are left alone."""

from pathlib import Path

import pytest

from finetune.data.load import load_data
from finetune.data.rows import Data
from finetune.recipe import DataSection
from tests.conftest import write_csv


def load(folder: Path, texts: list[str]) -> Data:
    rows = [(f"{texts[n % len(texts)]} {n}", "ab"[n % 2]) for n in range(40)]
    return load_data(DataSection(source=str(write_csv(folder / "d.csv", ["text", "label"], rows))))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("größer – café".encode().decode("cp1252"), r"'grÃ¶ÃŸer â€“ cafÃ© 0' was 'größer – café 0'"),
        (r"caf\u00e9 noir", r"hold escapes such as \u00e9, which are read as they are written"),
        (r"caf\xe9 noir", r"hold escapes such as \xe9"),
    ],
    ids=["decoded twice", "escapes of JSON", "escapes of Python"],
)
def test_traces_are_a_warning(tmp_path: Path, text: str, said: str) -> None:
    assert any(said in warning and "of the first 40 texts" in warning for warning in load(tmp_path, [text]).warnings)


def test_bytes_as_python_prints_them_are_a_warning(tmp_path: Path) -> None:
    rows = [(repr(f"größer {n}".encode()), "ab"[n % 2]) for n in range(40)]
    data = load_data(DataSection(source=str(write_csv(tmp_path / "d.csv", ["text", "label"], rows))))
    assert any("texts are bytes as Python prints them" in warning for warning in data.warnings)


def test_html_is_a_note(tmp_path: Path) -> None:
    data = load(tmp_path, ["a &amp; b<br />", "plain"])
    said = "column 'text': 20 of the first 40 texts hold HTML, which is read as it is written: '&amp;'"
    assert said in data.notes


def test_texts_without_traces_are_left_alone(tmp_path: Path) -> None:
    data = load(tmp_path, ["größer – café", "C:\\users & co", "a < b > c", "été à Paris", "привет", "b'x"])
    assert not any("column 'text'" in said for said in (*data.notes, *data.warnings))
