"""Figures: fixed colours, the same bytes for the same report, lines that end where runs stop."""

import re
import warnings
from typing import Any

import pytest
from matplotlib.figure import Figure

from finetune.records.report import Group
from finetune.reports.captions import cost_caption, frontier_caption, has_intervals
from finetune.reports.figures.canvas import to_png, to_svg
from finetune.reports.figures.cost import cost
from finetune.reports.figures.curves import curves
from finetune.reports.figures.decomposition import decomposition
from finetune.reports.figures.dumbbell import dumbbell
from finetune.reports.figures.frontier import frontier
from finetune.reports.figures.picture import Picture
from finetune.reports.figures.reliability import reliability
from finetune.reports.figures.weights import weights
from finetune.reports.palette import BLUE, GREY, SKY, VERMILION, Palette
from tests.reports.sample import ablation_report, sample_report

FIGURES = {
    "dumbbell": dumbbell,
    "frontier": frontier,
    "cost": cost,
    "curves": curves,
    "decomposition": decomposition,
    "reliability": reliability,
    "weights": weights,
}


def _made(name: str, **options: Any) -> tuple[Picture, Group, Palette]:
    report = sample_report(**options)
    palette = Palette.of(report)
    return FIGURES[name](report.groups[0], palette), report.groups[0], palette


def _drawn(picture: Picture, number: int = 0) -> Figure:
    panel = picture.panels[number]
    figure = Figure(figsize=(panel.width / 72, panel.height / 72), dpi=72)
    panel.draw(figure)
    return figure


def test_the_frontier_explains_its_arrows_and_only_intervals_that_it_draws() -> None:
    group = sample_report().groups[0]
    assert "Arrows lead from each baseline to the presets compared with it. " in frontier_caption(group)
    assert has_intervals(group)
    bare = [
        variant.model_copy(
            update={
                kind: {**getattr(variant, kind), group.score: getattr(variant, kind)[group.score].model_copy(update=NO)}
                for kind in ("gap", "validation")
            }
        )
        for variant in group.variants
    ]
    assert not has_intervals(group.model_copy(update={"variants": bare}))  # those of the loss are in no figure of it
    assert "Arrows" not in frontier_caption(sample_report(presets=("none",)).groups[0])


NO = {"low": None, "high": None}


def test_weights_are_told_by_the_middle_of_their_bin_and_names_stay_as_they_are() -> None:
    picture, group, _ = _made("weights", presets=("none", "my-preset"))
    told = picture.panels[0].text
    magnitudes = group.variants[1].weights["encoder"].magnitudes
    assert magnitudes.index(max(magnitudes)) == 24  # from -2 to -1.75
    assert "my-preset: most weights near 10^−1.88." in told


@pytest.mark.parametrize(
    "presets", [("none", "light", "medium", "strong"), ("strong", "own", "light", "medium", "none")]
)
def test_a_known_preset_has_its_colour_whatever_the_others_are(presets: tuple[str, ...]) -> None:
    palette = Palette(presets)
    inks = {name: palette[name].ink for name in ("none", "light", "medium", "strong")}
    assert inks == {"none": GREY, "light": SKY, "medium": BLUE, "strong": VERMILION}


def test_marks_differ_among_many_presets() -> None:
    palette = Palette(["none", "light", "medium", "strong", *(f"own {i}" for i in range(20))])
    marks = [(palette[f"own {i}"].ink, palette[f"own {i}"].shape) for i in range(20)]
    assert len(set(marks)) == 20
    assert not {palette[f"own {i}"].shape for i in range(20)} & {"o", "s", "D", "^"}


@pytest.mark.parametrize("name", FIGURES)
def test_curves_and_points_wear_the_colour_of_their_preset(name: str) -> None:
    picture, _, _ = _made(name)
    svg = " ".join(to_svg(panel, "p") for panel in picture.panels)
    compared = ("light", "medium", "strong") if name == "decomposition" else ("none", "light", "medium", "strong")
    wanted = {"none": "grey", "light": "sky", "medium": "blue", "strong": "vermilion"}
    assert all(f"var(--{wanted[preset]})" in svg for preset in compared)


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_report_gives_the_same_bytes(name: str) -> None:
    (one, _, palette), (other, _, _) = _made(name), _made(name)
    assert [to_svg(panel, "a") for panel in one.panels] == [to_svg(panel, "a") for panel in other.panels]
    assert to_png(one, palette) == to_png(other, palette)


