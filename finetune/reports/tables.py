"""The tables of a report, from its figures. They compute nothing."""

from finetune.records.report import Difference, Disagreement, Group, VariantReport
from finetune.records.schema import Baseline
from finetune.reports import captions
from finetune.reports.blocks import Cell, Column, Table
from finetune.reports.numbers import (
    DASH,
    Scale,
    count_text,
    difference,
    finished,
    mean_of,
    number_text,
    reported,
    scale_of,
    shorten,
    simple_name,
    time_text,
    why_no_interval,
)

OPEN_CLASSES = 15  # beyond it the easier classes are folded away
GAP_NOTE = "A gap above zero overfits; `end` is the gap at the end of training, so what was memorised."
SPREAD_NOTE = "± is the standard deviation over runs; one run has none (–)."


def side_by_side(group: Group) -> Table:
    """The dumbbell table: a row a preset, also for those that failed."""
    score, loss = scale_of(group, group.score), scale_of(group, group.loss)
    unit = "%" if score.share else score.name
    columns = [
        Column("preset", numeric=False),
        Column(
            "●\u00a0train ○\u00a0validation" + (" ┃\u00a0test" if group.reported == "test" else ""),
            sortable=False,
            dumbbell=True,
        ),
        Column("verdict", numeric=False, look="verdict"),
        Column(f"{group.reported} − baseline", note="95 % interval"),
        Column(f"gap, {score.change_unit or score.name}", note="ships, then end"),
        Column(f"{loss.name} gap" + (f", {loss.change_unit}" if loss.change_unit else ""), note="ships, then end"),
        *(Column(f"{split}, {unit}") for split in _splits(group)),
        *([Column("ECE", note=group.reported)] if _has(group, "ece") else []),
        Column("cost, ×", note="declared, measured"),
    ]
    rows = [_side_by_side_row(group, variant, score, loss) for variant in group.variants]
    rows += [_baseline_row(group, baseline, score, loss) for baseline in group.baselines]
    marked = next((i for i, variant in enumerate(group.variants) if variant.name == group.baseline), None)
    caption = captions.dumbbell_caption(group)
    simple = [f"{simple_name(baseline)}: {baseline.about}." for baseline in group.baselines]
    return Table(caption, columns, rows, marked=marked, notes=[SPREAD_NOTE, GAP_NOTE, *simple])


def _splits(group: Group) -> tuple[str, ...]:
    return ("train", "validation", "test") if group.reported == "test" else ("train", "validation")


def _has(group: Group, metric: str) -> bool:
    return any(metric in reported(group, variant) for variant in group.variants)


def _side_by_side_row(group: Group, variant: VariantReport, score: Scale, loss: Scale) -> list[Cell]:
    levels = [getattr(variant, split).get(group.score) for split in _splits(group)]
    cells = [
        _name(group, variant),
        Cell(captions.dumbbell_text(group, variant) if variant.train else DASH, dumbbell=variant.name),
        Cell(variant.verdict, _change(variant), variant.verdict),
        _difference(variant, difference(variant, group.reported, group.score), score),
        _gap(variant, score),
        _gap(variant, loss),
        *(Cell(score.spread(level), sort=level.mean if level else None) for level in levels),
    ]
    if _has(group, "ece"):
        ece = mean_of(reported(group, variant), "ece")
        cells.append(Cell(number_text(ece, 3), sort=ece))
    cost = Cell(
        number_text(variant.cost, 2),
        number_text(variant.seconds_ratio, 2),
        variant.cost,
    )
    return [*cells, cost]


