"""Data flows one way, and so do imports: no folder may import one that stands above it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "finetune"
# Folder or module -> what it may import. A new folder must be entered here, on purpose.
ALLOWED = {
    "errors": set(),
    "packages": set(),
    "measurement": {"errors"},
    "techniques": {"errors", "models.dropout"},
    "recipe": {"errors", "techniques"},
    "models.dropout": set(),
    "models": {"errors", "packages", "recipe"},
    "data": {"errors", "packages", "recipe"},
    "records": {"errors"},
    "training": {
        "errors",
        "measurement",
        "techniques",
        "recipe",
        "models",
        "models.dropout",
        "data",
        "records",
    },
    "advice": {"measurement", "records"},
    "reports": {"measurement", "records", "advice", "techniques"},
    "cli": {"errors", "packages", "recipe", "data", "records", "training", "advice", "reports"},
    "__init__": set(),
    "__main__": {"cli"},
}


def _place(module: str) -> str:
    """The entry of ALLOWED that a dotted module below finetune belongs to."""
    parts = module.split(".")
    return ".".join(parts[:2]) if ".".join(parts[:2]) in ALLOWED else parts[0]


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("finetune."):
            found.add(node.module.removeprefix("finetune."))
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("finetune.") for alias in node.names if alias.name.startswith("finetune.")
            }
    return found


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    own = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    place = _place(own.removesuffix(".__init__"))
    for imported in _imports(path):
        target = _place(imported)
        assert target == place or target in ALLOWED[place], f"finetune.{own} may not import finetune.{imported}"


def test_the_rule_sees_the_modules() -> None:
    assert len(MODULES) > 40
    assert any(_imports(path) for path in MODULES)


@pytest.mark.parametrize("folder", ["techniques", "recipe", "records"])
def test_what_answers_at_once_imports_no_torch(folder: str) -> None:
    for path in (PACKAGE / folder).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = (
                    [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                )
                assert not any(name.split(".")[0] in ("torch", "transformers", "datasets") for name in names), path
