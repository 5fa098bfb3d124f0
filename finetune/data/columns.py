"""Which column is what: as the recipe says, or recognised by its name, with a note."""

from collections.abc import Iterable
from dataclasses import dataclass

from finetune.data.table import Table
from finetune.errors import Change, DataError, suggest
from finetune.recipe import DataSection
from finetune.recipe.template import template_parts

TEXT_NAMES = (
    "text",
    "sentence",
    "content",
    "tweet",
    "review",
    "message",
    "comment",
    "utterance",
    "question",
    "body",
    "document",
    "post",
    "query",
    "sentence1",
    "text1",
    "text_a",
    "premise",
    "question1",
    "description",
    "abstract",
    "headline",
    "title",
)
LABEL_NAMES = (
    "label",
    "labels",
    "sentiment",
    "category",
    "class",
    "intent",
    "target",
    "topic",
    "score",
    "emotion",
    "stance",
    "rating",
    "stars",
    "gold_label",
)
PAIR_NAMES = ("text_pair", "sentence2", "text2", "text_b", "hypothesis", "question2")


@dataclass(frozen=True)
class Columns:
    """The columns in use, and what was decided for the user.

    Attributes:
        text: Column with the text, or the template that joins several.
        texts: The columns that the text is made of.
        label: Column with the label, or one 0/1 column per label.
        text_pair: Column with the second text, or None.
        others: Key of the recipe -> column: group, order_by.
        notes: What was recognised.
    """

    text: str
    texts: tuple[str, ...]
    label: str | list[str]
    text_pair: str | None
    others: dict[str, str]
    notes: list[str]

    def as_dict(self) -> dict[str, str]:
        used = {"text": self.text, "label": self.label if isinstance(self.label, str) else ", ".join(self.label)}
        return {**used, **({} if self.text_pair is None else {"text_pair": self.text_pair}), **self.others}

    def by_role(self) -> list[tuple[str, str]]:
        """(key of the recipe, column) of every column in use."""
        text = [("template" if self.text not in self.texts else "text", name) for name in self.texts]
        label = [("label", name) for name in ([self.label] if isinstance(self.label, str) else self.label)]
        pair = [] if self.text_pair is None else [("text_pair", self.text_pair)]
        return [*text, *label, *pair, *self.others.items()]


def choose_columns(section: DataSection, table: Table) -> Columns:
    """Take the named columns, or recognise them by their names.

    Raises:
        DataError: A column is missing, or none is recognised; lists what the file has.
    """
    notes: list[str] = []
    if section.template is None:
        text = _choose(section.text, TEXT_NAMES, "text", table, notes)
        texts: tuple[str, ...] = (text,)
    else:
        text = section.template
        texts = tuple(dict.fromkeys(name for _, name in template_parts(text) if name is not None))
    label: str | list[str] = (
        section.label if isinstance(section.label, list) else _choose(section.label, LABEL_NAMES, "label", table, notes)
    )
    pair = section.text_pair
    if pair is None and section.text is None and section.template is None:
        pair = _recognise(PAIR_NAMES, table)
        if pair is not None:
            notes.append(f"column '{pair}' is used as the second text of a pair (recognised by its name)")
    others = {key: name for key in ("group", "order_by") if (name := getattr(section, key)) is not None}
    columns = Columns(text, texts, label, pair, others, notes)
    require_columns(columns, table)
    _refuse_twice([name for key, name in columns.by_role() if key not in others], table)
    return columns


def require_columns(columns: Columns, table: Table) -> None:
    """Raises:
    DataError: The table lacks one of them.
    """
    for key, name in columns.by_role():
        if name not in table.columns:
            raise DataError(
                f"{table.origin} has no column '{name}'.{suggest(name, table.columns)} {_listed(table)}",
                other_column(key),
                key=f"data.{key}",
                found=name,
            )


def other_column(key: str) -> Change:
    """Naming another column for a key of the recipe."""
    return Change(settings={f"data.{key}": "{COLUMN} {COLUMN}" if key == "template" else "COLUMN"})


def _refuse_twice(used: list[str], table: Table) -> None:
    """The model must not read the answer."""
    if len(set(used)) < len(used):
        raise DataError(
            f"{table.origin}: column '{max(used, key=used.count)}' would be used twice. {_listed(table)}",
            Change(settings={"data.text": "COLUMN", "data.label": "COLUMN"}),
        )


def _listed(table: Table) -> str:
    return f"Columns: {', '.join(table.columns)}."


def _choose(given: str | None, known: tuple[str, ...], role: str, table: Table, notes: list[str]) -> str:
    if given is not None:
        return given
    if role in table.roles:
        told = table.roles[role]
        if told != role:
            notes.append(f"column '{told}' is used as the {role} (as the format of the file tells)")
        return told
    column = _recognise(known, table)
    if column is None:
        raise DataError(
            f"{table.origin} has no column that is recognised as the {role}. {_listed(table)}",
            other_column(role),
            key=f"data.{role}",
        )
    if column != role:
        notes.append(f"column '{column}' is used as the {role} (recognised by its name)")
    return column


def _recognise(known: Iterable[str], table: Table) -> str | None:
    """The first of the known names that the table has; one in the same case wins over one in another, and a whole name
    over the end of a path (`data.text`)."""
    by_lower: dict[str, str] = {}
    for name in table.columns:
        by_lower.setdefault(name.lower().strip(), name)
    for name in table.columns:
        end = name.lower().strip().rpartition(".")[2]
        if end != "score":  # inside an object, most often how sure a model is
            by_lower.setdefault(end, name)
    return next((name if name in table.columns else by_lower[name] for name in known if name in by_lower), None)
