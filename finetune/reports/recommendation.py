"""The first screen of a report: its basis, the recommended preset, how much better it is, and how certain that is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from finetune.advice.comparison import verdict_text
from finetune.advice.evidence import adjusted_note
from finetune.measurement.units import DASH, count_text, integer_text
from finetune.records.frame import ReportFrame
from finetune.records.report import Difference, Group, Recommendation, VariantReport
from finetune.reports import captions
from finetune.reports.blocks import Block, Bullets, Card, KeyFigure, Prose
from finetune.reports.finals import final_name
from finetune.reports.numbers import difference, mean_of, scale_of, shorten, split_name, why_no_interval

SPLITS = ("train", "validation", "test")


def about(report: ReportFrame, *compared: str) -> str:
    """Model, data, rows, what is compared (`4 presets`, `3 seeds`) and date in one line. Old reports lack the model."""
    model, data = (report.recipe.get(section) or {} for section in ("model", "data"))
    counts = [(split, report.rows[split]) for split in SPLITS if split in report.rows]
    rows = ", ".join(f"{integer_text(count)} {split_name(split)}" for split, count in counts)
    known = [("Model", model.get("id"), 2), ("data", data.get("source"), 1)]  # how much of a path tells what it is
    names = [
        f"{kind} {shorten('/'.join(PurePath(str(name)).parts[-most:]).removeprefix('package:'), 60).replace('`', '')}"
        for kind, name, most in known
        if name
    ]
    return " · ".join([*names, f"{rows} rows", " × ".join(compared), *([report.date] if report.date else [])])


def caveat_blocks(caveats: Sequence[str]) -> list[Block]:
    """The first caveat, and the others folded away."""
    texts = [shorten(text, 600) for text in caveats]
    first: list[Block] = [Prose(f"Caveat: {text}") for text in texts[:1]]
    more = count_text(len(texts) - 1, "more caveat")
    return [*first, Bullets(texts[1:], title=more, folded=True)] if len(texts) > 1 else first


def recommendation_card(group: Group, chosen: Recommendation) -> Card:
    """The recommended preset with three key figures, the reason, and the place of the model."""
    variant = next(each for each in group.variants if each.name == chosen.variant)
    reason = captions.sentence(shorten(chosen.reason, 600).rstrip("."))
    kept = f"{DASH} not kept; the command below trains it again"
    entries = [("Model folder", shorten(chosen.model, 300) if chosen.model else kept)]
    entries.append(("Final model", _exported(group, chosen)))
    title = f"Recommended: {captions.quoted(chosen.variant)}"
    return Card(title, [_score(group, variant), _change(group, variant), _gap(group, variant)], f"{reason}.", entries)


def _exported(group: Group, chosen: Recommendation) -> str:
    """Which model the comparison ends with. The key figures are means over seeds, so one that was made after the runs
    is told with a score of its own."""
    final = chosen.final
    if final is None or final.kind == "best":
        fold = "" if chosen.fold is None else f", fold {chosen.fold}"
        return f"seed {chosen.seed}{fold}, the best on validation"
    made = next(each for each in final.candidates if each.kind == final.kind)
    scale, found = scale_of(group, group.score), getattr(made, group.reported).get(group.score)
    own = "" if found is None else f"; {split_name(group.reported)} {scale.name} {scale.level(found.value)}"
    about = shorten(made.about, 200)
    return f"the {final_name(final.kind)}: {about}{own} {scale.range(found)}".rstrip()


def _score(group: Group, variant: VariantReport) -> KeyFigure:
    scale, found = scale_of(group, group.score), group.reported_scores(variant).get(group.score)
    runs = sum(run.status == "finished" for run in variant.runs)
    mean = f"mean of {count_text(runs, 'run')}" if runs > 1 else "one run"
    label = f"{captions.sentence(group.reported)} {scale.name}"
    level = scale.level(None if found is None else found.mean)
    return KeyFigure(label, level, _lines(_interval(scale.range(found)), mean))


def _change(group: Group, variant: VariantReport) -> KeyFigure:
    if variant.baseline is None:
        return KeyFigure("Difference to the baseline", DASH, "it is the baseline")
    scale, found = scale_of(group, group.score), difference(variant, group.reported, group.score)
    interval = _interval(scale.interval(found)) or why_no_interval(variant)
    label = f"Difference to {shorten(variant.baseline, 40)}"
    return KeyFigure(label, scale.change(None if found is None else found.mean), _lines(interval, _significance(found)))


def _gap(group: Group, variant: VariantReport) -> KeyFigure:
    """From the baseline's to that of the preset."""
    scale = scale_of(group, group.score)
    own = scale.change(mean_of(variant.gap, group.score))
    label = f"{captions.sentence(scale.name)} gap"
    baseline = next((each for each in group.variants if each.name == variant.baseline), None)
    if baseline is None:
        interval = _interval(scale.interval(variant.gap.get(group.score)))
        return KeyFigure(label, own, _lines(interval, verdict_text(variant.verdict, group.score)))
    before = scale.change(mean_of(baseline.gap, group.score), unit=False)
    found = difference(variant, "gap", group.score)
    change = "" if found is None else f"difference {scale.change(found.mean, unit=False)} {scale.interval(found)}"
    evidence = ", ".join(filter(None, (change.rstrip(), _significance(found))))
    presets = f"{shorten(baseline.name, 40)} → {shorten(variant.name, 40)}"
    return KeyFigure(label, f"{before} → {own}", _lines(presets, evidence))


def _interval(text: str) -> str:
    return f"95 % CI {text}" if text else ""


def _significance(found: Difference | None) -> str:
    if found is None or found.distinguishable is None:
        return ""
    if found.distinguishable:
        return "significant"
    return ", ".join(filter(None, ("not significant", adjusted_note(found))))


def _lines(*texts: str) -> str:
    return "\n".join(filter(None, texts))
