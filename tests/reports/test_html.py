"""report.html without a browser: what it refers to, says, escapes, and for whom it can be read."""

import json
import re
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from finetune.records.report import Report
from finetune.reports.blocks import Page as ReportPage
from finetune.reports.html import _prose, render_html, render_page
from finetune.reports.palette import Palette
from finetune.reports.tune_page import sections
from tests.reports.sample import ablation_report, sample_report
from tests.reports.tuned import tuned_report

CASES = {
    "usual": lambda: sample_report(),
    "no test, one seed": lambda: sample_report(test=False, seeds=1),
    "failures": lambda: sample_report(failed_run="light", failed_preset="strong"),
    "baseline failed": lambda: sample_report(failed_preset="none"),
    "degenerate": lambda: sample_report(degenerate="strong"),
    "nasty": lambda: sample_report(nasty=True, failed_run="light", failed_preset="strong"),
    "ablate": ablation_report,
    "regression": lambda: sample_report(task="regression", test=False),
    "multi-label": lambda: sample_report(task="multi_label"),
    "groups": lambda: sample_report(groups=2),
    "folds": lambda: sample_report(folds=3, seeds=2),
    "nothing": lambda: sample_report(groups=0),
}
SECTIONS = [
    "Recommendation",
    "Final model",
    "Presets side by side",
    "Score against generalization gap",
    "Score against training time",
    "Learning curves",
    "What closed the gap: lower train or higher validation",
    "Calibration",
    "Weights",
    "Classes",
    "Disagreements",
    "Data",
    "Reproduce",
    "Failures",
]
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Elements as (tag, attributes, text), with the text of their children."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self.open: list[tuple[str, list[str]]] = []
        self.outside: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, [tag for tag, _ in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        said: list[str] = []
        self.elements.append((tag, {name: value or "" for name, value in attrs}, said))
        if tag not in VOID:
            self.open.append((tag, said))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}, []))

    def handle_endtag(self, tag: str) -> None:
        last, _ = self.open.pop()
        assert last == tag, f"</{tag}> closes <{last}>"

    def handle_data(self, data: str) -> None:
        for _, said in self.open:
            said.append(data)
        if not any(tag in ("script", "style") for tag, _ in self.open):
            self.outside.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.outside)

    def all(self, *tags: str) -> list[tuple[str, dict[str, str], str]]:
        return [(tag, attrs, "".join(said).strip()) for tag, attrs, said in self.elements if tag in tags]


@cache
def _rendered(case: str) -> tuple[str, Page]:
    text = render_html(CASES[case]())
    return text, Page(text)


@pytest.fixture(params=CASES)
def page(request: pytest.FixtureRequest) -> Page:
    return _rendered(request.param)[1]


def test_refers_to_nothing_outside_itself(page: Page) -> None:
    for tag, attrs, _ in page.all(*{tag for tag, *_ in page.elements}):
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset", "formaction"):
            value = attrs.get(name, "#")
            assert value.startswith("#") or (tag == "link" and value == "data:,"), (tag, name, value)
        assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", " ".join(attrs.values())))
        assert tag not in ("iframe", "object", "embed", "base", "img", "form")
        assert not any(name.startswith("on") for name in attrs), (tag, attrs)
    styles = " ".join(text for *_, text in page.all("style"))
    assert "@import" not in styles
    assert "url(" not in styles


def test_forbids_every_request(page: Page) -> None:
    policies = [attrs["content"] for _, attrs, _ in page.all("meta") if "http-equiv" in attrs]
    assert policies == [
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:",
    ]


