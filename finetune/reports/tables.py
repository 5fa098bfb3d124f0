"""The tables of a report. They compute nothing."""

from dataclasses import replace

from finetune.advice.comparison import ablated_parts, verdict_text
from finetune.advice.evidence import adjusted_note
from finetune.measurement.units import (
    DASH,
    Scale,
    count_text,
    integer_text,
    multiple_text,
    number_text,
    percent_text,
    row_text,
    time_text,
)
from finetune.records.report import Difference, Disagreement, Group, Summary, VariantReport
from finetune.records.schema import Baseline
from finetune.reports import captions
from finetune.reports.blocks import Cell, Column, Table
from finetune.reports.captions import sentence
from finetune.reports.numbers import (
    baseline_levels,
    difference,
    finished,
    log_loss_note,
    mean_of,
    scale_of,
    setting_text,
    shorten,
    simple_name,
    why_no_interval,
)

OPEN_CLASSES = 15  # beyond it the easier classes are folded away
GAP_NOTE = (
    "A positive gap means overfitting. The first number is the gap of the selected checkpoint; `final` is the gap of "
    "the last one."
)
SPREAD_NOTE = (
    "± is the standard deviation over runs (– for a single run). Train is a fixed sample of the training rows."
)
FAILURES = ("failed", "did not learn", "underfits")  # verdicts that the gap alone would not show


def first_look(group: Group) -> Table:
    """The dumbbell table: a row per preset with its gap, for the first screen of a page."""
    score = scale_of(group, group.score)
    marks = "●\u00a0train ○\u00a0validation" + (" ┃\u00a0test" if group.reported == "test" else "")
    columns = [
        Column("Preset", numeric=False, sortable=False),
        Column(marks, sortable=False, dumbbell=True),
        Column(f"Gap, {score.unit or score.name}", sortable=False),
        Column(f"{sentence(group.reported)} − baseline", sortable=False, note="95 % interval"),
    ]
    rows = [
        [
            replace(_name(group, variant), detail=variant.verdict if variant.verdict in FAILURES else ""),
            Cell(captions.dumbbell_text(group, variant) if variant.train else DASH, dumbbell=variant.name),
            Cell(score.change(mean_of(variant.gap, group.score), unit=False)),
            _short_difference(difference(variant, group.reported, group.score), score),
        ]
        for variant in group.variants
    ]
    return Table(captions.dumbbell_caption(group), columns, rows, page_only=True)


def _short_difference(found: Difference | None, scale: Scale) -> Cell:
    return Cell(scale.change(None if found is None else found.mean, unit=False), scale.interval(found))


def side_by_side(group: Group) -> Table:
    """Verdicts, differences, gaps and scores: a row per preset, also for those that failed."""
    score, loss = scale_of(group, group.score), scale_of(group, group.loss)
    columns = [
        Column("Preset", numeric=False),
        Column("Verdict", numeric=False, look="verdict"),
        Column(f"{sentence(group.reported)} − baseline", note="95 % interval"),
        Column(f"Gap, {score.unit or score.name}", note="selected, final"),
        Column(_gap_title(loss), note="selected, final"),
        *(Column(f"{sentence(split)}, {score.level_unit or score.name}") for split in group.splits),
        *([Column("ECE", note=group.reported)] if _has(group, "ece") else []),
        Column("Training time", note="declared, measured"),
    ]
    rows = [_side_by_side_row(group, variant, score, loss) for variant in group.variants]
    rows += [_baseline_row(group, baseline, score, loss) for baseline in group.baselines]
    marked = next((i for i, variant in enumerate(group.variants) if variant.name == group.baseline), None)
    caption = captions.presets_caption(group)
    notes = [SPREAD_NOTE, GAP_NOTE, log_loss_note(group.loss)]
    notes += [f"{sentence(simple_name(baseline))}: {baseline.about}." for baseline in group.baselines]
    return Table(caption, columns, rows, marked=marked, notes=[note for note in notes if note], as_cards=True)


def _gap_title(scale: Scale) -> str:
    """`Log loss gap, nats`."""
    return f"{sentence(scale.name)} gap" + (f", {scale.unit}" if scale.unit else "")


def _has(group: Group, metric: str) -> bool:
    return any(metric in group.reported_scores(variant) for variant in group.variants)


