"""What is replaced in one step is never seen half written, and leaves nothing behind where it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune.atomic import replaced_file, replaced_folder, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_text_replaces_a_text(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_text(path, "old")
    write_text(path, "λ\n")
    assert path.read_bytes() == "λ\n".encode()
    assert names(tmp_path) == ["file.json"]


def test_a_text_that_does_not_reach_the_disk_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    write_text(path, "old")

    def fail(*_: object) -> None:
        raise OSError("killed while flushing")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="killed"):
        write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["file.json"]


@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt])
def test_a_file_whose_writer_fails_replaces_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "arrays.npz"
    path.write_bytes(b"old")

    def write() -> None:
        with replaced_file(path) as partial:
            partial.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["arrays.npz"]


def test_a_file_is_not_there_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    with replaced_file(path) as partial:
        assert partial.suffix == ".npz"  # numpy adds it where it is missing
        partial.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"


def test_a_writer_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replaced_file(tmp_path / "file"):
        pass
    with pytest.raises(FileNotFoundError), replaced_folder(tmp_path / "folder"):
        pass


def test_a_folder_replaces_a_folder_with_all_that_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()
    with replaced_folder(path) as partial:
        (partial / "inner").mkdir(parents=True)
        (partial / "inner" / "new").write_text("new", encoding="utf-8")
        assert names(path) == ["old"]
    assert names(path) == ["inner"]
    assert (path / "inner" / "new").read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_folder_whose_writer_fails_replaces_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()

    def write() -> None:
        with replaced_folder(path) as partial:
            partial.mkdir()
            (partial / "half").touch()
            raise error

    with pytest.raises(error):
        write()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["model"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").touch()
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name.startswith(".partial-"):
            raise OSError("no room")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="no room"), replaced_folder(path) as partial:
        partial.mkdir()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["model"]


def test_what_a_kill_left_is_removed_by_the_next_writer(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for name in (".partial-model", ".replaced-model"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "left").touch()
    with replaced_folder(path) as partial:
        partial.mkdir()
        (partial / "new").touch()
    assert names(path) == ["new"]
    assert names(tmp_path) == ["model"]
