"""One colour and one shape per preset, the same in every figure, table and key. After Okabe & Ito (2008).

Their sky blue, orange and purple are slightly darker here: a line on white needs a contrast of 3.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from finetune.records.report import Report


@dataclass(frozen=True)
class Ink:
    """A colour: the CSS variable that holds it, and its value on light paper."""

    variable: str
    light: str
    dark: str


@dataclass(frozen=True)
class Mark:
    """How a preset is drawn: never distinguished by colour alone."""

    ink: Ink
    shape: str  # of matplotlib


GREY = Ink("grey", "#757576", "#9b9b9c")
SKY = Ink("sky", "#2e96d4", "#8ccdf3")
BLUE = Ink("blue", "#0072b2", "#3f9fe0")
VERMILION = Ink("vermilion", "#d55e00", "#ef7a26")
ORANGE = Ink("orange", "#b37c00", "#e69f00")
GREEN = Ink("green", "#009e73", "#1fbf92")
PURPLE = Ink("purple", "#b8578e", "#d98fba")
BLACK = Ink("ink", "#1b1d21", "#e8e9ec")

KNOWN = {
    "none": Mark(GREY, "o"),
    "light": Mark(SKY, "s"),
    "medium": Mark(BLUE, "D"),
    "strong": Mark(VERMILION, "^"),
}
FURTHER_INKS = (ORANGE, GREEN, PURPLE, BLACK, SKY, BLUE, VERMILION)
FURTHER_SHAPES = ("v", "P", "X", "p", "h", "<", ">", "*")

MUTED = Ink("muted", "#5a5f69", "#a4a9b3")
GRID = Ink("grid", "#e3e5e9", "#30343c")
ZERO = Ink("zero", "#8d929c", "#737883")
PAPER = Ink("paper", "#ffffff", "#15171b")
INKS = (GREY, SKY, BLUE, VERMILION, ORANGE, GREEN, PURPLE, BLACK, MUTED, GRID, ZERO, PAPER)


class Palette:
    """The marks of the presets of a report.

    Args:
        names: All presets, in the order in which unknown ones get the remaining marks.
    """

    def __init__(self, names: Iterable[str]) -> None:
        further = [name for name in dict.fromkeys(names) if name not in KNOWN]
        self._marks = KNOWN | {
            name: Mark(FURTHER_INKS[i % len(FURTHER_INKS)], FURTHER_SHAPES[i % len(FURTHER_SHAPES)])
            for i, name in enumerate(further)
        }

    @classmethod
    def of(cls, report: Report) -> "Palette":
        """The palette of all groups together: a preset looks the same in each."""
        return cls(variant.name for group in report.groups for variant in group.variants)

    def __getitem__(self, name: str) -> Mark:
        return self._marks[name]
