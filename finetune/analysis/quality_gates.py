"""`--fail-on`: a figure of the report, a comparison sign and a number; joined with `and` and `or`. No eval."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from finetune.advice.comparison import ablated_preset
from finetune.errors import RecipeError, suggest
from finetune.records.report import Group, Summary, VariantReport

KINDS = ("train", "validation", "test", "gap", "gap_last")
COUNTS = ("failed", "degenerate")
SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_TERM = re.compile(
    r"\s*(?P<field>[^<>=!]+?)\s*(?P<sign><=|>=|==|!=|<|>)\s*(?P<number>[-+]?[\d.]+(?:[eE][-+]?\d+)?)"
    r"(?:\s+(?P<joint>and|or)\s+|\s*$)"
)
EXAMPLE = '--fail-on "gap.accuracy > 0.15"'


@dataclass(frozen=True)
class Term:
    """One comparison of a figure with a number.

    Attributes:
        text: As typed.
        variant: Whose figure; None for the recommended one (counts: for all together).
        kind: train, validation, test, gap or gap_last; failed or degenerate for counts.
        metric: Of the kind; empty for counts.
        difference: Whether the difference to the baseline is meant.
        sign: Key of SIGNS.
        number: Right-hand side, in the units of report.json.
    """

    text: str
    variant: str | None
    kind: str
    metric: str
    difference: bool
    sign: str
    number: float


Gate = list[list[Term]]  # any of these, each of which is all of those


def parse_gate(text: str, variants: Sequence[str], metrics: Sequence[str], has_test: bool) -> Gate:
    """Read one expression.

    Args:
        text: Such as `gap.accuracy > 0.15 or strong.test.macro_f1 < 0.7`.
        variants: Names that a field may start with.
        metrics: Names that are measured.
        has_test: Whether there is a test split.

    Raises:
        RecipeError: It is malformed, or names something that will not be in the report; suggests what is close.
    """
    gate: Gate = [[]]
    position = 0
    while True:
        found = _TERM.match(text, position)
        if found is None:
            rest = text[position:].strip()
            raise RecipeError(f"--fail-on '{text}': expected FIELD SIGN NUMBER, for example {EXAMPLE}; found '{rest}'.")
        gate[-1].append(_parse_term(found, text, variants, metrics, has_test))
        position = found.end()
        if found["joint"] is None:
            return gate
        if found["joint"] == "or":
            gate.append([])


def _parse_term(
    found: re.Match[str], text: str, variants: Sequence[str], metrics: Sequence[str], has_test: bool
) -> Term:
    try:
        number = float(found["number"])
    except ValueError as error:
        raise RecipeError(f"--fail-on '{text}': '{found['number']}' is no number.") from error
    field = found["field"]
    # A figure of the recommended preset goes first: a preset called "gap" must not hide it.
    plain = not _problem(_parts(field)[0], _parts(field)[1], variants, metrics, has_test)
    named = [] if plain else [name for name in variants if field.startswith(f"{name}.")]
    variant = max(named, key=len, default=None)
    parts, difference = _parts(field if variant is None else field.removeprefix(f"{variant}."))
    problem = _problem(parts, difference, variants, metrics, has_test)
    if problem:
        raise RecipeError(f"--fail-on '{text}': {problem}")
    return Term(
        text=f"{field} {found['sign']} {found['number']}",
        variant=variant,
        kind=parts[0],
        metric=parts[1] if len(parts) > 1 else "",
        difference=difference,
        sign=found["sign"],
        number=number,
    )


def _parts(field: str) -> tuple[list[str], bool]:
    """Kind and metric, and whether the difference to the baseline is meant."""
    parts = field.split(".")
    return (parts[1:], True) if parts[0] == "difference" else (parts, False)


def _problem(
    parts: Sequence[str], difference: bool, variants: Sequence[str], metrics: Sequence[str], has_test: bool
) -> str:
    if len(parts) == 1 and parts[0] in COUNTS:
        return "counts have no difference; leave 'difference.' out." if difference else ""
    if not parts or parts[0] not in KINDS:
        name = parts[0] if parts else ""
        known = [*KINDS, *COUNTS, "difference", *variants]
        return (
            f"'{name}' is no field.{suggest(name, known)} Known: {', '.join([*KINDS, *COUNTS])}, difference.KIND, "
            f"and any of these after a preset and a dot ({', '.join(variants[:6])})."
        )
    if len(parts) != 2 or parts[1] not in metrics:
        name = parts[1] if len(parts) == 2 else ".".join(parts[1:])
        return f"'{name}' is not measured.{suggest(name, metrics)} Known: {', '.join(metrics)}."
    if parts[0] == "test" and not has_test:
        return "there is no test split. Use validation, or give one: --set data.test=FILE"
    return ""


def failed_gates(gates: Iterable[Gate], group: Group) -> list[str]:
    """What fails, each with the figure that failed it. A figure that is not there fails too: nobody has shown it."""
    found = []
    for gate in gates:
        for alternative in gate:
            told = [_tell(term, group) for term in alternative]
            if all(told):
                found.append(" and ".join(text for text in told if text))
                break
    return found


def _tell(term: Term, group: Group) -> str:
    """The figure and why it fails; empty when it does not."""
    if term.kind in COUNTS and term.variant is None:
        total = sum(getattr(variant, term.kind) for variant in group.variants)
        return f"{term.text}: {total} in {group.name}" if SIGNS[term.sign](total, term.number) else ""
    variant = _meant(term, group)
    value = _figure(term, variant)
    if value is None:
        return f"{term.text}: {variant.name} has no such figure in {group.name} ({variant.verdict_reason})"
    if SIGNS[term.sign](value, term.number):
        return f"{term.text}: {variant.name} has {value:.4g} in {group.name}"
    return ""


def _meant(term: Term, group: Group) -> VariantReport:
    """The variant that is named, else the recommended one; of an ablation, the preset that is taken apart."""
    if term.variant is None and group.kind == "ablate":
        return ablated_preset(group)
    name = term.variant or (group.recommendation.variant if group.recommendation else group.baseline)
    return next(variant for variant in group.variants if variant.name == name)


def _figure(term: Term, variant: VariantReport) -> float | None:
    if term.kind in COUNTS:
        return float(getattr(variant, term.kind))
    summaries: dict[str, Summary] = getattr(variant, term.kind)
    summary = summaries.get(term.metric)
    if not term.difference:
        return None if summary is None else summary.mean
    if variant.baseline is None and summary is not None:
        return 0.0  # the baseline against itself
    difference = variant.differences.get(term.kind, {}).get(term.metric)
    return None if difference is None else difference.mean
