"""How a JSON document holds its rows: a list, a list in an object, pairs, rows under ids, columns, splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finetune.data.columns import LABEL_NAMES, TEXT_NAMES
from finetune.data.dataset_sets import KNOWN_SPLITS, SPLIT_NAMES
from finetune.errors import DataError
from finetune.recipe import DataSection

EXPECTED = 'Expected a list of objects: [{"text": "…", "label": "…"}, …]'
ROWS = (
    "data",
    "rows",
    "examples",
    "items",
    "records",
    "instances",
    "documents",
    "samples",
    "results",
    "utterances",
    "common_examples",
    "tweets",
    "comments",
    "reviews",
    "posts",
)
# Keys with the texts of a label.
SEVERAL = ("patterns", "utterances", "examples", "phrases", "training_phrases")
KNOWN = (*TEXT_NAMES, *LABEL_NAMES)


def splits_of(content: Any, section: DataSection) -> dict[str, Any] | None:
    """Name -> content, for an object that holds splits: named like them, or as `data.split_names` says."""
    if not isinstance(content, dict):
        return None
    parts = {name: part for name, part in content.items() if isinstance(part, list | dict)}
    usual = [name for name in parts if name.lower() in KNOWN_SPLITS]
    named = [name for name in section.split_names.values() if name in parts]
    has_train = any(name.lower() in SPLIT_NAMES["train"] for name in usual)
    return parts if named or has_train or len(usual) > 1 else None


def entries_of(content: Any, where: str, section: DataSection, notes: list[str]) -> list[Any]:
    """The rows of a document, usually objects; decisions are added to `notes`.

    Raises:
        DataError: The shape of the document is unknown; says what was found.
    """
    if isinstance(content, list):
        pairs = bool(content) and isinstance(content[0], list)
        return _from_pairs(content, where, notes) if pairs else one_by_one(content, where, section, notes)
    if not isinstance(content, dict):
        raise DataError(f"{where}: holds a {type(content).__name__}. {EXPECTED}")
    lists = [key for key, value in content.items() if _has_objects(value)]
    for read in (_split_frame, _column_frame):
        rows = read(content, where, notes)
        if rows is not None:
            return rows
    usual = [key for key in lists if key.lower() in ROWS]
    lists = usual if len(usual) == 1 else lists
    if len(lists) == 1:
        notes.append(f"{where}: the rows are the list under '{lists[0]}'")
        return one_by_one(content[lists[0]], where, section, notes)
    for read in (_by_id, _pairs_by_id, _by_text, _by_label, _objects_by_label):
        rows = read(content, where, notes)
        if rows is not None:
            return rows
    parts = [key for key, value in content.items() if isinstance(value, list | dict) and value]
    if len(parts) == 1:
        notes.append(f"{where}: the rows are under '{parts[0]}'")
        return entries_of(content[parts[0]], where, section, notes)
    shown = f"{len(lists)} lists of objects ({', '.join(lists)})" if lists else "no list of objects"
    apart = " If they are splits, name them: --set 'data.split_names={train: NAME}'." if lists else ""
    raise DataError(f"{where}: is one object with {shown}. {EXPECTED}.{apart}")


def intent_keys(entry: Mapping[str, Any]) -> tuple[str, str] | None:
    """The keys of the texts and their label, as intents of chatbots have them; None if there is a text of its own."""
    texts = next((key for key in SEVERAL if isinstance(entry.get(key), list)), None)
    label = next((key for key in entry if key.lower() in LABEL_NAMES), None)
    return None if texts is None or label is None or _has_own_text(entry) else (texts, label)


def _has_own_text(entry: Mapping[str, Any]) -> bool:
    parts = [entry, *(value for value in entry.values() if isinstance(value, dict))]
    return any(isinstance(part.get(key), str) for part in parts for key in TEXT_NAMES)


def one_by_one(entries: list[Any], where: str, section: DataSection, notes: list[str]) -> list[Any]:
    """A row for each text, where objects have a label and a list of its texts, and most lists hold some.

    Else the entries as they are. Lists and objects besides are left out, and named.
    """
    keys = intent_keys(entries[0]) if entries and all(isinstance(entry, dict) for entry in entries) else None
    if keys is None or section.template is not None or section.text not in (None, "text", keys[0]):
        return entries
    name, label = keys
    found = [_texts_in(entry.get(name)) for entry in entries]
    is_whole = all(label in entry and not _has_own_text(entry) for entry in entries)
    if None in found or not is_whole or 2 * sum(map(bool, found)) < len(entries):
        return entries
    apart = {name} | {key for entry in entries for key, value in entry.items() if isinstance(value, list | dict)}
    text_key = section.text or "text"
    rows = [
        {**{key: value for key, value in entry.items() if key not in apart}, text_key: text}
        for entry, texts in zip(entries, found, strict=True)
        for text in texts or ()
    ]
    left_out = sorted(apart - {name})
    without = f"; not used: {', '.join(left_out)}" if left_out else ""
    notes.append(f"{where}: each of {len(entries)} objects has a list of texts under '{name}': one row a text{without}")
    return rows


def _has_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _from_pairs(entries: Sequence[Any], where: str, notes: list[str]) -> list[Any]:
    """[text, label] or [label, text] each, or a first entry with the names of all.

    Raises:
        DataError: An entry has another length, or what is the text cannot be told.
    """
    width = len(entries[0])
    odd = next(
        (number for number, entry in enumerate(entries, 1) if not isinstance(entry, list) or len(entry) != width), None
    )
    if odd is not None:
        raise DataError(f"{where} entry {odd}: {str(entries[odd - 1])[:60]} is not a list of {width}, as entry 1 is.")
    header = entries[0]
    if len(set(map(str, header))) == width and any(str(name).lower() in TEXT_NAMES for name in header):
        notes.append(f"{where}: the rows are lists; the first names their parts")
        return [dict(zip(map(str, header), entry, strict=True)) for entry in entries[1:]]
    if width != 2:
        raise DataError(
            f"{where}: its entries are lists of {width}, such as {str(header)[:80]}. The parts of pairs [text, label] "
            f"are known; otherwise the first entry must name them, or the entries must be objects. {EXPECTED}"
        )
    first, second = zip(*entries, strict=True)
    if all(isinstance(cell, str) for cell in first) and all(isinstance(cell, dict) for cell in second):
        notes.append(f"{where}: the rows are pairs [text, object], as those of spaCy 2")
        return [{"text": text, **about} for text, about in entries]
    text = max((0, 1), key=lambda place: _length((first, second)[place]))
    if not _length((first, second)[text]):
        raise DataError(f"{where}: its entries are pairs without a text, such as {str(header)[:80]}. {EXPECTED}")
    notes.append(f"{where}: the rows are pairs [{'text, label' if text == 0 else 'label, text'}]")
    return [{"text": entry[text], "label": entry[1 - text]} for entry in entries]


def _length(cells: Sequence[Any]) -> float:
    """Characters that cells have on average; 0 unless all are texts."""
    return sum(map(len, cells)) / len(cells) if all(isinstance(cell, str) for cell in cells) else 0.0


def _split_frame(content: Mapping[str, Any], where: str, notes: list[str]) -> list[Any] | None:
    """`columns` and `data` apart, as of pandas' orient="split"."""
    names, rows = content.get("columns"), content.get("data")
    if not isinstance(names, list) or not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        return None
    odd = next((number for number, row in enumerate(rows, start=1) if len(row) != len(names)), None)
    if odd is not None:
        raise DataError(f"{where} row {odd}: has {len(rows[odd - 1])} cells for {len(names)} columns.")
    notes.append(f"{where}: the rows are under 'data', their names under 'columns' (pandas, orient='split')")
    return [dict(zip(map(str, names), row, strict=True)) for row in rows]


