"""`--seeds auto` in words: how many seeds each preset got, and why not more."""

from __future__ import annotations

from finetune.measurement.units import count_text, listed
from finetune.records.comparison import SeedLook
from finetune.records.report import Group, SeedRule, VariantReport
from finetune.reports.blocks import Block, Bullets, Cell, Column, Prose, Table
from finetune.reports.numbers import shorten

BASELINE = "as many as the presets that are compared with it"
AT_MOST = "the most seeds were reached before its verdict was settled"
NOT_YET = "its verdict is not settled yet; the command of the comparison adds further seeds"


def look_texts(look: SeedLook) -> list[str]:
    """A sentence for each preset that a look has settled: `strong: settled after 4 seeds: …; no further seeds`."""
    seeds = count_text(look.seeds, "seed")
    return [f"{name}: settled after {seeds}: {reason}; no further seeds" for name, reason in look.settled.items()]


def seeds_text(group: Group) -> str:
    """`5 seeds`, or `3 to 10 seeds` where a rule has given presets different numbers of them."""
    counts = [len(variant.runs) for variant in group.variants]
    if group.seed_rule is None or min(counts) == max(counts):
        return count_text(len(group.seeds), "seed")
    return f"{min(counts)} to {count_text(max(counts), 'seed')}"


def seed_lines(group: Group) -> list[str]:
    """A line for each preset: its seeds, and why it got no more; none where no rule added seeds."""
    return [f"{name}  {count_text(seeds, 'seed')}: {why}" for name, seeds, why in _ends(group)]


def seeds_blocks(group: Group, rule: SeedRule) -> list[Block]:
    """The rule, a row for each preset, and every look."""
    rows = [
        [Cell(name, user=True), Cell(str(seeds), sort=seeds), Cell(shorten(why, 600))]
        for name, seeds, why in _ends(group)
    ]
    columns = [
        Column("Preset", numeric=False),
        Column("Seeds"),
        Column("Why no more", numeric=False, sortable=False, look="long"),
    ]
    runs = sum(len(variant.runs) for variant in group.variants)
    whole, each = rule.most * len(group.variants), f"{count_text(rule.most, 'seed')} of each"
    caption = f"{count_text(runs, 'run')} instead of {whole} with {each}."
    if runs >= whole:
        caption = f"{count_text(runs, 'run')}, {each}: the rule saved none."
    looks = [
        f"After {count_text(look.seeds, 'seed')}: settled: {listed(list(look.settled)) or 'none'}; "
        f"not settled: {listed(look.open) or 'none'}."
        for look in rule.looks
    ]
    return [Prose(rule.text), Table(caption, columns, rows), Bullets(looks, title="Looks", folded=True)]


def _ends(group: Group) -> list[tuple[str, int, str]]:
    """Preset, its seeds, and why it got no more."""
    rule = group.seed_rule
    if rule is None:
        return []
    return [(variant.name, len(variant.runs), _why_no_more(variant, rule)) for variant in group.variants]


def _why_no_more(variant: VariantReport, rule: SeedRule) -> str:
    for look in rule.looks:
        if variant.name in look.settled:
            return f"settled after {count_text(look.seeds, 'seed')}: {look.settled[variant.name]}"
    # A report may choose another baseline than the comparison had, of which the looks speak.
    looked_at = any(variant.name in look.open for look in rule.looks) if rule.looks else variant.baseline is not None
    if not looked_at:
        return BASELINE
    return AT_MOST if len(variant.runs) >= rule.most else NOT_YET
