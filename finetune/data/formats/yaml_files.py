"""YAML: the training data of Rasa, or rows in the shapes of JSON that people write by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from finetune.data.encoding import open_text
from finetune.data.formats.rasa import rasa_table
from finetune.data.json_files import table_of
from finetune.data.table import Table
from finetune.errors import Change, DataError, first_line
from finetune.recipe import DataSection

OF_RASA = frozenset({"nlu", "stories", "rules", "version", "domain", "intents", "entities", "responses", "actions"})
NULL_ONLY = re.compile(r"(?:~|null|Null|NULL|)$")


def read_yaml(path: Path, section: DataSection) -> Table | dict[str, Table]:
    """Intents of Rasa; or a list of rows, or lists under the names of splits or labels. Every value is the text that is
    written: `no` is no truth value.

    Raises:
        DataError: It is not YAML, or holds none of these.
    """
    file = open_text(path, section)
    text = "".join(file.lines(newline=None))
    content = _parse(path, text, nulls=False)
    entries = content.get("nlu") if isinstance(content, dict) else None
    if isinstance(entries, list):
        return rasa_table(file, entries)
    are_lists = isinstance(content, dict) and all(isinstance(part, list) for part in content.values())
    if isinstance(content, list) or (are_lists and OF_RASA.isdisjoint(content)):
        file.notes.append(f"{path}: every value is read as the text that is written, such as `no` and `1.0`")
        return table_of(file, _parse(path, text, nulls=True), section)
    raise DataError(
        f"{path}: expected the NLU data of Rasa, `nlu:` with intents and examples (no stories, rules or domain), or a "
        "list of rows, each with `text:` and `label:`.",
        Change(text="A recipe is given without --data."),
    )


def _parse(path: Path, text: str, nulls: bool) -> Any:
    """The document, in which all values are texts; with `nulls` an empty one, `null` and `~` are None."""
    import yaml

    class Loader(yaml.BaseLoader):
        pass

    if nulls:
        Loader.add_implicit_resolver("tag:yaml.org,2002:null", NULL_ONLY, ["~", "n", "N", ""])
        Loader.add_constructor("tag:yaml.org,2002:null", lambda loader, node: None)
    try:
        return yaml.load(text, Loader=Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{path}: is not YAML: {first_line(error)}.") from error
