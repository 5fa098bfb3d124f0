"""The log formats that are read, in the order in which they are tried."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

from finetune.diagnosis.logs.log import Log, Reader, as_fractions
from finetune.diagnosis.logs.scores import errors_as_accuracies
from finetune.errors import FinetuneError, OutputError, first_line

# Modules of this folder, each with a READER. What says most comes first: Trainer's own state before a tracker's copy.
READERS = (
    "trainer",
    "results_table",
    "simpletransformers",
    "flair",
    "wandb",
    "fastai",
    "keras",
    "lightning",
    "printed",
    "spacy",
    "mlflow",
    "trackio",
    "tensorboard",
)

MOST = 50


def readers() -> list[Reader]:
    return [importlib.import_module(f"finetune.diagnosis.logs.{name}").READER for name in READERS]


def folders_with_logs(path: Path) -> list[Path]:
    """The first MOST subfolders that hold a log."""
    folders = sorted(each for each in path.iterdir() if each.is_dir())[:MOST] if path.is_dir() else []
    return [each for each in folders if any(reader.finds(each) is not None for reader in readers())]


def read_log(path: Path, run: str | None = None) -> Log | None:
    """The log of a file or folder; None where nothing known is there.

    Args:
        path: What to look at.
        run: Name of the run, for a store with several.

    Raises:
        OutputError: It cannot be read, holds several runs, or `run` is given where there is nothing to choose.
    """
    found = [(reader, place) for reader in readers() if (place := reader.finds(path)) is not None]
    if not found:
        return None
    reader, place = found[0]
    log = _read(reader, place, run)
    records, percent = as_fractions(log.records, log.file)
    records, errors = errors_as_accuracies(records)
    others = [f"{other.name} at {at}" for other, at in found[1:] if at != place or at.is_dir()]
    beside = [f"also there, and not read: {'; '.join(others)}"] if others else []
    return replace(log, records=tuple(records), notes=(*log.notes, *percent, *errors, *beside))


def _read(reader: Reader, place: Path, run: str | None) -> Log:
    """Whatever a damaged log makes a reader raise is an error that names the log."""
    if run is not None and not reader.has_runs:
        why = f"{place}: is the log of one run, so there is none to choose. Leave it out."
        raise OutputError(why, argument="run", found=run)
    try:
        return reader.read(place, run)
    except FinetuneError:
        raise
    except Exception as error:
        raise OutputError(f"{place}: cannot be read as {reader.name}: {first_line(error)}.") from error
