"""YAML as people mean it: what becomes a number, what stays a word, and what is refused with its line."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from finetune.errors import RecipeError
from finetune.recipe import resolve
from finetune.recipe.library import recipe_names
from finetune.recipe.yaml_file import parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-5", 2e-5),
        ("2.0e-5", 2e-5),
        ("1E-3", 1e-3),
        ("1e+5", 1e5),
        (".5", 0.5),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("0.1", 0.1),
    ],
)
def test_what_looks_like_a_float_is_a_float(text: str, value: float) -> None:
    parsed = parse_yaml(f"key: {text}", "x.yaml")["key"]
    assert type(parsed) is float
    assert parsed == value


@pytest.mark.parametrize(("text", "value"), [("5", 5), ("0", 0), ("-3", -3), ("+7", 7)])
def test_whole_numbers_are_ints(text: str, value: int) -> None:
    parsed = parse_yaml(f"key: {text}", "x.yaml")["key"]
    assert type(parsed) is int
    assert parsed == value


@pytest.mark.parametrize("text", ["true", "True", "TRUE"])
def test_true_is_a_bool(text: str) -> None:
    assert parse_yaml(f"key: {text}", "x.yaml")["key"] is True


@pytest.mark.parametrize("text", ["false", "False", "FALSE"])
def test_false_is_a_bool(text: str) -> None:
    assert parse_yaml(f"key: {text}", "x.yaml")["key"] is False


@pytest.mark.parametrize("text", ["null", "Null", "NULL", "~", ""])
def test_null_is_none(text: str) -> None:
    assert parse_yaml(f"key: {text}", "x.yaml") == {"key": None}


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "yes",
        "on",
        "off",
        "n",
        "None",
        "1_000",
        "2020-01-01",
        "2020-01-01 10:00:00",
        "1:30",
        "0x10",
        "0o7",
        "nan",
        "inf",
        "1.2.3",
        "=",
        "<<",
        "'2e-5'",
        '"5"',
        "007",
        "-08",
        "00",
    ],
)
def test_words_stay_strings(text: str) -> None:
    assert parse_yaml(f"key: {text}", "x.yaml") == {"key": text.strip("'\"")}


def test_a_merge_key_is_an_ordinary_word() -> None:
    assert parse_yaml("a: &x {b: 1}\nc:\n  <<: *x", "x.yaml")["c"] == {"<<": {"b": 1}}


def test_a_key_given_twice_is_refused_with_both_lines() -> None:
    with pytest.raises(RecipeError, match=r"x\.yaml line 3.*'epochs' is given twice, in lines 1 and 3"):
        parse_yaml("epochs: 3\nseeds: [1]\nepochs: 5\n", "x.yaml")


def test_a_nested_key_given_twice_is_refused_with_both_lines() -> None:
    with pytest.raises(RecipeError, match=r"'epochs' is given twice, in lines 2 and 4"):
        parse_yaml("training:\n  epochs: 3\n  warmup: 0.1\n  epochs: 5\n", "x.yaml")


def test_a_key_given_twice_inside_a_list_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"'a' is given twice, in lines 2 and 3"):
        parse_yaml("list:\n- a: 1\n  a: 2\n", "x.yaml")


def test_the_same_key_in_two_mappings_is_fine() -> None:
    assert parse_yaml("l1: {strength: 1}\nl2: {strength: 2}", "x.yaml") == {
        "l1": {"strength": 1},
        "l2": {"strength": 2},
    }


def test_whole_numbers_as_keys_are_words() -> None:
    assert parse_yaml("{0: negative, 10: positive}", "x.yaml") == {"0": "negative", "10": "positive"}


@pytest.mark.parametrize("key", ["true", "1.5", "null", "[1, 2]"])
def test_keys_must_be_words(key: str) -> None:
    with pytest.raises(RecipeError, match=r"keys must be words.*line 2"):
        parse_yaml(f"a: 1\n{key}: 2\n", "x.yaml")


def test_a_key_that_is_no_word_is_one_in_the_quotes_that_are_advised() -> None:
    with pytest.raises(RecipeError, match='put it in quotes: "TRUE"'):
        parse_yaml("{TRUE: positive}", "x.yaml")
    assert parse_yaml('{"TRUE": positive}', "x.yaml") == {"TRUE": "positive"}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: [1, 2\n", "line 2"),
        ("a: 1\nb: c: d\n", "line 2"),
        ("a: 'open\n", "line 2"),
        ("a:\n\tb: 1\n", "line 2"),
    ],
)
def test_broken_yaml_names_file_and_line(text: str, where: str) -> None:
    with pytest.raises(RecipeError, match=rf"^x\.yaml {where}, column \d+: not valid YAML"):
        parse_yaml(text, "x.yaml")


def test_two_documents_in_one_file_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"line 2"):
        parse_yaml("a: 1\n--- \nb: 2\n", "x.yaml")


def test_python_objects_are_refused_and_not_built(tmp_path: Path) -> None:
    proof = tmp_path / "built"
    with pytest.raises(RecipeError, match="python/object"):
        parse_yaml(f"a: !!python/object/apply:os.mkdir ['{proof}']", "x.yaml")
    assert not proof.exists()


@pytest.mark.parametrize(
    "text",
    ["a: !!int x", "a: !!float x", "a: !!bool x", "a: !!map x", "a: " + "9" * 5000, "a: " + "[" * 3000],
    ids=["int", "float", "bool", "map", "digits", "depth"],
)
def test_what_yaml_itself_cannot_build_is_an_error_of_the_file(text: str) -> None:
    with pytest.raises(RecipeError, match=r"^x\.yaml"):
        parse_yaml(text, "x.yaml")


def test_an_error_is_one_line() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_yaml("a: \x07", "x.yaml")
    assert len(str(caught.value).splitlines()) == 1


def _write(folder: Path, content: bytes) -> Path:
    path = folder / "x.yaml"
    path.write_bytes(content)
    return path


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    assert read_yaml(_write(tmp_path, b"\xef\xbb\xbfmodel: {id: m}\n"), "x.yaml") == {"model": {"id": "m"}}


def test_windows_line_ends_are_read(tmp_path: Path) -> None:
    content = read_yaml(_write(tmp_path, b"model:\r\n  id: m\r\ntraining:\r\n  epochs: 3\r\n"), "x.yaml")
    assert content == {"model": {"id": "m"}, "training": {"epochs": 3}}


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# only a comment\n", b"---\n", b"{}\n", b"\xef\xbb\xbf"])
def test_a_file_without_content_is_an_empty_mapping(tmp_path: Path, content: bytes) -> None:
    assert read_yaml(_write(tmp_path, content), "x.yaml") == {}


@pytest.mark.parametrize(("content", "found"), [(b"- a\n- b\n", "list"), (b"just words\n", "str"), (b"5\n", "int")])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: bytes, found: str) -> None:
    with pytest.raises(RecipeError, match=rf"^x\.yaml: expected 'key: value' lines, found a {found}"):
        read_yaml(_write(tmp_path, content), "x.yaml")


@pytest.mark.parametrize("content", [b"name: caf\xe9\n", "name: a".encode("utf-16")])
def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(RecipeError, match=r"^x\.yaml: cannot be read as UTF-8"):
        read_yaml(_write(tmp_path, content), "x.yaml")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^x\.yaml: cannot be read"):
        read_yaml(tmp_path / "x.yaml", "x.yaml")


@pytest.mark.parametrize(
    "value",
    [
        1e-5,
        2e-5,
        1e-10,
        1e16,
        0.1,
        1.0,
        5,
        -3,
        True,
        None,
        [],
        {},
        [1, 2.5, "a", None],
        {"a": {"b": [1e-5]}},
        "no",
        "None",
        "null",
        "~",
        "",
        "true",
        "5",
        "-5",
        ".5",
        "1.5",
        "5.",
        "2.0e-5",
        "2020-01-01",
        "1:30",
        " spaces ",
        "two\nlines",
        "a: b",
        "#",
        "é ü 漢",
        "|",
        "\t",
        "2e-5",
        "1E5",
        "-1e5",
        "+.5",
        "007",
    ],
)
def test_json_is_yaml_that_reads_back_the_same_value(value: Any) -> None:
    parsed = parse_yaml(json.dumps({"key": value}), "x.yaml")
    assert parsed == {"key": value}
    assert type(parsed["key"]) is type(value)


def test_dumping_keeps_the_order_of_keys() -> None:
    assert list(parse_yaml(json.dumps({"z": 1, "a": 2, "m": 3}), "x.yaml")) == ["z", "a", "m"]


@pytest.mark.parametrize("name", recipe_names())
def test_a_dumped_shipped_recipe_parses_back_unchanged(name: str) -> None:
    content = resolve(name, "strong").recipe.to_dict()
    assert parse_yaml(json.dumps(content), "x.yaml") == content


def test_aliases_of_aliases_are_refused_before_they_are_written_out() -> None:
    """Eight lines that stand for 43 million values, and one that holds itself."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{name}: &{name} [{', '.join([f'*{above}'] * 9)}]" for above, name in pairwise("abcdefgh")]
    for text in ("\n".join(lines), "a: &a {b: *a}"):
        with pytest.raises(RecipeError, match="aliases written out, more than 1,000,000 values"):
            parse_yaml(text, "x.yaml")
    assert parse_yaml("a: &a [1, 2]\nb: [*a, *a]", "x.yaml") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}


@pytest.mark.parametrize("section", ["", "training:\n"])
def test_thousands_of_unknown_keys_are_one_short_problem(tmp_path: Path, section: str) -> None:
    text = section + "".join(f"{' ' if section else ''}k{number}: 1\n" for number in range(20_000))
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=r"^x\.yaml: (the file|training) has 20,000 keys") as caught:
        read_yaml(tmp_path / "x.yaml", "x.yaml")
    assert len(str(caught.value)) < 100
