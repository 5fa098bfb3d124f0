"""The files of a report: report.json first, because the others are made from it."""

from pathlib import Path

from finetune.atomic import write_text
from finetune.records.report import Report


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write report.json, report.html, and report.md with its figures; returns the three paths."""
    from finetune.reports.html import render_html
    from finetune.reports.markdown import write_markdown

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"report.{suffix}" for suffix in ("json", "html", "md")]
    write_text(paths[0], report.model_dump_json(indent=2) + "\n")
    write_text(paths[1], render_html(report))
    write_markdown(report, folder)
    return paths
