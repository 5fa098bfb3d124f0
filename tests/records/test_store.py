"""Records survive kills, refuse what they cannot read, and hold no secrets."""

import json
from pathlib import Path

import pytest

from finetune.errors import OutputError
from finetune.records.environment import read_code, read_versions
from finetune.records.store import RunFolder, read_record, write_atomically


def test_writing_replaces_a_file_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    write_atomically(path, "old")

    def fail(*_: object) -> None:
        raise OSError("killed while flushing")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="killed"):
        write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 1}', '{"schema_version": 99}', "null"])
def test_a_record_that_cannot_be_read_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(OutputError, match=r"run\.json"):
        read_record(path)


def test_a_free_folder_is_missing_or_empty(tmp_path: Path) -> None:
    RunFolder(tmp_path / "new").check_free()
    RunFolder(tmp_path).check_free()
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="holds no run"):
        RunFolder(tmp_path).check_free()


def test_the_environment_holds_versions_and_no_paths() -> None:
    text = json.dumps([read_versions(), read_code().model_dump()])
    assert "transformers" in text
    assert "/" not in text.replace("https://", "")
