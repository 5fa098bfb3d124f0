"""report.md: GitHub Markdown that renders, links its figures, and lets no text of users through as markup."""

import re
import struct
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from finetune.reports.markdown import escape, inline, prose, write_markdown
from tests.reports.sample import NASTY, ablation_report, sample_report
from tests.reports.test_html import SECTIONS


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("usual") / "out"
    write_markdown(sample_report(failed_run="light"), folder)
    return folder


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nasty")
    write_markdown(sample_report(nasty=True, failed_run="light", failed_preset="strong"), folder)
    return folder


def _tokens(text: str) -> list[Token]:
    """All tokens, inline ones included. Raw HTML is on, so that any would be seen."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens = parser.parse(text)
    return [inner for token in tokens for inner in (token, *(token.children or []))]


def _titles(folder: Path, level: int = 2) -> list[str]:
    text = (folder / "report.md").read_text(encoding="utf-8")
    return re.findall(rf"^{'#' * level} (.*)$", text, re.MULTILINE)


def test_sections_stand_in_the_order_of_the_page(usual: Path) -> None:
    assert _titles(usual) == SECTIONS
    assert _titles(usual, 1) == ["tweets · none, light, medium, strong"]


def test_every_figure_is_linked_with_words_and_is_there_at_twice_the_size(usual: Path) -> None:
    images = [t for t in _tokens((usual / "report.md").read_text(encoding="utf-8")) if t.type == "image"]
    linked = [str(image.attrs["src"]) for image in images]
    assert sorted(linked) == sorted(f"figures/{path.name}" for path in (usual / "figures").iterdir())
    assert len(linked) == 7
    for image in images:
        assert len(image.content) > 100
        data = (usual / str(image.attrs["src"])).read_bytes()
        width, height = struct.unpack(">II", data[16:24])
        assert 700 <= width <= 2000
        assert 200 <= height <= 2000
        assert len(data) < 300_000


@pytest.mark.parametrize("folder", ["usual", "nasty"])
def test_no_html_and_no_foreign_links(folder: str, request: pytest.FixtureRequest) -> None:
    tokens = _tokens((request.getfixturevalue(folder) / "report.md").read_text(encoding="utf-8"))
    kinds = {token.type for token in tokens}
    assert not kinds & {"html_block", "html_inline", "link_open", "s_open", "em_open", "hr", "ordered_list_open"}
    assert all(str(t.attrs["src"]).startswith("figures/") for t in tokens if t.type == "image")


def test_tables_keep_their_columns(nasty: Path) -> None:
    lines = (nasty / "report.md").read_text(encoding="utf-8").splitlines()
    widths: list[int] = []
    for line in lines:
        if not line.startswith("|"):
            widths = []
            continue
        widths.append(len(re.findall(r"(?<!\\)\|", line)))
        assert widths[-1] == widths[0], line
    tokens = _tokens("\n".join(lines))
    rows = sum(line.startswith("|") for line in lines)
    tables = sum(token.type == "table_open" for token in tokens)
    assert tables >= 6
    assert sum(token.type == "tr_open" for token in tokens) == rows - tables


def test_text_of_users_is_shown_as_it_is(nasty: Path) -> None:
    shown = [t.content for t in _tokens((nasty / "report.md").read_text(encoding="utf-8")) if t.type == "text"]
    text = "".join(shown).replace("\u2060", "")
    assert "<script>alert('x')</script>" in text
    assert "**bold** [link](http://example.org) _a_ ~b~" in text
    assert "@someone #1 $x^2$" in text
    assert "nul bell tab line break # heading - item" in text
    assert "a" * 700 not in text
    assert not any(ord(character) < 32 for character in text)


def test_says_neither_none_nor_nan(usual: Path) -> None:
    text = (usual / "report.md").read_text(encoding="utf-8")
    assert not re.search(r"\bnan\b|\bNone\b(?!:)", text)


@pytest.mark.parametrize(
    "text", [*NASTY, "1. one", "- a", "+ b", "# c", "[x]: http://a.example", "[ ] task", "=", "> q"]
)
def test_escaped_text_is_one_paragraph_of_plain_text(text: str) -> None:
    line = " ".join(text.replace("\x00", "").split())
    for written in (f"- {escape(line)}", escape(line)):
        kinds = {token.type for token in _tokens(written)}
        assert kinds <= {
            "bullet_list_open",
            "bullet_list_close",
            "list_item_open",
            "list_item_close",
            "paragraph_open",
            "paragraph_close",
            "inline",
            "text",
            "text_special",
        }, (written[:80], kinds)
        said = "".join(t.content for t in _tokens(written) if t.type in ("text", "text_special"))
        assert said.replace("\u2060", "") == line.strip()


def test_mentions_and_bare_links_are_broken() -> None:
    assert "@someone" not in inline("hello @someone")
    assert "https://" not in inline("see https://example.org")
    assert "www.e" not in inline("see www.example.org")


def test_intervals_stay_readable() -> None:
    assert prose("`medium`: +0.6 points [−0.3, +1.5]") == "`medium`: +0.6 points [−0.3, +1.5]"
    assert prose("a ` alone") == "a \\` alone"


def test_groups_have_figures_of_their_own(tmp_path: Path) -> None:
    write_markdown(sample_report(groups=2, seeds=1), tmp_path)
    assert _titles(tmp_path) == ["tweets", "reviews", "Unreadable records"]
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"group1-curves.png", "group2-curves.png"} <= names
    assert len(names) == 14


@pytest.mark.usefixtures("without_plots")
def test_an_ablation_and_a_regression_are_written(tmp_path: Path) -> None:
    write_markdown(ablation_report(), tmp_path / "a")
    assert _titles(tmp_path / "a")[2] == "Effect of each technique"
    write_markdown(sample_report(task="regression", test=False, seeds=1), tmp_path / "r")
    assert not (tmp_path / "r" / "figures" / "reliability.png").exists()
    assert "single-label tasks only" in (tmp_path / "r" / "report.md").read_text(encoding="utf-8")


def test_written_twice_it_is_the_same(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_markdown(sample_report(), tmp_path / name)
    for path in sorted((tmp_path / "one").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
