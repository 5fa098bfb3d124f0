"""Predicts windows of rows, in this process or in several."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import cache
from typing import Any

from finetune.errors import Change, ModelError
from finetune.inference.answers import Answering
from finetune.inference.classifier import Precision, load
from finetune.inference.parts import model_key
from finetune.parent import end_with
from finetune.quiet import quieten_libraries

Window = tuple[Sequence[str], Sequence[str] | None]  # texts, and the second texts of pairs
Cells = list[list[Any]]


def predicted(answering: Answering, windows: Iterable[Window], processes: int = 1) -> Iterator[Cells]:
    """Predict each window, in their order.

    Args:
        answering: The model with the options for its output.
        windows: Read only a few ahead of what is predicted, so that memory stays bounded.
        processes: With more than one, each loads the model and gets an equal fraction of the CPU threads.

    Yields:
        What `Answering.rows` returns for the window.

    Raises:
        ModelError: A process ended before its window was predicted.
    """
    if processes == 1:
        yield from (answering.rows(*window) for window in windows)
    else:
        yield from _in_processes(answering, windows, processes)


def _in_processes(answering: Answering, windows: Iterable[Window], processes: int) -> Iterator[Cells]:
    """By joblib's loky: its processes do not run the caller's script again, and end with an interruption."""
    import torch
    from joblib import Parallel, delayed, parallel_config

    classifier = answering.classifier
    options = replace(answering, classifier=None)  # type: ignore[arg-type]  # each process loads its own
    work = delayed(_rows)
    model = (classifier.origin, classifier.precision, model_key(classifier.origin))
    calls = (work(os.getpid(), model, options, *window) for window in windows)
    threads = max(1, torch.get_num_threads() // processes)
    try:
        with parallel_config(backend="loky", inner_max_num_threads=threads):
            yield from Parallel(processes, return_as="generator", pre_dispatch="2 * n_jobs")(calls)
    except BrokenProcessPool as error:
        why = "a process ended before its rows were predicted, most likely for want of memory."
        raise ModelError(why, Change(arguments={"processes": 1}), argument="processes", found=processes) from error


def _rows(parent: int, model: tuple[str, Precision, str], options: Answering, *window: Any) -> Cells:
    """In a process of its own: predict one window."""
    return replace(options, classifier=_classifier(parent, *model)).rows(*window)


@cache
def _classifier(parent: int, origin: str, precision: Precision, key: str) -> Any:
    """Set this process up, once, and load the model; `key` is that of its files, so that a new one is loaded anew."""
    end_with(parent)
    quieten_libraries()
    return load(origin, precision=precision)
