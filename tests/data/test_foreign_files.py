"""Files of other programs: the error says which command makes a file of them that is read, and the command works."""

import os
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

from finetune.data.foreign_files import way_to_read
from finetune.data.sources import read_sources
from finetune.errors import DataError
from finetune.recipe import DataSection
from tests.raising import refuses

ROWS = [(f"text number {n}", "ab"[n % 2]) for n in range(6)]
WRITTEN = {
    ".md": "# Reviews\n\n| text | label |\n|------|:-----:|\n" + "".join(f"| {a} | {b} |\n" for a, b in ROWS),
    ".js": "window.YTD.part0 = [" + ",\n".join(f'{{"text": "{a}", "label": "{b}"}}' for a, b in ROWS) + "]",
}


@pytest.mark.parametrize(("suffix", "made"), [(".md", ".tsv"), (".js", ".json"), (".dta", ".csv")])
def test_the_command_for_a_file_of_another_program_makes_one_that_is_read(
    tmp_path: Path, suffix: str, made: str
) -> None:
    path = tmp_path / f"my reviews{suffix}"
    if suffix == ".dta":
        pandas.DataFrame(ROWS, columns=["text", "label"]).to_stata(path, write_index=False)
    else:
        path.write_text(WRITTEN[suffix], encoding="utf-8")
    way = way_to_read(path, suffix)
    assert way is not None
    with refuses(DataError, f"found '{suffix}'.*my reviews{made}'"):
        read_sources(DataSection(source=str(path)))
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(way.command, shell=True, check=True, env={**os.environ, "PATH": programs})
    table = read_sources(DataSection(source=str(path.with_suffix(made))))["all"]
    assert list(zip(table.columns["text"], table.columns["label"], strict=True)) == ROWS


@pytest.mark.parametrize("suffix", [".sav", ".sqlite", ".ods", ".html", ".pkl", ".sql", ".docx", ".rds", ".xml"])
def test_each_known_suffix_has_a_way(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"d{suffix}"
    path.write_bytes(b"x")
    with pytest.raises(DataError) as error:
        read_sources(DataSection(source=str(path)))
    assert "data.format=csv" not in error.value.problems[0].for_command_line()
    assert way_to_read(path, suffix) in error.value.problems[0].changes


@pytest.mark.parametrize("name", ["d.csv", "d.json", "d.xls"])
def test_a_web_page_under_the_name_of_a_table_is_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("\n<!DOCTYPE html>\n<html><body>Sign in</body></html>", encoding="utf-8")
    with refuses(DataError, "is a web page by its first bytes, and no table.*download the file itself"):
        read_sources(DataSection(source=str(path)))


def test_a_pointer_of_git_lfs_is_told(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", encoding="utf-8")
    with refuses(DataError, "is a pointer of Git LFS.*Try: git lfs pull --include d.csv"):
        read_sources(DataSection(source=str(path)))
