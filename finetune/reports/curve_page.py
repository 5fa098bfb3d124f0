"""The report of a learning curve: its sections and its files. Computes nothing."""

from dataclasses import replace
from pathlib import Path

from finetune.advice.curve import rows_text
from finetune.atomic import write_text
from finetune.measurement.units import interval_text, range_text
from finetune.records.curve import CurveReport, FittedLaw, Point, Prediction, PresetCurve
from finetune.records.report import Difference, Summary
from finetune.reports.again import make_again
from finetune.reports.blocks import Block, Bullets, Cell, Column, Facts, Plot, Prose, Section, Table
from finetune.reports.curve import failures, has_tfidf, known
from finetune.reports.figures.learning import learning
from finetune.reports.html import render_page
from finetune.reports.markdown import escape, section_lines, write_lines
from finetune.reports.numbers import DASH, Scale, count_text, shorten
from finetune.reports.palette import Palette

BAND_NOTE = (
    "Bands and brackets are 95 % intervals of the mean over seeds and rows: for other seeds, other training rows of "
    "the same kind and other measured rows. Differences are paired: the same seed gives every preset the same rows."
)
LAW_NOTE = (
    "The law is error = a · rows^−b + c, where the error is 1 − score, or the loss. It cannot rise, so an interval of "
    "a gain never goes below 0; c is what no number of such labels would mend."
)


