"""Generated exports of annotation tools, valid and damaged, and what must hold when they are read."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.feather

from finetune.data.formats.annotations import NO_ANNOTATION
from finetune.data.load import load_data
from finetune.data.sources import read_sources
from finetune.data.votes import TIE
from finetune.errors import FinetuneError
from finetune.recipe import DataSection
from tests.data.fuzzing import Rows, damage, make_rows

# A row without a label: the reason for which it is left out.
Left = list[tuple[str, str]]
Made = tuple[str, str, dict[str, int]]  # name, content, reason -> rows left out


def _label_studio(rows: Rows, left: Left) -> Made:
    def task(number: int, text: str, label: str, **about: Any) -> dict[str, Any]:
        result = [{"from_name": "tone", "value": {"choices": [label]}}]
        return {
            "id": number,
            "data": {"text": text},
            "annotations": [{"result": result, "was_cancelled": False, **about}],
        }

    tasks = [task(number, text, label) for number, (text, label) in enumerate(rows)]
    tasks += [task(-number, text, label, was_cancelled=True) for number, (text, label) in enumerate(left)]
    return "d.json", json.dumps(tasks), {"cancelled": len(left)}


def _json_min(rows: Rows, left: Left) -> Made:
    def flat(number: int, text: str, **said: str) -> dict[str, Any]:
        return {"text": text, "id": number, **said, "annotator": 1, "annotation_id": number, "lead_time": 1.0}

    content = [flat(number, text, tone=label) for number, (text, label) in enumerate(rows)]
    content += [flat(10_000 + number, text) for number, (text, _) in enumerate(left)]
    return "d.json", json.dumps(content), {NO_ANNOTATION: len(left)}


def _doccano(rows: Rows, left: Left) -> Made:
    lines = [{"text": text, "label": [label], "Comments": []} for text, label in rows]
    lines += [{"text": text, "label": [], "Comments": []} for text, _ in left]
    return "d.jsonl", "\n".join(map(json.dumps, lines)), {NO_ANNOTATION: len(left)}


def _prodigy(rows: Rows, left: Left) -> Made:
    said = [(*row, "accept") for row in rows] + [(*row, "reject") for row in left]
    lines = [
        {"text": text, "label": label, "answer": answer, "_input_hash": number}
        for number, (text, label, answer) in enumerate(said)
    ]
    return "d.jsonl", "\n".join(map(json.dumps, lines)), {"rejected": len(left)}


def _argilla(rows: Rows, left: Left) -> Made:
    said = [(*row, "submitted") for row in rows] + [(*row, "draft") for row in left]
    records = [
        {"id": str(n), "text": text, "tone.responses": [label], "tone.responses.status": [status]}
        for n, (text, label, status) in enumerate(said)
    ]
    return "d.json", json.dumps(records), {"draft": len(left)}


def _cats(rows: Rows, left: Left) -> Made:
    names = sorted({label for _, label in rows})
    lines = [{"text": text, "cats": {name: float(name == label) for name in names}} for text, label in rows]
    lines += [{"text": text, "cats": None} for text, _ in left]  # type: ignore[dict-item]
    return "d.jsonl", "\n".join(map(json.dumps, lines)), {NO_ANNOTATION: len(left)}


def _pairs(rows: Rows, _: Left) -> Made:
    return "d.json", json.dumps([["text", "label"], *map(list, rows)]), {}


def _by_id(rows: Rows, _: Left) -> Made:
    return "d.json", json.dumps({f"k{n}": {"text": text, "label": label} for n, (text, label) in enumerate(rows)}), {}


def _folder(rows: Rows, _: Left) -> Made:
    """Classes by number: a name of a folder cannot be every label."""
    return "texts", json.dumps(rows), {}


def _potato(rows: Rows, left: Left) -> Made:
    said = [(text, {"tone": {label: "true"}}) for text, label in rows] + [(text, {}) for text, _ in left]
    lines = [
        {"instance_id": str(n), "user_id": "a", "text": text, "labels": labels} for n, (text, labels) in enumerate(said)
    ]
    return "d.jsonl", "\n".join(map(json.dumps, lines)), {NO_ANNOTATION: len(left)}


def _argilla_nested(rows: Rows, left: Left) -> Made:
    said = [(text, {"tone": [{"value": label}]}) for text, label in rows] + [(text, {}) for text, _ in left]
    records = [{"id": str(n), "fields": {"text": text}, "responses": given} for n, (text, given) in enumerate(said)]
    return "d.json", json.dumps(records), {NO_ANNOTATION: len(left)}


def _chat(rows: Rows, left: Left) -> Made:
    def said(text: str, *answer: dict[str, str]) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": text}, *answer]}

    lines = [said(text, {"role": "assistant", "content": label}) for text, label in rows]
    lines += [said(text) for text, _ in left]
    return "d.jsonl", "\n".join(map(json.dumps, lines)), {NO_ANNOTATION: len(left)}


def _several_annotators(rows: Rows, left: Left) -> Made:
    """Two of three annotators agree; of texts without a label, all disagree."""
    names = sorted({label for _, label in rows})
    other = {name: names[(place + 1) % len(names)] for place, name in enumerate(names)}

    def task(number: int, text: str, votes: list[str]) -> dict[str, Any]:
        answers = [{"result": [{"from_name": "tone", "value": {"choices": [vote]}}]} for vote in votes]
        return {"id": number, "data": {"text": text}, "annotations": answers}

    tasks = [task(number, text, [label, other[label], label]) for number, (text, label) in enumerate(rows)]
    tasks += [task(-number, text, names[:2]) for number, (text, _) in enumerate(left, start=1)]
    return "d.json", json.dumps(tasks), {TIE: len(left)}


def _csv(header: list[str], rows: list[list[Any]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return file.getvalue()


def _label_studio_csv(rows: Rows, left: Left) -> Made:
    about = ["1", "7", "2024-01-01", "1.5"]  # annotator, annotation_id, created_at, lead_time
    header = ["text", "id", "tone", "annotator", "annotation_id", "created_at", "lead_time"]
    said = [[text, str(n), label, *about] for n, (text, label) in enumerate(rows)]
    said += [[text, str(1000 + n), "", *about] for n, (text, _) in enumerate(left)]
    return "d.csv", _csv(header, said), {NO_ANNOTATION: len(left)}


def _doccano_csv(rows: Rows, left: Left) -> Made:
    said = [[str(n), text, label, ""] for n, (text, label) in enumerate([*rows, *((text, "") for text, _ in left)])]
    return "d.csv", _csv(["id", "text", "label", "Comments"], said), {NO_ANNOTATION: len(left)}


def _fasttext(rows: Rows, left: Left) -> Made:
    lines = [f"__label__{label} {text}" for text, label in rows] + [text for text, _ in left]
    return "d.txt", "\n".join(lines), {"line without a label": len(left)}


def _rasa(rows: Rows, _: Left) -> Made:
    names = sorted({label for _, label in rows})
    intents = [{"intent": name, "examples": [text for text, label in rows if label == name]} for name in names]
    return "nlu.yml", json.dumps({"version": "3.1", "nlu": intents}), {}


def _arff(rows: Rows, _: Left) -> Made:
    names = ",".join(sorted({label for _, label in rows}))
    lines = ["@relation d", "@attribute text string", f"@attribute label {{{names}}}", "@data"]
    return "d.arff", "\n".join([*lines, *(f"'{text}',{label}" for text, label in rows)]), {}


def _votes(header: list[str], cell: Callable[[str], str], nothing: str, reason: str) -> Callable[[Rows, Left], Made]:
    def make(rows: Rows, left: Left) -> Made:
        said = [[text, *[cell(label)] * 2] for text, label in rows]
        for number, row in enumerate(said):
            row.insert(1 + number % 3, nothing)  # one of the three says nothing
        said += [[text, *[nothing] * 3] for text, _ in left]
        return "d.csv", _csv(["text", *header], said), {reason: len(left)}

    return make


def _packed(name: str) -> Callable[[Rows, Left], Made]:
    """A table in a format that is no text."""
    return lambda rows, _: (name, json.dumps(rows), {})


def _write_book(path: Path, rows: Rows) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    for row in [("text", "label"), *rows]:
        book.active.append(row)
    book.save(path)


def _write_arrow(path: Path, rows: Rows) -> None:
    texts, labels = zip(*rows, strict=True)
    pyarrow.feather.write_feather(pyarrow.table({"text": texts, "label": labels}), str(path))


def _write_docbin(path: Path, rows: Rows) -> None:
    import spacy
    from spacy.tokens import DocBin

    blank, names = spacy.blank("xx"), sorted({label for _, label in rows})
    docs = [spacy.tokens.Doc(blank.vocab, words=text.split(" ")) for text, _ in rows]
    for doc, (_, label) in zip(docs, rows, strict=True):
        doc.cats = {name: float(name == label) for name in names}
    DocBin(docs=docs).to_disk(path)


WRITERS = {".xlsx": _write_book, ".feather": _write_arrow, ".spacy": _write_docbin}
MAKERS: tuple[Callable[[Rows, Left], Made], ...] = (
    *(_label_studio, _json_min, _doccano, _prodigy, _argilla, _argilla_nested, _potato, _cats, _pairs, _by_id, _folder),
    *(_chat, _several_annotators),
)
# Of formats that hold simple labels, or texts of one line.
SIMPLE_MAKERS: tuple[Callable[[Rows, Left], Made], ...] = (
    *(_label_studio_csv, _doccano_csv, _fasttext, _rasa, _arff, _packed("d.xlsx"), _packed("d.feather")),
    _votes(["lf_1", "lf_2", "lf_3"], lambda label: label.removeprefix("c"), "-1", "every labelling function abstains"),
    _votes(["annotator_1", "annotator_2", "annotator_3"], str, "", NO_ANNOTATION),
    *([_packed("d.spacy")] if importlib.util.find_spec("spacy") else []),
)
NOT_SIMPLE = re.compile(r"""[^\w .,!?;:-]|_""")


def _simple(rows: Rows) -> Rows:
    """Classes c0, c1, …, and texts of one line without marks that have a meaning."""
    labels = sorted({label for _, label in rows})
    return [
        (" ".join(NOT_SIMPLE.sub(" ", text).split()).lstrip("-"), f"c{labels.index(label)}") for text, label in rows
    ]


def _make(random_: random.Random) -> tuple[Made, Rows]:
    make = random_.choice((*MAKERS, *SIMPLE_MAKERS))
    # Texts and labels that JSON holds; labels without spaces around them, which are not kept.
    rows = [
        (text, label.strip()) for text, label in make_rows(random_, "utf-8", without="\r" if make is _folder else "")
    ]
    if make in SIMPLE_MAKERS:
        rows = _simple(rows)
    left = [(f"left out {number}", rows[0][1]) for number in range(random_.randint(0, 3))]
    made = make(rows, left)
    if "lf_1" in made[1]:
        rows = [(text, label.removeprefix("c")) for text, label in rows]
    return made, rows


def _write(folder: Path, made: Made) -> Path:
    path = folder / made[0]
    if path.suffix in WRITERS:
        WRITERS[path.suffix](path, [tuple(row) for row in json.loads(made[1])])
        return path
    if made[0] != "texts":
        path.write_text(made[1], encoding="utf-8")
        return path
    shutil.rmtree(path, ignore_errors=True)
    rows = json.loads(made[1])
    labels = sorted({label for _, label in rows})
    for number, (text, label) in enumerate(rows):
        place = path / f"class{labels.index(label)}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.txt").write_bytes(text.encode())
    return path


def check_export(random_: random.Random, folder: Path) -> str:
    """Every labelled row arrives as it was generated, and the others are counted with their reason."""
    made, rows = _make(random_)
    (table,) = read_sources(DataSection(source=str(_write(folder, made)))).values()
    roles = {role: table.roles.get(role, role) for role in ("text", "label")}
    found = list(zip(table.columns[roles["text"]], table.columns[roles["label"]], strict=True))
    if made[0] == "texts":
        labels = sorted({label for _, label in rows})
        rows = [(text, f"class{labels.index(label)}") for text, label in rows]
    assert sorted(found) == sorted(rows)
    assert table.dropped == {reason: count for reason, count in made[2].items() if count}
    return "export: rows exactly as generated, others counted"


def check_damaged_export(random_: random.Random, folder: Path) -> str:
    """A damaged export is read or refused; nothing else happens."""
    made, _ = _make(random_)
    path = _write(folder, made)
    harmed = random_.choice(sorted(path.rglob("*.txt"))) if path.is_dir() else path
    harmed.write_bytes(damage(random_, harmed.read_bytes()))
    try:
        load_data(DataSection(source=str(path)))
    except FinetuneError:
        return "damaged export: refused"
    return "damaged export: read"


def check_odd_export(random_: random.Random, folder: Path) -> str:
    """An export that is JSON and no more what it was: values are exchanged for others, keys lost."""
    make = random_.choice([make for make in MAKERS if make is not _folder])
    # More rows than are looked at to recognise a format.
    name, content, _ = make(make_rows(random_, "utf-8") * 3, [("left out", "a")])
    documents = [json.loads(content)] if name.endswith("json") else [json.loads(line) for line in content.split("\n")]
    whole: list[Any] = [documents]
    for _ in range(random_.randint(1, 3)):
        _exchange(random_, whole)
    documents = whole[0] if isinstance(whole[0], list) else [whole[0]]
    path = folder / name
    lines = [json.dumps(document) for document in documents]
    path.write_text("\n".join(lines) if name.endswith("jsonl") else lines[0] if lines else "", encoding="utf-8")
    section = DataSection(source=str(path), annotations=random_.choice(["majority", "first"]))
    try:
        load_data(section)
    except FinetuneError:
        return "odd export: refused"
    return "odd export: read"


def _exchange(random_: random.Random, whole: list[Any]) -> None:
    """One value, at any depth, becomes another kind of value, or is lost."""
    inside: list[tuple[Any, Any]] = [(whole, 0)]
    for parent, key in inside:
        value = parent[key]
        if isinstance(value, dict | list):
            inside += [(value, place) for place in (value if isinstance(value, dict) else range(len(value)))]
    parent, key = random_.choice(inside)
    if random_.random() < 0.2:
        del parent[key]
        whole[:] = whole or [[]]
        return
    parent[key] = random_.choice(
        [None, True, 0, -1, 2.5, "", "a", "[", '{"choices": 5}', [], ["a"], [[1]], {}, {"a": 1}]
    )


def check_pipeline(random_: random.Random, folder: Path) -> str:
    """With any rule for annotators, any split, and rows that are not kept, every row is read or left out, once, and
    no text changes its label."""
    rows = _simple(make_rows(random_, "utf-8") * 2)
    rows = [(f"{text} again {number}", label) for number, (text, label) in enumerate(rows)]
    names = sorted({label for _, label in rows})
    annotators = random_.randint(1, 3)
    part = {n: random_.choice(["train", "train", "dev", "test", "", "other"]) for n in range(len(rows))}
    kept = {n: random_.choice(["yes", "yes", "no"]) for n in range(len(rows))}
    votes = [
        [label if random_.random() < 0.8 else random_.choice(names) for _ in range(annotators)] for _, label in rows
    ]
    tasks = [
        {
            "id": n,
            "data": {"text": text, "split": part[n], "kept": kept[n]},
            "annotations": [{"result": [{"from_name": "tone", "value": {"choices": [vote]}}]} for vote in given],
        }
        for n, ((text, _), given) in enumerate(zip(rows, votes, strict=True))
    ]
    path = folder / "d.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    how = random_.choice(["majority", "first", "all", "soft"])
    settings: dict[str, Any] = {"annotations": how, "text": "text"}
    settings |= {"split_column": "split"} if random_.random() < 0.5 else {}
    settings |= {"format": "label-studio", "keep": {"kept": "yes"}} if random_.random() < 0.5 else {}
    section = DataSection(source=str(path), **settings)
    try:
        data = load_data(section)
    except FinetuneError:
        return f"pipeline: refused ({how})"
    (table,) = read_sources(section).values()
    splits = data.whole_splits().values()
    used = [pair for rows_ in splits for pair in zip(rows_.texts, rows_.labels, strict=True)]
    assert len(used) + sum(data.dropped.values()) == len(table) + sum(table.dropped.values())
    given_to = {text: given for (text, _), given in zip(rows, votes, strict=True)}
    assert all(label in given_to[text] for text, label in used)
    if how == "majority":
        assert all(2 * given_to[text].count(label) > len(given_to[text]) or len(names) > 2 for text, label in used)
    left = [n for n, (text, _) in enumerate(rows) if text in table.columns["text"]]  # after a rule for annotators
    parts = {part[n] for n in left if "keep" not in settings or kept[n] == "yes"}  # a split without rows is drawn
    for split, texts in ((name, set(each.texts)) for name, each in data.whole_splits().items()):
        named = {"validation": "dev"}.get(split, split)
        if "split_column" in settings and {"dev", "test"} <= parts:
            assert all(part[n] == named for n, (text, _) in enumerate(rows) if text in texts)
        if "keep" in settings:
            assert all(kept[n] == "yes" for n, (text, _) in enumerate(rows) if text in texts)
    return f"pipeline: rows and labels as generated, all counted ({how})"


CHECKS = (check_export, check_damaged_export, check_odd_export, check_pipeline)
