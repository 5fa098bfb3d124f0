"""References in a recipe -> files: paths, packages, data from memory, folders with a file per split; names on the
hub."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from finetune.data.compressed import data_stem, data_suffix, is_archive, is_member, members
from finetune.data.dataset_sets import SPLIT_NAMES
from finetune.data.folder_ways import ways_to_read
from finetune.data.memory import stored_folder
from finetune.data.readers import OTHER_FILES, find_reader, known_readers, known_suffixes, named_reader
from finetune.errors import Change, DataError, shorten
from finetune.packages import PREFIX, PackageError, package_path
from finetune.recipe import HUB_PREFIX, MEMORY_PREFIX

HUB_NAME = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
ABOUT = ("readme", "license", "licence", "copying", "notice", "citation")  # names of files that are no data
SHOWN = 8  # files in a message
SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})")


@dataclass(frozen=True)
class HubName:
    """A data set on the hub: `name` or `owner/name`."""

    name: str


def locate(reference: str, key: str) -> Path | HubName:
    """A path that exists, or a name on the hub: `hub:…` always, `owner/name` as the source if no such path exists.

    Raises:
        DataError: Nothing was found; says where it was looked for and what to type.
    """
    if reference.startswith(HUB_PREFIX):
        return _hub_name(reference, key)
    if reference.startswith(MEMORY_PREFIX):
        return stored_folder(reference, key)
    if reference.startswith(PREFIX):
        try:
            return package_path(reference)
        except PackageError as error:
            raise DataError(str(error), *error.changes, key=key, found=reference) from error
    try:
        path = Path(reference).expanduser()
        exists = path.exists() or is_member(path)
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"'{reference}' is not a path: {error}.", key=key, found=reference) from error
    if exists:
        return path
    missing = f"no file or folder '{reference}' (looked in {Path.cwd()})."
    # A folder of the owner's name says that a path was meant.
    may_be_of_hub = key == "data.source" and HUB_NAME.fullmatch(reference)
    if may_be_of_hub and data_suffix(path) not in (*known_suffixes(), *OTHER_FILES):
        if not path.parent.exists():
            return HubName(reference)
        hub = Change(arguments={"data": f"{HUB_PREFIX}{reference}"}, note="the data set of the hub")
        raise DataError(missing, hub, key=key, found=reference)
    ways = [Change(arguments={"data": "PATH"})] if key == "data.source" else []
    raise DataError(missing, *ways, Change(settings={key: "PATH"}), key=key, found=reference)


def _hub_name(reference: str, key: str) -> HubName:
    name = reference.removeprefix(HUB_PREFIX)
    if not HUB_NAME.fullmatch(name) and not re.fullmatch(r"[\w][\w.-]*", name):
        raise DataError(f"'{reference}' is not of the form hub:NAME or hub:OWNER/NAME.", key=key, found=reference)
    return HubName(name)


def split_files(folder: Path, named: str | None = None) -> dict[str, list[Path]]:
    """Split -> its file, or its parts in order (`train-00000-of-00003.parquet`), in the folder and in data/ below it;
    in an archive wherever they are. "all" for the only data file of an archive.

    Args:
        folder: A folder or an archive.
        named: `data.format`, for files whose suffix does not determine the format.

    Raises:
        DataError: No file is for train, several are for one split, or a part is missing.
    """
    candidates = _data_files(folder, named)
    if len(candidates) == 1 and is_archive(folder):
        return {"all": candidates}
    by_split: dict[str, list[Path]] = {}
    for split, names in SPLIT_NAMES.items():
        files = [path for path in candidates if _stem(path) in names]
        whole = [path for path in files if SHARD.fullmatch(data_stem(path)) is None]
        kinds = {(path.parent, _stem(path), path.suffix, _parts(path)) for path in files}
        if len(whole) > 1 or len(kinds) > 1:
            names_found = ", ".join(str(path.relative_to(folder)) for path in files)
            raise DataError(
                f"{folder} holds {len(files)} files for {split}: {names_found}. Keep one.", key="data.source"
            )
        if files and not whole:
            _check_parts(files)
        if files:
            by_split[split] = files
    if "train" not in by_split:
        raise _no_train(folder, candidates, named)
    return by_split


def unused_files(folder: Path, named: str | None, used: Collection[Path]) -> list[Path]:
    """The files that could be read, and are of no split: a submission of a competition, names of classes."""
    about = (path for path in _data_files(folder, named) if path not in used)
    return [path for path in about if data_stem(path).lower() not in ABOUT]


def _data_files(folder: Path, named: str | None) -> list[Path]:
    """The files that can be read: where a format is named those with its suffix, else those with a known one, else
    all."""
    files = _files_in(folder)
    known = [path for path in files if find_reader(path) is not None]
    reader = named_reader(named)
    if reader is not None:
        known = [path for path in files if data_suffix(path) in reader.suffixes] or known or files
    return known


def _no_train(folder: Path, candidates: list[Path], named: str | None) -> DataError:
    """The error of a folder or archive with no file called train: what it holds, and how one of its files is read."""
    files = candidates or _files_in(folder)
    held = f" It holds {shorten([str(path.relative_to(folder)) for path in files], SHOWN)}." if files else ""
    kind = next((name for name, each in known_readers().items() if each.recognises and each.recognises(folder)), None)
    as_kind = [Change(settings={"data.format": None}, note=f"it is a {kind}")] if kind and named else []
    as_table = {} if candidates else {"data.format": "tsv"}
    tables = candidates or (files if is_archive(folder) else [])  # those of a folder may be any
    alone = [Change(settings=as_table, arguments={"data": str(path)}, note="that file alone") for path in tables[:2]]
    return DataError(
        f"{folder} holds no train file; expected one called train (and perhaps validation, test) that ends in "
        f"{', '.join(known_suffixes())}.{held}",
        *as_kind,
        *([] if named else ways_to_read(folder, [path for path in files if data_stem(path).lower() not in ABOUT])),
        *alone,
        key="data.source",
        found=str(folder),
    )


def _files_in(folder: Path) -> list[Path]:
    """Those that may be data, and do not only tell about it."""
    if is_archive(folder):
        return [path for path in members(folder) if data_stem(path).lower() not in ABOUT]
    parents = [parent for parent in (folder, folder / "data") if parent.is_dir()]
    return [path for parent in parents for path in sorted(parent.iterdir()) if path.is_file() and not is_archive(path)]


def _stem(path: Path) -> str:
    part = SHARD.fullmatch(data_stem(path))
    return (part["stem"] if part else data_stem(path)).lower()


def _parts(path: Path) -> int:
    """How many parts the name of a part speaks of; 0 for a whole file."""
    part = SHARD.fullmatch(data_stem(path))
    return int(part["count"]) if part else 0


def _check_parts(files: list[Path]) -> None:
    count = _parts(files[0])
    there = {int(part["number"]) for path in files if (part := SHARD.fullmatch(data_stem(path)))}
    missing = sorted(set(range(count)) - there)
    if missing:
        raise DataError(f"{files[0].parent}: part {missing[0]:05d} of {count} of '{_stem(files[0])}' is missing.")
