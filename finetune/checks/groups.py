"""Groups, such as authors, that are in more than one split."""

from __future__ import annotations

from finetune.checks.base import NAMED, FoundRow, LocatedFinding, percent, shown_rows, verb
from finetune.data.rows import Data
from finetune.errors import shorten
from finetune.measurement.units import count_text
from finetune.records.schema import Finding


def check_groups(data: Data) -> list[Finding]:
    """Rows of validation and test whose group (`data.group`) also is in an earlier split.

    Any is a problem: naming a group means that its rows are not independent.
    """
    splits = data.whole_splits()
    findings: list[Finding] = []
    names = list(splits)
    for position, split in enumerate(names):
        for kept in names[:position]:
            rows, earlier = splits[split], set(splits[kept].groups or [])
            shared = [index for index, group in enumerate(rows.groups or []) if group in earlier]
            if not shared:
                continue
            groups = list(dict.fromkeys((rows.groups or [])[index] for index in shared))
            fraction = len(shared) / len(rows)
            findings.append(
                LocatedFinding(
                    check="groups",
                    level="problem",
                    split=split,
                    text=f"{count_text(len(groups), f'{split} group')} {verb(len(groups), 'is', 'are')} also in "
                    f"{kept}: {shorten(groups, NAMED)}, with {count_text(len(shared), f'{split} row')} "
                    f"({percent(fraction)}).",
                    figures={"groups": len(groups), "rows": len(shared), "share": fraction},
                    **shown_rows(splits, [FoundRow(split, index) for index in shared]),
                    advice="Use one file with all rows, which is then split by group: --data FILE",
                )
            )
    return findings
