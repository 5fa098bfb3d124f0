"""The only errors that users see without a traceback. Anything else is our bug and shows its traceback.

A problem is an object. Each interface writes it in its own syntax: the command line as `--set training.epochs=5`,
Python as `overrides={"training.epochs": 5}`. No code parses a sentence to find out what is wrong.
"""

from __future__ import annotations

import difflib
import json
import re
import shlex
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

MOST_PROBLEMS = 40  # lines of a message
NO_NAMES: Mapping[str, str] = MappingProxyType({})
LONGEST_LINE = 4000  # characters


@dataclass(frozen=True)
class Change:
    """One way to solve a problem.

    Attributes:
        settings: Dotted key of the recipe -> value; "off" removes a technique, None unsets a key.
        arguments: Argument of the command or function -> value; True for a switch. Names are those of Python: `jobs`,
            `drop_leaks`; the command line writes `--jobs`, `--drop-leaks`, and for a mapping one option per entry.
        command: A shell command, the same in every interface.
        text: Any other advice, as a sentence with its full stop, or in a list of ways as a clause without one.
        note: Added in brackets after settings, arguments or command.
        complete: Whether it can be typed as it is, without a placeholder: the command line then repeats the whole
            command with it, ready to paste.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    text: str = ""
    note: str = ""
    complete: bool = False

    def for_command_line(self, positional: Mapping[str, str] = NO_NAMES) -> str:
        """The change as typed in a shell: `--set training.epochs=5 --jobs 4`.

        Args:
            positional: Arguments typed without an option, such as `finetune predict MODEL`: name in Python -> name in
                the help.
        """
        parts = [f"--set {shlex.quote(f'{key}={_yaml(value)}')}" for key, value in self.settings.items()]
        for name, value in self.arguments.items():
            option = positional.get(name) or f"--{name.replace('_', '-')}"
            if isinstance(value, Mapping):  # variants={"l1": {…}}: --variant l1=…
                parts += [f"{option.removesuffix('s')} {shlex.quote(_named(*entry))}" for entry in value.items()]
                continue
            parts.append(option if value is True else f"{option} {shlex.quote(_typed(value))}")
        return self._noted(" ".join(parts))

    def for_python(self) -> str:
        """The change as written in a call: `overrides={"training.epochs": 5}, jobs=4`."""
        parts = [f"overrides={{{', '.join(f'{_literal(k)}: {_literal(v)}' for k, v in self.settings.items())}}}"]
        parts = parts if self.settings else []
        parts += [f"{name}={_literal(value)}" for name, value in self.arguments.items()]
        return self._noted(", ".join(parts))

    def below(self, prefix: str) -> Change:
        """The change with full keys, where some are relative to `prefix`: see `Problem.below`."""
        return replace(self, settings={_below(prefix, key): value for key, value in self.settings.items()})

    def _noted(self, typed: str) -> str:
        typed = typed or self.command
        return f"{typed} ({self.note})" if typed and self.note else typed or self.text


@dataclass(frozen=True)
class Problem:
    """A problem, and ways to solve it.

    Attributes:
        why: What was expected and what was found, as a sentence; shown after the key.
        key: Dotted key of the recipe that causes it.
        argument: Or the argument of the command or function, by its name in Python, with `found` as its value.
        found: The value that was found; None if there is none. For a key it is meant for programs; `why` contains it
            in words.
        changes: Ways to solve it, the likeliest first.
        where: Where the value was written: a file and line, or an option.
        where_in_python: The same, if its name in Python differs: `seeds` for `--seed`.
    """

    why: str
    key: str = ""
    argument: str = ""
    found: Any = None
    changes: tuple[Change, ...] = ()
    where: str = ""
    where_in_python: str = ""

    def for_command_line(self, positional: Mapping[str, str] = NO_NAMES) -> str:
        """One line, with what to type; `positional` as for `Change.for_command_line`."""
        found = True if self.found is None else self.found  # one that is missing: its name alone
        typed = Change(arguments={self.argument: found}).for_command_line(positional) if self.argument else ""
        ways = [(change, change.for_command_line(positional)) for change in self.changes]
        return self._render(self.where, typed, ways)

    def for_python(self) -> str:
        """One line, with the Python arguments."""
        is_named = bool(self.argument) and self.found is not None
        written = Change(arguments={self.argument: self.found}).for_python() if is_named else self.argument
        where = self.where_in_python or self.where
        return self._render(where, written, [(change, change.for_python()) for change in self.changes])

    def at(self, where: str, in_python: str = "") -> Problem:
        """The same problem with the place where it was written."""
        return replace(self, where=where, where_in_python=in_python)

    def below(self, prefix: str) -> Problem:
        """The same problem with full keys, where some are relative to `prefix`.

        A key that is empty or starts with a dot is relative: below "techniques.l1", ".strength" is
        "techniques.l1.strength" and "" is "techniques.l1"; "training.epochs" stays.
        """
        return replace(
            self, key=_below(prefix, self.key), changes=tuple(change.below(prefix) for change in self.changes)
        )

    def _render(self, where: str, argument: str, ways: Sequence[tuple[Change, str]]) -> str:
        key = "" if where.endswith((f" {self.key}", f":{self.key}")) else self.key  # --set training.epochs: …
        start = "".join(f"{part}: " for part in (where, key or argument) if part)
        typed = [text for change, text in ways if text != change.text]
        said = [text for change, text in ways if text == change.text and text]
        if typed:
            return f"{start}{self.why} Try: {', or '.join([*typed, *said])}"
        return " ".join([f"{start}{self.why}", *said])


def as_problem(problem: str | Problem) -> Problem:
    """A sentence alone is a problem that names no key and no change."""
    return Problem(problem) if isinstance(problem, str) else problem


def _below(prefix: str, key: str) -> str:
    return f"{prefix}{key}" if key[:1] in ("", ".") else key


def settings_text(settings: Mapping[str, Any]) -> str:
    """Settings as typed, for use in a sentence: `preset=none, training.learning_rate=0.0001`."""
    return ", ".join(f"{key}={setting_text(value)}" for key, value in settings.items())


def setting_text(value: Any) -> str:
    """`none`, `0.0001`, `true`, `null`."""
    return value if isinstance(value, str) else json.dumps(value)


def _typed(value: Any) -> str:
    """The value of an option; of a list its members with commas, and one where there is a single member."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) + ("," if len(value) == 1 else "")
    return str(value)


