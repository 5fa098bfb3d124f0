"""report.md and its figures, for a pull request or a model card. GitHub Markdown, no HTML."""

import re
from pathlib import Path

from finetune.atomic import replaced_file, write_text
from finetune.records.report import Report
from finetune.reports.blocks import Block, Bullets, Card, Cell, Code, Facts, Page, Plot, Prose, Section, Table
from finetune.reports.numbers import shorten
from finetune.reports.palette import Palette

SPECIAL = re.compile(r"([\\`*_<>#|~&$]|\](?=[(:\[]))")
LEADING = re.compile(r"^([-+=\[]|\d+(?=[.)]))")  # would begin a list, a heading, a task or a definition
AUTOMATIC = re.compile(r"(@|(?<=http):|(?<=https):|(?<=www)\.)", re.IGNORECASE)  # mentions and bare links
LONGEST_ALTERNATIVE = 1200
WORD_JOINER = "\u2060"
NO_MARKS = Palette([])


def write_markdown(report: Report, folder: Path) -> None:
    """Write folder/report.md and folder/figures/*.png.

    Args:
        report: Everything that is shown; nothing else is read.
        folder: Created if it is missing. Files with the same names are replaced.
    """
    from finetune.reports.content import page

    write_page(page(report), folder / "report.md")


def write_page(page: Page, path: Path) -> None:
    """Write a page, and its figures into figures/ beside it."""
    lines = [f"# {escape(page.title)}", ""]
    many = len(page.parts) > 1
    if many:
        lines += [f"{len(page.parts)} recipes or data sets. Their results are never averaged.", ""]
    if not page.parts:
        lines += ["– There is nothing to report, because no record could be read.", ""]
    for number, (_, group, sections) in enumerate(page.parts, 1):
        if many:
            lines += [f"## {escape(shorten(group.name, 80))}", ""]
        prefix = f"group{number}-" if many else ""
        for section in sections:
            lines += section_lines(section, "###" if many else "##", prefix, page.palette, path.parent)
    if page.skipped:
        lines += ["## Unreadable records", "", *_list([escape(reason) for reason in page.skipped])]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "\n".join(lines).rstrip() + "\n")


def escape(text: str) -> str:
    """Escape users' text, so that it yields no markup, HTML, mention or link."""
    return LEADING.sub(_disarmed, inline(text))


def inline(text: str) -> str:
    """Escape text within a line or a cell, where no block markup can start."""
    return AUTOMATIC.sub(rf"\1{WORD_JOINER}", SPECIAL.sub(r"\\\1", text))


def _disarmed(match: re.Match[str]) -> str:
    return f"{match[1]}{WORD_JOINER}" if match[1].isdecimal() else f"\\{match[1]}"


def prose(text: str) -> str:
    """Escape our own sentences: text between backticks stays code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    rest = "".join(f"`{part}`" if i % 2 == 0 and part else inline(part) for i, part in enumerate(parts[1:]))
    return escape(parts[0]) + rest


def section_lines(
    section: Section, heading: str = "##", prefix: str = "", palette: Palette = NO_MARKS, folder: Path = Path()
) -> list[str]:
    """A section; its figures, if it has any, are written below `folder`."""
    lines = [f"{heading} {section.title}", ""]
    for block in section.blocks:
        lines += _block(block, heading, prefix, palette, folder)
    return lines


def _block(block: Block, heading: str, prefix: str, palette: Palette, folder: Path) -> list[str]:
    if isinstance(block, Table):
        return [] if block.page_only else _table(block)
    if isinstance(block, Card):
        return _card(block)
    if isinstance(block, Prose):
        return [f"**{prose(block.text)}**" if block.lead else prose(block.text), ""]
    if isinstance(block, Bullets):
        title = [f"{heading}# {block.title}", ""] if block.title else []
        return [*title, *_list([escape(item) if block.user else prose(item) for item in block.items])]
    if isinstance(block, Facts):
        return _list([f"{escape(name)}: {inline(value)}" for name, value in block.entries])
    if isinstance(block, Code):
        return _code(block)
    return _plot(block, prefix, palette, folder)


def _card(block: Card) -> list[str]:
    figures = []
    for figure in block.figures:
        detail = figure.detail.replace("\n", "; ")
        figures.append(f"{inline(figure.label)}: **{inline(figure.value)}**{f' ({inline(detail)})' if detail else ''}")
    entries = [f"{escape(name)}: {inline(value)}" for name, value in block.entries]
    return [f"**{prose(block.title)}** {prose(block.text)}", "", *_list([*figures, *entries])]


def _list(items: list[str]) -> list[str]:
    return [*(f"- {item}" for item in items), ""]


def _code(block: Code) -> list[str]:
    """Fenced with more backticks than the text has in a row."""
    longest = max(map(len, re.findall("`+", block.text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{block.title}:", "", f"{fence}{block.language}", block.text.rstrip(), fence, ""]


def _plot(block: Plot, prefix: str, palette: Palette, folder: Path) -> list[str]:
    from finetune.reports.figures.canvas import to_png

    path = Path("figures") / f"{prefix}{block.name}.png"
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(folder / path) as partial:
        partial.write_bytes(to_png(block.picture, palette))
    text = inline(shorten(f"{block.title}. {_alternative(block)}", LONGEST_ALTERNATIVE))
    caption = [] if block.markdown_only else [f"{prose(block.caption)}", ""]
    return [f"![{text}]({path.as_posix()})", "", *caption]


def _alternative(block: Plot) -> str:
    panels = block.picture.panels
    return panels[0].text if len(panels) == 1 else " ".join(f"{panel.title}: {panel.text}" for panel in panels)


def _table(block: Table) -> list[str]:
    """The caption as a paragraph, then the rows; second lines of cells stand in parentheses."""
    kept = [i for i, column in enumerate(block.columns) if not column.dumbbell]
    columns = [block.columns[i] for i in kept]
    titles = [inline(f"{column.title} ({column.note})" if column.note else column.title) for column in columns]
    lines = [prose(block.caption), "", f"| {' | '.join(titles)} |"]
    lines.append(f"|{'|'.join('---:' if column.numeric else ':---' for column in columns)}|")
    lines += [f"| {' | '.join(_cell(row[i]) for i in kept)} |" for row in block.rows]
    notes = " ".join(prose(note) for note in block.notes)
    return [*lines, "", *([notes, ""] if notes else [])]


def _cell(cell: Cell) -> str:
    if not cell.detail:
        return inline(cell.text)
    detail = inline(cell.detail.replace("\n", "; "))
    return f"{inline(cell.text)} {detail}" if cell.detail.startswith("[") else f"{inline(cell.text)} ({detail})"