def _baseline_row(group: Group, baseline: Baseline, score: Scale, loss: Scale) -> list[Cell]:
    """A simple model on the same rows: what a fine-tuned one has to beat."""
    splits = ["train_probe" if split == "train" else split for split in _splits(group)]
    levels = [baseline.scores.get(split, {}).get(group.score) for split in splits]
    gaps = [baseline.gap.get(metric) for metric in (group.score, group.loss)]
    ece = baseline.scores.get(group.reported, {}).get("ece")
    return [
        Cell(simple_name(baseline), "no neural network", baseline.name),
        Cell(DASH),
        Cell(DASH),
        Cell(DASH),
        *(Cell(scale.change(gap, unit=False), sort=gap) for scale, gap in zip((score, loss), gaps, strict=True)),
        *(Cell(score.level(level, unit=False), sort=level) for level in levels),
        *([Cell(number_text(ece, 3), sort=ece)] if _has(group, "ece") else []),
        Cell(DASH),
    ]


def findings(group: Group) -> Table:
    """What the checks of the data found, the worst first."""
    order = {"problem": 0, "warning": 1, "info": 2}
    columns = [Column("level", numeric=False), Column("check", numeric=False), _long("found"), _long("what to do")]
    rows = [
        [
            Cell(found.level, sort=order[found.level]),
            Cell(found.check.replace("_", " "), sort=found.check),
            Cell(shorten(found.text, 400), shorten("; ".join(found.examples), 400), user=True),
            Cell(shorten(found.advice, 300) or DASH, user=True),
        ]
        for found in sorted(group.findings, key=lambda found: order[found.level])
    ]
    title = "What the checks of the data found" + (" (first fold)" if group.folds else "")
    return Table(title, columns, rows)


def _change(variant: VariantReport) -> str:
    return "" if variant.change == variant.verdict else variant.change


def _name(group: Group, variant: VariantReport) -> Cell:
    """The name, the number of runs, and what happened to those that are missing."""
    runs, done = len(variant.runs), sum(run.status == "finished" for run in variant.runs)
    detail = count_text(runs, "run") if done == runs else f"{done or 'none'} of {count_text(runs, 'run')} finished"
    if variant.degenerate:
        detail += f", {variant.degenerate} degenerate"
    if variant.name == group.baseline:
        detail = f"baseline\n{detail}"
    return Cell(shorten(variant.name, 60), detail, shorten(variant.name, 60), user=True, variant=variant.name)


def _gap(variant: VariantReport, scale: Scale) -> Cell:
    selected, last = mean_of(variant.gap, scale.metric), mean_of(variant.gap_last, scale.metric)
    if selected is None and last is None:
        return Cell(DASH)
    return Cell(scale.change(selected, unit=False), f"end {scale.change(last, unit=False)}", selected)


def _difference(variant: VariantReport, found: Difference | None, scale: Scale, seeds: bool = True) -> Cell:
    """The mean with its interval below; without an interval, why."""
    if variant.baseline is None:
        return Cell(DASH, "is the baseline")
    if found is None or found.mean is None:
        return Cell(DASH, why_no_interval(variant) if variant.train else "no finished run")
    interval = scale.interval(found)
    detail = interval if interval != DASH else why_no_interval(variant)
    if seeds and found.seeds_needed is not None and not found.distinguishable:
        detail += f"\n≈ {count_text(found.seeds_needed, 'seed')} needed"
    return Cell(scale.change(found.mean, unit=False), detail, found.mean)


def all_metrics(group: Group) -> Table:
    """Every metric of every preset."""
    columns = [Column("preset", numeric=False), Column("metric", numeric=False)]
    columns += [Column(split) for split in _splits(group)]
    columns += [Column("gap", note="95 % interval"), Column("gap at the end"), Column(f"{group.reported} − baseline")]
    rows = []
    for variant in finished(group):
        for metric in dict.fromkeys((group.score, group.loss, *group.metrics)):
            if metric in variant.train or metric in variant.validation:
                rows.append(_metric_row(group, variant, scale_of(group, metric)))
    shares = any(unit.kind == "share" for unit in group.metrics.values())
    caption = "Every metric" + (", shares in percent and points" if shares else "")
    return Table(caption, columns, rows, open_rows=0)


