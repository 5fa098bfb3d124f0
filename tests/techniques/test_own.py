"""Users' own techniques from files and packages: the documented example through the real program, what is refused."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune.errors import RecipeError
from finetune.techniques import TECHNIQUES, Technique, conflicts, use_technique
from finetune.techniques.contract import contract_problems
from finetune.techniques.registry import source_digest
from tests.cli.invoking import invoke
from tests.pages import python_blocks
from tests.raising import refuses
from tests.running import REPOSITORY, finetune, python

Write = Callable[..., Path]
PAGE = REPOSITORY / "docs" / "own-techniques.md"
EXAMPLE = python_blocks(PAGE)[0]
HEADER = EXAMPLE.partition("class ")[0]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example of the docs as a file, as the docs call it."""
    path = tmp_path / "my_technique.py"
    path.write_text(EXAMPLE, encoding="utf-8")
    return path


def own_class(tmp_path: Path, body: str, name: str = "Mine") -> Path:
    path = tmp_path / f"{name.lower()}_file.py"
    path.write_text(f"{HEADER}\n\n{body}", encoding="utf-8")
    return path


def test_the_example_is_about_twenty_lines() -> None:
    code = [line for line in EXAMPLE.splitlines() if line.strip() and not line.startswith('"""')]
    assert len(code) <= 20


def test_the_example_runs_as_documented_and_acts(example: Path, write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe()
    reference = f"{example}:GradientCentralization"
    told = ("--technique", reference, "--set", "techniques.gradient_centralization={}")
    centred = finetune("run", recipe, *told, "--output", tmp_path / "centred", "--json")
    assert centred.returncode == 0, centred.stderr
    plain = invoke("run", recipe, "--output", tmp_path / "plain", "--json")
    (with_it,), (without,) = json.loads(centred.stdout), json.loads(plain.stdout)
    assert with_it["techniques"]["gradient_centralization"]["settings"] == {"fraction": 1.0}
    assert re.fullmatch("[0-9a-f]{64}", with_it["code"]["techniques"]["gradient_centralization"])
    assert "techniques" not in without["code"]
    assert "first_token" not in with_it["model"]["kernels"]  # own code may look at any token of the last layer
    assert "first_token" in without["model"]["kernels"]
    assert with_it["history"] != without["history"]


@pytest.mark.usefixtures("registry")
def test_a_comparison_hands_it_to_its_workers_and_keys_cells_by_its_content(
    example: Path, write_recipe: Write, tmp_path: Path
) -> None:
    preset = tmp_path / "centred.yaml"
    preset.write_text("# mine\ngradient_centralization: {}\n", encoding="utf-8")
    command = ("compare", write_recipe(training={"epochs": 1}), "--presets", f"none,{preset}", "--seeds", "1")
    reference = f"{example}:GradientCentralization"
    command = (
        *command,
        "--technique",
        reference,
        "--jobs",
        "1",
        "--final",
        "best",
        "--output",
        tmp_path / "compared",
        "--quiet",
    )
    first = invoke(*command)
    assert first.exit_code == 0, first.stderr
    assert len(list((tmp_path / "compared" / "cells").glob("*/predictions.npz"))) == 2
    example.write_text(EXAMPLE.replace("sub_(self.fraction", "sub_(0.5 * self.fraction"), encoding="utf-8")
    second = invoke(*command, "--dry-run", "--json")
    assert second.exit_code == 0, second.stderr
    cells = {cell["variant"]: cell for cell in json.loads(second.stdout)["cells"]}
    assert {name: cell["state"] for name, cell in cells.items()} == {"none": "finished", "centred": "waiting"}
    there = {name: (tmp_path / "compared" / cell["folder"]).exists() for name, cell in cells.items()}
    assert there == {"none": True, "centred": False}


def test_ls_and_show_know_it(example: Path) -> None:
    reference = f"{example}:GradientCentralization"
    listed = finetune("ls", "techniques", "--technique", reference)
    assert "gradient_centralization" in listed.stdout
    shown = finetune("show", "technique", "gradient_centralization", "--technique", reference)
    assert "Subtract from each row of a gradient its mean" in shown.stdout
    assert "fraction = 1   (0 < x ≤ 1)" in shown.stdout
    assert f"finetune run --technique {reference} --set techniques.gradient_centralization={{}}" in shown.stdout


def test_an_entry_point_joins_by_itself(example: Path, tmp_path: Path) -> None:
    """An installed package, as far as Python is concerned: a module and its metadata on the path."""
    site = tmp_path / "site"
    info = site / "their_package-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "their_gradients.py").write_text(EXAMPLE, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[finetune.techniques]\ntheirs = their_gradients:GradientCentralization\n")
    found = python("-m", "finetune", "ls", "techniques", PYTHONPATH=str(site))
    assert found.returncode == 0, found.stderr
    assert "  theirs  " in found.stdout