def _column_frame(content: Mapping[str, Any], where: str, notes: list[str]) -> list[Any] | None:
    """Column by column: a list for each, or an object of index -> cell as pandas writes by default."""
    parts = list(content.values())
    if len(parts) < 2 or not any(name.lower() in (*KNOWN, "fields", "responses") for name in content):
        return None
    if all(isinstance(part, list) for part in parts) and len({len(part) for part in parts}) == 1 and parts[0]:
        cells: list[Sequence[Any]] = parts
    elif all(isinstance(part, dict) and part and part.keys() == parts[0].keys() for part in parts):
        cells = [[part[index] for index in parts[0]] for part in parts]  # whatever the order of the indices
    else:
        return None
    notes.append(f"{where}: is stored column by column: {', '.join(content)}")
    return [dict(zip(content, row, strict=True)) for row in zip(*cells, strict=True)]


def _by_id(content: Mapping[str, Any], where: str, notes: list[str]) -> list[Any] | None:
    """{"17": {"text": …, "label": …}, …}: rows under their ids."""
    parts = list(content.values())
    if len(parts) < 2 or not all(isinstance(part, dict) and part for part in parts):
        return None
    common = set.intersection(*(set(part) for part in parts))
    if not common:
        return None
    notes.append(f"{where}: the rows are under their ids ({', '.join(list(content)[:3])}, …)")
    return [part if "id" in part else {"id": name, **part} for name, part in content.items()]


