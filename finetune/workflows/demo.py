"""A page to try a model, served on this machine until Ctrl-C."""

from __future__ import annotations

import importlib.util
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from finetune.analysis.disagreements import in_words, shortened
from finetune.checks.base import full_texts
from finetune.checks.nearest import NearestTexts
from finetune.data.rows import Rows
from finetune.errors import Change, RecipeError
from finetune.inference.classifier import Classifier, load
from finetune.inference.predictions import Predictions
from finetune.listener import Listener
from finetune.measurement.units import count_text, metric_name, score_text
from finetune.records.schema import FinishedRecord
from finetune.workflows.default_listener import chosen_listener
from finetune.workflows.origins import find_run, find_training_data

if TYPE_CHECKING:
    from finetune.demo_page.server import Server

PORT = 8765
NEIGHBOURS = 5
NEEDED = ("starlette", "uvicorn")


def demo(model: str | PathLike[str], *, port: int = PORT, listener: Listener | None = None) -> None:
    """Serve a page on this machine: type a text, see the model's prediction. Ctrl-C stops it.

    Args:
        model: Folder of a run or comparison, a model folder, or a hub id.
        port: Port on 127.0.0.1; 0 for any free one.
        listener: As for `compare`; it is told the address.

    Raises:
        FinetuneError: As for `open_demo`.
    """
    listener = chosen_listener(listener)
    server = open_demo(model, port)
    listener.notice(f"the demo is at {server.url}; Ctrl-C ends it")
    server.serve()


def open_demo(model: str | PathLike[str], port: int) -> Server:
    """Open the page, which answers once its `serve` is called.

    Raises:
        RecipeError: A package that serves it is not installed.
        OutputError: The port is in use.
        ModelError: The model cannot be read.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        install = Change(command='pip install "finetune[page]"')
        raise RecipeError(f"the page needs {' and '.join(missing)}, not installed here.", install)
    from finetune.demo_page.answers import Answers
    from finetune.demo_page.server import Server, listen

    listening = listen(port)
    try:
        classifier = load(fspath(model))
    except BaseException:
        listening.close()
        raise
    record = find_run(classifier.origin, classifier.served)
    return Server(Answers(classifier, _about(classifier, record), [_Neighbours(classifier, record)]), listening)


def _about(classifier: Classifier, record: FinishedRecord | None) -> list[str]:
    reading, served = classifier.reading, classifier.served
    outputs = "a number" if reading.labels is None else count_text(len(reading.labels), "label")
    if served is None or served.training is None:
        lines = [f"It predicts {outputs}."]
    else:
        lines = [f"It predicts {outputs}, and was trained on {count_text(served.training.rows, 'row')}."]
    if record is not None:
        score, selected = record.data.score, record.shown
        value = selected.reported_scores.get(score or "")
        if score is not None and value is not None:
            name = metric_name(score)
            lines.append(f"{name[0].upper()}{name[1:]} on {selected.reported}: {score_text(score, value)}.")
    return lines


class _Neighbours:
    """The training texts that are nearest to a text, or why they are not at hand. The page stays on this machine."""

    def __init__(self, classifier: Classifier, record: FinishedRecord | None) -> None:
        self._reading = classifier.reading
        self._encoder = classifier.encoder
        why = "the run that trained the model is not beside it" if record is None else find_training_data(record)
        self._missing = f"{why[0].upper()}{why[1:].rstrip('.')}." if isinstance(why, str) else None
        if not isinstance(why, str):
            self._train, self._texts = why.train, full_texts(why.train)
            self._nearest = NearestTexts(why.train)

    def __call__(self, text: str, pair: str | None, found: Predictions) -> tuple[str, Any]:
        if self._missing is not None:
            return "neighbours", {"rows": [], "missing": self._missing}
        asked = Rows([text], None if pair is None else [pair], [None], [""])
        [nearest] = self._nearest.to(asked, NEIGHBOURS)
        rows = [
            {
                "text": shortened(self._texts[position]) or "",
                "label": self._label(self._train.labels[position]),
                "similarity": similarity,
            }
            for position, similarity in nearest
        ]
        return "neighbours", {"rows": rows, "missing": None}

    def _label(self, label: Any) -> str:
        return in_words(self._reading.task, self._encoder.target(label), self._reading.labels)