@pytest.mark.usefixtures("registry")
def test_naming_it_twice_is_no_conflict(example: Path) -> None:
    assert use_technique(f"{example}:GradientCentralization") == "gradient_centralization"
    first = TECHNIQUES["gradient_centralization"]
    assert first.__name__ == "GradientCentralization"
    assert use_technique(f"{example}:GradientCentralization") == "gradient_centralization"
    assert TECHNIQUES["gradient_centralization"] is first


@pytest.mark.usefixtures("registry")
def test_an_edited_file_is_read_anew_and_has_another_digest(example: Path) -> None:
    """In a notebook, where the process goes on."""
    use_technique(f"{example}:GradientCentralization")
    first = TECHNIQUES["gradient_centralization"]
    digest = hashlib.sha256(EXAMPLE.encode()).hexdigest()
    assert source_digest(first) == digest
    example.write_text(EXAMPLE.replace("fraction: float = Field(1.0", "fraction: float = Field(0.5"), encoding="utf-8")
    assert source_digest(first) == digest, "as the file was when it was loaded"
    use_technique(f"{example}:GradientCentralization")
    second = TECHNIQUES["gradient_centralization"]
    assert second().model_dump() == {"fraction": 0.5}
    assert source_digest(second) == hashlib.sha256(example.read_bytes()).hexdigest() != digest


@pytest.mark.usefixtures("registry")
def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    body = (
        "class {0}(Technique):\n    '''Doc.'''\n    family: ClassVar[str] = 'penalty'\n"
        "    source: ClassVar[str] = 'me 2020'\n"
    )
    for folder, name in (("a", "Mine"), ("b", "Yours")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.py").write_text(f"{HEADER}\n\n{body.format(name)}", encoding="utf-8")
        use_technique(f"{tmp_path / folder / 'own.py'}:{name}")
    assert {"mine", "yours"} <= set(TECHNIQUES)


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("class Mine(Technique):\n    '''Doc.'''\n    source = 'me 2020'\n", "Mine.family: is missing"),
        ("class Mine(Technique):\n    '''Doc.'''\n    family: ClassVar[str] = 'magic'\n", "'magic' is not one of"),
        ("class Mine(Technique):\n    family: ClassVar[str] = 'penalty'\n", "Mine: has no docstring"),
        (
            "class Mine(Technique):\n    '''Doc.'''\n    family: ClassVar[str] = 'penalty'\n"
            "    source: ClassVar[str] = 'me 2020'\n    x: float = Field(1.0, description='X.')\n",
            "Mine.x: has no lower bound",
        ),
        (
            "class Mine(Technique):\n    '''Doc.'''\n    family: ClassVar[str] = 'penalty'\n"
            "    source: ClassVar[str] = 'me 2020'\n    x: float = Field(1.0, gt=0)\n",
            "Mine.x: has no description",
        ),
        (
            "class Mine(Technique):\n    '''Doc.'''\n    family: ClassVar[str] = 'penalty'\n"
            "    source: ClassVar[str] = 'me 2020'\n    def after_step(self, step): ...\n",
            "Mine.after_step: is not a hook",
        ),
        (
            "class Mine(Technique):\n    '''Doc.'''\n    family: ClassVar[str] = 'penalty'\n"
            "    source: ClassVar[str] = 'me 2020'\n    def train_loss(self, loss): ...\n",
            r"Mine.train_loss: takes \(self, loss\), expected \(self, loss, step\)",
        ),
        (
            "class Mine(Technique):\n    '''Doc.'''\n    family: ClassVar[str] = 'penalty'\n"
            "    source: ClassVar[str] = 'me 2020'\n    def average_share(self, step, budget): ...\n",
            r"Mine.average_share: is not a hook. Did you mean averaging_rate",
        ),
        (
            "class Mine(Technique):\n    '''Doc.'''\n    family: ClassVar[str] = 'penalty'\n"
            "    source: ClassVar[str] = 'me 2020'\n    schedule: str = Field('x', description='X.')\n",
            "Mine.schedule: is the name of a hook",
        ),
        (
            "class Base(Technique):\n    '''Doc.'''\n    family: ClassVar[str] = 'penalty'\n"
            "    source: ClassVar[str] = 'me 2020'\n    def model_warning(self, model): ...\n"
            "class Mine(Base):\n    '''Doc.'''\n",
            "Mine.model_warning: is not a hook",
        ),
        ("class Mine:\n    pass\n", "is not a subclass of finetune.techniques.Technique"),
        ("1 / 0\n", "cannot be loaded: ZeroDivisionError"),
        ("class Other(Technique):\n    pass\n", "has no class 'Mine'"),
    ],
)
def test_what_breaks_the_contract_is_refused(tmp_path: Path, body: str, complaint: str) -> None:
    with refuses(RecipeError, match=complaint):
        use_technique(f"{own_class(tmp_path, body)}:Mine")