def write_curve(curve: CurveReport, folder: Path) -> list[Path]:
    """Write curve.json, curve.html, and curve.md with its figures; returns the three paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"curve.{suffix}" for suffix in ("json", "html", "md")]
    write_text(paths[0], curve.model_dump_json(indent=2) + "\n")
    palette = Palette(preset.name for preset in curve.presets)
    title = shorten(curve.title, 160) or "Learning curve"
    made = sections(curve, palette)
    write_text(paths[1], render_page(title, [("g1", curve, made)], _skipped(curve), palette, paths[0].name))
    lines = [f"# {escape(title)}", ""]
    for section in made:
        lines += section_lines(section, "##", "", palette, folder)
    write_lines(paths[2], lines, _skipped(curve))
    return paths


def _skipped(curve: CurveReport) -> list[str]:
    return [shorten(reason, 400) for reason in curve.skipped]


def sections(curve: CurveReport, palette: Palette) -> list[Section]:
    """Everything that is said about a curve."""
    return [
        Section("answer", "What more labels buy", _answer(curve)),
        Section("score", _title(curve, curve.score), _figure(curve, curve.score, palette)),
        Section("sizes", "Sizes side by side", [_points(curve)]),
        Section("law", "The fitted law", _laws(curve)),
        Section("loss", _title(curve, curve.loss), _figure(curve, curve.loss, palette)),
        Section("data", "Data and budget", _data(curve)),
        Section("again", "Make it again", make_again(curve, "Recipe at the largest size")),
        Section("failures", "Failures", _failures(curve)),
    ]


def _title(curve: CurveReport, metric: str) -> str:
    name = _scale(curve, metric).name
    return f"{name[:1].upper()}{name[1:]} by training rows"


def _scale(curve: CurveReport, metric: str) -> Scale:
    return Scale(metric, curve.metrics.get(metric))


def _answer(curve: CurveReport) -> list[Block]:
    blocks: list[Block] = [Prose(shorten(curve.headline, 1200), lead=True)]
    words = [preset.laws[curve.score].words for preset in curve.presets if curve.score in preset.laws]
    if len(words) > 1:
        blocks.append(Bullets([shorten(text, 600) for text in words]))
    if curve.caveats:
        blocks.append(Bullets([shorten(text, 600) for text in curve.caveats], title="What the evidence cannot say"))
    return blocks


def _figure(curve: CurveReport, metric: str, palette: Palette) -> list[Block]:
    picture = learning(curve, metric, palette)
    if not picture.panels:
        return [Prose("– No run finished: there is nothing to draw.")]
    scale = _scale(curve, metric)
    name = "learning" if metric == curve.score else "learning-loss"
    return [Plot(name, f"{scale.name} and its gap by training rows", picture, _caption(curve, metric))]


def _caption(curve: CurveReport, metric: str) -> str:
    """How the gap changes with the rows, in numbers."""
    scale = _scale(curve, metric)
    told = []
    for preset in curve.presets:
        gaps = [
            (p.size, p.gap[metric].mean) for p in preset.points if metric in p.gap and p.gap[metric].mean is not None
        ]
        if len(gaps) > 1:
            (first, before), (last, after) = gaps[0], gaps[-1]
            told.append(f"`{preset.name}` {scale.change(before)} at {first:,} rows, {scale.change(after)} at {last:,}")
    law = " Dotted: the fitted law, with its interval where nothing was measured." if _fitted(curve, metric) else ""
    dots = " Small dots are single seeds." if len(curve.seeds) > 1 else ""
    gap = f" The gap (right): {'; '.join(told)}." if told else ""
    return f"Solid: {curve.reported}; dashed: train probe.{dots}{law}{gap} The left axis does not start at zero."


def _fitted(curve: CurveReport, metric: str) -> list[tuple[PresetCurve, FittedLaw]]:
    return [(preset, preset.laws[metric]) for preset in curve.presets if metric in preset.laws]


def _points(curve: CurveReport) -> Table:
    """A row a preset and size."""
    score, loss = _scale(curve, curve.score), _scale(curve, curve.loss)
    compared = len(curve.presets) > 1
    splits = ["train", "validation", *(["test"] if curve.reported == "test" else [])]
    columns = [
        Column("preset", numeric=False),
        Column("rows"),
        *(Column(split, note=score.title if split == "train" else "") for split in splits),
        *([Column("TF-IDF", note=curve.reported)] if has_tfidf(curve) else []),
        Column("gap", note=score.change_title),
        Column("loss gap", note=loss.change_title),
        *([Column(f"{curve.reported} against {shorten(curve.baseline, 40)}", note="paired")] if compared else []),
        Column("runs", note="finished"),
        Column("epochs", note="steps"),
    ]
    rows: list[list[Cell]] = []
    for preset in curve.presets:
        for point in preset.points:
            of = {split: getattr(point, split).get(curve.score) for split in splits}
            finished = sum(run.status == "finished" for run in point.runs)
            rows.append(
                [
                    Cell(shorten(preset.name, 60), sort=preset.name, user=True, variant=preset.name),
                    Cell(f"{point.size:,}", sort=point.size),
                    *(_level(score, of[split]) for split in splits),
                    *([Cell(score.level(point.tfidf, unit=False), sort=point.tfidf)] if has_tfidf(curve) else []),
                    _change(score, point.gap.get(curve.score)),
                    _change(loss, point.gap.get(curve.loss)),
                    *([_difference(score, point, curve)] if compared else []),
                    Cell(f"{finished} of {len(point.runs)}", sort=finished),
                    Cell(str(point.epochs or DASH), str(point.steps or ""), point.epochs),
                ]
            )
    seeds = count_text(len(curve.seeds), "seed")
    caption = f"Means of {seeds}. A seed draws its training rows; its larger sizes hold its smaller ones."
    return Table(caption, columns, rows, notes=[BAND_NOTE])


def _level(scale: Scale, summary: Summary | None) -> Cell:
    if summary is None or summary.mean is None:
        return Cell(DASH)
    interval = range_text(scale.metric, summary.low, summary.high)
    return Cell(scale.level(summary.mean, unit=False), "" if interval == "-" else interval, summary.mean)


def _change(scale: Scale, of: Summary | Difference | None) -> Cell:
    if of is None or of.mean is None:
        return Cell(DASH)
    interval = scale.interval(of)
    return Cell(scale.change(of.mean, unit=False), "" if interval == DASH else interval, of.mean)


def _difference(scale: Scale, point: Point, curve: CurveReport) -> Cell:
    found = point.differences.get(curve.reported, {}).get(curve.score)
    cell = _change(scale, found)
    if found is None or found.distinguishable is None:
        return cell
    sure = "clear" if found.distinguishable else "within chance"
    return replace(cell, detail=f"{cell.detail}\n{sure}".strip())


def _laws(curve: CurveReport) -> list[Block]:
    """A row a preset and metric: the constants, what they predict, and whether they foresaw the largest size."""
    fitted = [(preset, law) for metric in (curve.score, curve.loss) for preset, law in _fitted(curve, metric)]
    if not fitted:
        why = next((preset.no_law for preset in curve.presets if preset.no_law), "no run finished")
        return [Prose(f"– There is no law: {shorten(why, 300)}.")]
    columns = [
        Column("preset", numeric=False),
        Column("of", numeric=False),
        Column("a, b, c", sortable=False, note="law"),
        Column("limit", note="with any number"),
        *(
            Column(f"{factor} × labels", note=f"{factor * curve.sizes[-1]:,} rows")
            for factor in (p.factor for p in fitted[0][1].predictions)
        ),
        Column("one more point", note="rows needed"),
        Column("foresees the largest", note="predicted, measured"),
    ]
    rows = [_law_row(curve, preset, law) for preset, law in fitted]
    caption = f"What the law says of more labels, from its fit to {curve.reported} of all sizes and seeds."
    checked = (
        "The last column fits the law without the largest size and predicts it; it needs four sizes."
        if any(law.check is None for _, law in fitted)
        else "The last column fits the law without the largest size and predicts it: expect such a miss further out."
    )
    return [Table(caption, columns, rows, notes=[LAW_NOTE, checked])]


def _law_row(curve: CurveReport, preset: PresetCurve, law: FittedLaw) -> list[Cell]:
    scale = _scale(curve, law.metric)
    constants = f"{law.amplitude:.3g}, {law.exponent:.2f}, {law.floor:.3f}"
    return [
        Cell(shorten(preset.name, 60), sort=preset.name, user=True, variant=preset.name),
        Cell(scale.name),
        Cell(constants),
        Cell(scale.level(law.limit), sort=law.limit),
        *(_predicted(scale, prediction) for prediction in law.predictions),
        _labels(law),
        _foreseen(scale, law),
    ]


def _predicted(scale: Scale, found: Prediction) -> Cell:
    level = f"{scale.level(found.value)} {known(range_text(scale.metric, found.low, found.high))}".rstrip()
    change = f"{scale.change(found.change)} {known(interval_text(scale.metric, found.change_low, found.change_high))}"
    return Cell(level, change.rstrip(), found.value)


def _labels(law: FittedLaw) -> Cell:
    labels = law.labels
    if labels is None:
        return Cell(DASH)
    most = f"> {labels.limit:,}"
    high = most if labels.high is None else rows_text(labels.high)
    interval = "" if labels.low is None else f"[{rows_text(labels.low)}, {high}]"
    return Cell(most if labels.rows is None else rows_text(labels.rows), interval, labels.rows)


def _foreseen(scale: Scale, law: FittedLaw) -> Cell:
    check = law.check
    if check is None:
        return Cell(DASH)
    text = f"{scale.level(check.predicted, unit=False)}, {scale.level(check.measured, unit=False)}"
    interval = known(range_text(scale.metric, check.low, check.high))
    return Cell(text, f"missed by {scale.change(check.miss)}\n{interval}".strip(), abs(check.miss))


def _data(curve: CurveReport) -> list[Block]:
    entries = [
        ("Task", curve.task.replace("_", "-")),
        ("Sizes", ", ".join(f"{size:,}" for size in curve.sizes)),
        ("Measured rows", ", ".join(f"{count} {split}" for split, count in curve.rows.items())),
        ("Columns", ", ".join(f"{key}: {shorten(name, 60)}" for key, name in curve.columns.items()) or DASH),
    ]
    blocks: list[Block] = [Facts(entries)]
    if curve.longer:
        blocks.append(Bullets(curve.longer, title="Trained longer"))
    for title, texts in (
        ("Findings", [finding.text for finding in curve.findings if finding.level != "info"]),
        ("Warnings", curve.warnings),
        ("Notes", curve.notes),
    ):
        if texts:
            blocks.append(Bullets([shorten(text, 500) for text in texts], user=True, title=title))
    return blocks


def _failures(curve: CurveReport) -> list[Block]:
    failed = failures(curve)
    total = sum(len(point.runs) for preset in curve.presets for point in preset.points)
    if not failed:
        return [Prose(f"None: {count_text(total, 'run')} of {total} finished.")]
    return [Bullets([shorten(text, 500) for text in failed], user=True)]