def _named(name: str, settings: Mapping[str, Any] | Sequence[Any]) -> str:
    """`l1=techniques.l1.strength=0.5`, or the values of a key: `techniques.l1.strength=0,0.1`."""
    if not isinstance(settings, Mapping):
        return f"{name}={','.join(map(_yaml, settings))}"
    return f"{name}={','.join(f'{key}={_yaml(value)}' for key, value in settings.items())}"


# What YAML would read as something other than a text.
_NO_TEXT = re.compile(
    r"\s*|~|null|true|false|[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|(- |# ).*|.*(: | #).*|.*:", re.IGNORECASE | re.DOTALL
)


def _yaml(value: Any) -> str:
    """A value as --set reads it; what a terminal does not show or copy faithfully is escaped."""
    if isinstance(value, str) and value == _escape_unseen(value) and not _NO_TEXT.fullmatch(value):
        return value
    return _escape_unseen(json.dumps(value, ensure_ascii=False))


def _escape_unseen(text: str) -> str:
    """Odd spaces, characters without width, and marks apart from their letter as \\u escapes."""
    unseen = {"Cf", "Cc", "Zl", "Zp"} | ({"Mn"} if unicodedata.normalize("NFC", text) != text else set())
    return "".join(
        json.dumps(char)[1:-1] if unicodedata.category(char) in unseen or (char.isspace() and char != " ") else char
        for char in text
    )


