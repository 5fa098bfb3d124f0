"""The only errors a user sees without a traceback. Anything else is our bug and shows itself."""

import difflib
from collections.abc import Iterable


class FinetuneError(Exception):
    """A problem that the user can mend. The message says what was expected, what was found and what to type next."""

    exit_code = 2


class RecipeError(FinetuneError):
    """A recipe, preset or override is wrong. Carries every problem found, not only the first."""

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class DataError(FinetuneError):
    """The data cannot be read, or cannot be trained and measured on."""


class ModelError(FinetuneError):
    """The model cannot be found, or does not do what the recipe asks of it."""


class OutputError(FinetuneError):
    """The run folder is in use, or holds something that is not ours to overwrite."""


class VersionError(OutputError):
    """A record was written by a program that means something else by its fields."""


class RunFailed(FinetuneError):
    """Training started and could not finish: the run record keeps what was measured until then."""

    exit_code = 1


def suggest(name: str, options: Iterable[str]) -> str:
    """Return " Did you mean x?" for the closest of `options`, or the list of them when none is close."""
    known = sorted(options)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return f" Did you mean {' or '.join(close)}?"
    return f" Known: {', '.join(known)}." if known else ""
