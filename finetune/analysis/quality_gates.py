"""`--fail-on`: a value of the report, a comparison sign and a number, joined with `and` and `or`. Does not use eval."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from finetune.advice.comparison import ablated_preset
from finetune.errors import Change, Problem, RecipeError, suggest
from finetune.records.evaluation import EvaluationReport
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
EXAMPLE = "gap.accuracy > 0.15"
LONGEST = 2000  # characters of an expression
SHOWN_VARIANTS = 6  # in a message


@dataclass(frozen=True)
class Term:
    """One comparison of a measured value with a number.

    Attributes:
        text: As typed.
        variant: Variant of the value; None for the recommended one (counts: for all together).
        kind: train, validation, test, gap or gap_last; failed or degenerate for counts.
        metric: Metric of the kind; empty for counts.
        difference: Whether it is the difference to the baseline.
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


QualityGate = list[list[Term]]  # any of these, each of which is all of those


@dataclass(frozen=True)
class Fields:
    """The fields that an expression may use.

    Attributes:
        variants: Names that a field may start with.
        metrics: Names of the metrics.
        has_test: Whether there is a test split.
        may_set: Whether the command takes settings.
        kinds: Kinds of values; for an evaluation the measured rows alone, as `test`.
        counts: Counts of runs.
    """

    variants: Sequence[str]
    metrics: Sequence[str]
    has_test: bool
    may_set: bool = True
    kinds: Sequence[str] = KINDS
    counts: Sequence[str] = COUNTS


def parse_quality_gate(text: str, fields: Fields) -> QualityGate:
    """Read one expression.

    Args:
        text: Such as `gap.accuracy > 0.15 or strong.test.macro_f1 < 0.7`.
        fields: Fields that it may use.

    Raises:
        RecipeError: It is malformed, or names a field that will not be in the report; the error suggests close names.
    """
    if len(text) > LONGEST:
        raise _refused(Problem(f"has {len(text)} characters; at most {LONGEST} are read."), f"{text[:40]}…")
    gate: QualityGate = [[]]
    position = 0
    while True:
        match = _TERM.match(text, position)
        if match is None:
            why = f"expected FIELD SIGN NUMBER; found '{text[position:].strip()}'."
            example = EXAMPLE if "gap" in fields.kinds else f"{fields.kinds[0]}.{fields.metrics[0]} < 0.5"
            raise _refused(Problem(why, changes=(Change(arguments={"fail_on": example}),)), text)
        gate[-1].append(_parse_term(match, text, fields))
        position = match.end()
        if match["joint"] is None:
            return gate
        if match["joint"] == "or":
            gate.append([])


def _refused(problem: Problem, text: str) -> RecipeError:
    return RecipeError(replace(problem, argument="fail_on", found=text))


def _parse_term(match: re.Match[str], text: str, fields: Fields) -> Term:
    try:
        number = float(match["number"])
    except ValueError as error:
        raise _refused(Problem(f"'{match['number']}' is not a number."), text) from error
    field = match["field"]
    # A value of the recommended preset goes first: a preset called "gap" must not hide it.
    is_plain = _problem(*_parts(field), fields) is None
    named = [] if is_plain else [name for name in fields.variants if field.startswith(f"{name}.")]
    variant = max(named, key=len, default=None)
    parts, difference = _parts(field if variant is None else field.removeprefix(f"{variant}."))
    before = "" if variant is None else f"{variant}."
    problem = _problem(parts, difference, fields, before)
    if problem is not None:
        raise _refused(problem, text)
    return Term(
        text=f"{field} {match['sign']} {match['number']}",
        variant=variant,
        kind=parts[0],
        metric=parts[1] if len(parts) > 1 else "",
        difference=difference,
        sign=match["sign"],
        number=number,
    )


def _parts(field: str) -> tuple[list[str], bool]:
    """Kind and metric, and whether the difference to the baseline is meant."""
    parts = field.split(".")
    return (parts[1:], True) if parts[0] == "difference" else (parts, False)


