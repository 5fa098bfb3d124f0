"""YAML as people mean it: `2e-5` is a number, `no` and `None` are words, and a key given twice is an error."""

import re
from pathlib import Path
from typing import Any

import yaml

from finetune.errors import RecipeError


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2 scalars (PyYAML's 1.1 rules read `2e-5` as text and `no` as false)."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's own class attribute

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:int":
                key_node.tag = "tag:yaml.org,2002:str"  # of data.label_map: {0: negative, 1: positive}
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                quoted = f'; put it in quotes: "{key_node.value}"' if isinstance(key_node, yaml.ScalarNode) else ""
                raise yaml.constructor.ConstructorError(
                    None, None, f"keys must be words, found {key!r} in line {line}{quoted}", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"key '{key}' is given twice, in lines {seen[key]} and {line}",
                    key_node.start_mark,
                )
            seen[key] = line
        return super().construct_mapping(node, deep=deep)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf)|\.(?:nan|NaN)",
        "-+.0123456789",
    ),
):
    _first_characters = [character if character != "\0" else "" for character in _first]
    _StrictLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first_characters
    )


def parse_yaml(text: str, origin: str) -> Any:
    """Parse one YAML document.

    Args:
        text: The document.
        origin: What to call it in an error, for example a file name.

    Raises:
        RecipeError: It is not YAML, or repeats a key.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # what PyYAML's own constructors let through
        raise RecipeError(f"not valid YAML: {type(error).__name__}: {_one_line(error)}.", where=origin) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = getattr(error, "problem", None) or _one_line(error)
        raise RecipeError(f"not valid YAML: {what}.", where=f"{origin}{line}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).removesuffix(".")


def read_yaml(path: Path, origin: str) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping; an empty file is an empty mapping.

    Raises:
        RecipeError: The file cannot be read, is not UTF-8 or not YAML, repeats a key, or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot be read as UTF-8 text: {error}.", where=origin) from error
    content = parse_yaml(text, origin)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise RecipeError(f"expected 'key: value' lines, found a {type(content).__name__}.", where=origin)
    return content