def _metric_row(group: Group, variant: VariantReport, scale: Scale) -> list[Cell]:
    name = shorten(variant.name, 60)
    levels = [getattr(variant, split).get(scale.metric) for split in _splits(group)]
    gap, last = variant.gap.get(scale.metric), mean_of(variant.gap_last, scale.metric)
    mean = gap.mean if gap else None
    return [
        Cell(name, sort=name, user=True, variant=variant.name),
        Cell(scale.title, sort=scale.title, user=True),
        *(Cell(scale.spread(level), sort=level.mean if level else None) for level in levels),
        Cell(scale.change(mean, unit=False), scale.interval(gap) if mean is not None else "", mean),
        Cell(scale.change(last, unit=False), sort=last),
        _difference(variant, difference(variant, group.reported, scale.metric), scale, seeds=False),
    ]


def ablation(group: Group) -> Table:
    """What a technique does when it is taken out of the preset, and when it is alone."""
    score, loss = scale_of(group, group.score), scale_of(group, group.loss)
    kinds = (
        (group.reported, score, f"{group.reported} {score.change_title}"),
        ("gap", score, f"gap, {score.change_unit or score.name}"),
        ("gap", loss, f"{loss.name} gap" + (f", {loss.change_unit}" if loss.change_unit else "")),
    )
    columns = [Column("technique", numeric=False)]
    columns += [Column(f"{way}: {title}") for way in ("without it", "alone") for *_, title in kinds]
    rows = []
    for technique in dict.fromkeys(variant.technique for variant in group.variants if variant.technique is not None):
        ours = [variant for variant in group.variants if variant.technique == technique]
        without = next((variant for variant in ours if variant.baseline != group.baseline), None)
        alone = next((variant for variant in ours if variant.baseline == group.baseline), None)
        name = shorten(technique, 60)
        cells = [Cell(name, sort=name, user=True)]
        for variant in (without, alone):
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
    columns = [Column("preset", numeric=False)]
    columns += [Column(f"ECE, {split}") for split in _splits(group)] + [Column("temperature")]
    rows = []
    for variant in finished(group):
        levels = [getattr(variant, split).get("ece") for split in _splits(group)]
        scale, warm = scale_of(group, "ece"), variant.temperature
        rows.append(
            [
                Cell(shorten(variant.name, 60), sort=shorten(variant.name, 60), user=True, variant=variant.name),
                *(Cell(scale.spread(level), sort=level.mean if level else None) for level in levels),
                _temperature(warm.mean if warm else None, warm.sd if warm else None),
            ]
        )
    note = "Temperature is fitted on validation: 1 is calibrated, above 1 the model is too sure."
    return Table("Expected calibration error (0 is best) and temperature.", columns, rows, notes=[note])


def _temperature(mean: float | None, sd: float | None) -> Cell:
    return Cell(DASH if mean is None else f"{mean:.2f} ± {number_text(sd, 2)}", sort=mean)


def weights(group: Group) -> Table:
    """Norm, distance and exact zeros of encoder and head."""
    columns = [Column("preset", numeric=False), Column("part", numeric=False), Column("weights")]
    columns += [Column("norm"), Column("distance from pretrained"), Column("exact zeros, %")]
    rows = []
    for variant in finished(group):
        for part in ("encoder", "head"):
            if part in variant.weights:
                found, name = variant.weights[part], shorten(variant.name, 60)
                new = "new: no pretrained weights" if found.distance is None else ""
                rows.append(
                    [
                        Cell(name, sort=name, user=True, variant=variant.name),
                        Cell(part, sort=part),
                        Cell(f"{found.parameters:,}".replace(",", " "), sort=found.parameters),
                        Cell(number_text(found.norm, 2), sort=found.norm),
                        Cell(number_text(found.distance, 2), new, found.distance),
                        Cell(number_text(100 * found.zero_share, 2), sort=found.zero_share),
                    ]
                )
    return Table("Size of the weights after training, mean over runs.", columns, rows)


