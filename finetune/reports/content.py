"""The sections of a report, in their order, for every renderer."""

from collections.abc import Sequence

from finetune.measurement.units import DASH, count_text, percent_text
from finetune.records.report import Group, Report
from finetune.reports import captions, data_tables, tables
from finetune.reports.blocks import Block, Bullets, Facts, Page, Plot, Prose, Section
from finetune.reports.confusion import confusion_tables
from finetune.reports.explained import explained_table
from finetune.reports.figures.cost import cost
from finetune.reports.figures.curves import curves
from finetune.reports.figures.decomposition import decomposition
from finetune.reports.figures.dumbbell import dumbbell
from finetune.reports.figures.frontier import frontier
from finetune.reports.figures.reliability import reliability
from finetune.reports.figures.weights import weights
from finetune.reports.finals import final_blocks
from finetune.reports.numbers import finished, isolated, scale_of, shorten, skipped, split_name
from finetune.reports.palette import Palette
from finetune.reports.rate_choice import choices_table
from finetune.reports.recommendation import about, caveat_blocks, recommendation_card
from finetune.reports.reproduce import reproduce
from finetune.reports.seed_rounds import seeds_blocks, seeds_text

CHANGE = "What closed the gap: lower train or higher validation"


def page(report: Report) -> Page:
    """The whole report; nothing else is read."""
    palette = Palette.of(report)
    parts = [(f"g{number}", group, sections(group, palette)) for number, group in enumerate(report.groups, 1)]
    return Page(shorten(report.title, 160) or "Comparison", parts, skipped(report), palette)


def sections(group: Group, palette: Palette) -> list[Section]:
    """All sections on a group."""
    return [
        Section("answer", answer_title(group), answer(group)),
        *final_section(group),
        Section("presets", "Presets side by side", presets(group, palette)),
        *([Section("seeds", "Seeds", seeds_blocks(group, rule))] if (rule := group.seed_rule) is not None else []),
        *([Section("ablation", "Effect of each technique", [tables.ablation(group)])] if _ablated(group) else []),
        Section("frontier", "Score against generalization gap", frontier_blocks(group, palette)),
        Section("cost", "Score against training time", _cost(group, palette)),
        Section("curves", "Learning curves", curve_blocks(group, palette)),
        *([Section("rates", "Learning rates", [rates])] if (rates := choices_table(group)) is not None else []),
        Section("change", CHANGE, _decomposition(group, palette)),
        Section("confidence", "Calibration", _confidence(group, palette)),
        Section("weights", "Weights", _weights(group, palette)),
        Section("classes", "Classes", _classes(group)),
        Section("disagreements", "Disagreements", _disagreements(group)),
        Section("data", "Data", _data(group)),
        Section("reproduce", "Reproduce", reproduce(group, "Recipe", [tables.techniques(group)])),
        Section("failures", "Failures", _failures(group)),
    ]


def final_section(group: Group) -> list[Section]:
    """The model that a comparison ends with; an ablation ends with none."""
    return [] if group.kind == "ablate" else [Section("final", "Final model", final_blocks(group))]


def _ablated(group: Group) -> bool:
    return any(variant.technique is not None for variant in group.variants)


def answer_title(group: Group) -> str:
    """An ablation explains a preset, and recommends none."""
    return "Result" if group.kind == "ablate" else "Recommendation"


def answer(group: Group) -> list[Block]:
    """The recommended preset with its key figures, all presets at a glance, and the caveats; for an ablation, which
    recommends none, the headline and the caveats."""
    headline = shorten(group.headline, 1200)
    variants = count_text(len(group.variants), "variant" if group.kind == "ablate" else "preset")
    folds = [count_text(group.folds, "fold")] if group.folds else []
    runs = about(group, variants, seeds_text(group), *folds)
    blocks: list[Block] = [Prose(runs, quiet=True)]
    if group.kind == "ablate":
        blocks.append(Prose(headline, lead=True))
        return [*blocks, *caveat_blocks(group.caveats)]
    if group.recommendation is None:
        why = "no preset has a finished run with a defined score and gap"
        blocks.append(Prose(f"Recommended: – none, because {why}."))
    else:
        blocks.append(recommendation_card(group, group.recommendation))
    if finished(group):
        blocks.append(tables.first_look(group))
    blocks += [*caveat_blocks(group.caveats), Prose(headline)]
    if group.recommendation is not None:
        chosen = group.recommendation
        blocks.append(Facts([("Rule", shorten(chosen.rule, 600)), ("Run", shorten(chosen.run, 300))]))
    return blocks


def presets(group: Group, palette: Palette) -> list[Block]:
    """The table of presets, with the reasons for their verdicts and all metrics folded away."""
    table = tables.side_by_side(group)
    title = f"{captions.sentence(scale_of(group, group.score).name)} of each preset: train (sample), validation, test"
    plot = Plot("dumbbell", title, dumbbell(group, palette), captions.dumbbell_caption(group), markdown_only=True)
    shown: list[Block] = [plot] if finished(group) else []
    reasons = [
        f"{captions.name_of(variant)}: {shorten(variant.verdict_reason, 300)}."
        + (f" Compared with the baseline: {shorten(variant.change_reason, 300)}." if variant.baseline else "")
        for variant in group.variants
    ]
    return [
        *shown,
        table,
        *_made_of(group),
        *_decisions(group),
        Bullets(reasons, title="Reasons for the verdicts", folded=True),
        tables.all_metrics(group),
    ]


def _made_of(group: Group) -> list[Block]:
    """The meaning of user-defined names."""
    texts = [shorten(captions.made_of(variant), 500) for variant in group.variants if variant.settings]
    return [Bullets(texts, user=True, title="Variants")] if texts else []