def test_ids_are_unique_and_references_meet_one(page: Page) -> None:
    ids = [attrs["id"] for _, attrs, _ in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs, _ in page.elements:
        wanted = attrs.get("aria-labelledby", "").split() + re.findall(r"url\(#([^)]*)\)", " ".join(attrs.values()))
        wanted += [attrs["href"][1:]] if attrs.get("href", "").startswith("#") else []
        assert set(wanted) <= set(ids), (set(wanted) - set(ids), attrs)


def test_every_figure_has_a_caption_and_every_drawing_words(page: Page) -> None:
    figures, captions = page.all("figure"), page.all("figcaption")
    assert len(figures) == len(captions)
    assert all(len(text) > 60 for *_, text in captions)
    texts = {attrs.get("id"): text for _, attrs, text in page.all("title", "desc")}
    for _, attrs, _ in page.all("svg"):
        if attrs.get("aria-hidden") != "true":
            assert attrs["role"] == "img"
            assert all(len(texts[name]) > 10 for name in attrs["aria-labelledby"].split())


def test_tables_are_labelled_and_can_be_scrolled_with_keys(page: Page) -> None:
    assert len(page.all("caption")) == len(page.all("table"))
    for _, attrs, _ in page.all("div"):
        if attrs.get("class") == "scroll":
            assert attrs["tabindex"] == "0"
            assert attrs["role"] == "region"
    sortable = [attrs for _, attrs, _ in page.all("th") if "aria-sort" in attrs]
    assert len(page.all("button")) == len(sortable)


def test_headings_and_landmarks(page: Page) -> None:
    levels = [int(tag[1]) for tag, *_ in page.all("h1", "h2", "h3", "h4", "h5")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert [len(page.all(tag)) for tag in ("header", "main", "nav", "footer")] == [1, 1, 1, 1]
    assert page.all("a")[0][1]["href"] == "#main"


def test_says_neither_none_nor_nan(page: Page) -> None:
    words = re.findall(r"[A-Za-z_]+", page.text)
    assert "nan" not in words
    assert not re.search(r"\bNone\b(?!:)", page.text)
    assert "undefined" not in page.text
    assert not re.search(r"[^\w]-\d", re.sub(r"seed-\d|[\w/]+-\d", "", page.text)), "a hyphen where a minus belongs"


@pytest.mark.parametrize("case", ["usual", "regression", "failures", "nasty"])
def test_sections_stand_in_order(case: str) -> None:
    assert [text for _, _, text in _rendered(case)[1].all("h2")] == SECTIONS


def test_an_ablation_has_its_table_after_the_presets_and_recommends_nothing() -> None:
    page = _rendered("ablate")[1]
    titles = [text for _, _, text in page.all("h2")]
    assert titles[:3] == ["Result", "Presets side by side", "Effect of each technique"]
    rows = [text for tag, attrs, text in page.all("th") if attrs.get("scope") == "row"]
    assert {"weight_decay", "dropout", "label_smoothing"} <= set(rows)
    assert "Recommended" not in page.text


def test_where_nothing_can_be_recommended_the_page_says_why() -> None:
    report = sample_report(presets=("none",))
    undefined = report.groups[0].model_copy(update={"recommendation": None})
    said = Page(render_html(report.model_copy(update={"groups": [undefined]}))).text
    assert "no preset has a finished run with a defined score and gap" in said


def test_groups_stand_apart_with_a_table_of_contents() -> None:
    page = _rendered("groups")[1]
    assert [text for _, _, text in page.all("h2")] == ["tweets", "reviews", "Unreadable records"]
    assert [text for _, _, text in page.all("h3")].count("Recommendation") == 2
    links = [text for _, attrs, text in page.all("a")]
    assert {"tweets", "reviews"} <= set(links)


def test_text_of_users_stays_text() -> None:
    text, page = _rendered("nasty")
    assert len(page.all("script")) == 1
    assert "<img" not in text
    assert "onerror=alert(1)&gt;" in text
    assert not page.all("b")
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in text
    assert "\x00" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "a" * 1000 not in text
    assert any("alert" in said for *_, said in page.all("bdi"))


def test_names_of_presets_stay_text_in_figures() -> None:
    name = '</title><script>alert("p")</script>$x^2$ #0072b2 1.23456'
    text = render_html(sample_report(presets=("none", name, "x" * 5000)))
    page = Page(text)
    assert len(page.all("script")) == 1
    assert "x" * 500 not in text
    assert any("alert" in said for *_, said in page.all("text"))


def test_one_seed_says_why_there_is_no_interval() -> None:
    page = _rendered("no test, one seed")[1]
    assert "no interval" in page.text
    assert "There is no test split" in page.text
    assert "± –" in page.text


def test_failed_runs_and_presets_have_rows() -> None:
    page = _rendered("failures")[1]
    assert "2 of 3 runs finished" in page.text
    assert "0 of 3 runs finished" in page.text
    assert "4 runs did not finish." in page.text
    assert "CUDA out of memory" in page.text


def test_the_baseline_row_is_marked() -> None:
    page = _rendered("usual")[1]
    marked = [text for _, attrs, text in page.all("tr") if attrs.get("class") == "baseline"]
    assert len(marked) == 1
    assert "none" in marked[0]


def test_every_caveat_is_shown_once_and_only_the_first_is_not_folded_away() -> None:
    report = sample_report(nasty=True)
    first, *more = report.groups[0].caveats[:2]
    page = re.sub('<span class="together">(.*?)</span>', r"\1", render_html(report))
    text = page.partition("<main")[2].partition(">Final model</h2>")[0]
    assert text.count(first) == 1
    folded = text.partition("<details>")[2]
    assert first not in folded
    assert all(folded.count(caveat) == 1 for caveat in more)


def test_no_line_ends_between_a_number_and_its_percent_sign_or_inside_an_interval() -> None:
    text = str(_prose("From 75.2 % to 85.2 % (+3.3 points [−2.1, +3.5]) with `a % b`, [x, y] and <b>."))
    assert re.findall('<span class="together">(.*?)</span>', text) == ["2 %", "2 %", "[−2.1, +3.5]"]
    assert re.sub("</?span.*?>", "", text) == (
        "From 75.2 % to 85.2 % (+3.3 points [−2.1, +3.5]) with <code>a % b</code>, [x, y] and &lt;b&gt;."
    )


def test_a_table_with_few_rows_has_no_fold() -> None:
    tune = tuned_report()
    page = render_page(ReportPage(tune.title, [("t1", tune, sections(tune))], [], Palette([])), "tune.json")
    assert "more rows" not in page


def test_many_classes_are_folded_away() -> None:
    text = render_html(sample_report(labels=[f"class {i}" for i in range(77)]))
    assert "62 more rows" in text
    assert text.count("<bdi>class 76</bdi>") >= 1


def test_the_largest_report_is_below_5_mb() -> None:
    presets = ("none", *(f"preset {i}" for i in range(19)))
    text = render_html(sample_report(presets=presets, labels=[f"class {i}" for i in range(77)], seeds=5))
    assert len(text.encode()) < 5_000_000


def test_the_same_report_gives_the_same_page_also_after_a_round_trip() -> None:
    report = sample_report(failed_run="light")
    again = Report.model_validate(json.loads(report.model_dump_json()))
    assert render_html(report) == render_html(again)


def test_contrast_of_the_palette() -> None:
    from finetune.reports.palette import BLACK, GRID, INKS, MUTED, PAPER, ZERO

    for mode in ("light", "dark"):
        paper = getattr(PAPER, mode)
        for ink in INKS:
            least = 4.5 if ink in (BLACK, MUTED) else 1.0 if ink in (GRID, PAPER) else 3.0
            assert _contrast(getattr(ink, mode), paper) >= least, (ink, mode, _contrast(getattr(ink, mode), paper))
    assert ZERO in INKS


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2, relative luminance."""

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_four_presets_and_five_seeds_are_below_400_kib_and_are_painted_without_a_script() -> None:
    text = render_html(sample_report(seeds=5))
    assert len(text.encode()) <= 400 * 1024
    assert text.index("<script>") > text.index("</main>")
    assert "<link rel=" not in text.replace('<link rel="icon" href="data:,">', "")
    assert "@import" not in text
    assert "url(" not in re.sub(r"url\(#[^)]*\)", "", text)
