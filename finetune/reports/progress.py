"""The live gap of one run on stderr: a bar on a terminal, one line per evaluation elsewhere."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

from finetune.listener import RunProgress
from finetune.records.schema import Scores
from finetune.reports.terminal import live_scores


class RunDisplay:
    """Shows steps done and, after each evaluation, the scores of the train sample and of validation, and their gap."""

    def __init__(self) -> None:
        self._bar: Any = None

    def start(self, run: RunProgress) -> None:
        """A run begins."""
        self._bar = tqdm(
            total=run.steps,
            initial=run.step,
            desc=run.title,
            unit="step",
            file=sys.stderr,
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        )

    def step(self, run: RunProgress) -> None:
        """A step is done."""
        if self._bar is not None:
            self._bar.update(1)

    def evaluated(self, run: RunProgress, train: Scores, validation: Scores) -> None:
        """Train sample and validation have been measured."""
        if self._bar is None:
            return
        line = live_scores(run.measure, train, validation)
        if self._bar.disable:
            sys.stderr.write(f"{run.title}: epoch {run.epoch:g}/{run.epochs:g}: {line}\n")
            sys.stderr.flush()
        else:
            self._bar.set_postfix_str(line)

    def close(self) -> None:
        """The run has ended."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
