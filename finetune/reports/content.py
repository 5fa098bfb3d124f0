"""The sections of a report, in their order, for every renderer."""

from finetune.records.report import Group, Report
from finetune.reports import captions, tables
from finetune.reports.again import make_again
from finetune.reports.blocks import Block, Bullets, Facts, Plot, Prose, Section
from finetune.reports.figures.curves import curves
from finetune.reports.figures.decomposition import decomposition
from finetune.reports.figures.dumbbell import dumbbell
from finetune.reports.figures.frontier import frontier
from finetune.reports.figures.reliability import reliability
from finetune.reports.figures.weights import weights
from finetune.reports.numbers import DASH, count_text, finished, isolated, scale_of, shorten
from finetune.reports.palette import Palette


def sections(group: Group, palette: Palette) -> list[Section]:
    """Everything that is said about a group."""
    made = [
        Section("answer", "Which preset", _answer(group)),
        Section("presets", "Presets side by side", _presets(group, palette)),
        *([Section("ablation", "What each technique does", [tables.ablation(group)])] if _ablated(group) else []),
        Section("frontier", "Score against gap", _frontier(group, palette)),
        Section("curves", "Learning curves", _curves(group, palette)),
        Section("change", "Where the change came from", _decomposition(group, palette)),
        Section("confidence", "Confidence", _confidence(group, palette)),
        Section("weights", "Weights", _weights(group, palette)),
        Section("classes", "Classes", _classes(group)),
        Section("disagreements", "Disagreements", _disagreements(group)),
        Section("data", "Data", _data(group)),
        Section("again", "Make it again", make_again(group, "Recipe", [tables.techniques(group)])),
        Section("failures", "Failures", _failures(group)),
    ]
    return made


def skipped(report: Report) -> list[str]:
    """Records that could not be read."""
    return [shorten(reason, 400) for reason in report.skipped]


def _ablated(group: Group) -> bool:
    return any(variant.technique is not None for variant in group.variants)


def _answer(group: Group) -> list[Block]:
    blocks: list[Block] = [Prose(shorten(group.headline, 1200), lead=True)]
    taken = group.recommendation
    if taken is None:
        blocks.append(Prose("Recommended: – nothing, because no run carries a recommendation."))
    else:
        name, fold = shorten(taken.variant, 60).replace("`", ""), "" if taken.fold is None else f", fold {taken.fold}"
        reason = captions.sentence(shorten(taken.reason, 600).rstrip("."))
        blocks.append(Prose(f"Recommended: `{name}` (seed {taken.seed}{fold}). {reason}."))
        model = shorten(taken.model, 300) if taken.model else "– was not kept; train it again with the command below"
        entries = [("Rule", shorten(taken.rule, 600)), ("Model", model), ("Run", shorten(taken.run, 300))]
        blocks.append(Facts(entries))
    if group.caveats:
        title = "What the evidence cannot say"
        blocks.append(Bullets([shorten(text, 600) for text in group.caveats], title=title))
    return blocks


def _presets(group: Group, palette: Palette) -> list[Block]:
    table = tables.side_by_side(group)
    title = f"{scale_of(group, group.score).name}: train probe, validation and test of each preset"
    plot = Plot("dumbbell", title, dumbbell(group, palette), table.caption, markdown_only=True)
    shown: list[Block] = [plot] if finished(group) else []
    reasons = [
        f"{captions.name_of(variant)}: {shorten(variant.verdict_reason, 300)}"
        + (f" Against the baseline: {shorten(variant.change_reason, 300)}" if variant.change != "baseline" else "")
        for variant in group.variants
    ]
    return [*shown, table, Bullets(reasons, title="Why these verdicts", folded=True), tables.all_metrics(group)]


def _frontier(group: Group, palette: Palette) -> list[Block]:
    picture = frontier(group, palette)
    if not picture.panels:
        return [Prose("– No run finished with a gap: there is nothing to draw.")]
    return [Plot("frontier", "Score against gap", picture, captions.frontier_caption(group))]


