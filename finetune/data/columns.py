"""The roles of the columns: as the recipe says, or recognised by their names, with a note."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from finetune.data.column_hints import date_notes, flag_columns, hints, holds_texts, likely_columns
from finetune.data.counts import Account
from finetune.data.table import Table
from finetune.data.text_parts import refuse_parts, why_no_label
from finetune.data.texts import TextShape, other_column, text_shape
from finetune.errors import Change, DataError, Problem, shorten, suggest
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
    "tokens",
    "words",
    "texts",
    "sentences",
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
    "tags",
    "tag",
)
PAIR_NAMES = ("text_pair", "sentence2", "text2", "text_b", "hypothesis", "question2")
# A text and what it is asked with or about, where each alone would be the text.
PAIRS = (
    ("question", "sentence"),
    ("question", "answer"),
    ("question", "passage"),
    ("question", "context"),
    ("query", "passage"),
    ("query", "document"),
    ("claim", "evidence"),
    ("context", "response"),
)
LABEL_ENDS = tuple(f".{name}" for name in LABEL_NAMES if name != "score")
PAIR_WORDS = 2  # of letters, from which a cell of such a pair is a text
OTHERS = ("id", "group", "order_by", "split_column")  # keys of columns that hold neither text nor label
NAMED = 8  # columns named in one note
ID_NAMES = ("id", "idx", "index", "uid", "uuid", "guid", "key")


@dataclass(frozen=True)
class Columns:
    """The columns in use, and what was decided for the user.

    Attributes:
        text: Column with the text, or the template that joins several.
        texts: The columns that the text is made of.
        label: Column with the label, or one 0/1 column per label.
        text_pair: Column with the second text, or None.
        others: Key of the recipe -> column: id, group, order_by, split_column.
        notes: What was recognised.
        warnings: Warnings about the content of their cells.
        shape: Shape of the cells in the text column.
    """

    text: str
    texts: tuple[str, ...]
    label: str | list[str]
    text_pair: str | None
    others: dict[str, str]
    notes: list[str]
    warnings: list[str] = field(default_factory=list)
    shape: TextShape = "text"

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
    pair = section.text_pair
    text: str | None = section.template
    if text is None:
        text, second = _find_texts(section, table, notes)
        pair = pair or second
    label = section.label
    if label is None:
        used = () if text is None else _joined_columns(section, text)
        label = _find("label", LABEL_NAMES, table, [*used, pair], notes)
    if text is None or label is None:
        raise DataError(_absent(section, table) + _unrecognised(section, table, text, label))
    texts = _joined_columns(section, text)
    others = {key: name for key in OTHERS if (name := getattr(section, key)) is not None}
    columns = Columns(text, texts, label, pair, others, notes)
    require_columns(columns, table)
    _refuse_twice([name for key, name in columns.by_role() if key not in others], table)
    refuse_parts(table, text, label)
    return replace(columns, shape=text_shape(table, text, pair is not None, notes, columns.warnings))


def _absent(section: DataSection, table: Table) -> list[Problem]:
    """Text and label columns that the recipe names and the table lacks, where another one is not recognised."""
    named = {"text": section.text, "label": section.label}
    absent = {key: name for key, name in named.items() if isinstance(name, str) and name not in table.columns}
    likely = likely_columns(table, absent, [name for name in named.values() if isinstance(name, str)], LABEL_NAMES)
    problems = []
    for key, name in absent.items():
        problem = _no_column(key, name, table)
        ways = [Change({f"data.{key}": likely[key].column}, complete=True)] if key in likely else []
        problems.append(replace(problem, changes=(*ways, *problem.changes)))
    return problems


def _unrecognised(section: DataSection, table: Table, text: str | None, label: Any) -> list[Problem]:
    """Text and label columns that are neither named nor recognised, in one problem, with the likeliest of them."""
    roles = [role for role, found in (("text", text), ("label", label)) if found is None]
    taken = [name for name in (text, label, section.text_pair) if isinstance(name, str)]
    likely = likely_columns(table, roles, taken, LABEL_NAMES)
    flags = flag_columns(table, table.columns) if "label" in roles else []
    why = f"{table.origin} has no column that is recognised as the {' or as the '.join(roles)}. {_listed(table)}"
    why += "".join(f" Likeliest {role}: {hint.about}." for role, hint in likely.items())
    reasons = (why_no_label(name, table.columns) for name in table.columns if name.lower().endswith(LABEL_ENDS))
    why += "".join(f" {reason}." for reason in reasons if reason and "label" in roles)
    settings: dict[str, Any] = {f"data.{role}": hint.column for role, hint in likely.items()}
    note = ""
    if len(flags) > 1:
        settings["data.label"], note = flags, "0/1 columns"
    ways = [Change(settings, note=note, complete=not note)] if len(settings) == len(roles) else []
    named = Change({f"data.{role}": "COLUMN" for role in roles})
    return [Problem(why, f"data.{roles[0]}" if len(roles) == 1 else "data", changes=(*ways, named))]


def _joined_columns(section: DataSection, text: str) -> tuple[str, ...]:
    """The columns that the text is made of: one, or those that the template names."""
    if section.template is None:
        return (text,)
    return tuple(dict.fromkeys(name for _, name in template_parts(text) if name is not None))


def look_at_unused(section: DataSection, columns: Columns, table: Table) -> tuple[list[str], list[str]]:
    """Notes and warnings about unused columns, some of which may be relevant."""
    used = {name for _, name in columns.by_role()} | set(section.minimum) | set(section.keep)
    unused = [name for name in table.columns if name not in used]
    notes: list[str] = [Account(f"columns that are not used: {shorten(unused, NAMED)}")] if unused else []
    notes += date_notes(section, table, unused)
    return notes, hints(section, table, unused, columns.text, columns.text_pair)


def _find_texts(section: DataSection, table: Table, notes: list[str]) -> tuple[str | None, str | None]:
    """The column with the text, and one with a second text beside it; None for what is not recognised."""
    if section.text is not None:
        return section.text, None
    text = _find("text", TEXT_NAMES, table, [section.label, section.text_pair], notes)
    if section.text_pair is not None or text is None:
        return text, None
    second = _recognise(PAIR_NAMES, table)
    for names in PAIRS if second is None else ():
        first, other = (_recognise((name,), table) for name in names)
        if first and other and text in (first, other) and _are_texts(table, first, other):
            notes[:] = [] if first == "text" else [f"column '{first}' is used as the text (recognised by its name)"]
            text, second = first, other
            break
    if second is not None:
        notes.append(f"column '{second}' is used as the second text of a pair (recognised by its name)")
    return text, second


def _are_texts(table: Table, *names: str) -> bool:
    return all(holds_texts(table, name, PAIR_WORDS) for name in names)


def choose_text_columns(section: DataSection, table: Table) -> Columns:
    """As `choose_columns`, for rows whose labels are not read.

    Raises:
        DataError: A column is missing, or none is recognised; lists what the table has.
    """
    notes: list[str] = []
    text = section.template or section.text or _find("text", TEXT_NAMES, table, [section.text_pair], notes)
    if text is None:
        raise DataError(_unrecognised(section, table, None, section.label or ""))
    columns = Columns(text, _joined_columns(section, text), [], section.text_pair, {}, notes)
    require_columns(columns, table)
    return replace(columns, shape=text_shape(table, text, section.text_pair is not None, notes, columns.warnings))


def require_columns(columns: Columns, table: Table) -> None:
    """Raises:
    DataError: The table lacks one of them.
    """
    problems = [_no_column(key, name, table) for key, name in columns.by_role() if name not in table.columns]
    if problems:
        raise DataError(problems)


def _no_column(key: str, name: str, table: Table) -> Problem:
    why = f"{table.origin} has no column '{name}'.{suggest(name, table.columns)} {_listed(table)}"
    return Problem(why, f"data.{key}", found=name, changes=(other_column(key),))


def _refuse_twice(used: list[str], table: Table) -> None:
    """The model must not read the answer."""
    if len(set(used)) < len(used):
        raise DataError(
            f"{table.origin}: column '{max(used, key=used.count)}' would be used twice. {_listed(table)}",
            Change(settings={"data.text": "COLUMN", "data.label": "COLUMN"}),
        )


def _listed(table: Table) -> str:
    return f"Columns: {', '.join(table.columns)}."


def _find(
    role: str, known: tuple[str, ...], table: Table, taken: Collection[str | list[str] | None], notes: list[str]
) -> str | None:
    """The column that is recognised by its name, or the only other one of two; None where there is none."""
    told = table.roles.get(role)
    column, why = (_recognise(known, table), "recognised by its name") if told is None else (told, "as its format says")
    if column is None:
        other = LABEL_NAMES if role == "text" else TEXT_NAMES
        columns = [name for name in table.columns if name.lower().strip() not in ID_NAMES]
        free = [name for name in columns if name not in taken and _recognise(other, table) != name]
        free = [name for name in free if role == "text" or not why_no_label(name, table.columns)]
        if len(columns) == 2 and len(free) == 1:
            column, why = free[0], "the only other column"
    if column is not None and column != role:
        notes.append(f"column '{column}' is used as the {role} ({why})")
    return column


def _recognise(known: Iterable[str], table: Table) -> str | None:
    """The first of the known names that the table has; one in the same case wins over one in another, and a whole name
    over the end of a path (`data.text`)."""
    by_lower: dict[str, str] = {}
    for name in table.columns:
        by_lower.setdefault(name.lower().strip(), name)
    for name in table.columns:
        end = name.lower().strip().rpartition(".")[2]
        if end != "score" and not why_no_label(name, table.columns):  # a score is most often how sure a model is
            by_lower.setdefault(end, name)
    return next((name if name in table.columns else by_lower[name] for name in known if name in by_lower), None)
