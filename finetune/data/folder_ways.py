"""How the files of a folder without a train file are read: other names of splits, texts beside labels, parts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from finetune.data.compressed import data_stem, data_suffix, is_archive
from finetune.data.dataset_sets import SPLIT_NAMES
from finetune.data.preface import CELL_ENDS, names_both
from finetune.data.readers import known_suffixes
from finetune.errors import Change

WORDS = re.compile(r"[\W_]+")  # between the words of a name
LABELS = frozenset({"y", "label", "labels", "target", "targets"})
MOST_FILES = 50  # that are put together by one command
PARTITION = re.compile(r"\w+=.+")
COMPARED = 1 << 20  # lines that are counted


def ways_to_read(folder: Path, files: Sequence[Path]) -> list[Change]:
    """Settings, or a command, with which the files can be read; none where nothing is recognised.

    Args:
        folder: The folder or archive.
        files: The data files in it.
    """
    by_split = {split: [file for file in files if _is_of(file, names)] for split, names in SPLIT_NAMES.items()}
    below = [file for split in SPLIT_NAMES for file in _below(folder, split)]
    if not any(by_split.values()) and below:
        by_split = {split: _below(folder, split) for split in SPLIT_NAMES}
    if by_split["train"] and all(len(found) <= 1 for found in by_split.values()):
        (train,) = by_split.pop("train")
        others = {f"data.{split}": str(found[0]) for split, found in by_split.items() if found}
        return [Change(settings=others, arguments={"data": str(train)}, note="these files")]
    if is_archive(folder):
        return []
    pair = by_split["train"] or files
    if len(pair) == 2 and any({*_words(file)} & LABELS for file in pair):
        return _side_by_side(sorted(pair, key=lambda file: bool({*_words(file)} & LABELS)))
    return _one_after_another(folder, files) or _by_class(folder, files) or _partitions(folder)


def _words(file: Path) -> list[str]:
    return WORDS.split(data_stem(file).lower())


def _is_of(file: Path, names: Sequence[str]) -> bool:
    return any(word in names for word in _words(file))


def _below(folder: Path, split: str) -> list[Path]:
    """The only file of a folder that is named like a split."""
    if is_archive(folder):
        return []
    places = [place for place in folder.iterdir() if place.is_dir() and place.name.lower() in SPLIT_NAMES[split]]
    files = [file for place in places for file in sorted(place.iterdir()) if data_suffix(file) in known_suffixes()]
    return files if len(files) == 1 else []


def _side_by_side(files: Sequence[Path]) -> list[Change]:
    """Texts and labels in the lines of two files."""
    if len({_lines(file) for file in files}) > 1 or any(file.suffix not in (".txt", ".csv", ".tsv") for file in files):
        return []
    if any(_ends_with_return(file) for file in files):  # which paste would leave between the cells
        return []
    is_csv = files[0].suffix == ".csv"
    split = next((name for name, names in SPLIT_NAMES.items() if _is_of(files[0], names)), "joined")
    made = files[0].with_name(f"{split}{'.csv' if is_csv else '.tsv'}")
    named = " ".join(shlex.quote(str(file)) for file in files)
    command = f"paste{' -d,' if is_csv else ''} {named} > {shlex.quote(str(made))}"
    return [Change(command=command, note=f"a line of both files is a row: {_lines(files[0])} lines each")]


def _ends_with_return(file: Path) -> bool:
    with file.open("rb") as lines:
        return lines.readline().rstrip(b"\n").endswith(b"\r")


def _lines(file: Path) -> int:
    with file.open("rb") as lines:
        return sum(1 for _ in islice(lines, COMPARED))


def _one_after_another(folder: Path, files: Sequence[Path]) -> list[Change]:
    """Parts of a table: CSV with the same first line."""
    if not 1 < len(files) <= MOST_FILES or any(file.suffix not in (".csv", ".tsv") for file in files):
        return []
    heads = set()
    for file in files:
        with file.open("rb") as lines:
            heads.add(lines.readline().strip())
    if len(heads) > 1 or not names_both(CELL_ENDS.split(heads.pop().decode("latin-1"))):
        return []  # a file for each class has no labels in it
    made = folder.with_name(f"{folder.name}-all{files[0].suffix}")
    named = " ".join(shlex.quote(str(file)) for file in files)
    command = f"awk 'FNR > 1 || NR == 1' {named} > {shlex.quote(str(made))}"
    return [Change(command=command, note="all of them, which have the same header")]


def _by_class(folder: Path, files: Sequence[Path]) -> list[Change]:
    """A file for each class, with one text per line: pos.txt and neg.txt, or rt-polarity.pos and rt-polarity.neg."""
    suffixes = {file.suffix for file in files}
    by_suffix = len({file.stem for file in files}) == 1 and suffixes.isdisjoint(known_suffixes())
    if not 1 < len(files) <= MOST_FILES or not (by_suffix or suffixes == {".txt"}):
        return []
    if any("=" in str(file) or _lines(file) < 2 or _is_binary(file) for file in files):  # = is an assignment for awk
        return []
    label = r'sub(/.*\./, "", label)' if by_suffix else r'sub(/.*\//, "", label); sub(/\.txt$/, "", label)'
    code = (
        rf'BEGIN {{print "label\ttext"}} FNR == 1 {{sub(/^\357\273\277/, ""); label = FILENAME; {label}}} '
        r'NF {sub(/\r$/, ""); gsub(/\t/, " "); print label "\t" $0}'
    )
    made = folder.with_name(f"{folder.name}-all.tsv")
    named = " ".join(shlex.quote(str(file)) for file in files)
    command = f"awk {shlex.quote(code)} {named} > {shlex.quote(str(made))}"
    return [Change(command=command, note="if each holds the texts of one class, one per line")]


def _is_binary(file: Path) -> bool:
    with file.open("rb") as content:
        return b"\0" in content.read(COMPARED)


def _partitions(folder: Path) -> list[Change]:
    """Folders such as `label=pos`, which name a column and its value for all of their rows."""
    named = [part.name for part in folder.iterdir() if part.is_dir() and PARTITION.fullmatch(part.name)]
    if not named:
        return []
    column, _, value = min(named).partition("=")
    return [Change(text=f"Its folders name a column and its value: make one table, with '{value}' in '{column}'.")]
