"""The first screen of a report: its basis, the recommended preset, how much better it is, and how certain that is."""

from __future__ import annotations

from pathlib import PurePath

from finetune.advice.comparison import verdict_text
from finetune.measurement.units import DASH, count_text, integer_text
from finetune.records.report import Group, Recommendation, VariantReport
from finetune.reports import captions
from finetune.reports.blocks import Card, KeyFigure
from finetune.reports.finals import final_name
from finetune.reports.numbers import difference, mean_of, scale_of, shorten, split_name
from finetune.reports.seed_rounds import seeds_text

SPLITS = ("train", "validation", "test")


def about(group: Group) -> str:
    """Model, data, rows, runs and date in one line; old reports may lack the model."""
    model, data = (group.recipe.get(section) or {} for section in ("model", "data"))
    counts = [(split, group.rows[split]) for split in SPLITS if split in group.rows]
    rows = ", ".join(f"{integer_text(count)} {split_name(split)}" for split, count in counts)
    runs = f"{count_text(len(group.variants), 'preset')} × {seeds_text(group)}"
    runs += f" × {count_text(group.folds, 'fold')}" if group.folds else ""
    known = [(model.get("id"), 2), (data.get("source"), 1)]  # how much of a path tells what it is
    paths = [PurePath(str(name)).parts[-most:] for name, most in known if name]
    names = ["/".join(parts).removeprefix("package:") for parts in paths]
    parts = [*(shorten(name, 60).replace("`", "") for name in names), f"{rows} rows", runs]
    return " · ".join([*parts, *([group.date] if group.date else [])])


def recommendation_card(group: Group, chosen: Recommendation) -> Card:
    """The recommended preset with three key figures, the reason, and the place of the model."""
    variant = next(each for each in group.variants if each.name == chosen.variant)
    reason = captions.sentence(shorten(chosen.reason, 600).rstrip("."))
    kept = f"{DASH} not kept; the command below trains it again"
    entries = [("Model", shorten(chosen.model, 300) if chosen.model else kept), ("It is", _exported(group, chosen))]
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
    label = f"{captions.sentence(group.reported)} {scale.name}"
    return KeyFigure(label, scale.level(None if found is None else found.mean), scale.range(found))


def _change(group: Group, variant: VariantReport) -> KeyFigure:
    if variant.baseline is None:
        return KeyFigure("Against the baseline", DASH, "it is the baseline")
    scale, found = scale_of(group, group.score), difference(variant, group.reported, group.score)
    label = f"Against {shorten(variant.baseline, 40)}"
    return KeyFigure(label, scale.change(None if found is None else found.mean), scale.interval(found))


def _gap(group: Group, variant: VariantReport) -> KeyFigure:
    """From the baseline's to that of the preset."""
    scale = scale_of(group, group.score)
    own = scale.change(mean_of(variant.gap, group.score))
    label = f"Gap of {scale.name}"
    baseline = next((each for each in group.variants if each.name == variant.baseline), None)
    if baseline is None:
        return KeyFigure(label, own, verdict_text(variant.verdict, group.score))
    before = scale.change(mean_of(baseline.gap, group.score), unit=False)
    return KeyFigure(label, f"{before} → {own}", f"from {shorten(baseline.name, 40)}")
