"""The technique table, generated from the registry: for `finetune ls techniques` and docs/techniques.md."""

import re
import shlex
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from finetune.measurement.units import DASH, multiple_text, training_time_text
from finetune.techniques import TECHNIQUES, Technique
from finetune.techniques.search import SearchRange

_HEADING = re.compile(r"[A-Z][a-z]+: ")
_KINDS = {
    "boolean": "true | false",
    "integer": "whole",
    "number": "number",
    "string": "text",
    "array": "list",
    "object": "mapping",
}


def describe_techniques() -> dict[str, dict[str, Any]]:
    """Name -> family, cost, summary, source and settings with default, range, search range of `tune`, and meaning."""
    return {name: _describe(technique) for name, technique in TECHNIQUES.items()}


def _describe(technique: type[Technique]) -> dict[str, Any]:
    schema = technique.model_json_schema()["properties"]
    return {
        "family": technique.family,
        "cost": technique.cost,
        "summary": (technique.__doc__ or "").strip().split("\n", 1)[0],
        "source": technique.source,
        "settings": {
            key: {
                "default": None if field.is_required() else field.default,
                "range": _range(schema[key]),
                "search": _search(technique.search.get(key)),
                "description": field.description,
            }
            for key, field in technique.model_fields.items()
        },
    }


def render_list() -> str:
    """For `finetune ls techniques`: by family, with cost, settings (default, range) and source."""
    lines: list[str] = []
    known = describe_techniques()
    for family in dict.fromkeys(technique["family"] for technique in known.values()):
        lines += ["", family.upper()]
        for name, technique in known.items():
            if technique["family"] == family:
                lines += [f"  {name}  {multiple_text(technique['cost'])}", f"      {technique['summary']}"]
                lines += [f"      {_setting_line(key, setting)}" for key, setting in technique["settings"].items()]
                lines.append(f"      Source: {technique['source']}")
    return "\n".join(["TECHNIQUES", *lines, "", "Details of one technique: finetune show technique NAME"])


def render_card(name: str, own: Sequence[str] = ()) -> str:
    """For `finetune show technique NAME`: its description, settings, cost and an example, with `--technique` for the
    user's `own`.
    """
    technique = describe_techniques()[name]
    lines = [f"{name}: {technique['summary']}", "", *_paragraphs(_body(TECHNIQUES[name])), "", "Settings"]
    for key, setting in technique["settings"].items():
        lines += [f"  {_setting_line(key, setting)}", f"      {setting['description']}"]
    lines += ["", f"Family {technique['family']}, {training_time_text(technique['cost'])} (declared)"]
    options = "".join(f" --technique {shlex.quote(each)}" for each in own)
    example = f"finetune run{options} --set techniques.{name}={{}}" if _runs_by_default(TECHNIQUES[name]) else ""
    return "\n".join([*lines, *([f"Try: {example}"] if example else [])])


def _default_text(default: Any) -> str:
    return f"{default:.4g}" if isinstance(default, float) else str(default)


def _setting_line(key: str, setting: dict[str, Any]) -> str:
    default = setting["default"]
    default = "" if default is None or isinstance(default, list) else f" = {_default_text(default)}"
    ranges = [setting["range"], *([f"tune: {setting['search']}"] if setting["search"] else [])]
    return f"{key}{default}" + (f"   ({'; '.join(filter(None, ranges))})" if any(ranges) else "")


def _runs_by_default(technique: type[Technique]) -> bool:
    try:
        technique()
    except ValidationError:
        return False
    return True


def _range(schema: dict[str, Any]) -> str:
    """Bounds as JSON Schema states them; of a setting of several kinds, one after the other."""
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    return " or ".join(_bounds(kind, named=len(kinds) > 1) for kind in kinds)


def _search(found: SearchRange | None) -> str:
    """`0.05 to 10, log`; empty where `finetune tune` leaves the setting as it is."""
    return "" if found is None else f"{found.low:g} to {found.high:g}{', log' if found.is_log else ''}"


def _bounds(kind: dict[str, Any], named: bool) -> str:
    if "enum" in kind:
        return " | ".join(kind["enum"])
    lower = f"{kind['minimum']:g} ≤ " if "minimum" in kind else ""
    lower = f"{kind['exclusiveMinimum']:g} < " if "exclusiveMinimum" in kind else lower
    upper = f" ≤ {kind['maximum']:g}" if "maximum" in kind else ""
    upper = f" < {kind['exclusiveMaximum']:g}" if "exclusiveMaximum" in kind else upper
    if not lower and not upper:
        return _KINDS.get(kind.get("type", ""), "")
    return (f"{_KINDS[kind['type']]} " if named else "") + f"{lower}x{upper}"


def render_markdown() -> str:
    """docs/techniques.md. A test compares the file with this text."""
    lines = [
        "# Techniques",
        "",
        "Generated from the registry by `scripts/docs`; do not edit. Cost is the declared training time as a multiple",
        "of plain fine-tuning. A technique that is not in a preset is off. Column `tune`: where `finetune tune` looks",
        "for it ([tuning.md](tuning.md)).",
    ]
    for name, technique in describe_techniques().items():
        lines += ["", f"## `{name}`", "", technique["summary"], ""]
        lines += [
            f"Family: {technique['family']}. Cost: {multiple_text(technique['cost'])}. Source: {technique['source']}.",
            "",
        ]
        lines += ["| key | default | range | `tune` | meaning |", "|---|---|---|---|---|"]
        for key, setting in technique["settings"].items():
            default = DASH if setting["default"] is None else f"`{_default_text(setting['default'])}`"
            bounds = setting["range"].replace("|", "\\|")
            meaning = setting["description"].replace("|", "\\|")
            lines.append(f"| `{key}` | {default} | {bounds} | {setting['search']} | {meaning} |")
        lines += ["", "```text", *(_body(TECHNIQUES[name]) or [DASH]), "```"]
    return "\n".join(lines) + "\n"


def _paragraphs(lines: list[str]) -> list[str]:
    """Each paragraph as one line; formulas are indented and stay as they are, headings (`Range:`) begin a paragraph."""
    joined: list[str] = []
    for line in lines:
        is_prose = bool(line) and not line.startswith((" ", "- ")) and not _HEADING.match(line)
        if is_prose and joined and joined[-1] and not joined[-1].startswith(" "):
            joined[-1] += f" {line}"
        else:
            joined.append(line)
    return joined


def _body(technique: type[Technique]) -> list[str]:
    """The docstring after its first line, without the common indent."""
    lines = (technique.__doc__ or "").rstrip().split("\n")[1:]
    return [line[4:] if line.startswith("    ") else line for line in lines][1:]
