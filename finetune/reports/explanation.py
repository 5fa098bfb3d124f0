"""Explanations of texts, as lines of a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from finetune.measurement.units import count_text, listed, number_text, percent_text, signed
from finetune.records.explained import Deletion, WordContribution
from finetune.records.explanation import Explanation
from finetune.reports.numbers import shorten
from finetune.reports.terminal import LABEL, labelled

SHOWN_WORDS = 10
SHOWN_TEXT = 64  # characters: with its label a line of a narrow terminal
BAR = 20  # blocks of the largest contribution
ROUGH = 0.05  # of what the words contribute together, beyond which the numerical error is worth a line


def render_explanations(found: Sequence[Explanation]) -> str:
    """A block for each text."""
    return "\n\n".join("\n".join(_lines(each)) for each in found)


def _lines(found: Explanation) -> list[str]:
    lines = [labelled("Text", shorten(found.text, SHOWN_TEXT))]
    if found.row is not None:
        lines = [labelled("Row", found.row), *lines]
    if found.pair is not None:
        lines.append(labelled("Second text", shorten(found.pair, SHOWN_TEXT)))
    lines.append(labelled("Answer", _answer(found)))
    shown = sorted(found.words, key=lambda word: -abs(word.contribution))[:SHOWN_WORDS]
    lines.append(labelled("Words", _about_words(found, len(shown))))
    largest = max((abs(word.contribution) for word in shown), default=0.0) or 1.0
    lines += [_word_line(word, largest, found.pair is not None) for word in shown]
    lines.append(labelled("Deletion", _deletion(found)))
    if found.unread:
        lines.append(
            labelled("Not read", f"{count_text(found.unread, 'character')}: the text is longer than the model takes.")
        )
    if abs(found.error) > ROUGH * abs(found.value - found.blank):
        error = number_text(abs(found.error), 3)
        lines.append(labelled("Inexact", f"The contributions miss {error} of the difference they should add up to."))
    for near in found.nearest:
        similarity = number_text(near.similarity, 2)
        label = shorten(near.label, 40)
        lines.append(
            labelled("Training", f"row {near.row}, {label}, similarity {similarity}: {shorten(near.text, SHOWN_TEXT)}")
        )
    lines += [labelled("Missing", f"{text}.") for text in found.missing]
    return lines


def _answer(found: Explanation) -> str:
    if found.label is None:
        return number_text(found.value, 3)
    against = f", next {shorten(found.against, 40)}" if found.against is not None else ""
    return f"{shorten(found.label, 40)} {percent_text(found.probability, 1)}{against}"


def _about_words(found: Explanation, shown: int) -> str:
    ends = f"{number_text(found.blank, 2)} with all words masked, {number_text(found.value, 2)} with them"
    if found.label is None:
        unit = "the number"
    elif found.against is None:
        unit = f"log-odds of {shorten(found.label, 30)}"
    else:
        unit = f"log-odds of {shorten(found.label, 30)} against {shorten(found.against, 30)}"
    which = f"the {shown} largest of {len(found.words)}" if shown < len(found.words) else "all"
    return f"Contributions to {unit}: {ends} ({which})"


def _word_line(word: WordContribution, largest: float, has_parts: bool) -> str:
    bar = "█" * max(round(BAR * abs(word.contribution) / largest), 0) or "·"
    part = f"{word.part + 1}: " if has_parts else ""
    return f"{'':<{LABEL}}{signed(word.contribution, 2):>7}  {bar:<{BAR}}  {part}{shorten(word.word, 30)}"


def _deletion(found: Explanation) -> str:
    check = found.deletion
    if check is None:
        return "The text has too few words, or none supports the answer: no words are removed as a check."
    names = listed([f"'{shorten(word, 30)}'" for word in check.words])
    before, after, mean, low, high = (_amount(found, value) for value in _values(check))
    what = "the number" if found.label is None else f"{shorten(found.label, 40)}"
    text = f"{what} {before}; without {names} {after}; without {count_text(len(check.words), 'random word')} {mean} "
    text += f"({low} to {high} in {check.draws} draws)."
    moved, usual = abs(check.after - check.before), abs(check.random - check.before)
    if moved <= usual:
        return f"{text} The named words matter no more than random ones: do not rely on them."
    if check.random_low <= check.after <= check.random_high:
        return f"{text} Single draws of random words changed it as much: rely on the named words with care."
    return text


def _values(check: Deletion) -> tuple[float, ...]:
    return check.before, check.after, check.random, check.random_low, check.random_high


def _amount(found: Explanation, value: float) -> str:
    return number_text(value, 3) if found.label is None else percent_text(value, 1)