def _side_by_side_row(group: Group, variant: VariantReport, score: Scale, loss: Scale) -> list[Cell]:
    levels = [getattr(variant, split).get(group.score) for split in group.splits]
    verdict = verdict_text(variant.verdict, group.score)
    cells = [
        _name(group, variant),
        Cell(verdict, _change(variant), verdict),
        _difference(variant, difference(variant, group.reported, group.score), score),
        _gap(variant, score),
        _gap(variant, loss),
        *(_spread(score, level) for level in levels),
    ]
    if _has(group, "ece"):
        ece = mean_of(group.reported_scores(variant), "ece")
        cells.append(Cell(number_text(ece, 3), sort=ece))
    measured = multiple_text(variant.seconds_ratio, 1)
    return [*cells, Cell(multiple_text(variant.cost), measured, variant.cost)]


def _spread(scale: Scale, summary: Summary | None) -> Cell:
    """Mean ± standard deviation."""
    mean, sd = (summary.mean, summary.sd) if summary else (None, None)
    return Cell(scale.spread(mean, sd), sort=mean)


def _baseline_row(group: Group, baseline: Baseline, score: Scale, loss: Scale) -> list[Cell]:
    """A simple model on the same rows: what a fine-tuned one has to beat."""
    levels = baseline_levels(group, baseline)
    gaps = [baseline.gap.get(metric) for metric in (group.score, group.loss)]
    ece = baseline.scores.get(group.reported, {}).get("ece")
    return [
        Cell(simple_name(baseline), "not a neural network", baseline.name),
        Cell(DASH),
        Cell(DASH),
        *(Cell(scale.change(gap, unit=False), sort=gap) for scale, gap in zip((score, loss), gaps, strict=True)),
        *(Cell(score.level(level, unit=False), sort=level) for level in levels),
        *([Cell(number_text(ece, 3), sort=ece)] if _has(group, "ece") else []),
        Cell(DASH),
    ]


def _change(variant: VariantReport) -> str:
    return "" if variant.change == variant.verdict else variant.change


def _name(group: Group, variant: VariantReport) -> Cell:
    """The name, the number of runs, and what happened to those that are missing."""
    runs, done = len(variant.runs), sum(run.status == "finished" for run in variant.runs)
    detail = count_text(runs, "run") if done == runs else f"{done} of {count_text(runs, 'run')} finished"
    if variant.degenerate:
        detail += f", {variant.degenerate} did not learn"
    if variant.name == group.baseline:
        detail = f"baseline\n{detail}"
    return Cell(shorten(variant.name, 60), detail, shorten(variant.name, 60), user=True, variant=variant.name)


def _gap(variant: VariantReport, scale: Scale) -> Cell:
    selected, last = mean_of(variant.gap, scale.metric), mean_of(variant.gap_last, scale.metric)
    if selected is None and last is None:
        return Cell(DASH)
    return Cell(scale.change(selected, unit=False), f"final {scale.change(last, unit=False)}", selected)


def _difference(variant: VariantReport, change: Difference | None, scale: Scale, seeds: bool = True) -> Cell:
    """The mean with its interval below; without an interval, why."""
    if variant.baseline is None:
        return Cell(DASH, "baseline")
    if change is None or change.mean is None:
        return Cell(DASH, why_no_interval(variant) if variant.train else "no finished run")
    detail = scale.interval(change) or why_no_interval(variant)
    if note := adjusted_note(change):
        detail += f"\nnot significant:\n{note}"
    if seeds and change.seeds_needed is not None and not change.distinguishable:
        detail += f"\n≈ {count_text(change.seeds_needed, 'seed')} needed"
    return Cell(scale.change(change.mean, unit=False), detail, change.mean)


def all_metrics(group: Group) -> Table:
    """Every metric of every preset."""
    columns = [Column("Preset", numeric=False), Column("Metric", numeric=False)]
    columns += [Column(sentence(split)) for split in group.splits]
    columns += [Column("Gap", note="selected, 95 % interval"), Column("Gap", note="final")]
    columns.append(Column(f"{sentence(group.reported)} − baseline"))
    rows = []
    for variant in finished(group):
        for metric in dict.fromkeys((group.score, group.loss, *group.metrics)):
            if metric in variant.train or metric in variant.validation:
                rows.append(_metric_row(group, variant, scale_of(group, metric)))
    fractions = any(unit.kind == "fraction" for unit in group.metrics.values())
    caption = "All metrics." + (" Fractions are in percent, their differences in points." if fractions else "")
    return Table(caption, columns, rows, open_rows=0)


