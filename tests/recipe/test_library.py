"""Where recipes and presets are found, what describes them, and how a copy is made."""

from pathlib import Path

import pytest

from finetune.errors import RecipeError
from finetune.recipe.library import (
    copy_to,
    find_preset,
    find_recipe,
    first_comment,
    preset_names,
    recipe_names,
    recipes_folder,
)
from tests.raising import refuses

SHIPPED = sorted(recipes_folder().rglob("*.yaml"))


def test_yaml_files_are_shipped() -> None:
    assert len(SHIPPED) >= 6


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_file_starts_with_its_one_line_description(path: Path) -> None:
    comment = first_comment(path)
    assert len(comment) >= 20
    assert comment == path.read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()


def test_recipes_and_presets_do_not_share_a_name() -> None:
    assert not set(recipe_names()) & set(preset_names())


def test_presets_are_listed_by_strength() -> None:
    assert preset_names()[:4] == ["none", "light", "medium", "strong"]


def test_names_have_no_suffix_and_no_folder() -> None:
    assert all("." not in name and "/" not in name for name in recipe_names() + preset_names())


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_found_by_its_name(name: str) -> None:
    assert find_recipe(name) == recipes_folder() / f"{name}.yaml"


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_is_found_by_its_name(name: str) -> None:
    assert find_preset(name) == recipes_folder() / "presets" / f"{name}.yaml"


@pytest.mark.parametrize("suffix", [".yaml", ".yml"])
def test_a_file_is_found_by_its_path(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mine{suffix}"
    path.write_text("", encoding="utf-8")
    assert find_recipe(str(path)) == path
    assert find_preset(str(path)) == path


def test_a_file_in_the_working_folder_does_not_shadow_a_shipped_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tweets").write_text("", encoding="utf-8")
    (tmp_path / "tweets.yaml").write_text("", encoding="utf-8")
    assert find_recipe("tweets") == recipes_folder() / "tweets.yaml"
    assert find_recipe("tweets.yaml") == Path("tweets.yaml")


@pytest.mark.parametrize("name", ["", ".", "..", "presets/strong", "/tmp", "tweets.json", "TWEETS"])
def test_what_is_neither_a_name_nor_a_yaml_path_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="is not a recipe"):
        find_recipe(name)


def test_a_preset_is_no_recipe_and_a_recipe_no_preset() -> None:
    with pytest.raises(RecipeError, match="'strong' is a preset, not a recipe"):
        find_recipe("strong")
    with pytest.raises(RecipeError, match="'tweets' is not a preset"):
        find_preset("tweets")


def test_a_missing_path_suggests_the_shipped_name_it_resembles() -> None:
    with pytest.raises(RecipeError, match=r"tweet\.yaml: no such recipe file\. Did you mean tweets\?"):
        find_recipe("tweet.yaml")


def test_a_file_without_a_comment_has_no_description(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("model: {id: m}\n# later\n", encoding="utf-8")
    assert first_comment(path) == ""


# --- copies ----------------------------------------------------------------------------------------------------


@pytest.fixture
def source() -> Path:
    return find_recipe("your-data")


def test_a_copy_has_the_same_bytes(source: Path, tmp_path: Path) -> None:
    copied = copy_to(source, tmp_path / "mine.yaml", force=False)
    assert copied == tmp_path / "mine.yaml"
    assert copied.read_bytes() == source.read_bytes()


def test_a_folder_as_destination_keeps_the_name(source: Path, tmp_path: Path) -> None:
    assert copy_to(source, tmp_path, force=False) == tmp_path / "your-data.yaml"
    assert (tmp_path / "your-data.yaml").is_file()


@pytest.mark.parametrize(
    ("name", "written"),
    [("mine", "mine.yaml"), ("v1.2", "v1.2.yaml"), ("mine.yml", "mine.yml"), ("a.json", "a.json.yaml")],
)
def test_a_bare_name_gets_a_suffix(source: Path, tmp_path: Path, name: str, written: str) -> None:
    assert copy_to(source, tmp_path / name, force=False) == tmp_path / written
    assert [path.name for path in tmp_path.iterdir()] == [written]


def test_an_existing_file_is_kept(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("my work", encoding="utf-8")
    for destination in (path, tmp_path / "mine"):
        with refuses(RecipeError, r"mine\.yaml: exists already.*--force"):
            copy_to(source, destination, force=False)
    assert path.read_text(encoding="utf-8") == "my work"


def test_an_existing_file_in_a_folder_is_kept(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "your-data.yaml"
    path.write_text("my work", encoding="utf-8")
    with pytest.raises(RecipeError, match="exists already"):
        copy_to(source, tmp_path, force=False)
    assert path.read_text(encoding="utf-8") == "my work"


def test_force_replaces_an_existing_file(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("my work", encoding="utf-8")
    copy_to(source, path, force=True)
    assert path.read_bytes() == source.read_bytes()


def test_a_missing_folder_is_refused_with_the_command_that_makes_it(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "no" / "such"
    with refuses(RecipeError, f"{folder}: no such folder. Try: mkdir -p {folder}"):
        copy_to(source, folder / "mine.yaml", force=False)
    assert not folder.exists()


def test_a_place_that_cannot_be_written_is_an_error_without_a_traceback(source: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").symlink_to(tmp_path / "gone" / "mine.yaml")
    with pytest.raises(RecipeError, match=r"mine\.yaml"):
        copy_to(source, tmp_path / "mine.yaml", force=True)
