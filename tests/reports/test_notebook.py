"""Results in a notebook: fragments that stand alone within a page, run nothing, and let no text of users through."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune.analysis.curve import curve_of
from finetune.records.schema import Baseline, DataFacts, Finding, FinishedRecord
from finetune.reports.notebook import curve_fragment, facts_fragment, report_fragment, runs_fragment
from tests.analysis.curves import falling, made_curve
from tests.analysis.making import Run, record_of
from tests.reports.sample import NASTY, ablation_report, sample_report
from tests.reports.test_html import Page


def record(seed: int = 0, **changes: object) -> FinishedRecord:
    made = record_of(Run("strong", seed))
    assert isinstance(made, FinishedRecord)
    return made.model_copy(update=changes)


def nasty_facts() -> DataFacts:
    return DataFacts(
        task="single_label",
        labels=list(NASTY[:3]),
        columns={"text": NASTY[0], "label": NASTY[1]},
        rows={"train": 1000, "train_probe": 200, "validation": 200},
        classes={},
        dropped={NASTY[3]: 2},
        notes=[NASTY[4]],
        warnings=[NASTY[5]],
        fingerprint="0",
        findings=[Finding(check="leaks", level="problem", text=NASTY[0], examples=list(NASTY), advice=NASTY[1])],
        baselines=[Baseline(name=NASTY[0], about=NASTY[1], scores={"validation": {"accuracy": None}}, gap={})],
    )


FRAGMENTS: dict[str, Callable[[Path], str]] = {
    "comparison": lambda _: report_fragment(sample_report(failed_run="light")),
    "failures": lambda _: report_fragment(sample_report(failed_preset="none")),
    "one seed": lambda _: report_fragment(sample_report(seeds=1, test=False)),
    "ablation": lambda _: report_fragment(ablation_report()),
    "groups": lambda _: report_fragment(sample_report(groups=2)),
    "nasty": lambda _: report_fragment(sample_report(nasty=True, failed_run="light")),
    "nothing": lambda _: report_fragment(sample_report(groups=0)),
    "curve": lambda folder: curve_fragment(curve_of(made_curve(folder, falling, ("none", "strong")))),
    "runs": lambda _: runs_fragment([record(0), record(1, warnings=list(NASTY))]),
    "no run": lambda _: runs_fragment([]),
    "facts": lambda _: facts_fragment(nasty_facts()),
}


@pytest.fixture(scope="module", params=FRAGMENTS)
def fragment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return FRAGMENTS[request.param](tmp_path_factory.mktemp("fragment"))


def test_a_fragment_is_one_element_that_asks_for_nothing_and_runs_nothing(fragment: str) -> None:
    page = Page(fragment)
    assert fragment.lstrip().startswith("<div")
    tags = {tag for tag, *_ in page.elements}
    assert not tags & {"script", "html", "body", "head", "link", "iframe", "img", "form", "button", "b"}
    for _, attributes, _ in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert all(attributes.get(name, "#").startswith("#") for name in ("href", "src", "xlink:href"))
    styles = " ".join(text for *_, text in page.all("style"))
    assert "url(" not in styles
    assert "@import" not in styles


def test_ids_are_unique_and_references_meet_one(fragment: str) -> None:
    page = Page(fragment)
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes, _ in page.elements:
        targets = attributes.get("aria-labelledby", "").split()
        targets += re.findall(r"url\(#([^)]*)\)", " ".join(attributes.values()))
        assert set(targets) <= set(ids)


def test_styles_touch_nothing_outside(fragment: str) -> None:
    (styles,) = [text for *_, text in Page(fragment).all("style")]
    styles = re.sub(r"/\*.*?\*/", "", styles, flags=re.DOTALL)
    heads = [head.strip() for head in re.findall(r"([^{}]+)\{", styles)]
    selectors = [each for head in heads if not head.startswith("@media") for each in _without_brackets(head).split(",")]
    assert len(selectors) > 40
    for selector in selectors:  # a theme of the notebook may come first: `:is(…) .finetune`
        assert re.match(r"(:is )?\.finetune\b", selector.strip()), selector


def _without_brackets(selector: str) -> str:
    """A list of selectors without what is in round brackets, whose commas separate no selectors."""
    while (shorter := re.sub(r"\([^()]*\)", "", selector)) != selector:
        selector = shorter
    return selector


def test_two_results_of_one_notebook_share_no_id_and_the_same_result_is_the_same_text() -> None:
    one, other = runs_fragment([record(0)]), runs_fragment([record(1)])
    ids = [{a["id"] for _, a, _ in Page(text).elements if "id" in a} for text in (one, other)]
    assert not ids[0] & ids[1]
    assert one == runs_fragment([record(0)])


def test_a_comparison_shows_its_table_and_figures() -> None:
    page = Page(report_fragment(sample_report(failed_run="light")))
    rows = [text for _, attributes, text in page.all("th") if attributes.get("scope") == "row"]
    assert all(any(row.startswith(name) for row in rows) for name in ("none", "light", "medium", "strong"))
    assert len(page.all("figure")) == 2
    assert "Caveat: 3 seeds give wide intervals" in page.text


def test_a_run_shows_its_gap() -> None:
    page = Page(runs_fragment([record(0)]))
    assert "+20.0 points" in page.text
    assert "Cannot tell: Validation has 20 rows, each worth 5.0 points" in page.text
    assert "Log loss" in page.text


def test_both_themes_of_a_notebook_are_known() -> None:
    text = runs_fragment([record(0)])
    assert '[data-jp-theme-light="false"]' in text
    assert "prefers-color-scheme: dark" in text