def _problem(parts: Sequence[str], difference: bool, fields: Fields, before: str = "") -> Problem | None:
    """What is wrong with a field; `before` is its variant with a dot, which `parts` lack."""
    if len(parts) == 1 and parts[0] in fields.counts:
        return Problem("counts have no difference; leave 'difference.' out.") if difference else None
    if not parts or parts[0] not in fields.kinds:
        name = parts[0] if parts else ""
        presets = ", and any of these after a preset and a dot " if fields.variants else ""
        presets += f"({', '.join(fields.variants[:SHOWN_VARIANTS])})" if fields.variants else ""
        close = suggest(name, [*fields.kinds, *fields.counts, "difference", *fields.variants])
        if name in fields.metrics:
            kind = "test" if fields.has_test else "validation"
            close = f" Did you mean {before}{'difference.' if difference else ''}{kind}.{name}?"
        elif close.startswith(" Known"):
            close = ""  # what follows is more than the names
        allowed = [*(f"{kind}.METRIC" for kind in fields.kinds), *fields.counts, "difference.KIND.METRIC"]
        return Problem(f"'{name}' is not a field.{close} Known: {', '.join(allowed)}{presets}.")
    if len(parts) != 2 or parts[1] not in fields.metrics:
        name = ".".join(parts[1:])
        known = ", ".join(fields.metrics)
        return Problem(f"'{name}' is not measured.{suggest(name, fields.metrics)} Known: {known}.")
    if parts[0] == "test" and not fields.has_test:
        ways = [Change(settings={"data.test": "FILE"})] if fields.may_set else []
        return Problem("there is no test split.", changes=(*ways, Change(text="use validation instead")))
    return None


def failed_quality_gates(gates: Iterable[QualityGate], group: Group) -> list[str]:
    """Failed gates, each with the value that failed. A missing value fails too, since nothing shows that it passes."""
    return _failed(gates, lambda term: _reason(term, group))


def failed_evaluation_gates(gates: Iterable[QualityGate], report: EvaluationReport) -> list[str]:
    """The same for the rows of an evaluation, which are `test`; a difference refers to the run's own rows."""
    return _failed(gates, lambda term: _evaluation_reason(term, report))


def _failed(gates: Iterable[QualityGate], reason: Callable[[Term], str]) -> list[str]:
    """`reason` gives the value of a term that fails, and nothing where it does not."""
    failed = []
    for gate in gates:
        for alternative in gate:
            reasons = [reason(term) for term in alternative]
            if all(reasons):
                failed.append(" and ".join(reasons))
                break
    return failed


def _evaluation_reason(term: Term, report: EvaluationReport) -> str:
    value = report.scores[term.metric].value
    if term.difference:
        before = None if report.recorded is None else report.recorded.scores.get(term.metric)
        value = None if value is None or before is None else value - before
    if value is None:
        no_run = "there is no run beside the model to compare with"
        absent = no_run if report.recorded is None else "the run has no value to compare with"
        why = absent if term.difference else "it is not defined for these rows"
        return f"{term.text}: {why}"
    return f"{term.text}: {value:.4g} of {report.rows} rows" if SIGNS[term.sign](value, term.number) else ""


def _reason(term: Term, group: Group) -> str:
    """The value and why it fails; empty when it does not."""
    if term.kind in COUNTS and term.variant is None:
        total = sum(getattr(variant, term.kind) for variant in group.variants)
        return f"{term.text}: {total} in {group.name}" if SIGNS[term.sign](total, term.number) else ""
    variant = _variant(term, group)
    value = _value(term, variant)
    if value is None:
        return f"{term.text}: {variant.name} has no such value in {group.name} ({variant.verdict_reason})"
    if SIGNS[term.sign](value, term.number):
        return f"{term.text}: {variant.name} has {value:.4g} in {group.name}"
    return ""


def _variant(term: Term, group: Group) -> VariantReport:
    """The variant that is named, else the recommended one; of an ablation, the preset whose parts are left out."""
    if term.variant is None and group.kind == "ablate":
        return ablated_preset(group)
    name = term.variant or (group.recommendation.variant if group.recommendation else group.baseline)
    return next(variant for variant in group.variants if variant.name == name)


def _value(term: Term, variant: VariantReport) -> float | None:
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
