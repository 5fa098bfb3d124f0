"""Tables that were read wrongly without a word, or refused with advice that led nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finetune.data.load import load_data
from finetune.data.numbers import number_style
from finetune.data.sources import read_sources, read_unlabelled
from finetune.errors import DataError
from finetune.recipe import DataSection, resolve
from tests.data.formats.making import loaded, names, texts, write_json, write_lines
from tests.raising import refuses

LABELS = names(40, ("good", "bad", "so-so"))
ROWS = list(zip(texts(40), LABELS, strict=True))
NAMES = ("good", "bad", "so-so")


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def read(path: Path, **settings: Any) -> dict[str, Any]:
    """Text -> label of all splits."""
    data = loaded(path, **settings)
    parts = data.whole_splits().values()
    return {text: label for rows in parts for text, label in zip(rows.texts, rows.labels, strict=True)}


def run(command: str, folder: Path) -> None:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, shell=True, check=True, cwd=folder, env={**os.environ, "PATH": programs})


def advised(path: Path, **settings: Any) -> str:
    """The first command of the error."""
    with pytest.raises(DataError) as error:
        loaded(path, **settings)
    return next(change.command for change in error.value.problems[0].changes if change.command)


# --- labels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", [False, True], ids=["lists", "lists as text"])
def test_lists_of_zeros_and_ones_are_places_of_labels(tmp_path: Path, written: bool) -> None:
    vectors = [[int(name == label) for name in NAMES] for label in LABELS]
    rows = [{"text": text, "label": str(v) if written else v} for (text, _), v in zip(ROWS, vectors, strict=True)]
    path = write_lines(tmp_path / "d.jsonl", rows)
    assert read(path) == {text: str(NAMES.index(label)) for text, label in ROWS}
    assert read(path, task="multi_label") == {text: [str(NAMES.index(label))] for text, label in ROWS}
    assert read(path, label_map={str(place): name for place, name in enumerate(NAMES)}) == dict(ROWS)
    [note] = [note for note in loaded(path).notes if "zeros and ones" in note]
    assert "exactly one 1, whose position is the class" in note


def test_lists_with_several_ones_are_several_labels(tmp_path: Path) -> None:
    rows = [{"text": text, "label": [number % 2, 1, 0]} for number, (text, _) in enumerate(ROWS)]
    path = write_lines(tmp_path / "d.jsonl", rows)
    expected = {text: ["0", "1"] if number % 2 else ["1"] for number, (text, _) in enumerate(ROWS)}
    assert read(path) == expected
    with refuses(DataError, r"label \[1, 1, 0\] does not hold exactly one 1"):
        read(path, task="single_label")


def test_probabilities_are_no_names(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "d.jsonl", [{"text": text, "label": [0.8, 0.1, 0.1]} for text, _ in ROWS])
    with refuses(DataError, "lists of 3 numbers with fractions.*as probabilities are"):
        read(path)


def test_labels_that_repeat_in_a_list_are_a_warning(tmp_path: Path) -> None:
    rows = [{"text": text, "label": [label, label, "bad"]} for text, label in ROWS]
    warnings = loaded(write_lines(tmp_path / "d.jsonl", rows)).warnings
    assert any("40 of 40 lists hold a label more than once" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({"spans": [{"start": 0, "end": 4, "label": "A"}]}, "'spans.label' is of a part of the text"),
        ({"prediction": [{"label": "A", "score": 0.5}]}, "'prediction.label' is a guess of a model"),
    ],
)
def test_labels_of_parts_and_guesses_are_no_labels_of_the_text(tmp_path: Path, about: Any, why: str) -> None:
    path = write_lines(tmp_path / "d.jsonl", [{"text": text, **about} for text, _ in ROWS])
    with refuses(DataError, f"no column that is recognised as the label.*{why}"):
        read(path)


@pytest.mark.parametrize("key", ["turns", 'the "turns"\\'])
@pytest.mark.parametrize("lines", [True, False], ids=["JSON lines", "JSON"])
def test_turns_of_a_dialogue_are_no_one_text_and_the_command_makes_rows_of_them(
    tmp_path: Path, lines: bool, key: str
) -> None:
    turns = [{"text": text, "intent": label} for text, label in ROWS]
    rows = [{"id": n, key: turns[n : n + 4]} for n in range(0, 40, 4)]
    path = write_lines(tmp_path / "my d.jsonl", rows) if lines else write_json(tmp_path / "my d.json", rows)
    run(advised(path), tmp_path)
    assert read(tmp_path / "my d-rows.jsonl") == dict(ROWS)


def test_labels_of_words_are_no_labels_of_the_sentence(tmp_path: Path) -> None:
    rows = [{"tokens": text.split(), "tags": ["O" for _ in text.split()]} for text, _ in ROWS]
    with refuses(DataError, "'tags' has a label for each of its parts.*none for the whole"):
        read(write_lines(tmp_path / "d.jsonl", rows))


def test_columns_of_different_labels_are_no_votes(tmp_path: Path) -> None:
    rows = [f"{text},{label},{'late' if n % 4 else ''}" for n, (text, label) in enumerate(ROWS)]
    path = write(tmp_path / "d.csv", "\n".join(["text,label1,label2", *rows]))
    with refuses(DataError, "no column that is recognised as the label"):
        read(path)
    assert read(path, label="label1") == dict(ROWS)


# --- Argilla 1, Label Studio ------------------------------------------------------------------------------------


def test_records_of_argilla_1_have_their_annotation_and_not_their_prediction(tmp_path: Path) -> None:
    about = {"prediction": [{"label": "bad", "score": 0.9}], "prediction_agent": "m", "annotation_agent": "a"}
    states = ["Default", "Discarded", "Validated", "Edited", "Validated"]
    rows = [
        {"text": text, "inputs": {"text": text}, **about, "annotation": label, "status": states[n % 5]}
        for n, (text, label) in enumerate(ROWS)
    ]
    path = write_lines(tmp_path / "d.jsonl", rows)
    assert read(path) == {text: label for n, (text, label) in enumerate(ROWS) if n % 5 > 1}
    assert loaded(path).dropped == {"no annotation": 8, "discarded": 8}


@pytest.mark.parametrize("as_lists", [False, True], ids=["objects", "as datasets holds them"])
def test_feedback_of_argilla_1_leaves_out_discarded_answers(tmp_path: Path, as_lists: bool) -> None:
    rows = []
    for n, (text, label) in enumerate(ROWS):
        answer = {"user_id": "u", "value": label, "status": "submitted" if n % 5 else "discarded"}
        given = {key: [value] for key, value in answer.items()} if as_lists else [answer]
        rows.append({"review": text, "mood": given, "mood-suggestion": "bad", "external_id": str(n)})
    path = write_lines(tmp_path / "d.jsonl", rows)
    assert read(path) == {text: label for n, (text, label) in enumerate(ROWS) if n % 5}
    assert loaded(path).dropped == {"discarded": 8}


def test_choices_of_regions_are_no_labels_of_the_text(tmp_path: Path) -> None:
    def task(n: int, *results: Any) -> Any:
        return {"id": n, "data": {"text": ROWS[n][0]}, "annotations": [{"result": list(results)}], "predictions": [{}]}

    region = {"from_name": "part", "value": {"start": 0, "end": 4, "text": "text", "choices": ["X"]}}
    whole = [{"from_name": "mood", "value": {"choices": [label]}} for _, label in ROWS]
    assert read(write_json(tmp_path / "d.json", [task(n, region, whole[n]) for n in range(40)])) == dict(ROWS)
    with refuses(DataError, "no task has an annotation with a label of the whole text; the predictions of a model"):
        read(write_json(tmp_path / "e.json", [task(n, region) for n in range(40)]))


# --- numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "numbers", "unclear"),
    [
        (["1.299 €", "950 €", "2.450 €"], [1299, 950, 2450], "1.299 €"),
        (["EUR 1.299", "EUR 2.450"], [1299, 2450], "EUR 1.299"),
        (["1.299 kg", "2.450 kg"], [1.299, 2.45], "1.299 kg"),
        (["1.299", "2.450"], [1.299, 2.45], "1.299"),
        (["1.299", "2.5"], [1.299, 2.5], None),
        (["1,5E+03", "2,25e-1"], [1500, 0.225], None),
    ],
)
def test_points_before_three_digits_and_exponents(cells: list[str], numbers: list[float], unclear: str | None) -> None:
    style = number_style(cells)
    assert ([style.read(cell) for cell in cells], style.unclear) == (numbers, unclear)


def test_a_point_that_may_set_thousands_apart_is_a_warning(tmp_path: Path) -> None:
    rows = [f"{text}\t{1 + n % 9}.{100 + n}" for n, (text, _) in enumerate(ROWS)]
    path = write(tmp_path / "d.tsv", "\n".join(["text\tscore", *rows]))
    [warning] = [text for text in loaded(path).warnings if "data.label" in text]
    assert "'1.100' is read as 1.1, as no label tells whether the point sets thousands apart" in warning
    recipe = resolve("your-data", data=str(path), overrides=["data.decimal=,"]).recipe
    assert 1100.0 in load_data(recipe.data).train.labels


# --- CSV --------------------------------------------------------------------------------------------------------


def test_quotes_of_the_first_row_of_a_file_without_a_header_join_no_rows(tmp_path: Path) -> None:
    rows = [(f'"{ROWS[0][0]}', LABELS[0]), *ROWS[1:3], (f'{ROWS[3][0]}"', LABELS[3]), *ROWS[4:]]
    path = write(tmp_path / "d.tsv", "".join(f"{text}\t{label}\n" for text, label in rows))
    assert read(path, columns=["text", "label"]) == dict(rows)


def test_quotes_behind_a_space_are_no_part_of_a_class(tmp_path: Path) -> None:
    path = write(tmp_path / "my d.csv", "text, label\n" + "".join(f'{text}, "{label}"\n' for text, label in ROWS))
    run(advised(path), tmp_path)
    assert read(tmp_path / "my d-mended.csv", label=" label") == dict(ROWS)


def test_delimiters_at_the_end_of_some_rows_are_removed_by_the_command(tmp_path: Path) -> None:
    rows = [f"{text},{label}{',' if n % 3 else ''}\r\n" for n, (text, label) in enumerate(ROWS)]
    path = write(tmp_path / "d.csv", "text,label\r\n" + "".join(rows))
    run(advised(path), tmp_path)
    assert read(tmp_path / "d-mended.csv") == dict(ROWS)


def test_a_header_with_another_delimiter_than_the_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "text,label\n" + "".join(f"{text};{label}\n" for text, label in ROWS))
    run(advised(path), tmp_path)
    assert read(tmp_path / "d-mended.csv") == dict(ROWS)


@pytest.mark.parametrize("title", ["Report:,2026,\nBrand:,Acme,\n", "Report:,2026\nBrand:,Acme\n"])
def test_titles_of_several_cells_above_the_header(tmp_path: Path, title: str) -> None:
    rows = "".join(f"{n},{text},{label}\n" for n, (text, label) in enumerate(ROWS))
    path = write(tmp_path / "d.csv", f"{title}id,text,label\n{rows}")
    run(advised(path), tmp_path)
    assert read(tmp_path / "d-mended.csv") == dict(ROWS)


def test_unusual_delimiters_and_columns_of_fixed_width_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "text^label\n" + "".join(f"{text}^{label}\n" for text, label in ROWS))
    with refuses(DataError, r"--set 'data.delimiter=\^'"):
        read(path)
    assert read(path, delimiter="^") == dict(ROWS)
    path = write(tmp_path / "u.csv", "text\x01label\n" + "".join(f"{text}\x01{label}\n" for text, label in ROWS))
    with refuses(DataError, r'--set \'data.delimiter="\\u0001"\'') as caught:
        read(path)
    assert caught.value.problems[0].changes[0].settings == {"data.delimiter": "\x01"}
    assert read(path, delimiter="\x01") == dict(ROWS)
    path = write(tmp_path / "e.csv", f"{'text':40}label\n" + "".join(f"{text:40}{label}\n" for text, label in ROWS))
    run(advised(path), tmp_path)
    assert read(tmp_path / "e-mended.csv") == dict(ROWS)


FRAME = "+------------------+-------+\n"


@pytest.mark.parametrize(
    ("name", "head", "row"),
    [
        ("d.txt", "| text | label |\n|---|:---|\n", "| {} | {} |\n"),
        ("d.csv", "| text | label |\n|---|:---|\n", "| {} | {} |\n"),
        ("d.txt", f"{FRAME}| text             | label |\n{FRAME}", "| {:16} | {:5} |\n"),
        ("d.tsv", "       text       | label \n------------------+-------\n", " {:16} | {}\n"),
        ("d.txt", "text | label\n--- | ---\n", "{} | {}\n"),
        ("d.txt", "| text | label |\r\n|---|:---|\r\n", "| {} | {} |\r\n"),
    ],
    ids=["Markdown", "Markdown as CSV", "mysql", "psql", "Markdown without a frame", "CRLF"],
)
def test_drawn_tables_are_refused_with_what_mends_them(tmp_path: Path, name: str, head: str, row: str) -> None:
    """The line of hyphens was a row with a class of its own."""
    path = tmp_path / name
    path.write_bytes((head + "".join(row.format(text, label) for text, label in ROWS) + "(40 rows)\n").encode())
    with refuses(DataError, "is a table drawn with bars and lines of hyphens"):
        read(path)
    run(advised(path), tmp_path)
    assert read(tmp_path / "d-mended.tsv") == dict(ROWS)


@pytest.mark.parametrize("first", ["| a | b |\n|---|---|\n| 1 | 2 |", "News | today\n------------", "a\n-+-"])
def test_a_text_with_a_drawn_table_is_a_text(tmp_path: Path, first: str) -> None:
    lines = [f'"{first}",good', *(f"{text},{label}" for text, label in ROWS)]
    assert read(write(tmp_path / "d.csv", "\n".join(["text,label", *lines])))[first] == "good"


def test_bars_between_cells_and_hyphens_in_one_are_no_drawn_table(tmp_path: Path) -> None:
    lines = ["text|label", "---|good", *(f"{text}|{label}" for text, label in ROWS)]
    assert read(write(tmp_path / "d.csv", "\n".join(lines)))["---"] == "good"


def test_a_column_of_splits_is_not_advised_as_the_label(tmp_path: Path) -> None:
    kinds = ["TRAIN"] * 30 + ["TEST"] * 10
    lines = [f"{kind},{text},{label}" for kind, (text, label) in zip(kinds, ROWS, strict=True)]
    with refuses(DataError, r'data.columns=\["split", "text", "label"\]'):
        read(write(tmp_path / "d.csv", "\n".join(lines)))


def test_a_second_line_of_the_header_and_a_total_are_warnings(tmp_path: Path) -> None:
    rows = [("What do you think?", "Rate"), *ROWS, ("Total", "good")]
    path = write(tmp_path / "d.csv", "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    warnings = [warning for warning in loaded(path).warnings if " row " in warning]
    assert "row 42, the last, is 'Total' with the label 'good'" in warnings[0]
    assert "row 1 is the only one with its label" in warnings[1]
    assert """--set 'data.drop_labels=["Rate"]'""" in warnings[1]
    plain = write(tmp_path / "e.csv", "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS))
    assert not [warning for warning in loaded(plain).warnings if " row " in warning]


# --- a wrong suffix -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "written"),
    [
        *[("d.csv", "jsonl", "jsonl"), ("d.txt", "jsonl", "jsonl"), ("d.csv", "json", "json")],
        *[("d.jsonl", "csv", "csv"), ("d.json", "csv", "csv"), ("d.jsonl", "json", "commas")],
        ("d.jsonl", "json", "pairs"),
    ],
)
def test_content_of_another_format_is_named_and_then_read(tmp_path: Path, name: str, kind: str, written: str) -> None:
    objects = [{"text": text, "label": label} for text, label in ROWS]
    content = {
        "jsonl": "".join(json.dumps(row) + "\n" for row in objects),
        "json": json.dumps(objects),
        "csv": "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS),
        "commas": "".join(json.dumps(row) + ",\n" for row in objects),
        "pairs": "".join(json.dumps([text, label]) + "\n" for text, label in ROWS),
    }
    path = write(tmp_path / name, content[written])
    with refuses(DataError, f"Try: --set data.format={kind}"):
        read(path)
    assert read(path, format=kind) == dict(ROWS)


@pytest.mark.parametrize("line", ["{0}\t{1}", "{1}\t{0}", "{0};{1}", "{0}@{1}"])
def test_a_table_in_a_text_file_is_read(tmp_path: Path, line: str) -> None:
    rows = [(text, label.replace("-", "")) for text, label in ROWS]
    path = write(tmp_path / "d.txt", "".join(line.format(*row) + "\n" for row in rows))
    assert read(path) == dict(rows)
    [note] = [note for note in loaded(path).notes if "read as a table" in note]
    assert "stands between cells, without a header (if it has one: --set data.header=true)" in note


def test_texts_are_no_table(tmp_path: Path) -> None:
    for line in ("@friend{n} see {text}", "{text}; and more {n}", "{text}"):
        content = "".join(line.format(n=n, text=text) + "\n" for n, (text, _) in enumerate(ROWS))
        path = write(tmp_path / "d.txt", content)
        assert len(read_sources(DataSection(source=str(path)), labelled=False)["all"]) == 40
        with refuses(DataError, "no line has a label of fastText"):
            read(path)


# --- folders ------------------------------------------------------------------------------------------------------


def test_a_folder_of_texts_is_read_where_labels_are_not_needed(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for n, (text, _) in enumerate(ROWS):
        write(folder / f"{n}.txt", f"{text}\nsecond line")
    table = read_sources(DataSection(source=str(folder)), labelled=False)["all"]
    assert list(table.columns["text"]) == [f"{text}\nsecond line" for text, _ in ROWS]
    assert list(table.columns["file"])[:2] == ["0.txt", "1.txt"]
    assert len(read_unlabelled(DataSection(source="d.csv", unlabelled=str(folder)))) == 40
    with refuses(DataError, "holds no train file"):
        read(folder)


@pytest.mark.parametrize("places", [("my_train", "my_test"), ("train/d", "test/d")])
def test_files_of_other_names_are_advised_as_splits(tmp_path: Path, places: tuple[str, str]) -> None:
    for place, rows in zip(places, (ROWS[:30], ROWS[30:]), strict=True):
        path = tmp_path / f"{place}.csv"
        path.parent.mkdir(exist_ok=True)
        write(path, "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    train, test = (tmp_path / f"{place}.csv" for place in places)
    with refuses(DataError, f"Try: --set data.test={test} --data {train}"):
        read(tmp_path)


def test_texts_beside_labels_and_parts_of_a_table_are_joined_by_the_command(tmp_path: Path) -> None:
    apart = tmp_path / "apart"
    apart.mkdir()
    write(apart / "labels.txt", "".join(f"{label}\n" for _, label in ROWS))
    write(apart / "texts.txt", "".join(f"{text}\n" for text, _ in ROWS))
    run(advised(apart), tmp_path)
    assert read(apart / "joined.tsv", header=False, columns=["text", "label"]) == dict(ROWS)
    parts = tmp_path / "parts"
    parts.mkdir()
    for n in range(2):
        rows = "".join(f"{text},{label}\n" for text, label in ROWS[n * 20 : n * 20 + 20])
        write(parts / f"part-{n}.csv", f"text,label\n{rows}")
    run(advised(parts), tmp_path)
    assert read(tmp_path / "parts-all.csv") == dict(ROWS)


# --- what must stay readable ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["target_text", "comment/rating", "the question of the rating"])
def test_one_column_whose_name_holds_two_usual_names_is_read(tmp_path: Path, header: str) -> None:
    path = write(tmp_path / "d.csv", "\n".join([header, *(text for text, _ in ROWS)]))
    table = read_sources(DataSection(source=str(path), text=header), labelled=False)["all"]
    assert list(table.columns[header]) == [text for text, _ in ROWS]


def test_a_row_of_usual_names_is_a_row_where_columns_are_given(tmp_path: Path) -> None:
    lines = [f"{text},{label}" for text, label in ROWS]
    path = write(tmp_path / "d.csv", "\n".join([*lines[:6], "text,category", *lines[6:]]))
    assert read(path, columns=["text", "label"], header=False) == {**dict(ROWS), "text": "category"}


def test_a_line_of_a_text_is_no_header(tmp_path: Path) -> None:
    lines = [f'"{text}","{label}"' for text, label in ROWS]
    path = write(tmp_path / "d.csv", "\n".join([*lines[:6], '"first line\ntext,label\nlast line","good"', *lines[6:]]))
    assert read(path, header="auto", columns=["text", "label"])["first line\ntext,label\nlast line"] == "good"


def test_quotes_behind_a_space_in_a_column_that_is_not_used_do_not_matter(tmp_path: Path) -> None:
    notes = ['"n"', '"n"', *[""] * (len(ROWS) - 2)]
    rows = [f"{text}, {note},{label}" for (text, label), note in zip(ROWS, notes, strict=True)]
    assert read(write(tmp_path / "d.csv", "\n".join(["text,note,label", *rows]))) == dict(ROWS)


def test_good_rows_above_bad_ones_are_not_advised_to_be_deleted(tmp_path: Path) -> None:
    rows = [*(f"{text},{label}" for text, label in ROWS), "a, b,good", "c, d,bad"]
    with refuses(DataError, "Put texts that contain ',' in quotes"):
        read(write(tmp_path / "d.csv", "\n".join(["text,label", *rows])))


def test_a_table_in_a_text_file_of_another_language(tmp_path: Path) -> None:
    rows = {f"хорошая вещь номер {number}, są ładne": label for number, label in enumerate(LABELS)}
    path = write(tmp_path / "d.txt", "\n".join(f"{text}\t{label}" for text, label in rows.items()))
    assert read(path) == rows


def test_guesses_are_no_labels_where_they_are_the_only_other_column(tmp_path: Path) -> None:
    rows = [{"text": text, "prediction": {"label": label}} for text, label in ROWS]
    with refuses(DataError, "'prediction.label' is a guess of a model"):
        read(write_lines(tmp_path / "d.jsonl", rows))


def test_time_stamps_are_no_places_in_a_text(tmp_path: Path) -> None:
    rows = [{"text": text, "annotation": {"label": label, "start": 1_700_000_000}} for text, label in ROWS]
    assert read(write_lines(tmp_path / "d.jsonl", rows)) == dict(ROWS)


def test_the_command_for_delimiters_at_the_end_keeps_an_empty_last_cell(tmp_path: Path) -> None:
    rows = [f"{text},{label}," for text, label in ROWS]
    path = write(tmp_path / "d.csv", "\n".join(["text,label", "unlabelled,", *rows, ""]))
    run(advised(path), tmp_path)
    assert "unlabelled,\n" in (tmp_path / "d-mended.csv").read_text(encoding="utf-8")


def test_files_with_carriage_returns_are_not_joined_by_paste(tmp_path: Path) -> None:
    (tmp_path / "X_train.csv").write_bytes("".join(f"{text}\r\n" for text, _ in [("text", ""), *ROWS]).encode())
    (tmp_path / "y_train.csv").write_bytes("".join(f"{label}\r\n" for _, label in [("", "label"), *ROWS]).encode())
    with pytest.raises(DataError) as error:
        loaded(tmp_path)
    assert not any("paste" in str(change.command) for change in error.value.problems[0].changes)


def test_a_delimiter_that_is_set_and_in_the_texts_is_no_traceback(tmp_path: Path) -> None:
    lines = [f"{text}, {', '.join('x' * (n % 3))}\t{label}" for n, (text, label) in enumerate(ROWS)]
    path = write(tmp_path / "d.txt", "\n".join(lines))
    with refuses(DataError, "d.txt"):
        read(path, delimiter=",")


# --- files and folders by class --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["{}.txt", "rt-polarity.{}"], ids=["names", "suffixes"])
def test_files_of_one_class_each_are_put_together_by_the_command(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "polarity"
    folder.mkdir()
    for label in NAMES:
        lines = [f"{text}\r\n" for text, own in ROWS if own == label]
        (folder / name.format(label)).write_bytes("".join(("\ufeff", *lines)).encode())  # as Notepad writes
    run(advised(folder), tmp_path)
    assert read(tmp_path / "polarity-all.tsv") == dict(ROWS)


def test_folders_named_by_column_and_value_say_what_they_are(tmp_path: Path) -> None:
    for label in NAMES:
        (tmp_path / f"label={label}").mkdir()
        write(tmp_path / f"label={label}" / "part-0.csv", "text\na text\n")
    with refuses(DataError, r"Its folders name a column and its value: make one table, with 'bad' in 'label'\."):
        read(tmp_path)


def test_lines_that_start_with_their_label_are_read_after_the_command(tmp_path: Path) -> None:
    path = write(tmp_path / "train_5500.label", "".join(f"{label}:sub {text}\n" for text, label in ROWS))
    run(advised(path), tmp_path)
    assert read(tmp_path / "train_5500.label.txt") == {text: f"{label}:sub" for text, label in ROWS}


def test_lines_of_texts_are_not_taken_for_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "d.lines", "".join(f"{number}th text, {text}\n" for number, (text, _) in enumerate(ROWS)))
    with refuses(DataError, r"found '\.lines'\. Try: --set data\.format=csv \(if it is a table\)$"):
        read(path)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (['{"text": "a", "label": "b"}', '{"text": "c", "label": "d"}'], "jsonl"),
        (["{", '"data": []}'], "json"),
        (["", '[{"text": "a", "label": "b"}]'], "json"),
        (['{"data": "' + "x" * 70_000], "json"),
    ],
)
def test_json_under_another_suffix_is_named(tmp_path: Path, lines: list[str], told: str) -> None:
    with refuses(DataError, rf"found '\.manifest'\. Try: --set data\.format={told}$"):
        read(write(tmp_path / "d.manifest", "\n".join(lines)))


def test_intents_of_rasa_in_markdown_are_read_after_the_command(tmp_path: Path) -> None:
    parts = {label: [text for text, own in ROWS if own == label] for label in NAMES}
    written = "\n".join(
        f"## intent:{label}\n" + "".join(f"- [{text}](thing)\n" for text in texts) for label, texts in parts.items()
    )
    path = write(tmp_path / "nlu.md", f"{written}\n## synonym:nyc\n- New York City\n")
    run(advised(path), tmp_path)
    assert read(tmp_path / "nlu.tsv") == dict(ROWS)


def test_objects_with_a_list_of_examples_are_a_row_an_example(tmp_path: Path) -> None:
    """As intents of IBM Watson: two rows were read, of which the texts were the intents."""
    parts = {label: [{"text": text} for text, own in ROWS if own == label] for label in NAMES}
    intents = [{"intent": label, "examples": examples} for label, examples in parts.items()]
    assert read(write_json(tmp_path / "d.json", {"name": "bot", "intents": intents, "entities": []})) == dict(ROWS)


@pytest.mark.parametrize(
    "row",
    [
        {"text": "the whole", "examples": ["a part", "another"]},
        {"sentences": ["a first part", "a second", "a third"]},
        {"examples": [{"text": "a part", "label": "own"}]},
    ],
)
def test_lists_in_rows_with_a_text_or_labels_of_their_own_are_no_rows(tmp_path: Path, row: dict[str, Any]) -> None:
    table = read_sources(DataSection(source=str(write_json(tmp_path / "d.json", [{**row, "label": "x"}] * 5))))["all"]
    assert len(table) == 5


def test_official_splits_are_not_advised_as_the_label(tmp_path: Path) -> None:
    """As exported by Vertex AI; the advice is a command that is pasted."""
    kinds = ["training"] * 20 + ["validation"] * 10 + ["test"] * 10
    rows = [
        {"annotation": {"displayName": label}, "textContent": f"a {text} is long", "labels": {"ml_use": kind}}
        for kind, (text, label) in zip(kinds, ROWS, strict=True)
    ]
    with refuses(DataError, r"--set data\.text=textContent --set data\.label=annotation\.displayName"):
        read(write_lines(tmp_path / "d.jsonl", rows))


# --- a row for each annotator ----------------------------------------------------------------------------------------


TURK = "HITId,WorkerId,AssignmentStatus,Input.text,Answer.label"


def by_worker(answers: list[tuple[str, str]], header: str = TURK) -> str:
    """Each text of ROWS with these (answer, status), each of a worker of its own; an empty answer is the right one."""
    lines = [
        f"h{number},w{worker},{status},{text},{answer or label}\n"
        for number, (text, label) in enumerate(ROWS)
        for worker, (answer, status) in enumerate(answers)
    ]
    return f"{header}\n{''.join(lines)}"


def test_rows_of_mechanical_turk_are_one_row_a_text(tmp_path: Path) -> None:
    """They were rows of their own, and the same text was in several splits."""
    answers = [("bad", "Approved"), ("", "Approved"), ("", "Submitted"), ("so-so", "Rejected")]
    path = write(tmp_path / "d.csv", by_worker(answers))
    assert read(path) == dict(ROWS)
    assert loaded(path).dropped == {"further annotation of a text": 80, "rejected annotation": 40}
    data = loaded(path, annotations="all", group="annotated_text")
    assert sum(len(rows) for rows in data.whole_splits().values()) == 3 * len(ROWS)


def test_ties_between_rows_of_annotators_are_left_out(tmp_path: Path) -> None:
    path = write(
        tmp_path / "d.csv", by_worker([("bad", ""), ("good", ""), ("", "")], "hit,annotator,status,text,label")
    )
    assert read(path) == {text: label for text, label in ROWS if label != "so-so"}


def test_a_column_of_annotators_is_nothing_special_where_each_text_has_one(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", by_worker([("", "")], "hit,annotator,status,text,label"))
    assert read(path) == dict(ROWS)
    assert not loaded(path).dropped


def test_several_answers_of_mechanical_turk_must_be_chosen_from(tmp_path: Path) -> None:
    lines = [f"w{w},{text},{label},yes\n" for text, label in ROWS for w in (1, 2)]
    path = write(tmp_path / "d.csv", f"WorkerId,Input.text,Answer.mood,Answer.sure\n{''.join(lines)}")
    with refuses(DataError, r"has 2 columns with labels: Answer\.mood, Answer\.sure.*--set data\.label=Answer\.mood"):
        read(path)
    assert read(path, label="Answer.mood") == dict(ROWS)


def test_a_pair_is_one_text_for_its_annotators_and_what_differs_is_named(tmp_path: Path) -> None:
    lines = [
        f"w{worker},{text},is it number {part},{label if part else 'other'},{worker + number}\n"
        for number, (text, label) in enumerate(ROWS)
        for part in (0, 1)
        for worker in (1, 2)
    ]
    path = write(tmp_path / "d.csv", f"annotator,premise,hypothesis,label,seconds\n{''.join(lines)}")
    data = loaded(path)
    assert sum(map(len, data.whole_splits().values())) == 2 * len(ROWS)
    assert any("differ between the annotators of a text are left out: seconds" in note for note in data.notes)


def test_a_table_beside_its_copy_in_another_format_is_no_file_of_a_class(tmp_path: Path) -> None:
    for suffix in (".csv", ".jsonl"):
        write(tmp_path / f"reviews{suffix}", "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS))
    with pytest.raises(DataError) as error:
        loaded(tmp_path)
    assert not any("awk" in change.command for change in error.value.problems[0].changes)


# What must not be put together: column, cells of the two rows of each text, and settings.
APART = {
    "an aspect": ("aspect", ["food", "service"], {}),
    "a second text": ("response", ["a long answer to it", "some other answer to it"], {}),
    "a split": ("split", ["train", "test"], {}),
    "a column that is named": ("seconds", ["12", "13"], {"id": "seconds"}),
}


@pytest.mark.parametrize("case", APART)
def test_rows_that_differ_in_what_was_annotated_stay_rows(tmp_path: Path, case: str) -> None:
    column, cells, settings = APART[case]
    lines = [
        f"w{(number + place) % 3},{text},{cell} {number if ' ' in cell else ''},{label}\n".replace(" ,", ",")
        for number, (text, label) in enumerate(ROWS)
        for place, cell in enumerate(cells)
    ]
    data = loaded(write(tmp_path / "d.csv", f"annotator,text,{column},label\n{''.join(lines)}"), **settings)
    assert sum(map(len, data.whole_splits().values())) + sum(data.dropped.values()) == 2 * len(ROWS)
    assert "further annotation of a text" not in data.dropped


@pytest.mark.parametrize("labels", [("1.5", "2.5"), ("good|bad", "bad"), ("1", "2", "3", "4", "5")])
def test_ratings_and_several_labels_of_annotators_stay_rows(tmp_path: Path, labels: tuple[str, ...]) -> None:
    lines = [
        f"w{worker},{text},{labels[(number + worker) % len(labels)]}\n"
        for number, (text, _) in enumerate(ROWS)
        for worker in (1, 2)
    ]
    data = loaded(write(tmp_path / "d.csv", f"annotator,text,score\n{''.join(lines)}"))
    assert sum(map(len, data.whole_splits().values())) == 2 * len(ROWS)


def test_answers_of_mechanical_turk_are_labels_and_what_it_shows_is_the_text(tmp_path: Path) -> None:
    lines = [
        f"w{worker},Judge this text,{text},x,{label} ,because of it {worker}\n"
        for text, label in ROWS
        for worker in (1, 2)
    ]
    head = "WorkerId,Description,Input.snippet,Input.label,Answer.label,Answer.text"
    assert read(write(tmp_path / "d.csv", f"{head}\n{''.join(lines)}")) == dict(ROWS)
