"""Lines of records -> the Markdown tables of docs/results.md."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scripts.results.arms import REFERENCE
from scripts.results.pairing import Summary, by_cell, judge, mean_over_sets, paired, seed_deviation, summarise
from scripts.results.records import Line

MINUS = "−"


def render(
    lines: list[Line],
    arms: Sequence[str],
    targets: Sequence[Mapping[str, Any]],
    pairs: Sequence[Mapping[str, str]] = (),
) -> str:
    """All tables: by half and size, then the targets.

    Args:
        lines: Of the records.
        arms: In the order to show them in; others follow.
        targets: Of arms.yaml.
        pairs: Of arms.yaml.
    """
    parts = []
    for half in ("choosing", "confirming"):
        for n in sorted({line["n"] for line in lines if line["half"] == half}):
            chosen = select(lines, half, n)
            parts += [f"### {half.capitalize()} half, n = {n:,}", scores_table(chosen, arms)]
            parts += [differences_table(chosen, arms), *pairs_table(chosen, pairs)]
    parts += ["### Targets (confirming half)", targets_table(lines, targets)]
    failed = [line for line in lines if line["status"] == "failed"]
    if failed:
        parts.append("Failed runs: " + ", ".join("{set} n={n} seed {seed} {arm}".format(**line) for line in failed))
    return "\n\n".join(parts) + "\n"


def select(lines: list[Line], half: str, n: int) -> list[Line]:
    return [line for line in lines if line["half"] == half and line["n"] == n]


def in_order(lines: list[Line], arms: Sequence[str]) -> list[str]:
    """The arms with a finished run."""
    there = {line["arm"] for line in lines if line["status"] == "finished"}
    return [*(arm for arm in arms if arm in there), *sorted(there - set(arms))]


def scores_table(lines: list[Line], arms: Sequence[str]) -> str:
    """Test score by arm and set, means over seeds; the last column only for arms with all sets."""
    sets = sorted({line["set"] for line in lines if line["status"] == "finished"})
    rows = []
    for arm in in_order(lines, arms):
        by_set = defaultdict(list)
        for (name, _), value in by_cell(lines, arm, "test_score").items():
            by_set[name].append(100 * value)
        means = [float(np.mean(by_set[name])) if by_set[name] else None for name in sets]
        complete = [mean for mean in means if mean is not None]
        last = float(np.mean(complete)) if len(complete) == len(sets) else None
        rows.append([f"`{arm}`", *(_number(mean) for mean in [*means, last])])
    return table(["arm", *(f"`{name}`" for name in sets), "mean"], rows)


def differences_table(lines: list[Line], arms: Sequence[str]) -> str:
    """Each arm against the reference, with what both cost."""
    rows = [_reference_row(lines)]
    for arm in in_order(lines, arms):
        summary = summarise(paired(lines, arm, REFERENCE, "test_score"))
        if arm != REFERENCE and summary is not None:
            rows.append([f"`{arm}`", *_summary_cells(summary), *_other_cells(lines, arm), *_cost_cells(lines, arm)])
    heads = ["arm", "sets (pairs)", f"score {MINUS} reference", "95 %", "worst set", "better / worse"]
    heads += ["macro-F1", "log loss", "gap", "gap, log loss", "sd of seeds (reference)", "steps", "CPU s", "MiB"]
    return table(heads, rows)


def pairs_table(lines: list[Line], pairs: Sequence[Mapping[str, str]]) -> list[str]:
    """Each pair of arms that has runs on the same rows; no table where none has."""
    rows = []
    for pair in pairs:
        summary = summarise(paired(lines, pair["arm"], pair["against"], "test_score"))
        loss = summarise(paired(lines, pair["arm"], pair["against"], "test_nll"), 1)
        if summary is not None:
            log_loss = "" if loss is None else _signed(loss.mean, 3)
            rows.append([f"`{pair['arm']}`", f"`{pair['against']}`", *_summary_cells(summary), log_loss])
    heads = ["arm", "against", "sets (pairs)", "score", "95 %", "worst set", "better / worse", "log loss"]
    return [table(heads, rows)] if rows else []


def _reference_row(lines: list[Line]) -> list[str]:
    gap, loss_gap = (mean_over_sets(lines, REFERENCE, column) for column in ("gap_score", "gap_nll"))
    score, f1 = (mean_over_sets(lines, REFERENCE, f"test_{measure}") for measure in ("score", "macro_f1"))
    means = [_number(_times(score)), "", "", "", _number(_times(f1))]
    means += [_number(mean_over_sets(lines, REFERENCE, "test_nll"), 3), _number(_times(gap)), _number(loss_gap, 3), ""]
    runs = by_cell(lines, REFERENCE, "test_score")
    return [
        f"`{REFERENCE}`, itself",
        f"{len({name for name, _ in runs})} ({len(runs)})",
        *means,
        *_cost_cells(lines, REFERENCE),
    ]


def _summary_cells(summary: Summary) -> list[str]:
    name, value = summary.worst
    return [
        f"{summary.sets} ({summary.pairs})",
        _signed(summary.mean),
        _interval(summary.low, summary.high),
        f"`{name}` {_signed(value)}",
        f"{summary.better} / {summary.worse}",
    ]


def _other_cells(lines: list[Line], arm: str) -> list[str]:
    """Differences of what stands beside the score; the gaps are the arm's own."""
    cells = []
    for column, scale, digits in (("test_macro_f1", 100, 1), ("test_nll", 1, 3)):
        summary = summarise(paired(lines, arm, REFERENCE, column), scale)
        cells.append("" if summary is None else _signed(summary.mean, digits))
    gap, loss_gap = (mean_over_sets(lines, arm, column) for column in ("gap_score", "gap_nll"))
    deviations = seed_deviation(paired(lines, arm, REFERENCE, "test_score"))
    spread = "" if deviations is None else f"{100 * deviations[0]:.1f} ({100 * deviations[1]:.1f})"
    return [*cells, _number(_times(gap)), _number(loss_gap, 3), spread]


