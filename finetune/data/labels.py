"""The names and the order of the classes, and the classes that the splits may contain."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from finetune.data.equal_cells import are_texts
from finetune.data.numbers import as_number
from finetune.data.rows import Rows, names_of
from finetune.data.spellings import one_spelling, same_spellings, shown
from finetune.errors import Change, DataError, shorten, suggest
from finetune.recipe import DataSection
from finetune.tasks import Task

LARGEST_TARGET = 1e15  # its square still fits fp32
NAMED = 10  # labels in one message


def drop_labelled(rows: Rows, names: list[str], dropped: Counter[str]) -> Rows:
    """Leave out the rows that have one of these labels; counted in `dropped`."""
    if not names:
        return rows
    dropped_names = set(names)
    keep = [i for i, label in enumerate(rows.labels) if dropped_names.isdisjoint(names_of(label))]
    if len(keep) < len(rows):
        dropped["data.drop_labels"] += len(rows) - len(keep)
    return rows.take(keep)


def can_drop(names: Collection[str], splits: Iterable[Rows]) -> bool:
    """Whether each of the splits keeps a row without these labels."""
    dropped = set(names)
    return all(any(dropped.isdisjoint(names_of(label)) for label in rows.labels) for rows in splits)


def drop_change(names: list[str]) -> Change:
    """The setting that leaves these labels out."""
    return Change(settings={"data.drop_labels": names})


def label_names(
    section: DataSection,
    splits: dict[str, Rows],
    task: Task,
    declared: list[str] | None,
    notes: list[str],
) -> list[str] | None:
    """Fix the order of the logits: that of the recipe, else that declared by the data, else numbers by value, else by
    name. None for regression.

    Raises:
        DataError: Fewer than two classes, a measured label unseen in training, or a name missing from data.labels.
    """
    if task == "regression":
        if section.labels is not None:
            no_labels = Change(settings={"data.labels": None})
            raise DataError("has no meaning for regression.", no_labels, key="data.labels", found=section.labels)
        _check_numbers(splits["train"].labels)
        return None
    trained = sorted(count_labels(splits["train"]), key=_natural_order)
    if len(trained) < (2 if task == "single_label" else 1):
        found = f"only {trained[0]!r}" if trained else "none"
        needed = "two classes are" if task == "single_label" else "one label is"
        why = f"at least {needed} needed to train, and {len(splits['train'])} rows have {found}."
        raise DataError(why, key="data.label")
    for split in ("validation", "test"):
        unseen = sorted(set(count_labels(splits[split])) - set(trained)) if split in splits else []
        if unseen:
            raise _unseen_labels(section, split, unseen, splits)
    if section.labels is not None:
        _check_names(section.labels, trained)
        return section.labels
    return trained if declared is None else _declared_order(declared, trained, notes)


def _unseen_labels(section: DataSection, split: str, unseen: list[str], splits: Mapping[str, Rows]) -> DataError:
    """The error about labels of a measured split that training lacks: other spellings, or other classes."""
    of_training = set(count_labels(splits["train"]))
    counts = sum(map(count_labels, splits.values()), Counter())
    groups = [group for group in same_spellings(counts) if of_training & set(group)]
    respelt = {name: next(other for other in group if other in of_training) for group in groups for name in group}
    known, new = [name for name in unseen if name in respelt], [name for name in unseen if name not in respelt]
    whys, ways = [], []
    if known:
        pairs = [f"{shown(name)} is {shown(respelt[name])} in training" for name in known]
        whys.append(f"spells labels differently: {shorten(pairs, NAMED)}.")
        trained_first = [sorted(group, key=lambda name: name not in of_training) for group in groups]
        ways.append(one_spelling(section, counts, trained_first))
    if new:
        whys.append(f"has labels that never occur in training: {', '.join(new[:NAMED])}. Add training rows")
        if can_drop(new, [splits[split]]):
            whys[-1] += ", or leave these labels out."
            ways.append(drop_change(new[:NAMED]))
        else:
            whys[-1] += ": no row of this split has another label."
    return DataError(" It ".join(whys), *ways, key=f"data.{split}", found=unseen)


def _check_names(named: list[str], trained: list[str]) -> None:
    missing = [name for name in trained if name not in named]
    if missing:
        why = f"lacks {missing[0]!r}, a label of the training rows.{suggest(missing[0], named)}"
        raise DataError(why, key="data.labels", found=missing[0])
    surplus = [name for name in named if name not in trained]
    if surplus:
        why = f"{surplus[0]!r} never occurs in training.{suggest(surplus[0], trained)}"
        raise DataError(why, key="data.labels", found=surplus[0])


def _declared_order(declared: list[str], trained: list[str], notes: list[str]) -> list[str]:
    """The order in which the data declares its classes; of those that training has."""
    idle = [name for name in declared if name not in trained]
    if idle:
        notes.append(
            f"{len(idle)} of {len(declared)} declared labels never occur in training and are left out: "
            f"{', '.join(idle[:10])}"
        )
    return [name for name in declared if name in trained] + [name for name in trained if name not in declared]


def count_labels(rows: Rows) -> Counter[str]:
    """Label -> rows; a multi-label row counts for each of its labels."""
    if are_texts(rows.labels):
        return Counter(rows.labels)
    counts: Counter[str] = Counter()
    for label in rows.labels:
        counts.update(names_of(label))
    return counts


def largest_class(rows: Rows) -> tuple[str, float]:
    """The most frequent label, and the fraction of the rows that have it."""
    name, count = count_labels(rows).most_common(1)[0]
    return name, count / len(rows)


def _natural_order(name: str) -> tuple[bool, float, str]:
    number = as_number(name)
    return (number is None, number or 0.0, name)


def _check_numbers(values: list[float]) -> None:
    largest = max(abs(value) for value in values)
    if largest > LARGEST_TARGET:
        why = f"the target {largest:g} is too large for fp32. Rescale the targets to about 1."
        raise DataError(why, key="data.label", found=largest)
    if min(values) == max(values):
        why = f"every training row has the value {values[0]:g}; there is nothing to learn."
        raise DataError(why, key="data.label", found=values[0])
