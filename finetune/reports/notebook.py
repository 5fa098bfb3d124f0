"""Results as HTML for a notebook: the tables and main figures of their report, with styles of their own."""

import hashlib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from finetune.records.curve import CurveReport
from finetune.records.diagnosis import Diagnosis
from finetune.records.encoders import EncoderComparison
from finetune.records.evaluation import EvaluationReport
from finetune.records.report import Report
from finetune.records.schema import DataFacts, FinishedRecord
from finetune.records.sweep import SweepReport
from finetune.records.tune import TuneReport
from finetune.reports import (
    content,
    curve_page,
    data_tables,
    diagnosis,
    encoders,
    evaluation,
    run_content,
    sweep_page,
    tune_page,
)
from finetune.reports.blocks import Block, Bullets, Facts, Prose, Section
from finetune.reports.findings import count_findings, describe_columns, describe_data
from finetune.reports.html import render_fragment
from finetune.reports.numbers import shorten
from finetune.reports.palette import Palette
from finetune.reports.plan import excluded_rows


def report_fragment(report: Report) -> str:
    """A comparison: recommendation, caveats, final model, presets side by side, score against gap, learning curves.

    Args:
        report: The content.

    Returns:
        One self-contained <div> without scripts. The same report gives the same text.
    """
    palette = Palette.of(report)
    groups: list[tuple[str, Any, list[Section]]] = []
    for group in report.groups:
        sections = [
            Section("answer", content.answer_title(group), content.answer(group)),
            *content.final_section(group),
            Section("presets", "Presets side by side", content.presets(group, palette)),
            Section("frontier", "Score against generalization gap", content.frontier_blocks(group, palette)),
            Section("curves", "Learning curves", content.curve_blocks(group, palette)),
        ]
        groups.append((report.title if len(report.groups) == 1 else group.name, group, sections))
    if not groups:
        nothing: list[Block] = [Prose("There is nothing to report, because no record could be read.")]
        groups = [(report.title, None, [Section("nothing", "", nothing)])]
    return render_fragment(groups, palette, _prefix([report]))


def curve_fragment(curve: CurveReport) -> str:
    """A learning curve: what more rows would bring, caveats, score and gap by training rows, all sizes."""
    palette = Palette(preset.name for preset in curve.presets)
    sections = [
        Section("answer", "What more rows would bring", curve_page.answer(curve)),
        Section("score", "Score and gap", curve_page.figure(curve, curve.score, palette)),
        Section("sizes", "Sizes side by side", [curve_page.sizes_table(curve)]),
    ]
    return render_fragment([(curve.title, curve, sections)], palette, _prefix([curve]))


def sweep_fragment(sweep: SweepReport) -> str:
    """A sweep: the choice, caveats, the picture, all points."""
    palette = sweep_page.palette_of(sweep)
    sections = [
        Section("answer", "The choice", sweep_page.answer(sweep)),
        Section("path", f"The path of {sweep_page.listed_keys(sweep)}", sweep_page.figure(sweep, palette)),
        Section("points", "Points side by side", [sweep_page.points_table(sweep)]),
    ]
    return render_fragment([(sweep.title, sweep, sections)], palette, _prefix([sweep]))


def tune_fragment(tune: TuneReport) -> str:
    """A tune: the choice, caveats, its test, all settings."""
    return render_fragment([(tune.title, tune, tune_page.main_sections(tune))], Palette([]), _prefix([tune]))


def runs_fragment(records: Sequence[FinishedRecord]) -> str:
    """Single runs: the table of scores and gaps of each, and further facts."""
    groups: list[tuple[str, Any, list[Section]]] = []
    for record in records:
        table = run_content.scores_table(record)
        facts = [(label, shorten(text, 600)) for label, text in run_content.run_facts(record)]
        facts.append(("Techniques", shorten("; ".join(run_content.technique_lines(record)), 600)))
        blocks: list[Block] = [table, Facts(facts)]
        if record.warnings:
            texts = [shorten(warning, 500) for warning in record.warnings]
            blocks.append(Bullets(texts, user=True, title="Warnings"))
        groups.append(("", record, [Section("run", table.caption, blocks)]))
    if len(records) > 1:
        groups.append(("", None, [Section("seeds", "All seeds", [run_content.seeds_table(records)])]))
    if not records:
        groups = [("", None, [Section("nothing", "", [Prose("No run has finished.")])])]
    return render_fragment(groups, Palette([]), _prefix(records))


def facts_fragment(facts: DataFacts, compared: EncoderComparison | None = None) -> str:
    """A data check: what was read, the findings, the scores of simple models, and those of frozen encoders."""
    entries = [("Data", describe_data(facts)), ("Columns", shorten(describe_columns(facts), 600))]
    if facts.dropped:
        entries.append(("Excluded", shorten(excluded_rows(facts.dropped), 600)))
    blocks: list[Block] = [Facts([*entries, ("Findings", count_findings(facts.findings))])]
    for title, texts in (("Warnings", facts.warnings), ("Notes", facts.notes)):
        if texts:
            blocks.append(Bullets([shorten(text, 500) for text in texts], user=True, title=title))
    if facts.findings:
        blocks.append(data_tables.findings(facts.findings))
    if facts.baselines:
        blocks.append(data_tables.baselines(facts))
    sections = [Section("check", "Data checks", blocks)]
    if compared is not None:
        sections.append(Section("encoders", "Frozen encoders", encoders.encoder_blocks(compared)))
    models: list[BaseModel] = [facts] if compared is None else [facts, compared]
    return render_fragment([("", facts, sections)], Palette([]), _prefix(models))


def diagnosis_fragment(found: Diagnosis) -> str:
    """A diagnosis: verdict, scores, look-alikes, plan."""
    verdict = found.verdict.capitalize()
    sections = [Section("diagnosis", verdict, diagnosis.diagnosis_blocks(found))]
    return render_fragment([(verdict, found, sections)], Palette([]), _prefix([found]))


def evaluation_fragment(report: EvaluationReport) -> str:
    """A saved model on labelled rows: scores, labels, calibration, mistakes, drift."""
    return render_fragment(
        [(evaluation.title(report), report, evaluation.sections(report))], Palette([]), _prefix([report])
    )


def _prefix(models: Sequence[BaseModel]) -> str:
    """Of ids, by content: two results in one notebook never share one, and the same result always has the same."""
    digest = hashlib.sha256()
    for model in models:
        digest.update(model.model_dump_json().encode())
    return f"f{digest.hexdigest()[:10]}"
