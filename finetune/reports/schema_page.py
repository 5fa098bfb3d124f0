"""docs/report-schema.md: every field of report.json, generated from its models."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator

from pydantic import BaseModel

from finetune.records.report import REPORT_VERSION, Report

INTRODUCTION = f"""# report.json, version {REPORT_VERSION}

Written by `finetune compare`, `finetune ablate` and `finetune report` next to report.html and report.md, which show
nothing that is not in it. `report_version` rises when a field changes its meaning or goes; new fields may come.
Scores are in [0, 1] (correlations in [−1, 1]), losses in nats or label units squared, gaps positive where the model
overfits. What cannot be known is null. Gates (`--fail-on`) name `train`, `validation`, `test`, `gap` and `gap_last`
of a variant, `.` and a metric. Made by `scripts/docs` from `finetune/records/report.py`.
"""


def render_schema_page() -> str:
    """The page as Markdown."""
    parts = [INTRODUCTION]
    for model in _models(Report):
        summary = inspect.cleandoc(model.__doc__ or "")
        parts.append(f"## {model.__name__}\n\n{summary}\n\n| field | type | meaning |\n|---|---|---|")
        parts[-1] += "".join(
            f"\n| `{name}` | {_type(field.annotation)} | {_cell(field.description or '')} |"
            for name, field in model.model_fields.items()
        )
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _models(root: type[BaseModel]) -> list[type[BaseModel]]:
    """The root and every model below it, each once, in the order of first use."""
    found = [root]
    for model in found:  # grows while it is read
        for field in model.model_fields.values():
            found += [inner for inner in _inner_models(field.annotation) if inner not in found]
    return found


def _inner_models(annotation: object) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _inner_models(argument)


def _type(annotation: object) -> str:
    if inspect.isclass(annotation) and not typing.get_args(annotation):
        name = annotation.__name__
        return f"[{name}](#{name.lower()})" if issubclass(annotation, BaseModel) else name.replace("NoneType", "null")
    if typing.get_origin(annotation) is typing.Literal:
        return " \\| ".join(f'"{value}"' for value in typing.get_args(annotation))
    arguments = [_type(argument) for argument in typing.get_args(annotation)]
    if typing.get_origin(annotation) is list:
        return f"list of {arguments[0]}"
    if typing.get_origin(annotation) is dict:
        return f"{arguments[0]} -> {arguments[1]}"
    return " \\| ".join(arguments) if arguments else str(annotation).removeprefix("typing.")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
