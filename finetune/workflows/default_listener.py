"""The default listener: progress bars in a notebook, and Python's logging everywhere else."""

from __future__ import annotations

import logging
import sys

from finetune.listener import Level, Listener
from finetune.records.schema import DataFacts

logger = logging.getLogger("finetune.notices")
LEVELS = {"note": logging.INFO, "warning": logging.WARNING}


class LoggingListener(Listener):
    """Notices go to the logger `finetune.notices`: Python shows warnings on stderr, and notes only if configured.

    A handler of the root logger decides everything else, as for any library.
    """

    def notice(self, text: str, level: Level = "note") -> None:
        logger.log(LEVELS[level], "%s", text)

    def data_checked(self, facts: DataFacts) -> None:
        for finding in facts.findings:
            is_warning = finding.level != "info"
            logger.log(logging.WARNING if is_warning else logging.INFO, "%s: %s", finding.check, finding.text)


def chosen_listener(listener: Listener | None) -> Listener:
    """The caller's listener, or the default one for this environment."""
    if listener is not None:
        return listener
    if in_notebook():
        from finetune.reports.notebook_listener import NotebookListener

        return NotebookListener()
    return LoggingListener()


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and shell.has_trait("kernel")