def _literal(value: Any) -> str:
    if isinstance(value, str | dict | list):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


class HungUp(KeyboardInterrupt):
    """SIGHUP: the terminal or the connection is gone. Everything that Ctrl-C saves is saved."""


class FinetuneError(Exception):
    """An error that the user can correct.

    Args:
        problems: One or several, as objects or as sentences.
        changes, key, argument, found, where: Of a single sentence, see `Problem`.

    Attributes:
        problems: All of them.
        exit_code: Exit code of a command that ends with this error.
    """

    exit_code = 2

    def __init__(
        self,
        problems: str | Problem | Iterable[str | Problem],
        *changes: Change,
        key: str = "",
        argument: str = "",
        found: Any = None,
        where: str = "",
    ) -> None:
        if isinstance(problems, str):
            problems = Problem(problems, key, argument, found, changes, where)
        self.problems = [problems] if isinstance(problems, Problem) else [as_problem(each) for each in problems]
        super().__init__(self.problems)  # what unpickling calls again

    def __str__(self) -> str:
        return self._lines(Problem.for_python)

    def completed(self) -> Change | None:
        """A change that solves all problems at once and can be typed as it is; None if a problem has no such change."""
        ways = [next((change for change in problem.changes if change.complete), None) for problem in self.problems]
        if not ways or None in ways:
            return None
        known = [way for way in ways if way is not None]
        settings = {key: value for way in known for key, value in way.settings.items()}
        return Change(settings, {name: value for way in known for name, value in way.arguments.items()}, complete=True)

    def for_command_line(self, positional: Mapping[str, str] = NO_NAMES) -> str:
        """A line for each problem, with what to type; if there are very many, the first ones and the number of others.

        Args:
            positional: As for `Change.for_command_line`.
        """
        return self._lines(lambda problem: problem.for_command_line(positional))

    def _lines(self, write: Callable[[Problem], str]) -> str:
        lines = [_cut(write(problem)) for problem in self.problems[:MOST_PROBLEMS]]
        more = len(self.problems) - len(lines)
        return "\n".join([*lines, *([f"and {more} more problems like these."] if more else [])])


class RecipeError(FinetuneError):
    """A recipe, preset or override is wrong. Carries every problem found, not only the first."""


class DataError(FinetuneError):
    """The data cannot be read, or cannot be trained and measured on."""


class ModelError(FinetuneError):
    """The model cannot be found, or does not support what the recipe requires."""


class OutputError(FinetuneError):
    """The run folder is in use, or holds something that must not be overwritten."""


class InUseError(OutputError):
    """Another process is using a folder."""


class VersionError(OutputError):
    """A record was written by a version whose fields have another meaning."""


class HubError(FinetuneError):
    """The hub refused the request, or could not be reached."""

    exit_code = 1


class RunFailed(FinetuneError):
    """Training started and could not finish: the run record keeps what was measured until then."""

    exit_code = 1


def _cut(line: str) -> str:
    """A value of a megabyte is not said in full."""
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} … ({len(line)} characters)"


def first_line(error: BaseException) -> str:
    """The message of a library's error, for a message of one line; without its full stop."""
    message = str(error).strip()
    return message.splitlines()[0].rstrip(".") if message else type(error).__name__


def shorten(names: Sequence[str], most: int) -> str:
    """The first of some names, and the number of others: `a, b and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


MOST_BEGUN = 3  # names that start with what was typed, beyond which it says nothing


def suggest(name: str, options: Iterable[str]) -> str:
    """Return " Did you mean x?" with options that start with the name or are closest to it, else the list of all
    `options`."""
    known = sorted(options)
    begun = [option for option in known if len(name) > 1 and option.lower().startswith(name.lower())]
    if begun and len(begun) <= MOST_BEGUN:
        return f" Did you mean {' or '.join(begun)}?"
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return f" Did you mean {' or '.join(close)}?"
    return f" Known: {', '.join(known)}." if known else ""
