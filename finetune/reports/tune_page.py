"""The report of a tune: its sections and its files. Computes nothing."""

from __future__ import annotations

from pathlib import Path

from finetune.advice.tune import chosen_test_text, interval_text, settings_of
from finetune.measurement.units import DASH, count_text
from finetune.records.tune import Tested, TrialReport, TuneReport
from finetune.reports.blocks import Block, Bullets, Cell, Code, Column, Facts, Page, Prose, Section, Table
from finetune.reports.captions import sentence
from finetune.reports.curve_page import change_cell, level_cell
from finetune.reports.files import write_files
from finetune.reports.numbers import scale_of, shorten
from finetune.reports.palette import Palette
from finetune.reports.recommendation import about, caveat_blocks
from finetune.reports.reproduce import reproduce
from finetune.reports.tune import next_command, p_text, range_text, ranked, short_settings, status_text, trained_text

PAIRED = (
    "Differences to the default are paired over the rows of the folds that a setting was trained on. Intervals hold at "
    "95 % for all settings together, and p is multiplied by their number (Bonferroni): an interval excludes 0 where p "
    "is below 0.05, and nowhere else."
)
OPTIMISM = (
    "Optimism: score over the folds of the training rows, by which settings were chosen, − score on test, which was "
    "opened once, after the choice."
)


def write_tune(tune: TuneReport, folder: Path) -> list[Path]:
    """Write tune.json, tune.html and tune.md; returns the three paths."""
    title = shorten(tune.title, 160) or "Tune"
    page = Page(title, [("g1", tune, sections(tune))], [], Palette([]))
    return write_files("tune", tune, page, folder)


def sections(tune: TuneReport) -> list[Section]:
    """All sections on a tune."""
    failed = [f"{trial.name}: {trial.reason}" for trial in tune.trials if trial.status == "failed"]
    return [
        *main_sections(tune),
        Section("searched", "Search space", _searched(tune)),
        Section("reproduce", "Reproduce", reproduce(tune.conditions, "Recipe, without techniques")),
        Section("failures", "Failures", _failures(failed)),
    ]


def main_sections(tune: TuneReport) -> list[Section]:
    """The choice, its test, and all settings: what a notebook shows, too."""
    return [
        Section("answer", "The choice", answer(tune)),
        Section("test", "Test, and optimism of the choice", [tested_table(tune)]),
        Section("trials", "Settings side by side", [trials_table(tune)]),
    ]


def answer(tune: TuneReport) -> list[Block]:
    """The headline, the rule, what comes next, and the caveats."""
    entries = [
        ("Chosen", tune.chosen),
        ("Test", chosen_test_text(tune)),
        ("Settings", shorten(tune.recipe, 300)),
        ("Model folder", shorten(tune.model or DASH, 300)),
        ("Rule", tune.rule),
        ("Trained", trained_text(tune)),
    ]
    return [
        Prose(
            about(tune.conditions, count_text(len(tune.trials), "setting"), count_text(tune.folds, "fold")), quiet=True
        ),
        Prose(shorten(tune.headline, 1200), lead=True),
        Facts(entries),
        Code("Next", next_command(tune), "bash"),
        *caveat_blocks(tune.caveats),
    ]


def tested_table(tune: TuneReport) -> Table:
    """A row for the default, and one for the best setting if it differs."""
    scale = scale_of(tune.conditions, tune.score)
    columns = [
        Column("Setting", numeric=False),
        Column("Folds", note=scale.title),
        Column("Test", note=scale.title),
        Column("Optimism", note=scale.change_title),
        Column("Test − default", note="paired"),
    ]

    def row(tested: Tested) -> list[Cell]:
        optimism = Cell(scale.change(tested.optimism, unit=False), sort=tested.optimism)
        inner = Cell(scale.level(tested.inner, unit=False), sort=tested.inner)
        return [
            Cell(tested.name),
            inner,
            level_cell(scale, tested.test),
            optimism,
            change_cell(scale, tested.difference),
        ]

    caption = f"Means of {count_text(len(tune.seeds), 'seed')}, 95 % intervals over seeds and rows in brackets."
    return Table(caption, columns, [row(tested) for tested in tune.tested], notes=[OPTIMISM], as_cards=True)


def trials_table(tune: TuneReport) -> Table:
    """A row per setting, the default first."""
    scale = scale_of(tune.conditions, tune.score)
    columns = [
        Column("Setting", numeric=False),
        Column("Folds", note=scale.title),
        Column("− default", note="paired"),
        Column("p", note="adjusted"),
        Column("What differs", numeric=False, look="sentence"),
        Column("Searched", numeric=False),
        Column("State", numeric=False),
    ]

    def row(trial: TrialReport) -> list[Cell]:
        change = scale.change(trial.difference, unit=False)
        return [
            Cell(trial.name, sort=trial.number),
            Cell(scale.level(trial.score, unit=False), sort=trial.score),
            Cell(change, interval_text(tune, trial), trial.difference),
            Cell(p_text(trial), sort=trial.p),
            Cell(short_settings(settings_of(tune, trial)) or DASH, user=True),
            Cell(trial.stage),
            Cell(status_text(tune, trial) or DASH),
        ]

    caption = (
        f"{sentence(scale.name)} over {tune.folds} folds of {tune.rows['train']:,} training rows, seed {tune.seed}."
    )
    rows = [row(trial) for trial in ranked(tune)]
    return Table(caption, columns, rows, open_rows=20, marked=0, notes=[PAIRED], as_cards=True)


def _searched(tune: TuneReport) -> list[Block]:
    return [Bullets([range_text(each) for each in tune.space], user=True)]


def _failures(failed: list[str]) -> list[Block]:
    if not failed:
        return [Prose("None.")]
    return [Bullets([shorten(text, 500) for text in failed], user=True)]