def classes(group: Group) -> Table:
    """F1 a class, worst of the baseline first."""
    shown = [variant for variant in finished(group) if variant.classes]
    columns = [Column("class", numeric=False), Column("rows")]
    columns += [Column(shorten(variant.name, 40)) for variant in shown]
    by_variant = [{entry.label: entry for entry in variant.classes} for variant in shown]
    leader = next(
        (entry for v, entry in zip(shown, by_variant, strict=True) if v.name == group.baseline), by_variant[0]
    )
    order = sorted(leader.values(), key=lambda entry: (entry.f1.mean is None, entry.f1.mean or 0, entry.label))
    share = Scale("f1", group.metrics.get("macro_f1"))
    rows = []
    for of in order:
        label = shorten(of.label, 60)
        cells = [Cell(label, sort=label, user=True), Cell(str(of.support), sort=of.support)]
        for entries in by_variant:
            entry = entries.get(of.label)
            change = entry.difference if entry else None
            detail = "" if change is None or change.mean is None else share.change(change.mean, unit=False)
            cells.append(Cell(share.spread(entry.f1 if entry else None), detail, entry.f1.mean if entry else None))
        rows.append(cells)
    note = "Second line: points against the baseline of the preset." if share.share else ""
    fold = OPEN_CLASSES if len(rows) > OPEN_CLASSES else None
    return Table(captions.classes_caption(group), columns, rows, fold, notes=[note] if note else [])


def disagreements(group: Group) -> Table:
    """What each preset answered where they differ most."""
    shown = [v for v in finished(group) if any(v.name in row.answers for row in group.disagreements)]
    columns = [
        Column("row"),
        _long("text"),
        Column("target", numeric=False),
    ]
    columns += [Column(shorten(variant.name, 40), numeric=False) for variant in shown]
    rows = [_disagreement(row, [variant.name for variant in shown], group) for row in group.disagreements[:20]]
    return Table(captions.disagreements_caption(group), columns, rows)


def _disagreement(row: Disagreement, shown: list[str], group: Group) -> list[Cell]:
    text = shorten(row.text, 140) if row.text is not None else "– the texts were not kept"
    pair = shorten(row.pair, 140) if row.pair is not None else ""
    number = row.row if row.fold is None else f"{row.row} (fold {row.fold})"
    target = shorten(row.target, 40)
    cells = [Cell(shorten(number, 20), sort=_number(row.row), user=True), Cell(text, pair, user=True)]
    cells.append(Cell(target, sort=target, user=True))
    for name in shown:
        right = row.right.get(name)
        detail = "" if right is None else f"error {right:.3f}" if group.task == "regression" else f"{right:.0%} right"
        cells.append(Cell(shorten(row.answers.get(name, DASH), 40), detail.replace("%", " %"), right, user=True))
    return cells


def _number(text: str) -> float | str:
    return float(text) if text.isdecimal() else text


def failures(group: Group) -> Table:
    """Every run that did not finish."""
    columns = [Column("preset", numeric=False), Column("seed"), Column("status", numeric=False)]
    columns += [
        _long("reason"),
        Column("folder", numeric=False, sortable=False),
    ]
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
    columns = [
        Column("preset", numeric=False, sortable=False),
        _long("techniques"),
    ]
    columns += [Column("time a run", sortable=False)]
    rows = []
    for variant in group.variants:
        words = "; ".join(f"{name} ({_settings(settings)})" for name, settings in variant.techniques.items())
        cells = [Cell(shorten(variant.name, 60), user=True, variant=variant.name)]
        seconds = Cell(time_text(variant.seconds))
        rows.append([*cells, Cell(shorten(words, 600) or "none", user=True), seconds])
    return Table("The techniques of each preset, as they were run.", columns, rows)


def _settings(settings: object) -> str:
    if not isinstance(settings, dict):
        return str(settings)
    return ", ".join(f"{key} {_setting(value)}" for key, value in settings.items() if value is not None)


def _setting(value: object) -> str:
    return "/".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _long(title: str) -> Column:
    return Column(title, numeric=False, sortable=False, look="long")
