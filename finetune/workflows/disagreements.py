"""Which words moved the final model's answers to the rows on which presets disagree."""

from __future__ import annotations

import importlib.util
import json

from finetune.atomic import write_text
from finetune.errors import FinetuneError, RecipeError
from finetune.inference.classifier import Classifier, load
from finetune.listener import Listener
from finetune.measurement.units import count_text
from finetune.records.comparison import ComparisonFolder
from finetune.records.explained import ExplainedAnswer, ExplainedRows
from finetune.records.explanation import Explanation
from finetune.records.report import Group

MOST_ROWS = 10  # a second or more each, on a CPU
MOST_WORDS = 6  # of a row
INSTALL = 'pip install "finetune[explain]"'


def warn_without_captum(listener: Listener) -> None:
    """Warn, before anything is trained, that captum is missing."""
    if importlib.util.find_spec("captum") is None:
        listener.notice(
            "--explain: captum is not installed, so the report will not say which words moved answers. Install it "
            f"({INSTALL}) before the end, or type the same command again then: nothing is trained twice",
            "warning",
        )


def explain_disagreements(group: Group, folder: ComparisonFolder, listener: Listener) -> bool:
    """Explain the rows, and save the explanations that the report then shows; the caller holds the folder.

    Returns:
        Whether anything was explained; if not, the listener is told why.
    """
    chosen, shipped = group.recommendation, folder.read().shipped
    if chosen is None or shipped is None or not folder.model.is_dir():
        listener.notice("--explain: the comparison ends with no model, so no answer is explained", "warning")
        return False
    rows = [row.row for row in group.disagreements if row.fold == chosen.fold][:MOST_ROWS]
    if not rows:
        listener.notice("--explain: presets disagree on no row, so no answer is explained")
        return False
    if chosen.final is not None and chosen.final.kind == "refit" and group.reported == "validation":
        why = "without a test split, presets disagree on validation rows, which the refit has trained on"
        listener.notice(f"--explain: {why}, so no answer is explained", "warning")
        return False
    listener.notice(f"explains {count_text(len(rows), 'row')} on which presets disagree")
    try:
        answers = _answers(load(folder.model), _texts(folder), rows)
    except FinetuneError as error:
        listener.notice(f"--explain: {error.for_command_line()} The report is the one without it.", "warning")
        return False
    kept = ExplainedRows(run=shipped, fold=chosen.fold, answers=answers)
    write_text(folder.explanations, kept.model_dump_json(indent=2))
    return bool(answers)


def _texts(folder: ComparisonFolder) -> dict[str, tuple[str, str | None]]:
    """Row -> its texts, whole; a row is the same one in every fold."""
    kept = json.loads(folder.texts.read_text(encoding="utf-8"))
    return {row: (entry[0], entry[1]) for rows in kept.values() for row, entry in rows.items()}


def _answers(
    classifier: Classifier, texts: dict[str, tuple[str, str | None]], rows: list[str]
) -> dict[str, ExplainedAnswer]:
    """
    Raises:
        ModelError: The model cannot be explained, or captum is not installed.
    """
    found = {}
    for row in rows:
        try:
            found[row] = _kept(classifier.explain(*texts[row]))
        except RecipeError:  # the tokenizer finds no word in it
            continue
    return found


def _kept(found: Explanation) -> ExplainedAnswer:
    words = sorted(found.words, key=lambda word: -abs(word.contribution))[:MOST_WORDS]
    same = {name: getattr(found, name) for name in ("label", "against", "probability", "value", "deletion")}
    return ExplainedAnswer(words=words, **same)
