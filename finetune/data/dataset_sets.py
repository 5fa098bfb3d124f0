"""Data sets of `datasets`, from the hub or saved on disk -> tables, and the mapping of their splits to ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetune.data.arrow_files import arrow_table, load_dataset_rows
from finetune.data.table import Table
from finetune.errors import Change, DataError, first_line, suggest
from finetune.recipe import DataSection

SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "validate"),
    "test": ("test", "testing"),
}
KNOWN_SPLITS = frozenset(name for names in SPLIT_NAMES.values() for name in names)
HUB_SETTINGS = ("config", "revision", "split_names")  # keys of `data` that act on a set of the hub


def is_saved_set(folder: Path) -> bool:
    """Whether `save_to_disk` made this folder."""
    return (folder / "dataset_dict.json").is_file() or (
        (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    )


def read_saved_set(folder: Path, section: DataSection) -> Table | dict[str, Table]:
    """Splits of a saved DatasetDict, or the table of a saved Dataset.

    Raises:
        DataError: It cannot be read, has no train split, or a setting cannot act on it.
    """
    import datasets

    try:
        content = datasets.load_from_disk(str(folder.resolve()))
    except Exception as error:  # any reader of any file in it
        raise DataError(
            f"{folder}: cannot be read as a folder of `save_to_disk`: {first_line(error)}. Save it again."
        ) from error
    return _content(content, str(folder), section)


def read_hub_set(name: str, section: DataSection) -> dict[str, Table]:
    """Splits of a data set of the hub; only data files are read, never code of its repository.

    Raises:
        DataError: It cannot be loaded (with the reason of `datasets`), or has no train split.
    """
    if Path(name).exists():
        raise DataError(
            f"'hub:{name}' is asked for, but {Path.cwd()} holds a '{name}', which `datasets` would read instead. To "
            "read the set of the hub, start from another folder.",
            Change(arguments={"data": f"./{name}"}, note="what is in this folder"),
            key="data.source",
        )
    import datasets

    datasets.disable_progress_bars()
    try:
        content = datasets.load_dataset(name, section.config, revision=section.revision)
    except Exception as error:  # whatever the network, the hub and the files in it can do
        raise DataError(
            f"no data set '{name}' from the hub: {type(error).__name__}: {first_line(error)}. Check the name and the "
            "connection (HF_HUB_OFFLINE?); a file or folder needs a path that exists.",
            Change(settings={"data.config": "NAME"}),
            key="data.source",
            found=f"hub:{name}",
        ) from error
    tables = _content(content, f"hub:{name}", section)
    return tables if isinstance(tables, dict) else {"all": tables}


def _content(content: Any, origin: str, section: DataSection) -> Table | dict[str, Table]:
    """A Dataset as a table, a DatasetDict as split -> table."""
    if hasattr(content, "keys"):
        return read_splits(list(content.keys()), origin, section, lambda name, title: _table(content[name], title))
    refuse_split_names(origin, section)
    return _table(content, origin)


def read_splits(
    names: list[str], origin: str, section: DataSection, read: Callable[[str, str], Table]
) -> dict[str, Table]:
    """Our split -> table of the matching split of `origin`; splits without a match are noted.

    Args:
        names: Names of the splits of `origin`.
        origin: Name of the set in messages.
        section: What is asked for.
        read: (name of a split, what to call it) -> its table.

    Raises:
        DataError: A name is unknown or used twice, or none is train.
    """
    chosen = choose_splits(names, origin, section, f"Its splits: {', '.join(names)}.", "data.source")
    tables = {split: read(name, f"{origin} split {name}") for split, name in chosen.items()}
    unused = [name for name in names if name not in chosen.values()]
    if unused:
        tables["train"].notes.append(f"{origin}: splits that are not used: {', '.join(unused)}")
    return tables


def refuse_split_names(origin: str, section: DataSection) -> None:
    """Raises:
    DataError: `data.split_names` is set for a set that has no splits.
    """
    if section.split_names:
        no_names = Change(settings={"data.split_names": {}})
        raise DataError(f"{origin} is one set without splits.", no_names, key="data.split_names")


def _table(dataset: Any, origin: str) -> Table:
    return arrow_table(origin, load_dataset_rows(dataset, origin, "Save or load it again."), dataset.features)


def choose_splits(names: list[str], origin: str, section: DataSection, listed: str, key: str) -> dict[str, str]:
    """Our split -> their split, by `data.split_names` or else by their names; a single split is train.

    Args:
        names: Theirs.
        origin: Name of their source in messages.
        section: What is asked for.
        listed: A sentence that lists the names.
        key: Key of the recipe for the error.

    Raises:
        DataError: A name is unknown or used twice, or no split is train; lists the splits.
    """
    rename = Change(settings={"data.split_names": {"train": names[0]}}, note=f"to use '{names[0]}' alone")
    chosen = _named_splits(names, origin, section)
    for split, usual in SPLIT_NAMES.items():
        matches = [name for name in names if name.lower() in usual and name not in chosen.values()]
        if split in section.split_names or not matches:
            continue
        if len(matches) > 1:
            raise DataError(f"{origin} has {len(matches)} splits for {split}. {listed}", rename, key=key)
        chosen[split] = matches[0]
    if "train" not in chosen and "train" not in section.split_names and len(names) == 1 and not chosen:
        chosen["train"] = names[0]
    if "train" not in chosen:
        raise DataError(f"{origin}: no split is recognised as train. {listed}", rename, key=key)
    repeated = [name for name in names if list(chosen.values()).count(name) > 1]
    if repeated:
        raise DataError(f"split '{repeated[0]}' would be used twice. {listed}", rename, key="data.split_names")
    return {split: chosen[split] for split in SPLIT_NAMES if split in chosen}


def _named_splits(names: list[str], origin: str, section: DataSection) -> dict[str, str]:
    """What `data.split_names` says, checked."""
    chosen: dict[str, str] = {}
    for split, name in section.split_names.items():
        if split not in SPLIT_NAMES:
            raise DataError(f"'{split}' is none of {', '.join(SPLIT_NAMES)}.", key="data.split_names")
        if name is not None and name not in names:
            raise DataError(
                f"{origin} has no split '{name}'.{suggest(name, names)}", key=f"data.split_names.{split}", found=name
            )
        if name is not None:
            chosen[split] = name
    return chosen
