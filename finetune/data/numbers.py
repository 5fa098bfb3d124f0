"""Numbers as people write them in a label column: `1,299.00`, `4,2`, `83%`, `EUR 12`. One style for the column."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from finetune.data.equal_cells import are_texts

LONGEST_SIGN = 16  # characters of a currency, unit or % beside the digits
GROUPERS = " '’\u00a0\u2009\u202f"  # between thousands, beside the point or comma that is not the decimal mark
MINUS = ("-", "−")
NO_SIGN = ("", "")
OUT_OF = r"(?:/|out of)\s*\d{1,3}"  # the largest number of a scale, as in 7/10
WRITTEN = re.compile(
    r"(?P<minus>[-+−]?)(?P<before>(?:[^-\d+−.,]+(?:\. )?)?)\s*(?P<inner>[-+−]?)"
    rf"(?P<digits>[.,]?\d(?:[\d.,{GROUPERS}]*\d)?)(?P<after>(?:\s*{OUT_OF})?[^-\d+−,]*)"
)
SPACES_IN_RATIO = re.compile(r"(?<=/)\s+|\s+(?=\s)")
PLURAL = re.compile(r"(?<=[^\W\d_]{3})s$")  # 1 star, 2 stars
NO_CENTS = re.compile(r"(?<=\d)[.,][-−–—]+(?=\D*$)")
EXPONENT = re.compile(r"(?P<number>[-+−]?[\d.,]*\d)[eE](?P<exponent>[-+]?\d{1,3})")  # 1,5E+03, as Excel shows it
LAKHS = re.compile(r"[1-9]\d?(?:,\d{2})+,\d{3}")
# A sign that speaks of an amount, not of a code such as A1 or of names such as `topic 12`.
AMOUNT_BEFORE = re.compile(r"[^\W\d_]{0,3}[$€£¥₹₩₽₺₴₫฿¢]|[A-Z]{3}|[^\W\d_]{1,3}\.")
AMOUNT_AFTER = re.compile(rf"{OUT_OF}(?: [^\W\d_]+)?|" r"[%‰°$€£¥₹₩₽₺₴₫฿¢]|°[CF]|(?!(?:st|nd|rd|th)$)[^\W\d_]{1,12}\.?")
CURRENCY = re.compile(r"[^\W\d_]{0,3}[$€£¥₹₩₽₺₴₫฿¢]|[A-Z]{3}")
WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.0+)?")  # as programs write whole numbers: 3, and 3.0 beside a gap


def as_number(cell: Any) -> float | None:
    """The finite number in a cell written as in Python, if it is one."""
    if isinstance(cell, bool | list | dict) or cell is None:
        return None
    try:
        number = float(cell)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class NumberStyle:
    """How the numbers of a column are written.

    Attributes:
        decimal: The decimal mark, "." or ",".
        sign: Currency, unit or % of most cells: the characters before and after the digits.
        grouped: Whether a cell has thousands separators.
        unclear: A cell such as `1,299` or `1.299` if no cell shows whether its comma or point is the decimal mark.
        parentheses: Whether a number in parentheses is negative: an amount, and not the mark `(1)` of a list.
    """

    decimal: str = "."
    sign: tuple[str, str] = NO_SIGN
    grouped: bool = False
    unclear: str | None = None
    parentheses: bool = False

    def read(self, cell: Any) -> float | None:
        """The finite number in a cell of this style; None if it is not a number, or has another sign."""
        if not isinstance(cell, str) or self.decimal == "." or not {",", "."} & set(cell):
            number = as_number(cell)
            if number is not None or not isinstance(cell, str):
                return number
        written = _Written.of(cell)
        if written is None or written.sign not in (NO_SIGN, self.sign):
            return None
        return None if written.in_parentheses and not self.parentheses else written.value(self.decimal)

    def has_sign(self, cell: Any) -> bool:
        """Whether the cell is a number with the sign of the column."""
        written = _Written.of(cell) if isinstance(cell, str) else None
        return written is not None and written.sign == self.sign != NO_SIGN and self.read(cell) is not None

    def in_parentheses(self, cell: Any) -> bool:
        """Whether the cell is a number in parentheses, whatever they mean."""
        return (
            isinstance(cell, str) and cell.strip()[:1] == "(" and replace(self, parentheses=True).read(cell) is not None
        )

    @property
    def is_amount(self) -> bool:
        """Whether the sign is that of an amount: a currency, a unit or %."""
        before, after = self.sign
        if self.sign == NO_SIGN or (before and after):
            return False
        return bool(AMOUNT_BEFORE.fullmatch(before) if before else AMOUNT_AFTER.fullmatch(after))


PLAIN = NumberStyle()  # as Python writes numbers


@dataclass(frozen=True)
class _Written:
    """A cell with its digits in one place: minus, what stands before and after, digits with their marks. Parentheses
    are a minus, as accountants write it, and a dash after the decimal mark is no cents: `(12.50)`, `12,-`."""

    minus: bool
    sign: tuple[str, str]
    digits: str
    in_parentheses: bool = False
    exponent: int = 0

    @staticmethod
    def of(cell: str) -> _Written | None:
        cell = NO_CENTS.sub("", cell.strip())
        exponent = EXPONENT.fullmatch(cell)
        cell = cell if exponent is None else exponent["number"]
        in_parentheses = cell.startswith("(") and cell.endswith(")")
        found = WRITTEN.fullmatch(cell[1:-1].strip() if in_parentheses else cell)
        if found is None or (bool(found["minus"]) + bool(found["inner"]) + in_parentheses > 1):
            return None
        sign = (found["before"].strip(), PLURAL.sub("", SPACES_IN_RATIO.sub("", found["after"].strip())))
        if len("".join(sign)) > LONGEST_SIGN:
            return None
        minus = in_parentheses or bool(set(MINUS) & {found["minus"], found["inner"]})
        return _Written(minus, sign, found["digits"], in_parentheses, int(exponent["exponent"]) if exponent else 0)

    def value(self, decimal: str) -> float | None:
        """Thousands come in groups of three, or above the first as in India of two, separated by the same mark
        throughout, and do not start with 0."""
        whole, mark, fraction = self.digits.partition(decimal)
        if mark and not fraction.isdecimal():
            return None
        if whole and not whole.isdecimal():
            marks = ("," if decimal == "." else ".") + GROUPERS
            in_threes = re.fullmatch(rf"[1-9]\d{{0,2}}([{marks}])\d{{3}}(?:\1\d{{3}})*", whole)
            if not in_threes and not (decimal == "." and LAKHS.fullmatch(whole)):
                return None
            whole = "".join(character for character in whole if character.isdecimal())
        number = float(f"{whole or '0'}.{fraction or '0'}e{self.exponent}")
        return (-number if self.minus else number) if math.isfinite(number) else None

    def decimal(self) -> str | None:
        """The decimal mark, if the digits form a number with only one of the two."""
        marks = [mark for mark in ".," if self.value(mark) is not None]
        return marks[0] if len(marks) == 1 and {",", "."} & set(self.digits) else None


def number_style(cells: Sequence[Any], decimal: str | None = None, asked: bool = False) -> NumberStyle:
    """The style in which most cells of a column are numbers.

    A cell that can be read in only one way votes for the decimal mark: `4,2` and `1.299,00` for the comma, `4.2` and
    `1,299.00` for the point. If every cell can be read in two ways (`1,299`), or none has a mark, it is the point; but
    no currency has three decimals in all cells (`1.299 €`).

    Args:
        cells: Filled label cells.
        decimal: The mark, if the recipe sets it.
        asked: The recipe says that they are numbers; else parentheses are a minus only beside a currency, a unit, a
            fraction or thousands set apart.
    """
    counts = Counter(cells if are_texts(cells) else [cell for cell in cells if isinstance(cell, str)])
    found = {cell: written for cell in counts if (written := _Written.of(cell)) is not None}
    votes: Counter[str | None] = Counter()
    for cell, written in found.items():
        votes[written.decimal()] += counts[cell]
    chosen = decimal or ("," if votes[","] > votes["."] or _are_prices(found.values()) else ".")
    found = {cell: written for cell, written in found.items() if written.value(chosen) is not None}
    signs: Counter[tuple[str, str]] = Counter()
    for cell, written in found.items():
        signs[written.sign] += counts[cell]
    sign = next((sign for sign, count in signs.items() if sign != NO_SIGN and 2 * count > len(cells)), NO_SIGN)
    same = {cell: written for cell, written in found.items() if written.sign in (NO_SIGN, sign)}
    known = decimal is not None or votes[","] + votes["."] > 0
    return NumberStyle(
        chosen,
        sign,
        any(not written.digits.replace(chosen, "", 1).isdecimal() for written in same.values()),
        None if known else next((cell for mark in ",." for cell in same if mark in same[cell].digits), None),
        asked or sign != NO_SIGN or any(not written.digits.isdecimal() for written in same.values()),
    )


def _are_prices(found: Collection[_Written]) -> bool:
    """Whether a currency stands at all numbers, and a point with three digits behind it in some and in no other way."""
    digits = [written.digits for written in found if "." in written.digits]
    return (
        bool(digits)
        and all(CURRENCY.fullmatch("".join(written.sign)) for written in found)
        and all(re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", part) for part in digits)
        and not any("," in written.digits for written in found)
    )


def is_whole(name: str) -> bool:
    """Whether a name is a whole number as programs write it: 1 or 1.0, not 01. The version 1.10 is not 1.1."""
    return WHOLE.fullmatch(name) is not None