def _metric_row(group: Group, variant: VariantReport, scale: Scale) -> list[Cell]:
    name = shorten(variant.name, 60)
    levels = [getattr(variant, split).get(scale.metric) for split in group.splits]
    gap, last = variant.gap.get(scale.metric), mean_of(variant.gap_last, scale.metric)
    mean = gap.mean if gap else None
    return [
        Cell(name, sort=name, user=True, variant=variant.name),
        Cell(scale.title, sort=scale.title, user=True),
        *(_spread(scale, level) for level in levels),
        Cell(scale.change(mean, unit=False), scale.interval(gap), mean),
        Cell(scale.change(last, unit=False), sort=last),
        _difference(variant, difference(variant, group.reported, scale.metric), scale, seeds=False),
    ]


def ablation(group: Group) -> Table:
    """The effect of leaving a technique out of the preset, and of using it on its own."""
    score, loss = scale_of(group, group.score), scale_of(group, group.loss)
    kinds = (
        (group.reported, score, f"{group.reported} {score.change_title}"),
        ("gap", score, f"gap, {score.unit or score.name}"),
        ("gap", loss, f"{loss.name} gap" + (f", {loss.unit}" if loss.unit else "")),
    )
    columns = [Column("Technique", numeric=False)]
    columns += [Column(f"{way}: {title}") for way in ("Without it", "On its own") for *_, title in kinds]
    rows = []
    for technique, parts in ablated_parts(group).items():
        name = shorten(technique, 60)
        cells = [Cell(name, sort=name, user=True)]
        for variant in parts:
            cells += [
                Cell(DASH, "not run")
                if variant is None
                else _difference(variant, difference(variant, of, scale.metric), scale, seeds=False)
                for of, scale, _ in kinds
            ]
        rows.append(cells)
    return Table(captions.ablation_caption(group), columns, rows)


def confidence(group: Group) -> Table:
    """ECE and temperature."""
    columns = [Column("Preset", numeric=False)]
    columns += [Column(f"ECE, {split}") for split in group.splits] + [Column("Temperature")]
    rows = []
    for variant in finished(group):
        levels = [getattr(variant, split).get("ece") for split in group.splits]
        scale, warm = scale_of(group, "ece"), variant.temperature
        rows.append(
            [
                Cell(shorten(variant.name, 60), sort=shorten(variant.name, 60), user=True, variant=variant.name),
                *(_spread(scale, level) for level in levels),
                _temperature(warm.mean if warm else None, warm.sd if warm else None),
            ]
        )
    note = "Temperature is fitted on validation: 1 means calibrated, more than 1 overconfident."
    return Table("Expected calibration error (ECE; 0 is best) and temperature.", columns, rows, notes=[note])


def _temperature(mean: float | None, sd: float | None) -> Cell:
    return Cell(DASH if mean is None else f"{mean:.2f} ± {number_text(sd, 2)}", sort=mean)


def weights(group: Group) -> Table:
    """Norm, distance and exact zeros of encoder and head."""
    columns = [Column("Preset", numeric=False), Column("Part", numeric=False), Column("Weights")]
    columns += [Column("Norm"), Column("Distance from pretrained"), Column("Exact zeros")]
    rows = []
    for variant in finished(group):
        for part in ("encoder", "head"):
            if part in variant.weights:
                weights_of_part, name = variant.weights[part], shorten(variant.name, 60)
                new = "new: no pretrained weights" if weights_of_part.distance is None else ""
                rows.append(
                    [
                        Cell(name, sort=name, user=True, variant=variant.name),
                        Cell(part, sort=part),
                        Cell(integer_text(weights_of_part.parameters), sort=weights_of_part.parameters),
                        Cell(number_text(weights_of_part.norm, 2), sort=weights_of_part.norm),
                        Cell(number_text(weights_of_part.distance, 2), new, weights_of_part.distance),
                        Cell(percent_text(weights_of_part.zero_share, 2), sort=weights_of_part.zero_share),
                    ]
                )
    return Table("Weights after training, means over runs.", columns, rows)


