"""Groups, such as authors, that are in more than one split."""

from __future__ import annotations

from finetune.checks.base import EXAMPLES, count, named_splits, percent, show_names, show_row, verb
from finetune.data.rows import Data
from finetune.records.schema import Finding


def check_groups(data: Data) -> list[Finding]:
    """Rows of validation and test whose group (`data.group`) also is in an earlier split.

    Any is a problem: who names a group says that rows of one group are no independent rows.
    """
    splits = named_splits(data)
    findings = []
    names = list(splits)
    for position, split in enumerate(names):
        for kept in names[:position]:
            rows, known = splits[split], set(splits[kept].groups or [])
            shared = [index for index, group in enumerate(rows.groups or []) if group in known]
            if not shared:
                continue
            groups = list(dict.fromkeys((rows.groups or [])[index] for index in shared))
            share = len(shared) / len(rows)
            findings.append(
                Finding(
                    check="groups",
                    level="problem",
                    text=f"{count(len(groups), 'group')} of {split} {verb(len(groups), 'is', 'are')} also in "
                    f"{kept}, with {count(len(shared), 'row')} ({percent(share)} of {split}): {show_names(groups)}.",
                    figures={"groups": len(groups), "rows": len(shared), "share": share},
                    examples=[show_row(split, rows, index) for index in shared[:EXAMPLES]],
                    advice="Pass all rows as one file: --data FILE --set data.group=COLUMN splits by group",
                )
            )
    return findings
