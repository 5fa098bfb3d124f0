"""Generated exports of annotation tools, valid and damaged, and what must hold when they are read."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetune.data.formats.annotations import NO_ANNOTATION
from finetune.data.load import load_data
from finetune.data.sources import read_sources
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


MAKERS: tuple[Callable[[Rows, Left], Made], ...] = (
    *(_label_studio, _json_min, _doccano, _prodigy, _argilla, _argilla_nested, _potato, _cats, _pairs, _by_id, _folder),
)


def _make(random_: random.Random) -> tuple[Made, Rows]:
    make = random_.choice(MAKERS)
    # Texts and labels that JSON holds; labels without spaces around them, which are not kept.
    rows = [
        (text, label.strip()) for text, label in make_rows(random_, "utf-8", without="\r" if make is _folder else "")
    ]
    left = [(f"left out {number}", rows[0][1]) for number in range(random_.randint(0, 3))]
    return make(rows, left), rows


def _write(folder: Path, made: Made) -> Path:
    path = folder / made[0]
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


CHECKS = (check_export, check_damaged_export, check_odd_export)
