"""Exports of doccano, Argilla, Prodigy, Potato and spaCy, and columns of votes."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from finetune.data.sources import read_sources
from finetune.errors import DataError
from finetune.recipe import DataSection
from tests.conftest import write_csv
from tests.data.formats.making import (
    account,
    labelled,
    loaded,
    names,
    only,
    rows_in_file,
    texts,
    write_json,
    write_lines,
)
from tests.raising import refuses

# --- doccano ---------------------------------------------------------------------------------------------------


def doccano(labels: list[Any]) -> list[dict[str, Any]]:
    return [
        {"id": row, "text": text, "label": label, "Comments": []}
        for row, (text, label) in enumerate(zip(texts(len(labels)), labels, strict=True))
    ]


def test_doccano_with_one_label_each_is_single_label(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "all.jsonl", doccano([[name] for name in names(40)] + [[], []]))
    data = loaded(path)
    assert (data.task, data.labels) == ("single_label", ["neg", "pos"])
    assert data.dropped == {"no annotation": 2}
    assert "read as an export of doccano: 40 rows from 42; left out: 2 × no annotation" in "\n".join(data.notes)


def test_doccano_with_several_labels(tmp_path: Path) -> None:
    table = only(write_lines(tmp_path / "all.jsonl", doccano([["a"], ["a", "b"], []])))
    assert list(labelled(table).values()) == [["a"], ["a", "b"]]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["a", "a#b", "", "b"], [["a"], ["a", "b"], ["b"]]),
        (["C#", "C", "C#", ""], ["C#", "C", "C#"]),
        (["b#a", "a", "b"], ["b#a", "a", "b"]),  # doccano sorts: this is a name
    ],
)
def test_doccano_joins_labels_by_a_hash_in_csv(tmp_path: Path, cells: list[str], expected: list[Any]) -> None:
    rows = [(row, text, cell, "[]") for row, (text, cell) in enumerate(zip(texts(len(cells)), cells, strict=True))]
    table = only(write_csv(tmp_path / "all.csv", ["id", "text", "label", "Comments"], rows))
    assert list(labelled(table).values()) == expected
    assert rows_in_file(table) == len(cells)


def test_a_table_with_a_label_of_its_own_is_no_export(tmp_path: Path) -> None:
    """Where the recipe names another column, nothing is recognised; and remarks called Comments are kept."""
    rows = [
        {"text": t, "label": [n], "Comments": "a remark", "mine": n} for t, n in zip(texts(4), names(4), strict=True)
    ]
    path = write_lines(tmp_path / "d.jsonl", rows)
    assert only(path, label="mine").notes == []
    assert list(only(path).columns["Comments"]) == ["a remark"] * 4


def test_doccano_intents_and_spans(tmp_path: Path) -> None:
    rows = [{"text": "a text", "cats": ["book"], "entities": [], "Comments": []}]
    assert labelled(only(write_lines(tmp_path / "intents.jsonl", rows))) == {"a text": "book"}
    spans = write_lines(tmp_path / "spans.jsonl", doccano([[[0, 4, "PER"]]]))
    with refuses(DataError, "row 1: 'label' holds .*: labels of words"):
        only(spans)


# --- Argilla ---------------------------------------------------------------------------------------------------


def nested(number: int, *values: Any) -> dict[str, Any]:
    given = {"topic": [{"value": value, "user_id": str(user)} for user, value in enumerate(values)]} if values else {}
    return {
        "id": str(number),
        "fields": {"review": f"text number {number}"},
        "metadata": {},
        "suggestions": {"topic": {"value": "food", "score": 0.5, "agent": None}},
        "responses": given,
        "vectors": {},
        "status": "pending",
        "_server_id": None,
    }


def flat(number: int, values: list[Any] | None, statuses: list[str] | None) -> dict[str, Any]:
    return {
        "id": str(number),
        "status": "pending",
        "_server_id": None,
        "review": f"text number {number}",
        "topic.responses": values,
        "topic.responses.users": None if values is None else [str(user) for user in range(len(values))],
        "topic.responses.status": statuses,
        "topic.suggestion": "food",
        "topic.suggestion.score": 0.5,
        "topic.suggestion.agent": None,
    }


FLAT = [
    flat(0, ["food"], ["submitted"]),
    flat(1, ["food", "room", "room"], ["submitted", "submitted", "discarded"]),
    flat(2, ["room", "food"], ["submitted", "draft"]),
    flat(3, ["room"], ["discarded"]),
    flat(4, None, None),
    flat(5, ["food", None], ["draft", "draft"]),
]


def check_flat(table: Any) -> None:
    assert labelled(table) == {"text number 0": "food", "text number 2": "room"}
    assert table.dropped == {"annotators disagree (tie)": 1, "discarded": 1, "no annotation": 1, "draft": 1}
    assert table.warnings == []


def test_argilla_leaves_out_discarded_answers_and_drafts(tmp_path: Path) -> None:
    check_flat(only(write_json(tmp_path / "records.json", FLAT)))
    check_flat(only(write_lines(tmp_path / "records.jsonl", FLAT)))


def test_argilla_from_to_datasets(tmp_path: Path) -> None:
    datasets.Dataset.from_list(FLAT).save_to_disk(tmp_path / "saved")
    check_flat(only(tmp_path / "saved"))
    rows = [[json.dumps(cell) if isinstance(cell, list) else cell for cell in row.values()] for row in FLAT]
    check_flat(only(write_csv(tmp_path / "records.csv", FLAT[0], rows)))


@pytest.mark.parametrize("orient", ["list", "names", "index"])
def test_argilla_nested_says_that_the_status_is_lost(tmp_path: Path, orient: str) -> None:
    records = [nested(0, "food"), nested(1, "room", "room", "food"), nested(2)]
    content: dict[str, Any] = {
        "list": records,
        "names": {key: [record[key] for record in records] for key in records[0]},
        "index": {record["id"]: record for record in records},
    }
    table = only(write_json(tmp_path / "records.json", content[orient]))
    assert labelled(table) == {"text number 0": "food", "text number 1": "room"}
    assert table.dropped == {"no annotation": 1}
    assert "does not hold the status of answers" in table.warnings[0]


def test_argilla_with_lists_and_several_questions(tmp_path: Path) -> None:
    several = [nested(0, ["food", "room"]), nested(1, ["room"])]
    table = only(write_json(tmp_path / "several.json", several))
    assert list(labelled(table).values()) == [["food", "room"], ["room"]]
    for record in several:
        record["responses"]["stars"] = [{"value": 4, "user_id": "0"}]
        record["responses"]["words"] = [{"value": [{"start": 0, "end": 2, "label": "x"}], "user_id": "0"}]
    with refuses(DataError, "has 2 questions with labels: topic, stars"):
        only(write_json(tmp_path / "two.json", several))
    assert list(only(tmp_path / "two.json", label="stars").columns["stars"]) == [4, 4]


# --- Prodigy ---------------------------------------------------------------------------------------------------


def shown(number: int, label: str, answer: str, **about: Any) -> dict[str, Any]:
    return {"text": f"text number {number}", "label": label, "answer": answer, "_input_hash": number, **about}


def test_prodigy_rejected_and_ignored_are_left_out(tmp_path: Path) -> None:
    rows = [shown(0, "a", "accept"), shown(1, "b", "accept"), shown(2, "a", "reject"), shown(3, "b", "ignore")]
    table = only(write_lines(tmp_path / "d.jsonl", rows))
    assert labelled(table) == {"text number 0": "a", "text number 1": "b"}
    assert table.dropped == {"rejected": 1, "ignored": 1}
    assert "2 rows from 4; left out: 1 × rejected, 1 × ignored" in account(table)


def test_prodigy_with_one_label_rejects_mean_that_it_does_not_hold(tmp_path: Path) -> None:
    rows = [shown(0, "spam", "accept"), shown(1, "spam", "reject"), shown(2, "spam", "ignore")]
    table = only(write_lines(tmp_path / "d.jsonl", rows))
    assert labelled(table) == {"text number 0": "spam", "text number 1": "not spam"}
    assert "rejected texts are 'not spam'" in account(table)


def test_prodigy_choices_and_annotators(tmp_path: Path) -> None:
    def chosen(number: int, accept: list[str], who: str, answer: str = "accept") -> dict[str, Any]:
        options = [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}]
        about = {"options": options, "accept": accept, "_session_id": who}
        return {"text": f"text number {number}", "answer": answer, "_input_hash": number, **about}

    rows = [
        *(chosen(0, [name], who) for name, who in (("a", "x"), ("a", "y"), ("b", "z"))),
        chosen(1, [], "x"),
        chosen(2, ["b"], "x", "ignore"),
        chosen(3, ["b"], "x"),
    ]
    table = only(write_lines(tmp_path / "d.jsonl", rows))
    assert labelled(table) == {"text number 0": "a", "text number 3": "b"}
    assert table.dropped == {"further annotation of a text": 2, "no annotation": 1, "ignored": 1}
    assert rows_in_file(table) == len(rows)


def test_prodigy_labels_of_one_annotator_are_several_labels(tmp_path: Path) -> None:
    rows = [shown(0, "a", "accept"), shown(0, "b", "accept"), shown(1, "b", "accept"), shown(1, "a", "reject")]
    assert list(labelled(only(write_lines(tmp_path / "d.jsonl", rows))).values()) == [["a", "b"], ["b"]]


def test_an_answer_of_another_kind_is_no_prodigy(tmp_path: Path) -> None:
    rows = [shown(row, name, "yes") for row, name in enumerate(names(4))]
    path = write_lines(tmp_path / "d.jsonl", rows)
    assert len(only(path)) == 4
    with refuses(DataError, "row 1: answer 'yes' is none of accept, reject, ignore"):
        only(path, format="prodigy")


# --- spaCy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["cats", "label"])
def test_spacy_cats_are_labels(tmp_path: Path, column: str) -> None:
    rows = [{"text": text, column: {"a": 1.0 - row % 2, "b": row % 2}} for row, text in enumerate(texts(40))]
    data = loaded(write_lines(tmp_path / "d.jsonl", rows))
    assert (data.task, data.labels) == ("single_label", ["a", "b"])


def test_spacy_cats_with_several_labels_some_unnamed(tmp_path: Path) -> None:
    cats = [{"a": True, "b": True}, {"a": 0, "b": 0}, {"a": 1}, {}]
    table = only(
        write_json(tmp_path / "d.json", [[text, {"cats": each}] for text, each in zip(texts(4), cats, strict=True)])
    )
    assert list(labelled(table).values()) == [["a", "b"], [], ["a"]]
    assert table.dropped == {"no annotation": 1}
    assert "1 rows name fewer labels" in table.warnings[0]


def test_a_guess_is_no_label_of_spacy(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "d.jsonl", [{"text": "a", "cats": {"a": 1}}, {"text": "b", "cats": {"a": 0.7}}])
    with refuses(DataError, "row 2: cats gives 'a' the value 0.7"):
        only(path)


# --- Potato ----------------------------------------------------------------------------------------------------

POTATO = [
    ("t1", "ann", "pos", "", "x"),
    ("t1", "bob", "pos", "", ""),
    ("t2", "ann", "", "neg", ""),
    ("t3", "ann", "", "", ""),
]
HEADER = ["instance_id", "user_id", "tone.pos", "tone.neg", "other.x"]


def test_potato_texts_are_joined_by_id(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "annotations.csv", HEADER, POTATO)
    with refuses(DataError, r"data.texts: .*does not hold them.*data.texts=FILE"):
        only(path, label="tone")
    file = write_csv(tmp_path / "texts.csv", ["id", "text"], [(f"t{n}", f"text number {n}") for n in range(1, 5)])
    table = only(path, label="tone", texts=str(file))
    assert labelled(table) == {"text number 1": "pos", "text number 2": "neg"}
    assert table.dropped == {"further annotation of a text": 1, "no annotation": 1}
    assert rows_in_file(table) == len(POTATO)
    short = write_csv(tmp_path / "short.csv", ["id", "text"], [("t1", "a")])
    with refuses(DataError, r"lacks 2 of the ids of .*, such as 't2'"):
        only(path, label="tone", texts=str(short))
    own = write_csv(tmp_path / "own.csv", [*HEADER, "text"], [(*row, "own text") for row in POTATO])
    with refuses(DataError, r"data.texts: .*texts.csv: all of its columns \(id, text\) are in .* already"):
        only(own, label="tone", texts=str(file))
    twice = write_csv(tmp_path / "twice.csv", ["id", "text"], [("t1", "a"), ("t1", "b")])
    with refuses(DataError, "'id' is 't1' in two rows"):
        only(path, label="tone", texts=str(twice))


def test_potato_lines(tmp_path: Path) -> None:
    rows = [
        {
            "instance_id": str(n),
            "user_id": "ann",
            "displayed_text": text,
            "labels": {"tone": {name: "true"}},
            "spans": {},
        }
        for n, (text, name) in enumerate(zip(texts(3), names(3), strict=True))
    ]
    assert labelled(only(write_lines(tmp_path / "d.jsonl", rows))) == dict(zip(texts(3), names(3), strict=True))


# --- columns of votes ------------------------------------------------------------------------------------------


def test_labelling_functions_of_snorkel_vote_and_abstain(tmp_path: Path) -> None:
    rows = [("a text", -1, 1, 1), ("b text", 0, -1, -1), ("c text", 0, 1, -1), ("d text", -1, -1, -1)]
    table = only(write_csv(tmp_path / "matrix.csv", ["text", "lf_a", "lf_b", "lf_c"], rows))
    assert labelled(table) == {"a text": "1", "b text": "0"}
    assert table.dropped == {"annotators disagree (tie)": 1, "every labelling function abstains": 1}


def test_a_column_for_each_annotator(tmp_path: Path) -> None:
    rows = [
        ("a text", "pos", "pos", ""),
        ("b text", "neg", "", ""),
        ("c text", "pos", "neg", ""),
        ("d text", "", "", ""),
    ]
    path = write_csv(tmp_path / "wide.csv", ["text", "annotator_1", "annotator_2", "annotator_3"], rows)
    table = only(path)
    assert labelled(table) == {"a text": "pos", "b text": "neg"}
    assert rows_in_file(table) == 4
    plain = only(path, format="csv", label="annotator_1")
    assert list(plain.columns["annotator_1"]) == ["pos", "neg", "pos", ""]


# --- which format ----------------------------------------------------------------------------------------------


def test_an_unknown_format_and_annotations_without_an_export_are_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "d.csv", ["text", "label"], zip(texts(4), names(4), strict=True))
    with refuses(DataError, "data.format: there is no format 'excell'. Formats: label_studio, .*json_lines"):
        only(path, format="excell")
    with refuses(DataError, "data.annotations: has no meaning for .*not recognised as an export of an annotation tool"):
        only(path, annotations="first")


def test_an_export_without_any_label_says_why(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "d.jsonl", [shown(0, "a", "ignore"), shown(1, "b", "reject")])
    with refuses(DataError, "none of its 2 rows can be read. .*left out: 1 × ignored, 1 × rejected"):
        only(path)


def test_each_split_may_be_another_export(tmp_path: Path) -> None:
    train = write_lines(tmp_path / "train.jsonl", doccano([[name] for name in names(30)]))
    rows = [("text", "label"), *zip([f"other {row}" for row in range(6)], names(6), strict=True)]
    test = write_csv(tmp_path / "test.csv", rows[0], rows[1:])
    tables = read_sources(DataSection(source=str(train), test=str(test)))
    assert {split: set(table.columns["label"]) for split, table in tables.items()} == {
        "train": {"pos", "neg"},
        "test": {"pos", "neg"},
    }


# --- conversations ---------------------------------------------------------------------------------------------


def turns(*said: tuple[str, str], who: str = "role", what: str = "content") -> list[dict[str, str]]:
    return [{who: speaker, what: text} for speaker, text in said]


def test_the_last_answer_of_a_conversation_is_its_label(tmp_path: Path) -> None:
    rows = [
        turns(("system", "Classify."), ("user", "first text"), ("assistant", " pos")),
        turns(("user", "second"), ("assistant", "Say more."), ("user", "second text"), ("assistant", "neg")),
        turns(("system", "Classify."), ("user", "not answered")),
    ]
    path = write_lines(tmp_path / "d.jsonl", [{"messages": messages} for messages in rows])
    table = only(path)
    assert labelled(table) == {"first text": "pos", "second\nSay more.\nsecond text": "neg"}
    assert table.dropped == {"no annotation": 1}
    assert "conversations, labelled by the last answer: 2 rows from 3" in account(table)
    texts_alone = read_sources(DataSection(source=str(path)), labelled=False)["all"]
    assert texts_alone.columns["text"][2] == "not answered"


def test_conversations_of_sharegpt(tmp_path: Path) -> None:
    said = [(("human", "a"), ("gpt", "x")), (("human", "b"), ("gpt", "y"))]
    rows = [turns(*each, who="from", what="value") for each in said]
    path = write_json(tmp_path / "d.json", [{"id": n, "conversations": row} for n, row in enumerate(rows)])
    assert labelled(only(path)) == {"a": "x", "b": "y"}


@pytest.mark.parametrize(
    ("own", "settings"),
    [("label", {}), ("label", {"label": "label"}), ("text", {"text": "text"}), ("category", {}), ("sentiment", {})],
)
def test_conversations_beside_a_label_or_text_of_their_own_replace_neither(
    tmp_path: Path, own: str, settings: dict[str, Any]
) -> None:
    rows = [{"messages": turns(("user", "a"), ("assistant", "b")), own: value} for value in ("spam", "ham")]
    path = write_lines(tmp_path / "d.jsonl", rows)
    (table,) = read_sources(DataSection(source=str(path), **settings)).values()
    assert list(table.columns[own]) == ["spam", "ham"]


def test_a_message_that_is_none_among_others_names_the_row(tmp_path: Path) -> None:
    rows = [{"messages": turns(("user", "a"), ("assistant", "b"))}] * 60 + [{"messages": [{"role": "user"}]}]
    with refuses(DataError, "row 61: .* is not a message with role and content"):
        only(write_lines(tmp_path / "d.jsonl", rows))
