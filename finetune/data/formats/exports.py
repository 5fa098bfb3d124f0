"""The exports of annotation tools: a registry, and the conversion of a table to one row per labelled text."""

from __future__ import annotations

from finetune.data.formats.annotator_rows import ANNOTATOR_ROWS
from finetune.data.formats.argilla import ARGILLA
from finetune.data.formats.argilla_1 import ARGILLA_1
from finetune.data.formats.base import Export
from finetune.data.formats.chat import CHAT
from finetune.data.formats.doccano import DOCCANO
from finetune.data.formats.label_studio import LABEL_STUDIO
from finetune.data.formats.names import same_name
from finetune.data.formats.nested import flatten
from finetune.data.formats.potato import POTATO
from finetune.data.formats.prodigy import PRODIGY
from finetune.data.formats.spacy_cats import SPACY
from finetune.data.formats.vote_columns import ANNOTATORS, SNORKEL
from finetune.data.table import Table, readable_rows
from finetune.recipe import DataSection

# Asked in this order.
EXPORTS: dict[str, Export] = {
    "Label Studio": LABEL_STUDIO,
    "Argilla": ARGILLA,
    "Argilla 1": ARGILLA_1,
    "Prodigy": PRODIGY,
    "Potato": POTATO,
    "doccano": DOCCANO,
    "spaCy": SPACY,
    "chat": CHAT,
    "Snorkel": SNORKEL,
    "annotators": ANNOTATORS,
    "annotator rows": ANNOTATOR_ROWS,
}


def find_export(table: Table, section: DataSection) -> Export | None:
    """The export that `data.format` names, or that the content shows. None for a named file format, and for a table of
    which the recipe itself says what is kept."""
    if section.format is not None:
        return next((export for name, export in EXPORTS.items() if same_name(name, section.format)), None)
    if section.keep:
        return None
    return next((export for export in EXPORTS.values() if export.recognises(table, section)), None)


def text_table(table: Table, section: DataSection) -> Table:
    """Every row with its texts in the same columns as in `plain_table`; labels are not read.

    Raises:
        DataError: The content does not fit the format.
    """
    export = find_export(table, section)
    return flatten(table if export is None or export.texts is None else export.texts(readable_rows(table)))


def plain_table(table: Table, export: Export | None, section: DataSection) -> Table:
    """One row per labelled text, and no objects in cells.

    Raises:
        DataError: The content does not fit the format.
    """
    return flatten(export.read(readable_rows(table), section) if export is not None else table)
