"""Sets of `datasets`, from the hub or saved on disk -> tables, and which of their splits is which of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finetune.data.arrow_files import READING_ERRORS, arrow_table, first_line
from finetune.data.table import Table
from finetune.errors import DataError, suggest
from finetune.recipe import DataSection

SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}


def is_saved_set(folder: Path) -> bool:
    """Whether `save_to_disk` made this folder."""
    return (folder / "dataset_dict.json").is_file() or (
        (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    )


def read_saved_set(folder: Path, section: DataSection) -> dict[str, Table]:
    """Splits of a saved DatasetDict, or {"all": …} of a saved Dataset.

    Raises:
        DataError: It cannot be read, has no train split, or a setting cannot act on it.
    """
    import datasets

    for key in ("config", "revision"):
        if getattr(section, key) is not None:
            raise DataError(
                f"data.{key}: has no meaning for {folder}, which is no hub data set. Try: --set data.{key}=null"
            )
    try:
        found = datasets.load_from_disk(str(folder.resolve()))
    except Exception as error:  # any reader of any file in it
        raise DataError(
            f"{folder}: cannot be read as a folder of `save_to_disk`: {first_line(error)}. Save it again."
        ) from error
    return _tables(found, str(folder), section)


def read_hub_set(name: str, section: DataSection) -> dict[str, Table]:
    """Splits of a data set of the hub; only data files are read, never code of its repository.

    Raises:
        DataError: It cannot be had (said with the reason of `datasets`), or has no train split.
    """
    if Path(name).exists():
        raise DataError(
            f"data.source: 'hub:{name}' is asked for, but {Path.cwd()} holds a '{name}', which `datasets` would read "
            f"instead. Try: --data ./{name} for that, or start from another folder"
        )
    import datasets

    datasets.disable_progress_bars()
    try:
        found = datasets.load_dataset(name, section.config, revision=section.revision)
    except Exception as error:  # whatever the network, the hub and the files in it can do
        raise DataError(
            f"data.source: no data set '{name}' from the hub: {type(error).__name__}: {first_line(error)}. Check the "
            "name, the connection (HF_HUB_OFFLINE?) and --set data.config=NAME; a file or folder needs a path that "
            "exists"
        ) from error
    return _tables(found, f"hub:{name}", section)


def _tables(found: Any, origin: str, section: DataSection) -> dict[str, Table]:
    if not hasattr(found, "keys"):  # a Dataset, not a DatasetDict
        if section.split_names:
            raise DataError(f"data.split_names: {origin} is one set without splits. Try: --set 'data.split_names={{}}'")
        return {"all": _table(found, origin)}
    chosen = _choose_splits(list(found.keys()), origin, section)
    tables = {split: _table(found[name], f"{origin} split {name}") for split, name in chosen.items()}
    unused = [name for name in found if name not in chosen.values()]
    if unused:
        tables["train"].notes.append(f"{origin}: splits that are not used: {', '.join(unused)}")
    return tables


def _table(dataset: Any, origin: str) -> Table:
    import pyarrow

    try:
        content = dataset.with_format("arrow")[:]
        content.validate(full=True)  # what comes from a damaged file would crash at its first use
    except (*READING_ERRORS, pyarrow.ArrowException) as error:
        raise DataError(f"{origin}: cannot be read: {first_line(error)}. Save or load it again.") from error
    return arrow_table(origin, content, dataset.features)


def _choose_splits(names: list[str], origin: str, section: DataSection) -> dict[str, str]:
    """Ours -> theirs, as `data.split_names` says and else by their names; a split that is alone is train.

    Raises:
        DataError: A name is unknown or used twice, or none is train; lists the splits.
    """
    listed = f"Its splits: {', '.join(names)}. Try: --set 'data.split_names={{train: NAME, validation: NAME}}'"
    chosen: dict[str, str] = {}
    for split, given in section.split_names.items():
        if split not in SPLIT_NAMES:
            raise DataError(f"data.split_names: '{split}' is none of {', '.join(SPLIT_NAMES)}.")
        if given is not None and given not in names:
            raise DataError(f"data.split_names.{split}: {origin} has no split '{given}'.{suggest(given, names)}")
        if given is not None:
            chosen[split] = given
    for split, known in SPLIT_NAMES.items():
        matches = [name for name in names if name.lower() in known and name not in chosen.values()]
        if split in section.split_names or not matches:
            continue
        if len(matches) > 1:
            raise DataError(f"data.source: {origin} has {len(matches)} splits for {split}. {listed}")
        chosen[split] = matches[0]
    if "train" not in chosen and "train" not in section.split_names and len(names) == 1 and not chosen:
        chosen["train"] = names[0]
    if "train" not in chosen:
        raise DataError(f"data.source: {origin}: no split is recognised as train. {listed}")
    repeated = [name for name in names if list(chosen.values()).count(name) > 1]
    if repeated:
        raise DataError(f"data.split_names: split '{repeated[0]}' would be used twice. {listed}")
    return {split: chosen[split] for split in SPLIT_NAMES if split in chosen}