def _pairs_by_id(content: Mapping[str, Any], where: str, notes: list[str]) -> list[Any] | None:
    """{"17": ["a text", "a label"], …}: what is at one place in the pairs repeats, and at the other not."""
    parts = list(content.values())
    if len(parts) < 3 or not all(isinstance(part, list) and len(part) == 2 for part in parts):
        return None
    repeats = [len({str(part[place]) for part in parts}) < len(parts) for place in (0, 1)]
    return None if repeats[0] == repeats[1] else _from_pairs(parts, where, notes)


def _by_text(content: Mapping[str, Any], where: str, notes: list[str]) -> list[Any] | None:
    """{"a text": "its label", …}."""
    if len(content) < 2 or any(name.lower() in KNOWN for name in content):
        return None
    if not all(isinstance(value, str | int | float) or _are_texts(value) for value in content.values()):
        return None
    if 2 * sum(" " in name.strip() for name in content) < len(content):
        return None  # names, no texts
    labels = [str(part) for value in content.values() for part in (value if isinstance(value, list) else [value])]
    if len(set(labels)) == len(labels) or sum(map(len, content)) / len(content) <= sum(map(len, labels)) / len(labels):
        return None  # labels repeat and are shorter than texts
    notes.append(f"{where}: the texts are keys, with their labels as values")
    return [{"text": text, "label": label} for text, label in content.items()]


def _by_label(content: Mapping[str, Any], where: str, notes: list[str]) -> list[Any] | None:
    """{"a label": ["a text", …], …}."""
    if len(content) < 2 or any(name.lower() in KNOWN for name in content):
        return None
    if not all(_are_texts(value) for value in content.values()) or not any(content.values()):
        return None
    if any(2 * len(set(value)) <= len(value) for value in content.values() if value):
        return None  # texts do not repeat as labels do: two columns with unknown names
    notes.append(f"{where}: the labels are keys ({', '.join(list(content)[:3])}, …), with lists of their texts")
    return [{"text": text, "label": label} for label, texts in content.items() for text in texts]


def _objects_by_label(content: Mapping[str, Any], where: str, notes: list[str]) -> list[Any] | None:
    """{"a label": [{"text": "…"}, …], …}: objects that hold no label of their own."""
    rows = [row for value in content.values() if _has_objects(value) for row in value if isinstance(row, dict)]
    if len(content) < 2 or not all(_has_objects(value) for value in content.values()):
        return None
    common = set.intersection(*(set(row) for row in rows))
    if not common & {*TEXT_NAMES} or any(name.lower() in LABEL_NAMES for row in rows for name in row):
        return None
    notes.append(f"{where}: the labels are keys ({', '.join(list(content)[:3])}, …), with lists of objects")
    # What is no object stays, and is an error or a row left out as in any other list.
    return [
        {**row, "label": label} if isinstance(row, dict) else row for label, value in content.items() for row in value
    ]


def _texts_in(value: Any) -> list[str] | None:
    """The texts of a list: its members, or what they call their text; None if it is no such list, or if its members
    have labels of their own."""
    if not isinstance(value, list):
        return None
    if any(key.lower() in LABEL_NAMES for part in value if isinstance(part, dict) for key in part):
        return None
    texts: list[Any] = [
        next((part[key] for key in TEXT_NAMES if key in part), None) if isinstance(part, dict) else part
        for part in value
    ]
    return texts if _are_texts(texts) else None


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)