@pytest.mark.parametrize("name", FIGURES)
def test_svg_follows_the_page(name: str) -> None:
    picture, _, _ = _made(name)
    for number, panel in enumerate(picture.panels):
        svg = to_svg(panel, f"x{number}")
        ids = re.findall(r' id="([^"]*)"', svg)
        assert all(found.startswith(f"x{number}-") for found in ids)
        assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg)) <= set(ids)
        assert not re.search(r"#[0-9a-f]{6}", svg.replace("#x", "")), "a colour that dark mode cannot change"
        assert "DejaVu" not in svg
        assert "http" not in svg
        assert "<metadata" not in svg
        assert "<text" in svg
        assert f'viewBox="0 0 {panel.width} {panel.height}"' in svg
        assert panel.width <= 640


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize(
    "options",
    [
        {"seeds": 1, "test": False},
        {"failed_preset": "none"},
        {"failed_run": "light", "failed_preset": "strong"},
        {"task": "regression"},
        {"task": "multi_label"},
        {"presets": ("none", "🙂 $x$ שלום \\frac{", "y" * 4000)},
    ],
    ids=["one seed", "baseline failed", "failures", "regression", "multi-label", "nasty names"],
)
def test_draws_what_there_is_without_a_warning(name: str, options: dict[str, Any]) -> None:
    """As PNG: pages of such reports, with their SVG, are tested in test_html.py."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture, _, palette = _made(name, **options)
        assert all(panel.text for panel in picture.panels)
        if picture.panels:
            assert to_png(picture, palette).startswith(b"\x89PNG")


def test_lines_end_where_runs_stop() -> None:
    picture, group, _ = _made("curves")
    for number, variant in enumerate(group.variants):
        score = _drawn(picture, number).axes[0]
        ends = {max(line.get_xdata()) for line in score.lines if len(line.get_xdata()) > 1}
        assert ends == {curve.steps[-1] for curve in variant.curves}
        assert score.get_xlim()[1] >= max(c.steps[-1] for v in group.variants for c in v.curves)


def test_of_very_many_runs_only_some_have_lines_and_the_legend_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.reports.figures.curves.MOST_LINES", 2)
    picture, _, _ = _made("curves")
    thin = [line for line in _drawn(picture).axes[0].lines if line.get_linewidth() == 0.7]
    assert len(thin) == 2 * 2
    assert "one run (the first 2 of 3)" in [label for _, label in picture.lines]


def test_panels_of_curves_share_their_axes() -> None:
    picture, group, _ = _made("curves")
    drawn = [_drawn(picture, number) for number in range(len(group.variants))]
    for row in (0, 1):
        assert len({(f.axes[row].get_xlim(), f.axes[row].get_ylim()) for f in drawn}) == 1


def test_train_is_solid_validation_dashed_and_the_mean_thick() -> None:
    picture, _, _ = _made("curves")
    lines = [line for line in _drawn(picture).axes[0].lines if len(line.get_xdata()) > 1]
    styles = [(line.get_linestyle(), line.get_linewidth()) for line in lines]
    assert styles.count(("-", 0.7)) == styles.count(("--", 0.7)) == 3
    assert styles.count(("-", 2)) == styles.count(("--", 2)) == 1


def test_selected_steps_are_marked() -> None:
    picture, group, _ = _made("curves")
    marked = [line.get_xdata()[0] for line in _drawn(picture).axes[0].lines if line.get_marker() == "o"]
    assert marked == [curve.selected_step for curve in group.variants[0].curves]


def test_dominated_presets_are_paler_and_there() -> None:
    picture, _, palette = _made("frontier")
    light = [line for line in _drawn(picture).axes[0].lines if line.get_marker() == palette["light"].shape]
    assert light
    assert all(line.get_alpha() < 1 for line in light)
    strong = [line for line in _drawn(picture).axes[0].lines if line.get_marker() == palette["strong"].shape]
    assert all(line.get_alpha() == 1 for line in strong)


def test_the_frontier_holds_every_interval_and_does_not_magnify_noise() -> None:
    picture, group, _ = _made("frontier")
    plot = _drawn(picture).axes[0]
    for variant in group.variants:
        gap, level = variant.gap["accuracy"], variant.validation["accuracy"]
        assert plot.get_xlim()[0] < 100 * gap.low < 100 * gap.high < plot.get_xlim()[1]
        assert plot.get_ylim()[0] < 100 * level.low < 100 * level.high < plot.get_ylim()[1]
    low, high = _drawn(_made("frontier", seeds=1)[0]).axes[0].get_ylim()
    assert high - low >= 4 - 1e-9


def test_arrows_of_an_ablation_start_at_the_own_baseline() -> None:
    report = ablation_report()
    group, palette = report.groups[0], Palette.of(report)
    arrows = [text for text in _drawn(frontier(group, palette)).axes[0].texts if hasattr(text, "arrow_patch")]
    starts = [text.xyann for text in arrows if text.arrow_patch is not None]
    medium = next(variant for variant in group.variants if variant.name == "medium")
    here = (100 * medium.gap["accuracy"].mean, 100 * medium.validation["accuracy"].mean)
    assert sum(start == pytest.approx(here) for start in starts) == 3


def test_bars_are_as_long_as_the_parts() -> None:
    picture, group, _ = _made("decomposition")
    bars = [patch.get_width() for patch in _drawn(picture).axes[0].patches]
    parts = [variant.decomposition["accuracy"] for variant in group.variants if variant.decomposition]
    assert bars == pytest.approx([100 * of.mean for part in parts for of in (part.train_fell, part.validation_rose)])


def test_weights_that_lie_on_each_other_are_drawn_as_multiples_of_the_baseline() -> None:
    group = sample_report().groups[0]
    base = group.variants[0].weights
    variants = [variant.model_copy(update={"weights": base}) for variant in group.variants[:1]]
    changed = {
        name: part.model_copy(
            update={"magnitudes": [m * (1.1 if at == 23 else 1.0) for at, m in enumerate(part.magnitudes)]}
        )
        for name, part in base.items()
    }
    variants += [group.variants[1].model_copy(update={"weights": changed})]
    alike = group.model_copy(update={"variants": variants})
    picture = weights(alike, Palette(["none", "light"]))
    assert [panel.title for panel in picture.panels] == [
        "Magnitudes of the weights against none: encoder",
        "Magnitudes of the weights against none: head",
        "Distance from the pretrained weights by layer",
    ]
    assert picture.panels[0].text == "light: differs most near 10^−2.12, where it has 1.1× the weights of none."
    (line,) = (line for line in _drawn(picture).axes[0].lines if len(line.get_xdata()) > 2)
    assert max(line.get_ydata()) == pytest.approx(1.1)
    assert sorted(line.get_ydata())[:-1] == pytest.approx([1.0] * (len(line.get_ydata()) - 1))
    apart = group.model_copy(
        update={"variants": [*variants[:1], group.variants[3].model_copy(update={"weights": _shifted(base)})]}
    )
    assert weights(apart, Palette(["none", "strong"])).panels[0].title == "Magnitude of the weights: encoder"


def _shifted(parts: dict[str, Any]) -> dict[str, Any]:
    """Weights a hundred times smaller."""
    return {
        name: part.model_copy(update={"magnitudes": [*part.magnitudes[8:], *[0.0] * 8]}) for name, part in parts.items()
    }


def test_exact_zeros_have_a_bar_for_each_preset_and_part() -> None:
    picture, group, _ = _made("weights")
    number = [panel.title for panel in picture.panels].index("Weights that are exactly zero")
    bars = [patch.get_width() for patch in _drawn(picture, number).axes[0].patches]
    shares = [100 * variant.weights[part].zero_share for variant in group.variants for part in ("encoder", "head")]
    assert bars == pytest.approx(shares)
    assert "strong: 12.0 % of the encoder." in picture.panels[number].text


def test_cost_stands_against_the_reported_score() -> None:
    picture, group, palette = _made("cost")
    plot = _drawn(picture).axes[0]
    marks = {line.get_marker(): line for line in plot.lines if line.get_marker() != "None"}
    for variant in group.variants:
        line = marks[palette[variant.name].shape]
        assert line.get_xdata()[0] == pytest.approx(variant.seconds_ratio if variant.baseline else 1.0)
        assert line.get_ydata()[0] == pytest.approx(100 * (variant.test["accuracy"].mean or 0))
    assert plot.get_xlim()[0] == 0
    assert _made("cost", presets=("none",))[0].panels == []


def test_times_of_an_ablation_are_multiples_of_one_baseline() -> None:
    """`medium without x` has the baseline medium: half of its time is three quarters of that of none, and not half."""
    group = ablation_report(("dropout",)).groups[0]
    ratios = {"medium": 1.5, "medium without dropout": 0.5, "dropout alone": 1.2}
    variants = [each.model_copy(update={"seconds_ratio": ratios.get(each.name)}) for each in group.variants]
    group = group.model_copy(update={"variants": variants})
    plot = _drawn(cost(group, Palette([variant.name for variant in variants]))).axes[0]
    drawn = [line.get_xdata()[0] for line in plot.lines if line.get_marker() != "None"]
    assert drawn == pytest.approx([1.0, 1.5, 0.75, 1.2])
    assert "`medium` takes longest (1.5×)" in cost_caption(group)