def test_an_entry_point_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    info = tmp_path / "broken_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-package\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[finetune.techniques]\nbroken = nowhere_to_be_found:Mine\n")
    found = python("-m", "finetune", "validate", PYTHONPATH=str(tmp_path))
    assert found.returncode == 2
    assert "error: entry point broken = nowhere_to_be_found:Mine: cannot be loaded: ModuleNotFoundError" in found.stderr
    assert "pip uninstall broken-package" in found.stderr


@pytest.mark.usefixtures("registry")
def test_what_a_hook_controls_is_owned_without_saying_so(tmp_path: Path) -> None:
    """Of two losses only one would be used: the other would do nothing, in silence."""
    body = (
        "class Mine(Technique):\n    '''Doc.'''\n    family: ClassVar[str] = 'targets'\n"
        "    source: ClassVar[str] = 'me 2020'\n"
        "    def example_losses(self, logits, labels): return logits.sum(-1)\n"
    )
    use_technique(f"{own_class(tmp_path, body)}:Mine")
    (problem,) = conflicts({"label_smoothing": TECHNIQUES["label_smoothing"](), "mine": TECHNIQUES["mine"]()})
    assert problem.why == "conflicts with label_smoothing: both control the targets."


@pytest.mark.usefixtures("registry")
def test_a_built_in_name_is_taken(tmp_path: Path) -> None:
    body = (
        "class L1(Technique):\n    '''Doc.'''\n    family: ClassVar[str] = 'penalty'\n"
        "    source: ClassVar[str] = 'me 2020'\n"
    )
    with refuses(RecipeError, match="a technique is called 'l1' already"):
        use_technique(f"{own_class(tmp_path, body, 'L1')}:L1")


@pytest.mark.parametrize("reference", ["mine.py", "mine.txt:Mine", "nowhere.py:Mine", "mine.py:not a name"])
def test_a_malformed_reference_is_refused(reference: str, write_recipe: Write) -> None:
    result = finetune("validate", write_recipe(), "--technique", reference)
    assert result.returncode == 2
    assert f"error: --technique {shlex.quote(reference)}: " in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", TECHNIQUES)
def test_the_built_in_ones_keep_the_same_contract(name: str) -> None:
    assert contract_problems(TECHNIQUES[name]) == []


def test_the_base_class_is_no_technique() -> None:
    assert contract_problems(Technique)
