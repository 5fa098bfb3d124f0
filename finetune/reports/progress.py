"""Progress of one run: a bar on a terminal or in a notebook, one line per evaluation elsewhere."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from finetune.listener import Listener, RunProgress
from finetune.records.schema import Scores
from finetune.reports.terminal import live_scores


def progress_bar(total: int, title: str, unit: str, done: int = 0) -> Any:
    """A bar of tqdm: on a terminal, or a widget in a notebook."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without ipywidgets: tqdm warns and shows a bar of characters
        from tqdm.auto import tqdm

    return tqdm(total=total, initial=done, desc=title, unit=unit, file=sys.stderr, dynamic_ncols=True)


class RunDisplay(Listener):
    """Shows steps done and, after each evaluation, the scores of the train sample and of validation, and their gap.

    Args:
        bar: Show a bar; by default where stderr is a terminal. Without one, each evaluation is a line on stderr.
    """

    def __init__(self, bar: bool | None = None) -> None:
        self._has_bar = bar
        self._bar: Any = None
        self._running = False

    def run_started(self, run: RunProgress) -> None:
        """A run begins."""
        self._running = True
        if sys.stderr.isatty() if self._has_bar is None else self._has_bar:
            self._bar = progress_bar(run.steps, run.title, "step", run.step)

    def run_stepped(self, run: RunProgress) -> None:
        """A step is done."""
        if self._bar is not None:
            self._bar.update(run.step - self._bar.n)

    def run_evaluated(self, run: RunProgress, train: Scores, validation: Scores) -> None:
        """Train sample and validation have been measured; measurements after the end of the run are not shown."""
        if not self._running:
            return
        line = live_scores(run.measure, train, validation)
        if self._bar is not None:
            self._bar.set_postfix_str(line)
        else:
            sys.stderr.write(f"{run.title}: epoch {run.epoch:g}/{run.epochs:g}: {line}\n")
            sys.stderr.flush()

    def run_ended(self, run: RunProgress) -> None:
        """The run has ended."""
        self._running = False
        if self._bar is not None:
            self._bar.close()
            self._bar = None