def _decisions(group: Group) -> list[Block]:
    """What presets chose by the data, and why; each text once, for variants of an ablation share them."""
    texts = [decision.text for variant in group.variants for decision in variant.decisions]
    return [decisions(list(dict.fromkeys(texts)))] if texts else []


def decisions(texts: Sequence[str]) -> Block:
    """A list of decisions, of a comparison or of a curve."""
    return Bullets([shorten(text, 900) for text in texts], user=True, title="Chosen by the data, by rules")


def frontier_blocks(group: Group, palette: Palette) -> list[Block]:
    """Score against gap."""
    picture = frontier(group, palette)
    if not picture.panels:
        return [Prose("– No finished run has a gap, so there is nothing to draw.")]
    return [Plot("frontier", "Score against generalization gap", picture, captions.frontier_caption(group))]


def _cost(group: Group, palette: Palette) -> list[Block]:
    picture = cost(group, palette)
    if not picture.panels:
        return [Prose("– Fewer than two presets have a score and a measured training time.")]
    return [Plot("cost", "Score against training time", picture, captions.cost_caption(group))]


def curve_blocks(group: Group, palette: Palette) -> list[Block]:
    """The learning curves of each preset."""
    picture = curves(group, palette)
    if not picture.panels:
        return [Prose("– No run finished, so there are no curves.")]
    return [Plot("curves", "Learning curves", picture, captions.curves_caption(group))]


def _decomposition(group: Group, palette: Palette) -> list[Block]:
    picture = decomposition(group, palette)
    if not picture.panels:
        return [Prose("– No preset can be compared with a baseline.")]
    return [Plot("decomposition", CHANGE, picture, captions.decomposition_caption(group))]


def _confidence(group: Group, palette: Palette) -> list[Block]:
    picture = reliability(group, palette)
    if not picture.panels:
        single = "calibration is measured for single-label tasks only"
        few = f"a bin needs at least 30 rows, and {group.reported} has {group.rows.get(group.reported, 0)}"
        why = "no run finished" if not finished(group) else few if group.task == "single_label" else single
        return [Prose(f"– There is nothing to show: {why}.")]
    return [
        Plot("reliability", "Reliability diagrams", picture, captions.reliability_caption(group)),
        tables.confidence(group),
    ]


def _weights(group: Group, palette: Palette) -> list[Block]:
    picture = weights(group, palette)
    if not picture.panels:
        return [Prose("– No weights were recorded.")]
    plot = Plot("weights", "Weights", picture, captions.weights_caption(group))
    return [plot, tables.weights(group), *_outcomes(group)]


def _outcomes(group: Group) -> list[Block]:
    """What each technique did, in its own words."""
    texts = [shorten(f"{variant.name}: {text}", 300) for variant in group.variants for text in variant.outcomes]
    return [Bullets(texts, user=True, title="What each technique did (first finished run)")] if texts else []


def _classes(group: Group) -> list[Block]:
    if not any(variant.classes for variant in finished(group)):
        why = "the task is a regression" if group.task == "regression" else "no run finished"
        return [Prose(f"– There are no scores per class: {why}.")]
    return [tables.classes(group), *confusion_tables(group)]


def _disagreements(group: Group) -> list[Block]:
    if not group.disagreements:
        return [Prose("– No rows on which the presets disagree were recorded.")]
    explained = explained_table(group)
    return [tables.disagreements(group), *([] if explained is None else [explained])]


def _data(group: Group) -> list[Block]:
    scale = scale_of(group, group.score)
    rows = ", ".join(f"{split_name(split)} {count:,}" for split, count in group.rows.items())
    entries = [("Task", group.task.replace("_", "-")), ("Rows", rows + (" (first fold)" if group.folds else ""))]
    if group.folds:
        entries.append(("Folds", str(group.folds)))
    entries.append(
        ("Columns", ", ".join(f"{key} = {shorten(name, 60)}" for key, name in group.columns.items()) or DASH)
    )
    entries += [(f"Classes, {split_name(split)}", _class_counts(counts)) for split, counts in group.classes.items()]
    majority = "– not defined for this task" if group.majority is None else percent_text(group.majority, 1)
    entries.append((f"Most frequent class, {group.reported}", majority))
    intervals = [f"{split} ±{scale.amount(half)}" for split, half in group.resolvable.items()]
    entries.append(("95 % CI of one model's score", ", ".join(intervals) or "– not known for this score"))
    most = 80 if len(group.fingerprints) == 1 else 16
    entries.append(("Fingerprint", ", ".join(shorten(text, most) for text in group.fingerprints) or DASH))
    blocks: list[Block] = [Facts(entries)]
    if group.findings:
        caption = "Findings of the data checks" + (" (first fold)." if group.folds else ".")
        blocks.append(data_tables.findings(group.findings, caption))
    for title, texts in (("Warnings", group.warnings), ("Notes", group.notes)):
        if texts:
            blocks.append(Bullets([shorten(text, 500) for text in texts], user=True, title=title))
    return blocks


def _class_counts(counts: dict[str, int]) -> str:
    most = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    words = ", ".join(f"{isolated(shorten(label, 40))} {count:,}" for label, count in most[:10])
    return words + (f", and {len(most) - 10} more" if len(most) > 10 else "")


def _failures(group: Group) -> list[Block]:
    runs = [run for variant in group.variants for run in variant.runs]
    if all(run.status == "finished" for run in runs):
        return [Prose(f"None: {'the run' if len(runs) == 1 else f'all {len(runs)} runs'} finished.")]
    return [tables.failures(group)]
