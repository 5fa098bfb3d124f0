"""Code that a recipe names (`training.metrics`) runs only after the user has allowed it, once for each content.

A recipe may come from anybody, and looks like data. Code is allowed if the user names it in the command itself, if
`--allow-code` was given for it, now or in an earlier command of this user on this machine, or if the process that
started this one had allowed it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from finetune.errors import Change, Problem, RecipeError

KEY = "training.metrics"
VARIABLE = "FINETUNE_ALLOWED_CODE"  # sha256 with commas: from a command to its workers, or set in a CI job
SHOWN = 12  # digits of a sha256 in messages
OTHERS_WRITE = 0o022
_BESIDE = re.compile(rb"^\s*(?:from|import)\s+\.(\w+)", re.MULTILINE)  # what `evaluate` copies with a module
_FROM_ELSEWHERE = re.compile(rb"^(?:from|import)\s+\.[^#\r\n]*#\s+From:\s+(\S+)", re.MULTILINE)  # and downloads
_ALLOWED: set[str] = set()  # sha256, of this process


def content_digest(module: Path) -> str:
    """sha256 of the file; for a folder, or a file with relative imports, over all files that are run with it.

    Raises:
        RecipeError: It is not there.
        OSError: It cannot be read.
    """
    files = _files(module)
    if len(files) == 1:
        return hashlib.sha256(files[0].read_bytes()).hexdigest()
    lines = (f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def allow(modules: Iterable[str]) -> None:
    """Allow this content of these files and folders, here and in later commands of this user. Missing ones are refused
    later, when they are loaded.
    """
    for module in modules:
        if Path(module).exists():
            digest = content_digest(Path(module))
            _ALLOWED.add(digest)
            with contextlib.suppress(OSError, RuntimeError):  # `notes` tells
                _remember(digest, module)


def check(modules: Iterable[str], allowed: bool) -> None:
    """Check that the code that a recipe names is allowed, before it can run.

    Raises:
        RecipeError: It was allowed neither now nor before.
    """
    (allow if allowed else refuse_unknown)(modules)


def refuse_unknown(modules: Iterable[str]) -> None:
    """
    Raises:
        RecipeError: The content of one was never allowed.
    """
    found = {module: content_digest(Path(module)) for module in modules if Path(module).exists()}
    problems = [_unknown(module, digest) for module, digest in found.items() if not _is_allowed(digest)]
    if problems:
        raise RecipeError(problems)


def notes(modules: Iterable[str]) -> list[str]:
    """Notes about code that is going to run."""
    texts = []
    for module in modules:
        digest = content_digest(Path(module))
        once = "" if _is_remembered(digest) else f"; this is not remembered, as {_folder()} cannot be used"
        texts.append(f"{KEY}: runs the code of {module} (sha256 {digest[:SHOWN]}) to measure scores{once}")
    return texts


def foreign_import(module: Path) -> str:
    """The address from which `evaluate` would load an unseen part of a module; "" for none."""
    found = (_FROM_ELSEWHERE.search(file.read_bytes()) for file in _files(module))
    return next((match[1].decode(errors="replace") for match in found if match), "")


def carried() -> str:
    """The code allowed in this process, for `VARIABLE` in the environment of another one."""
    return ",".join(sorted(_ALLOWED | _inherited()))


def receive(allowed: str) -> None:
    """Allow the code that `carried` returned in another process."""
    _ALLOWED.update(filter(None, allowed.split(",")))


def _files(module: Path) -> list[Path]:
    """
    Raises:
        RecipeError: There is none.
    """
    if not module.exists():
        why = f"no evaluate module at '{module}'. Give the path of its .py file or folder."
        raise RecipeError(why, key=KEY, found=str(module))
    if module.is_dir():
        return sorted(module.rglob("*.py"))
    beside = {module.parent / f"{name.decode()}.py" for name in _BESIDE.findall(module.read_bytes())}
    return [module, *sorted(file for file in beside if file.is_file() and file != module)]


def _is_allowed(digest: str) -> bool:
    return digest in _ALLOWED or digest in _inherited() or _is_remembered(digest)


def _inherited() -> set[str]:
    return set(filter(None, os.environ.get(VARIABLE, "").split(",")))


def _folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path("~/.local/state").expanduser()) / "finetune" / "allowed-code"


def _is_remembered(digest: str) -> bool:
    """Whether this user allowed it in an earlier command: nobody else could have put that there."""
    with contextlib.suppress(OSError, RuntimeError):
        return all(_is_private(path) for path in (_folder(), _folder() / digest))
    return False


def _is_private(path: Path) -> bool:
    found = path.stat()
    is_mine = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    return is_mine and (os.name != "posix" or not found.st_mode & OTHERS_WRITE)


def _remember(digest: str, module: str) -> None:
    """A file for each content, named by it: several commands may write at a time, and one is forgotten by removing it.

    Raises:
        OSError, RuntimeError: It cannot be written, or this user has no home.
    """
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / digest, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{Path(module).resolve()}\n")


def _unknown(module: str, digest: str) -> Problem:
    return Problem(
        f"the recipe names code of its own, {module} (sha256 {digest[:SHOWN]}), which every run would execute with "
        "your rights to measure scores. Read that file first; this is asked once for each content.",
        KEY,
        found=module,
        changes=(Change(arguments={"allow_code": True}, complete=True),),
    )
