"""ARFF of Weka, by liac-arff: nominal attributes are classes in their declared order, `?` is an empty cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finetune.data.encoding import open_text
from finetune.data.table import Table
from finetune.errors import Change, DataError, first_line
from finetune.recipe import DataSection


def read_arff(path: Path, section: DataSection) -> Table:
    """All attributes as columns. A lone text attribute is the text; the last nominal one is the label, as in Weka.

    Raises:
        DataError: liac-arff is not installed, or a line is malformed; names it.
    """
    try:
        import arff
    except ImportError as error:
        raise DataError(
            f"{path}: ARFF is read by liac-arff, which is not installed.",
            Change(command='pip install "finetune[arff]"'),
        ) from error
    file = open_text(path, section)
    try:
        content: dict[str, Any] = arff.loads("".join(file.lines(newline=None)))
    except (arff.ArffException, ValueError, IndexError, AttributeError, KeyError) as error:
        raise DataError(f"{path}: is not ARFF: {first_line(error)}.") from error
    rows, attributes = content["data"], content["attributes"]
    columns: dict[str, Sequence[Any]] = {
        name: [row[index] for row in rows] for index, (name, _) in enumerate(attributes)
    }
    nominal = {name: [str(each) for each in kind] for name, kind in attributes if isinstance(kind, list)}
    texts = [name for name, kind in attributes if kind == "STRING"]
    roles = {"text": texts[0]} if len(texts) == 1 else {}
    if nominal:
        roles["label"] = list(nominal)[-1]
    note = f"{path}: read as ARFF: {len(rows)} rows, none left out"
    return Table(str(path), columns, nominal, [*file.notes, note], file.warnings, roles=roles)
