"""YAML as people expect it: `2e-5` is a number, `no` and `None` are words, and a key given twice is an error."""

import math
import re
from pathlib import Path
from typing import Any

import yaml

from finetune.errors import RecipeError

MOST_KEYS = 1000  # of the file and of a section: naming what is near to each unknown one would take minutes
MOST_VALUES = 1_000_000  # of a document: a few lines of aliases of aliases would fill the memory


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
        origin: Its name in errors, for example a file name.

    Raises:
        RecipeError: It is not YAML, or repeats a key.
    """
    try:
        loader = _StrictLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _expanded_size(node, {}) > MOST_VALUES:
            raise RecipeError(f"holds, with its *aliases written out, more than {MOST_VALUES:,} values.", where=origin)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = getattr(error, "problem", None) or _one_line(error)
        raise RecipeError(f"not valid YAML: {what}.", where=f"{origin}{line}") from error
    except RecipeError:
        raise
    except Exception as error:  # what PyYAML's own constructors let through
        raise RecipeError(f"not valid YAML: {type(error).__name__}: {_one_line(error)}.", where=origin) from error


def _expanded_size(node: yaml.Node, known: dict[int, float]) -> float:
    """Nodes below this one with every alias written out; infinite where one is inside of what it stands for."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = math.inf
        inner = node.value if isinstance(node, yaml.SequenceNode) else [each for pair in node.value for each in pair]
        known[id(node)] = 1 + sum(_expanded_size(each, known) for each in inner)
    return known[id(node)]


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
    for name, section in {"the file": content, **content}.items():
        if isinstance(section, dict) and len(section) > MOST_KEYS:
            raise RecipeError(f"{name} has {len(section):,} keys, and no section has that many.", where=origin)
    return content
