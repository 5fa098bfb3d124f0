"""The files of a report: report.json first, because the others are made from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from finetune.atomic import write_text
from finetune.records.report import Report

if TYPE_CHECKING:
    from finetune.reports.blocks import Page


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write report.json, report.html, and report.md with its figures; returns the three paths."""
    from finetune.reports.content import page

    return write_files("report", report, page(report), folder)


def write_files(stem: str, report: BaseModel, page: Page, folder: Path) -> list[Path]:
    """Write a report as JSON, HTML, and Markdown with figures.

    Args:
        stem: Stem of the file names.
        report: The content.
        page: The page of the report.
        folder: Created if it is missing. Files with the same names are replaced.

    Returns:
        The three paths.
    """
    from finetune.reports.html import render_page
    from finetune.reports.markdown import write_page

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{stem}.{suffix}" for suffix in ("json", "html", "md")]
    write_text(paths[0], report.model_dump_json(indent=2) + "\n")
    write_text(paths[1], render_page(page, paths[0].name))
    write_page(page, paths[2])
    return paths
