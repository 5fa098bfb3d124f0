"""Files of other programs, which are not read: the command that makes a file of them that is."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from pathlib import Path

from finetune.data.drawn_tables import FRAMED
from finetune.errors import Change, DataError

BY_PANDAS = "import sys, pandas; pandas.{}.to_csv(sys.argv[2], index=False)"
# Suffix -> (what pandas calls, note).
PANDAS = {
    ".dta": ("read_stata(sys.argv[1])", "values become their labels"),
    **dict.fromkeys(
        (".sav", ".zsav"), ("read_spss(sys.argv[1])", "values become their labels; needs pip install pyreadstat")
    ),
    **dict.fromkeys(
        (".html", ".htm"), ("read_html(sys.argv[1])[0]", "the first table of the page; needs pip install lxml")
    ),
    ".xml": ("read_xml(sys.argv[1])", "needs pip install lxml"),
    **dict.fromkeys(
        (".pkl", ".pickle"), ("read_pickle(sys.argv[1])", "only if you made it yourself: a pickle can run any code")
    ),
    ".orc": ("read_orc(sys.argv[1])", ""),
    **dict.fromkeys(
        (".h5", ".hdf5", ".hdf"), ("read_hdf(sys.argv[1])", "as pandas saves it; needs pip install tables")
    ),
    ".ods": (
        "read_excel(sys.argv[1], dtype=str, keep_default_na=False)",
        "its first sheet; needs pip install odfpy; or save it as .xlsx",
    ),
}
# Suffix -> what pyreadstat calls: pandas reads no files of version 8, and only those in one encoding.
BY_PYREADSTAT = "import sys, pyreadstat; pyreadstat.{}(sys.argv[1])[0].to_csv(sys.argv[2], index=False)"
PYREADSTAT = {".sas7bdat": "read_sas7bdat", ".xpt": "read_xport"}
# Suffix -> (command with {file} and {made}, suffix of what it makes, note).
COMMANDS = {
    ".fods": ("soffice --headless --convert-to xlsx {file}", ".xlsx", "or save it as .xlsx"),
    **dict.fromkeys(
        (".sqlite", ".sqlite3", ".db", ".db3"),
        ("sqlite3 -csv -header {file} 'select * from TABLE' > {made}", ".csv", "sqlite3 FILE .tables lists the tables"),
    ),
    ".rds": ('Rscript -e "write.csv(readRDS(commandArgs(TRUE)[1]), row.names=FALSE)" {file} > {made}', ".csv", ""),
    ".md": (FRAMED, ".tsv", "the tables in it"),
    **dict.fromkeys((".tar", ".tgz"), ("tar -xf {file}", "", "unpacks it")),
    ".7z": ("7z x {file}", "", "unpacks it"),
    ".rar": ("unrar x {file}", "", "unpacks it"),
    ".js": ("sed '1s/^[^=]*= *//' {file} > {made}", ".json", "JSON with a name before it, as archives of Twitter have"),
}
TEXTS = {
    ".sql": "Load it into its database and export the table: psql -c '\\copy TABLE to data.csv csv header'; "
    "mysql --batch -e 'select * from TABLE' DATABASE > data.tsv.",
    ".numbers": "In Numbers: Export To, CSV.",
    ".rdata": "In R: write.csv(DATA, 'data.csv', row.names=FALSE).",
    ".rda": "In R: write.csv(DATA, 'data.csv', row.names=FALSE).",
    **dict.fromkeys(
        (".docx", ".doc", ".odt", ".pdf", ".rtf"), "Copy its table into a spreadsheet, and save that as CSV UTF-8."
    ),
}
# Lines of Rasa 2 and before: `## intent:greet`, then `- hello [there](place)`.
INTENTS = re.compile(rb"^#+ *intent:", re.MULTILINE)
RASA = (
    r"""awk 'BEGIN {{print "label\ttext"}} {{sub(/\r$/, "")}} /^#/ {{label = ""}} """
    r"""/^#+ *intent:/ {{label = $0; sub(/.*intent: */, "", label)}} /^ *[-*+] / && label {{sub(/^ *[-*+] */, ""); """
    r"""gsub(/\[|\]\([^)]*\)|\]\{{[^}}]*\}}/, ""); print label "\t" $0}}' {file} > {made}"""
)
LOOKED_AT = 1 << 16  # bytes at the start of a file
PAGE = (b"<!doctype html", b"<html")
LFS = b"version https://git-lfs.github.com/spec/"


def way_to_read(path: Path, suffix: str) -> Change | None:
    """What turns a file with this suffix into one that is read; None for a suffix that is not known."""
    file = shlex.quote(str(path))
    if suffix in PANDAS:
        call, note = PANDAS[suffix]
        code = shlex.quote(BY_PANDAS.format(call))
        return Change(command=f"python -c {code} {file} {shlex.quote(str(path.with_suffix('.csv')))}", note=note)
    if suffix in PYREADSTAT:
        code = shlex.quote(BY_PYREADSTAT.format(PYREADSTAT[suffix]))
        made = shlex.quote(str(path.with_suffix(".csv")))
        return Change(command=f"python -c {code} {file} {made}", note="needs pip install pyreadstat")
    if suffix in COMMANDS:
        command, made, note = COMMANDS[suffix]
        if suffix == ".md" and INTENTS.search(_start(path)):
            command, note = RASA, "the intents of Rasa in it"
        return Change(command=command.format(file=file, made=shlex.quote(str(path.with_suffix(made)))), note=note)
    return Change(text=TEXTS[suffix]) if suffix in TEXTS else None


def ways_by_content(path: Path) -> list[Change]:
    """How a file whose suffix says nothing may be read, by its first lines."""
    start = _start(path).lstrip()
    lines = start.splitlines()[:-1] if len(start) > LOOKED_AT // 2 else start.splitlines()
    if start[:1] in (b"{", b"["):
        by_line = start[:1] == b"{" and start.partition(b"\n")[0].rstrip().endswith(b"}")
        return [Change(settings={"data.format": "jsonl" if by_line else "json"})]
    as_table = Change(settings={"data.format": "csv"}, note="if it is a table")
    words = Counter(line.split(b" ", 1)[0] for line in lines if b" " in line.strip())
    if len(words) < 2 or min(words.values()) < 2 or words.total() < len(lines):
        return [as_table]
    made = shlex.quote(f"{path}.txt")
    command = f"sed 's/ /\\t/' {shlex.quote(str(path))} > {made}"
    return [Change(command=command, note="if each line starts with its label"), as_table]


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LOOKED_AT)
    except OSError:  # in an archive, or gone meanwhile
        return b""


def refuse_page(path: Path, head: bytes) -> None:
    """Raises:
    DataError: The first bytes of a file are those of a web page, or of a pointer of Git LFS.
    """
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(PAGE):
        way = way_to_read(path, ".html")
        raise DataError(
            f"{path}: is a web page by its first bytes, and no table. If it was downloaded, the link led to a page, as "
            "of a login or a preview: download the file itself.",
            *([] if way is None else [way]),
        )
    if start.startswith(LFS):
        raise DataError(
            f"{path}: is a pointer of Git LFS by its first bytes; the file itself was not downloaded.",
            Change(command=f"git lfs pull --include {shlex.quote(path.name)}"),
        )
