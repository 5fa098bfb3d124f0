"""The report of a learning curve: its sections and its files. Computes nothing."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from finetune.advice.curve import predicted_change, predicted_level, rows_text, step_text
from finetune.advice.evidence import adjusted_note
from finetune.measurement.units import DASH, Estimate, Estimated, Scale, count_text
from finetune.records.curve import CurveReport, FittedLaw, Point, Prediction, PresetCurve
from finetune.records.report import Summary
from finetune.records.sweep import SweepReport
from finetune.reports.blocks import Block, Bullets, Cell, Column, Facts, Page, Plot, Prose, Section, Table
from finetune.reports.captions import quoted, sentence
from finetune.reports.content import decisions
from finetune.reports.curve import failures, has_tfidf
from finetune.reports.figures.learning import learning
from finetune.reports.files import write_files
from finetune.reports.numbers import log_loss_note, scale_of, shorten, skipped
from finetune.reports.palette import Palette
from finetune.reports.recommendation import about, caveat_blocks
from finetune.reports.reproduce import reproduce

BAND_NOTE = (
    "Bands and brackets are 95 % intervals of the mean over seeds and rows: for other seeds, other training rows of "
    "the same kind and other measured rows. Differences are paired: the same seed gives every preset the same rows."
)
FIT_NOTE = (
    "The fit is error = a · rows^−b + c, where the error is 1 − score, or the loss. It cannot increase, so the "
    "interval of an improvement never goes below 0; c is the error that no number of such rows removes."
)


def write_curve(curve: CurveReport, folder: Path) -> list[Path]:
    """Write curve.json, curve.html, and curve.md with its figures; returns the three paths."""
    palette = Palette(preset.name for preset in curve.presets)
    title = shorten(curve.title, 160) or "Learning curve"
    page = Page(title, [("g1", curve, sections(curve, palette))], skipped(curve), palette)
    return write_files("curve", curve, page, folder)


def sections(curve: CurveReport, palette: Palette) -> list[Section]:
    """All sections on a curve."""
    return [
        Section("answer", "What more rows would bring", answer(curve)),
        Section("score", _title(curve, curve.score), figure(curve, curve.score, palette)),
        Section("sizes", "Sizes side by side", [sizes_table(curve), *_decisions(curve)]),
        Section("law", "Power-law fit", _fits(curve)),
        Section("loss", _title(curve, curve.loss), figure(curve, curve.loss, palette)),
        Section("data", "Data and budget", _data(curve)),
        Section("reproduce", "Reproduce", reproduce(curve, "Recipe at the largest size")),
        Section("failures", "Failures", _failures(curve)),
    ]


def _title(curve: CurveReport, metric: str) -> str:
    return f"{sentence(scale_of(curve, metric).name)} by training rows"


def answer(curve: CurveReport) -> list[Block]:
    """The headline, what each preset would gain from more rows, and the caveats."""
    runs = about(
        curve, *map(count_text, (len(curve.presets), len(curve.sizes), len(curve.seeds)), ("preset", "size", "seed"))
    )
    blocks: list[Block] = [Prose(runs, quiet=True), Prose(shorten(curve.headline, 1200), lead=True)]
    words = [preset.laws[curve.score].words for preset in curve.presets if curve.score in preset.laws]
    if len(words) > 1:
        blocks.append(Bullets([shorten(text, 600) for text in words]))
    return [*blocks, *caveat_blocks(curve.caveats)]


def figure(curve: CurveReport, metric: str, palette: Palette) -> list[Block]:
    """A metric and its gap by training rows."""
    picture = learning(curve, metric, palette)
    if not picture.panels:
        return [Prose("– No run finished, so there is nothing to draw.")]
    name = "learning" if metric == curve.score else "learning-loss"
    title = f"{sentence(scale_of(curve, metric).name)} and its gap by training rows"
    return [Plot(name, title, picture, _caption(curve, metric))]


def _caption(curve: CurveReport, metric: str) -> str:
    """How the gap changes with the rows, in numbers."""
    scale = scale_of(curve, metric)
    changes = []
    for preset in curve.presets:
        gaps = [
            (p.size, p.gap[metric].mean) for p in preset.points if metric in p.gap and p.gap[metric].mean is not None
        ]
        if len(gaps) > 1:
            (first, before), (last, after) = gaps[0], gaps[-1]
            name = quoted(preset.name)
            changes.append(f"{name} {scale.change(before)} at {first:,} rows, {scale.change(after)} at {last:,}")
    fit = " Dotted: power-law fit, with its interval beyond the measured sizes." if _fitted(curve, metric) else ""
    dots = " Small dots are single seeds." if len(curve.seeds) > 1 else ""
    gap = f" Gap (right): {'; '.join(changes)}." if changes else ""
    return f"Solid: {curve.reported}; dashed: train sample.{dots}{fit}{gap} The left axis does not start at zero."


def _fitted(curve: CurveReport, metric: str) -> list[tuple[PresetCurve, FittedLaw]]:
    return [(preset, preset.laws[metric]) for preset in curve.presets if metric in preset.laws]


def sizes_table(curve: CurveReport) -> Table:
    """A row per preset and size."""
    score, loss = scale_of(curve, curve.score), scale_of(curve, curve.loss)
    compared = len(curve.presets) > 1
    columns = [
        Column("Preset", numeric=False),
        Column("Rows"),
        *(Column(sentence(split), note=score.title if split == "train" else "") for split in curve.splits),
        *([Column("TF-IDF", note=curve.reported)] if has_tfidf(curve) else []),
        Column("Gap", note=score.change_title),
        Column("Gap", note=loss.change_title),
        *([Column(f"{sentence(curve.reported)} − {shorten(curve.baseline, 40)}", note="paired")] if compared else []),
        Column("Runs", note="finished"),
        Column("Epochs", note="steps"),
    ]
    rows: list[list[Cell]] = []
    for preset in curve.presets:
        for point in preset.points:
            of = {split: getattr(point, split).get(curve.score) for split in curve.splits}
            finished = sum(run.status == "finished" for run in point.runs)
            rows.append(
                [
                    Cell(shorten(preset.name, 60), sort=preset.name, user=True, variant=preset.name),
                    Cell(f"{point.size:,}", sort=point.size),
                    *(level_cell(score, of[split]) for split in curve.splits),
                    *([Cell(score.level(point.tfidf, unit=False), sort=point.tfidf)] if has_tfidf(curve) else []),
                    change_cell(score, point.gap.get(curve.score)),
                    change_cell(loss, point.gap.get(curve.loss)),
                    *([_difference(score, point, curve)] if compared else []),
                    Cell(f"{finished} of {len(point.runs)}", sort=finished),
                    Cell(str(point.epochs or DASH), str(point.steps or ""), point.epochs),
                ]
            )
    seeds = count_text(len(curve.seeds), "seed")
    caption = f"Means of {seeds}. A seed draws its training rows; its larger sizes contain its smaller ones."
    notes = [BAND_NOTE, "A positive gap means overfitting.", log_loss_note(curve.loss)]
    return Table(caption, columns, rows, notes=[note for note in notes if note])


def _decisions(curve: CurveReport) -> list[Block]:
    """What presets chose by the data at each size."""
    points = [point for preset in curve.presets for point in preset.points]
    texts = [f"{point.size:,} rows: {decision.text}" for point in points for decision in point.decisions]
    return [decisions(texts)] if texts else []


def level_cell(scale: Scale, summary: Summary | None) -> Cell:
    if summary is None or summary.mean is None:
        return Cell(DASH)
    return Cell(scale.level(summary.mean, unit=False), scale.range(summary), summary.mean)


def change_cell(scale: Scale, estimate: Estimate | None) -> Cell:
    if estimate is None or estimate.mean is None:
        return Cell(DASH)
    return Cell(scale.change(estimate.mean, unit=False), scale.interval(estimate), estimate.mean)


def _difference(scale: Scale, point: Point, curve: CurveReport) -> Cell:
    difference = point.differences.get(curve.reported, {}).get(curve.score)
    cell = change_cell(scale, difference)
    if difference is None or difference.distinguishable is None:
        return cell
    words = ("not significant", adjusted_note(difference))
    significance = "significant" if difference.distinguishable else "\n".join(filter(None, words))
    return replace(cell, detail=f"{cell.detail}\n{significance}".strip())


def _fits(curve: CurveReport) -> list[Block]:
    """A row per preset and metric: the constants, what they predict, and whether they predict the largest size."""
    fitted = [(preset, fit) for metric in (curve.score, curve.loss) for preset, fit in _fitted(curve, metric)]
    if not fitted:
        why = next((preset.no_law for preset in curve.presets if preset.no_law), "no run finished")
        return [Prose(f"– There is no power-law fit: {shorten(why, 300)}.")]
    columns = [
        Column("Preset", numeric=False),
        Column("Metric", numeric=False),
        Column("a, b, c", sortable=False, note="fit"),
        Column("Limit", note="with unlimited rows"),
        *(
            Column(f"{factor}× rows", note=f"{factor * curve.sizes[-1]:,} rows")
            for factor in (p.factor for p in fitted[0][1].predictions)
        ),
        Column(f"{sentence(step_text(curve.score))} more", note="rows needed"),
        Column("Hold-out check", note="predicted, measured"),
    ]
    rows = [_fit_row(curve, preset, fit) for preset, fit in fitted]
    caption = f"Predictions of a fit to the {curve.reported} results of all sizes and seeds."
    check = "Hold-out check of the fit: fitted without the largest size, it predicts that size."
    check += (
        " It needs four sizes."
        if any(fit.check is None for _, fit in fitted)
        else " Expect an error of this size in further extrapolation."
    )
    return [Table(caption, columns, rows, notes=[FIT_NOTE, check])]


def _fit_row(curve: CurveReport, preset: PresetCurve, fit: FittedLaw) -> list[Cell]:
    scale = scale_of(curve, fit.metric)
    constants = f"{fit.amplitude:.3g}, {fit.exponent:.2f}, {fit.floor:.3f}"
    return [
        Cell(shorten(preset.name, 60), sort=preset.name, user=True, variant=preset.name),
        Cell(sentence(scale.name)),
        Cell(constants),
        Cell(scale.level(fit.limit), sort=fit.limit),
        *(_predicted(fit.metric, prediction) for prediction in fit.predictions),
        _labels(fit),
        _checked(scale, fit),
    ]


def _predicted(metric: str, prediction: Prediction) -> Cell:
    return Cell(predicted_level(metric, prediction), predicted_change(metric, prediction), prediction.value)


def _labels(fit: FittedLaw) -> Cell:
    labels = fit.labels
    if labels is None:
        return Cell(DASH)
    most = f"> {labels.limit:,}"
    high = most if labels.high is None else rows_text(labels.high)
    interval = "" if labels.low is None else f"[{rows_text(labels.low)}, {high}]"
    return Cell(most if labels.rows is None else rows_text(labels.rows), interval, labels.rows)


def _checked(scale: Scale, fit: FittedLaw) -> Cell:
    check = fit.check
    if check is None:
        return Cell(DASH)
    text = f"{scale.level(check.predicted, unit=False)}, {scale.level(check.measured, unit=False)}"
    interval = scale.range(Estimated(check.predicted, check.low, check.high))
    return Cell(text, f"error {scale.change(check.miss)}\n{interval}".strip(), abs(check.miss))


def _data(curve: CurveReport) -> list[Block]:
    entries = [
        ("Task", curve.task.replace("_", "-")),
        ("Sizes", ", ".join(f"{size:,}" for size in curve.sizes)),
        ("Measured rows", ", ".join(f"{split} {count:,}" for split, count in curve.rows.items())),
        ("Columns", ", ".join(f"{key} = {shorten(name, 60)}" for key, name in curve.columns.items()) or DASH),
    ]
    blocks: list[Block] = [Facts(entries)]
    if curve.longer:
        blocks.append(Bullets(curve.longer, title="Sizes with more epochs"))
    return [*blocks, *notes_of(curve)]


def notes_of(report: CurveReport | SweepReport) -> list[Block]:
    """Findings of the data checks, warnings and notes."""
    lists = {
        "Findings": [finding.text for finding in report.findings if finding.level != "info"],
        "Warnings": report.warnings,
        "Notes": report.notes,
    }
    return [
        Bullets([shorten(text, 500) for text in texts], user=True, title=title)
        for title, texts in lists.items()
        if texts
    ]


def _failures(curve: CurveReport) -> list[Block]:
    return failure_blocks(failures(curve), sum(len(point.runs) for each in curve.presets for point in each.points))


def failure_blocks(failed: Sequence[str], total: int) -> list[Block]:
    """The failed runs, and the total number of runs."""
    if not failed:
        return [Prose(f"None: {'the run' if total == 1 else f'all {total} runs'} finished.")]
    return [Bullets([shorten(text, 500) for text in failed], user=True)]
