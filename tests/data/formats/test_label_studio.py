"""Exports of Label Studio: raw JSON, JSON-MIN and CSV. Shapes are those of the converter of label-studio-sdk 2.1.2."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune.errors import DataError
from tests.conftest import write_csv
from tests.data.formats.making import account, labelled, loaded, only, rows_in_file, texts, write_json
from tests.raising import refuses


def answer(*choices: str, day: int = 1, **about: Any) -> dict[str, Any]:
    """An annotation with choices of the control `tone`."""
    value = {"choices": list(choices)}
    result = [{"from_name": "tone", "to_name": "text", "type": "choices", "value": value}] if choices else []
    return {"id": day, "result": result, "was_cancelled": False, "created_at": f"2024-05-0{day}T10:00:00Z", **about}


def task(number: int, *answers: dict[str, Any], **about: Any) -> dict[str, Any]:
    return {"id": number, "data": {"review": f"text number {number}"}, "annotations": list(answers), **about}


def test_raw_json_and_why_tasks_are_left_out(tmp_path: Path) -> None:
    guess = {"result": answer("neg")["result"], "score": 0.9}
    tasks = [
        task(0, answer("pos")),
        task(1, answer("neg")),
        task(2, answer("pos", was_cancelled=True)),
        task(3, predictions=[guess]),
        task(4, answer()),
        task(5, answer("pos", day=1), answer("neg", day=2)),
        task(6, answer("neg", was_cancelled=True), answer("pos")),
        task(7, cancelled_annotations=1),
    ]
    table = only(write_json(tmp_path / "export.json", tasks))
    assert labelled(table) == {"text number 0": "pos", "text number 1": "neg", "text number 6": "pos"}
    assert table.dropped == {"cancelled": 2, "no annotation": 2, "annotators disagree (tie)": 1}
    assert rows_in_file(table) == len(tasks)
    assert "read as an export of Label Studio (JSON): 3 rows from 8; left out: 2 × cancelled, 2 × no anno" in account(
        table
    )


def three(*said: str) -> list[dict[str, Any]]:
    return [answer(choice, day=day) for day, choice in enumerate(said, start=1)]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("majority", {"text number 0": "neg", "text number 1": "pos"}),
        ("first", {"text number 0": "pos", "text number 1": "pos", "text number 2": "neg"}),
    ],
)
def test_several_annotators_are_one_label_and_their_agreement_is_told(
    tmp_path: Path, how: str, expected: dict[str, str]
) -> None:
    tasks = [
        task(0, *reversed(three("pos", "neg", "neg"))),
        task(1, *three("pos", "pos")),
        task(2, *three("neg", "pos")),
    ]
    table = only(write_json(tmp_path / "export.json", tasks), annotations=how)
    assert labelled(table) == expected
    # Pairs that agree: 1 of 3, 1 of 1, 0 of 1.
    assert "3 texts have several annotations: all agree in 33%, two of them in 44%" in account(table)


def test_all_annotations_are_rows_that_can_be_kept_in_one_split(tmp_path: Path) -> None:
    path = write_json(tmp_path / "export.json", [task(n, *three("pos", "neg", "pos"[:3])) for n in range(12)])
    table = only(path, annotations="all")
    assert len(table) == 36
    assert list(table.columns["annotated_text"]) == [number for number in range(1, 13) for _ in range(3)]
    assert "--set data.group=annotated_text" in table.warnings[0]
    data = loaded(path, annotations="all", group="annotated_text")
    parts = [set(rows.texts) for rows in data.whole_splits().values()]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 12
    assert not [warning for warning in data.warnings if "annotated_text" in warning]


def test_several_choices_keep_what_most_annotators_chose(tmp_path: Path) -> None:
    tasks = [
        task(0, answer("late", "rude")),
        task(1, answer("late"), answer("late", "rude", day=2), answer("rude", "late", day=3)),
        task(2, answer("late"), answer("rude", day=2)),
        task(3, answer("food")),
    ]
    table = only(write_json(tmp_path / "export.json", tasks))
    assert labelled(table) == {
        "text number 0": ["late", "rude"],
        "text number 1": ["late", "rude"],
        "text number 3": ["food"],
    }


def test_a_verified_annotation_decides(tmp_path: Path) -> None:
    tasks = [
        task(0, answer("pos"), answer("pos", day=2), answer("neg", day=3, ground_truth=True)),
        task(1, answer("pos")),
    ]
    assert labelled(only(write_json(tmp_path / "export.json", tasks)))["text number 0"] == "neg"


def test_of_several_controls_one_is_named(tmp_path: Path) -> None:
    stars = {"from_name": "stars", "type": "rating", "value": {"rating": 4}}
    both = answer("pos")
    both["result"].append(stars)
    path = write_json(tmp_path / "export.json", [task(0, both), task(1, both)])
    with refuses(DataError, "has 2 controls with labels: tone, stars.*data.label=tone, or --set data.label=stars"):
        only(path)
    assert list(only(path, label="stars").columns["stars"]) == [4, 4]
    with refuses(DataError, "no control 'tune' with labels. Did you mean tone"):
        only(path, label="tune")


def test_an_export_without_labels_of_texts_says_so(tmp_path: Path) -> None:
    spans = {"from_name": "ner", "type": "labels", "value": {"start": 0, "end": 4, "labels": ["PER"]}}
    path = write_json(tmp_path / "export.json", [task(0, {"result": [spans]})])
    with refuses(DataError, "no control has a label of a text"):
        only(path)


def flat(number: int, tone: Any, annotator: int = 1, day: int = 1) -> dict[str, Any]:
    row = {"text": f"text number {number}", "id": number, **({} if tone is None else {"tone": tone})}
    about = {"created_at": f"2024-05-0{day}", "updated_at": "2024-05-09", "lead_time": 1.5}
    return {**row, "annotator": annotator, "annotation_id": 10 * number + annotator, **about}


def test_json_min_has_texts_and_objects_in_one_column(tmp_path: Path) -> None:
    rows = [flat(0, "late"), flat(1, {"choices": ["late", "rude"]}), flat(2, None), flat(3, "rude")]
    table = only(write_json(tmp_path / "min.json", rows))
    assert labelled(table) == {"text number 0": ["late"], "text number 1": ["late", "rude"], "text number 3": ["rude"]}
    assert table.dropped == {"no annotation": 1}


def test_rows_of_one_id_are_annotations_of_one_text(tmp_path: Path) -> None:
    """The newest comes first in the file."""
    rows = [
        *(flat(0, tone, annotator, day) for annotator, (tone, day) in enumerate([("pos", 3), ("pos", 2), ("neg", 1)])),
        *(flat(1, tone, annotator, day) for annotator, (tone, day) in enumerate([("pos", 2), ("neg", 1)])),
        flat(2, "neg"),
    ]
    path = write_json(tmp_path / "min.json", rows)
    table = only(path, label="tone")
    assert labelled(table) == {"text number 0": "pos", "text number 2": "neg"}
    assert table.dropped == {"further annotation of a text": 2, "annotators disagree (tie)": 2}
    assert rows_in_file(table) == len(rows)
    assert labelled(only(path, label="tone", annotations="first")) == dict(zip(texts(3), ["neg"] * 3, strict=True))


def test_csv_with_choices_as_json_and_ratings(tmp_path: Path) -> None:
    cells = ["late", json.dumps({"choices": ["late", "rude"]}), "", "rude"]
    rows = [(row, f"text number {row}", cell) for row, cell in enumerate(cells)]
    table = only(write_csv(tmp_path / "export.csv", ["id", "text", "tone"], rows))
    assert list(labelled(table).values()) == [["late"], ["late", "rude"], ["rude"]]
    about = ["annotation_id", "annotator", "created_at", "id", "lead_time", "rating", "text", "updated_at"]
    stars = [(1, 1, "", row, 2.5, json.dumps([{"rating": row % 3}]), f"text number {row}", "") for row in range(6)]
    table = only(write_csv(tmp_path / "stars.csv", about, stars))
    assert list(labelled(table).values()) == [row % 3 for row in range(6)]


def test_a_csv_whose_control_cannot_be_told_names_its_columns(tmp_path: Path) -> None:
    header = ["annotation_id", "annotator", "id", "lead_time", "remark", "tone"]
    path = write_csv(tmp_path / "export.csv", header, [(1, 1, 1, 1, "a text", "pos")])
    with refuses(DataError, "does not say which column is the answer. Columns: remark, tone.*data.label=COLUMN"):
        only(path)
    assert labelled(only(path, label="tone", text="remark")) == {"a text": "pos"}


def test_a_control_of_regions_is_refused(tmp_path: Path) -> None:
    path = write_json(tmp_path / "min.json", [flat(0, [{"start": 0, "end": 3, "labels": ["PER"]}])])
    with refuses(DataError, "column 'tone' holds .*, which says nothing about the whole text"):
        only(path)
