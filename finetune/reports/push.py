"""The files uploaded to the hub, or to be uploaded, as text."""

from __future__ import annotations

from collections.abc import Mapping

from finetune.measurement.units import count_text
from finetune.reports.listing import size_text


def render_files(sizes: Mapping[str, int]) -> str:
    """A line for each file with its size, and their sum."""
    width = max(map(len, sizes))
    lines = [f"  {name:<{width}}  {size_text(size):>9}" for name, size in sizes.items()]
    total = f"{count_text(len(sizes), 'file')}, {size_text(sum(sizes.values()))}"
    return "\n".join([*lines, f"  {total}"])


def render_plan(repo: str, public: bool, sizes: Mapping[str, int], card: str | None) -> str:
    """The output of `--dry-run`: repository, files, and the card as shown there."""
    seen = "public" if public else "private, if it is created now"
    shown = "no model card (README.md)" if card is None else f"README.md, the model card:\n\n{card.rstrip()}"
    return f"Would send to {repo} ({seen}):\n{render_files(sizes)}\n\n{shown}\n\nNothing was sent: leave out --dry-run."


def render_sent(repo: str, sizes: Mapping[str, int], url: str) -> str:
    """The uploaded files, and their place."""
    sent = f"Sent   {count_text(len(sizes), 'file')}, {size_text(sum(sizes.values()))}"
    return f"{sent}\nCommit {url}\nUse    finetune predict {repo} TEXT"