def classes(group: Group) -> Table:
    """F1 per class, the baseline's lowest first."""
    shown = [variant for variant in finished(group) if variant.classes]
    columns = [Column("Class", numeric=False), Column("Rows")]
    columns += [Column(shorten(variant.name, 40)) for variant in shown]
    by_variant = [{entry.label: entry for entry in variant.classes} for variant in shown]
    leader = next(
        (entry for v, entry in zip(shown, by_variant, strict=True) if v.name == group.baseline), by_variant[0]
    )
    order = sorted(leader.values(), key=lambda entry: (entry.f1.mean is None, entry.f1.mean or 0, entry.label))
    f1 = scale_of(group, "macro_f1")
    rows = []
    for of in order:
        label = shorten(of.label, 60)
        cells = [Cell(label, sort=label, user=True), Cell(str(of.support), sort=of.support)]
        for entries in by_variant:
            entry = entries.get(of.label)
            change = entry.difference if entry else None
            detail = "" if change is None or change.mean is None else f1.change(change.mean, unit=False)
            cells.append(replace(_spread(f1, entry.f1 if entry else None), detail=detail))
        rows.append(cells)
    note = "Second line: difference to the baseline of the preset, in points." if f1.fraction else ""
    fold = OPEN_CLASSES if len(rows) > OPEN_CLASSES else None
    return Table(captions.classes_caption(group), columns, rows, fold, notes=[note] if note else [])


def disagreements(group: Group) -> Table:
    """Predictions of each preset on the rows where they disagree most."""
    labelled = group.task != "regression"
    shown = [v for v in finished(group) if any(v.name in row.answers for row in group.disagreements)]
    columns = [
        Column("Row"),
        long_column("Text"),
        Column("True label" if labelled else "Target", numeric=False, look="word"),
    ]
    columns += [Column(shorten(variant.name, 40), numeric=False, look="word") for variant in shown]
    rows = [_disagreement(row, [variant.name for variant in shown], group) for row in group.disagreements]
    return Table(captions.disagreements_caption(group), columns, rows, as_cards=True)


def _disagreement(row: Disagreement, shown: list[str], group: Group) -> list[Cell]:
    text = shorten(row.text, 140) if row.text is not None else "– texts were not kept"
    pair = shorten(row.pair, 140) if row.pair is not None else ""
    name = row_text(row.row, row.id)
    number = name if row.fold is None else f"{name}, fold {row.fold}"
    target = shorten(row.target, 40)
    cells = [Cell(shorten(number, 60), sort=_number(row.row), user=True), Cell(text, pair, user=True)]
    cells.append(Cell(target, sort=target, user=True))
    for name in shown:
        right = row.right.get(name)
        detail = f"error {number_text(right, 3)}" if group.task == "regression" else f"{percent_text(right)} correct"
        prediction = shorten(row.answers.get(name, DASH), 40)
        cells.append(Cell(prediction, "" if right is None else detail, right, user=True))
    return cells


def _number(text: str) -> float | str:
    return float(text) if text.isdecimal() else text


def failures(group: Group) -> Table:
    """Every run that did not finish."""
    columns = [Column("Preset", numeric=False), Column("Seed"), Column("Status", numeric=False)]
    columns += [long_column("Reason"), Column("Folder", numeric=False, sortable=False)]
    rows = []
    for variant in group.variants:
        for run in variant.runs:
            if run.status != "finished":
                seed = str(run.seed) if run.fold is None else f"{run.seed}, fold {run.fold}"
                rows.append(
                    [
                        Cell(shorten(variant.name, 60), sort=variant.name[:60], user=True, variant=variant.name),
                        Cell(seed, sort=run.seed),
                        Cell(shorten(run.status, 20), sort=run.status[:20], user=True),
                        Cell(shorten(run.error, 300) if run.error else "– no reason was recorded", user=True),
                        Cell(shorten(run.folder, 120), user=True),
                    ]
                )
    return Table(f"{count_text(len(rows), 'run')} did not finish.", columns, rows)


def techniques(group: Group) -> Table:
    """What each preset consists of."""
    columns = [Column("Preset", numeric=False, sortable=False), long_column("Techniques")]
    columns += [Column("Time per run", sortable=False)]
    rows = []
    for variant in group.variants:
        words = "; ".join(f"{name} ({_settings(settings)})" for name, settings in variant.techniques.items())
        cells = [Cell(shorten(variant.name, 60), user=True, variant=variant.name)]
        seconds = Cell(time_text(variant.seconds))
        rows.append([*cells, Cell(shorten(words, 600) or "none", user=True), seconds])
    return Table("Techniques of each preset, with the settings of these runs.", columns, rows)


def _settings(settings: object) -> str:
    if not isinstance(settings, dict):
        return str(settings)
    return ", ".join(f"{key} {setting_text(value)}" for key, value in settings.items() if value is not None)


def long_column(title: str) -> Column:
    """A column for sentences or texts."""
    return Column(title, numeric=False, sortable=False, look="long")
