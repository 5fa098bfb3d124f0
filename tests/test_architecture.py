"""Data flows one way, and so do imports: no folder may import one that stands above it."""

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "finetune"
# Folder or module -> what it may import. A new folder must be entered here, on purpose.
ALLOWED = {
    "atomic": set(),
    "errors": set(),
    "model_files": set(),
    "own_code": {"errors"},
    "packages": {"errors"},
    "tasks": set(),
    "visible": set(),
    "measurement": {"errors", "own_code"},
    "techniques": {"errors", "tasks", "model_files", "models.dropout", "models.layers"},
    "recipe": {"errors", "techniques"},
    "kernels": set(),
    "models.dropout": {"models.layers"},
    "models.layers": {"errors"},
    "models": {"errors", "tasks", "packages", "model_files", "recipe", "kernels", "models.layers"},
    "cache": {"atomic"},
    "data": {"atomic", "errors", "tasks", "packages", "cache", "recipe"},
    "checks": {"errors", "tasks", "cache", "measurement", "recipe", "data", "records"},
    "records": {"atomic", "errors", "tasks"},
    "training": {
        "atomic",
        "parent",
        "portable",
        "errors",
        "tasks",
        "cache",
        "checks",
        "measurement",
        "techniques",
        "recipe",
        "kernels",
        "models",
        "models.dropout",
        "models.layers",
        "data",
        "records",
    },
    "exports": {"errors"},
    "advice": {"measurement", "records"},
    "inference": {
        "atomic",
        "errors",
        "parent",
        "quiet",
        "tasks",
        "measurement",
        "recipe",
        "kernels",
        "models",
        "model_files",
        "exports",
        "data",
        "records",
    },
    "hub": {"errors"},
    "demo_page": {"errors", "inference", "measurement"},
    "diagnosis": {"advice", "errors", "measurement", "recipe", "records"},
    "parent": set(),
    "portable": set(),
    "quiet": {"visible"},
    "allocation": set(),
    "openmp": set(),
    "analysis": {"errors", "tasks", "measurement", "recipe", "records", "advice"},
    "experiments": {
        "atomic",
        "allocation",
        "openmp",
        "errors",
        "parent",
        "measurement",
        "recipe",
        "data",
        "models",
        "techniques",
        "records",
        "training",
        "analysis",
        "own_code",
        "quiet",
    },
    "reports": {
        "atomic",
        "listener",
        "measurement",
        "records",
        "advice",
        "diagnosis",
        "techniques",
        "portable",
        "visible",
    },
    "listener": set(),
    "workflows": {
        "atomic",
        "errors",
        "listener",
        "own_code",
        "checks",
        "measurement",
        "recipe",
        "models",
        "data",
        "records",
        "techniques",
        "training",
        "experiments",
        "analysis",
        "diagnosis",
        "exports",
        "inference",
        "hub",
        "demo_page",
        "reports",
    },
    # The training packages are for `show` (what a run would be) and for the clock that starts with the program.
    "cli": {
        "allocation",
        "openmp",
        "errors",
        "listener",
        "measurement",  # how numbers are written
        "packages",
        "recipe",
        "records",
        "techniques",
        "training",
        "advice",
        "diagnosis",
        "reports",
        "quiet",
        "visible",
        "workflows",
    },
    "__init__": set(),
    "__main__": {"cli"},
}
# Under TYPE_CHECKING only: what a listener and a display are told of, and what `import finetune` hands out.
ALLOWED_AS_TYPES = {
    "listener": {"experiments", "measurement", "records"},
    "reports": {"experiments"},
    "cli": {"experiments", "measurement"},
    "__init__": {"errors", "inference", "listener", "recipe", "records", "techniques", "training", "workflows"},
}


def _place(module: str) -> str:
    """The entry of ALLOWED that a dotted module below finetune belongs to."""
    parts = module.split(".")
    return ".".join(parts[:2]) if ".".join(parts[:2]) in ALLOWED else parts[0]


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imports(path: Path, for_types: bool = False) -> set[str]:
    """Modules that are imported when the program runs, or only where types are checked."""
    tree = _tree(path)
    typed = {id(inner) for node in ast.walk(tree) if _is_for_types(node) for inner in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if (id(node) in typed) != for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("finetune."):
            found.add(node.module.removeprefix("finetune."))
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("finetune.") for alias in node.names if alias.name.startswith("finetune.")
            }
    return found


MODULES = sorted(PACKAGE.rglob("*.py"))


def test_imports_go_one_way() -> None:
    assert [problem for path in MODULES for problem in wrong_imports(path)] == []


def wrong_imports(path: Path) -> list[str]:
    """What a module may not import, as sentences."""
    own = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    place = _place(own.removesuffix(".__init__"))
    found = []
    for for_types in (False, True):
        known = {place} | ALLOWED[place] | (ALLOWED_AS_TYPES.get(place, set()) if for_types else set())
        found += [
            f"finetune.{own} may not import finetune.{imported}{' for types' if for_types else ''}"
            for imported in sorted(_imports(path, for_types))
            if _place(imported) not in known
        ]
    return found


def test_the_rules_see_the_modules() -> None:
    assert len(MODULES) > 40
    assert any(_imports(path) for path in MODULES)
    assert len(LEAN) > 40
    assert "torch" in imported_at_the_top(PACKAGE / "training" / "trainer.py")


NO_TORCH = ("techniques", "recipe", "records", "advice", "diagnosis", "analysis")
LEAN = [path for folder in NO_TORCH for path in (PACKAGE / folder).rglob("*.py")]


def test_what_answers_at_once_imports_no_torch() -> None:
    heavy = {"torch", "transformers", "datasets", "accelerate", "evaluate"}
    assert [str(path) for path in LEAN if imported_at_the_top(path) & heavy] == []


def imported_at_the_top(path: Path) -> set[str]:
    found = set()
    for node in _tree(path).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found |= {name.split(".")[0] for name in names}
    return found


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_modules_and_functions_stay_short() -> None:
    """What is longer is hard to read; what grows is to be split."""
    sizes = sorted(_lines(path) for path in MODULES)
    assert sizes[-1] <= 400
    assert sizes[len(sizes) // 2] <= 110
    functions = [
        (path.name, node.name)
        for path in MODULES
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert functions == []


def test_no_model_is_loaded_with_code_of_its_own() -> None:
    """Each call says so: without, transformers asks at a terminal, and runs the code after a yes."""
    calls = [
        (path, node)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "from_pretrained"
    ]
    assert len(calls) > 5
    for path, call in calls:
        refused = [each.value for each in call.keywords if each.arg == "trust_remote_code"]
        assert [ast.unparse(value) for value in refused] == ["False"], f"{path.name}:{call.lineno}"
