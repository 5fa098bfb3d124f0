"""From the `data` section of a recipe to splits that can be trained and measured on."""

import hashlib
import json
from collections import Counter

from finetune.data.columns import choose_columns, extract_rows, filled_labels
from finetune.data.labels import count_labels, drop_labelled, infer_task, label_names, parse_labels
from finetune.data.rows import Data, Rows
from finetune.data.sources import read_sources
from finetune.data.splits import count_leaks, deduplicate, drop_leaks, make_splits, probe_positions
from finetune.errors import DataError, suggest
from finetune.recipe import DataSection


def load_data(section: DataSection) -> Data:
    """Read, clean and split.

    Raises:
        DataError: With file, row or column, what was found and what to type next.
    """
    tables = read_sources(section)
    columns = choose_columns(section, next(iter(tables.values())))
    notes = list(columns.notes)
    warnings: list[str] = []
    dropped: Counter[str] = Counter()
    task = infer_task(section, filled_labels(next(iter(tables.values())), columns), notes)
    # Whether a row without any label can be used depends on the task.
    known = section.model_copy(update={"task": task})
    raw = {name: extract_rows(known, table, columns, dropped) for name, table in tables.items()}
    parsed = {
        name: parse_labels(found, task, section.label_separator, tables[name].origin) for name, found in raw.items()
    }
    rows = {name: drop_labelled(found, section.drop_labels, dropped) for name, found in parsed.items()}
    if section.deduplicate:
        rows = {name: deduplicate(found, dropped) for name, found in rows.items()}
        rows = drop_leaks(rows, dropped)
    for name, found in rows.items():
        if len(found) == 0:
            raise DataError(f"data: no rows are left for {name} after cleaning ({_counted(dropped)}).")
    splits = make_splits(section, rows, task, notes)
    labels = label_names(section, splits, task, warnings)
    warnings += _leak_warnings(splits) + _drop_warnings(section, parsed)
    if "test" not in splits:
        warnings.append(
            "there is no test split: the reported validation score was also used to select, so it is optimistic"
        )
    for reason in ("empty text", "empty label"):
        if dropped[reason]:
            warnings.append(f"{dropped[reason]} rows left out: {reason}")
    return Data(
        task=task,
        labels=labels,
        train=splits["train"],
        probe=probe_positions(section, splits["train"], splits["validation"], task),
        validation=splits["validation"],
        test=splits.get("test"),
        columns=columns.as_dict(),
        fingerprint=_fingerprint(splits),
        dropped={reason: count for reason, count in dropped.items() if count},
        notes=notes,
        warnings=warnings,
    )


def _leak_warnings(splits: dict[str, Rows]) -> list[str]:
    advice = "Type: --set data.deduplicate=true"
    in_train = sum(count_leaks(splits["train"], rows) for name, rows in splits.items() if name != "train")
    found = []
    if in_train:
        found.append(
            f"{in_train} validation or test rows have a text that is also in training: scores there are too "
            f"good. {advice}"
        )
    in_validation = count_leaks(splits["validation"], splits["test"]) if "test" in splits else 0
    if in_validation:
        found.append(f"{in_validation} test rows have a text that is also in validation, which selects. {advice}")
    return found


def _drop_warnings(section: DataSection, parsed: dict[str, Rows]) -> list[str]:
    """Names in data.drop_labels that no row has: most likely misspelt."""
    if not section.drop_labels:
        return []
    found = {name for rows in parsed.values() for name in count_labels(rows)}
    return [
        f"data.drop_labels: no row is labelled '{name}'.{suggest(name, found)}"
        for name in section.drop_labels
        if name not in found
    ]


def _counted(dropped: Counter[str]) -> str:
    return ", ".join(f"{count} × {reason}" for reason, count in dropped.items() if count) or "none was left out"


def class_counts(data: Data) -> dict[str, dict[str, int]]:
    """Split -> label -> rows; empty for regression."""
    if data.labels is None:
        return {}
    named = {"train": data.train, **data.splits()}
    counts = {name: count_labels(rows) for name, rows in named.items()}
    return {name: {label: count[label] for label in data.labels} for name, count in counts.items()}


def _fingerprint(splits: dict[str, Rows]) -> str:
    digest = hashlib.sha256()
    for name in sorted(splits):
        rows = splits[name]
        digest.update(json.dumps([name, rows.texts, rows.pairs, rows.labels]).encode())
    return digest.hexdigest()