def _curves(group: Group, palette: Palette) -> list[Block]:
    picture = curves(group, palette)
    if not picture.panels:
        return [Prose("– No run finished: there are no curves.")]
    return [Plot("curves", "Learning curves", picture, captions.curves_caption(group))]


def _decomposition(group: Group, palette: Palette) -> list[Block]:
    picture = decomposition(group, palette)
    if not picture.panels:
        return [Prose("– No preset could be compared with a baseline.")]
    title = "Where the change of the gap came from"
    return [Plot("decomposition", title, picture, captions.decomposition_caption(group))]


def _confidence(group: Group, palette: Palette) -> list[Block]:
    picture = reliability(group, palette)
    if not picture.panels:
        why = "no run finished" if not finished(group) else "confidence is measured for single-label tasks only"
        return [Prose(f"– There is nothing to show: {why}.")]
    return [
        Plot("reliability", "Reliability diagrams", picture, captions.reliability_caption(group)),
        tables.confidence(group),
    ]


def _weights(group: Group, palette: Palette) -> list[Block]:
    picture = weights(group, palette)
    if not picture.panels:
        return [Prose("– No weights were recorded.")]
    return [Plot("weights", "Weights", picture, captions.weights_caption(group)), tables.weights(group)]


def _classes(group: Group) -> list[Block]:
    if not any(variant.classes for variant in finished(group)):
        why = "the task is a regression" if group.task == "regression" else "no run finished"
        return [Prose(f"– There are no scores by class: {why}.")]
    return [tables.classes(group)]


def _disagreements(group: Group) -> list[Block]:
    if not group.disagreements:
        return [Prose("– No row on which the presets differ was recorded.")]
    return [tables.disagreements(group)]


def _data(group: Group) -> list[Block]:
    scale = scale_of(group, group.score)
    rows = ", ".join(f"{count} {split.replace('_', ' ')}" for split, count in group.rows.items())
    entries = [("Task", group.task.replace("_", "-")), ("Rows", rows + (" (first fold)" if group.folds else ""))]
    if group.folds:
        entries.append(("Folds", str(group.folds)))
    entries.append(("Columns", ", ".join(f"{key}: {shorten(name, 60)}" for key, name in group.columns.items()) or DASH))
    entries += [
        (f"Classes, {split.replace('_', ' ')}", _class_counts(counts)) for split, counts in group.classes.items()
    ]
    majority = "– not defined for this task" if group.majority is None else f"{100 * group.majority:.1f} %"
    entries.append((f"Most frequent class, {group.reported}", majority))
    known = [f"{split} ± {scale.change(half).lstrip('+')}" for split, half in group.resolvable.items()]
    entries.append(("95 % from the rows alone", ", ".join(known) or "– not known for this score"))
    most = 80 if len(group.fingerprints) == 1 else 16
    entries.append(("Fingerprint", ", ".join(shorten(text, most) for text in group.fingerprints) or DASH))
    blocks: list[Block] = [Facts(entries)]
    if group.findings:
        blocks.append(tables.findings(group))
    for title, texts in (("Warnings", group.warnings), ("Notes", group.notes)):
        if texts:
            blocks.append(Bullets([shorten(text, 500) for text in texts], user=True, title=title))
    return blocks


def _class_counts(counts: dict[str, int]) -> str:
    most = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    words = ", ".join(f"{count} × {isolated(shorten(label, 40))}" for label, count in most[:10])
    return words + (f", and {len(most) - 10} more" if len(most) > 10 else "")


def _failures(group: Group) -> list[Block]:
    runs = [run for variant in group.variants for run in variant.runs]
    if all(run.status == "finished" for run in runs):
        return [Prose(f"None: {count_text(len(runs), 'run')} of {len(runs)} finished.")]
    return [tables.failures(group)]
