"""Texts of others do nothing to a terminal."""

import io
import json
import logging
import re

import pytest
import typer

from finetune.cli.output import notice, print_text
from finetune.quiet import _Visible
from finetune.reports.blocks import Cell, Column, Table
from finetune.reports.rich_table import SafeConsole, rich_table
from finetune.visible import visible

CLEARS = "good\x1b[2J\x1b]0;title\x07\rbad"
REVERSED = "safe\u202egnp.exe\u2066"
LABELS = [CLEARS, REVERSED, "name\x9b31m", "lone \ud800"]
ACTING = "\x1b\x07\r\x9b\u202e\u2066\ud800"


@pytest.mark.parametrize("label", LABELS)
def test_what_acts_on_a_terminal_is_written_out_and_json_still_means_the_same(label: str) -> None:
    assert not set(visible(label)) & set(ACTING)
    assert json.loads(visible(json.dumps(label, ensure_ascii=False))) == label


@pytest.mark.parametrize("text", ["one\ntwo\tthree", "naïve 👩\u200d💻 عربى", "می\u200cخواهم"])
def test_text_of_any_language_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize("label", LABELS)
def test_every_way_to_the_terminal_writes_it_out(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(typer, "echo", lambda text, err=False: said.append(text))
    print_text(label)
    notice(f"warning: {label}")
    record = logging.LogRecord("finetune", logging.WARNING, "", 0, "label %s", (label,), None)
    said.append(_Visible("warning: %(message)s").format(record))
    assert all(visible(label) in text for text in said)
    shown = io.StringIO()
    console = SafeConsole(file=shown, force_terminal=True, width=200)
    console.print(rich_table(Table(label, [Column(label)], [[Cell(label)]])))
    console.print(f"Labels      {label}", markup=False)
    own = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue())  # the colours of the console itself
    assert not set("".join([*said, own])) & set(ACTING)
    assert own.count(label[:4]) == 4