def _cost_cells(lines: list[Line], arm: str) -> list[str]:
    return [_number(mean_over_sets(lines, arm, column), 0) for column in ("steps", "cpu_seconds", "peak_rss_mib")]


def targets_table(lines: list[Line], targets: Sequence[Mapping[str, Any]]) -> str:
    """What was asked for and what was found; how many sets there are yet says how final that is."""
    rows = []
    for target in targets:
        is_share = target["of"] in ("gap_nll", "seed_sd")
        unit, number = (" %", _number) if is_share else ("", _signed)
        asked = f"≤ {target['most']}" if "most" in target else f"≥ {number(target['least'])}"
        named = [f"`{target['arm']}`", f"`{target['against']}`", f"{target['n']:,}", _OF[target["of"]], asked + unit]
        outcome = judge(select(lines, "confirming", target["n"]), target)
        if outcome is None:
            rows.append([*named, "", "", "", "no runs yet"])
            continue
        verdict = ("met, shown" if outcome.is_shown else "met") if outcome.is_met else "missed"
        found = [number(outcome.value) + unit, _interval(outcome.low, outcome.high), str(outcome.sets)]
        rows.append([*named, *found, verdict])
    return table(["arm", "against", "n", "of", "asked", "found", "95 %", "sets", ""], rows)


_OF = {
    "score": "score, mean difference",
    "worst_set": "score, worst set",
    "gap": "gap of the score, by how much smaller",
    "gap_nll": "gap of the log loss, share that is closed",
    "seed_sd": "standard deviation over seeds, ratio",
}


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _times(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:,.{digits}f}".replace("-", MINUS)


def _signed(value: float, digits: int = 1) -> str:
    return f"{value:+.{digits}f}".replace("-", MINUS)


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{_signed(low)}, {_signed(high)}]"
