"""Techniques that are class objects: of a script, a notebook cell, a test; their digest, and the way to workers."""

from __future__ import annotations

import json
import linecache
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from pydantic import Field

from finetune.errors import OutputError, RecipeError
from finetune.recipe import resolve
from finetune.techniques import (
    TECHNIQUES,
    OptimizerSteps,
    StepView,
    Technique,
    carry_techniques,
    receive_techniques,
    use_technique,
)
from finetune.techniques.registry import source_digest
from tests.interrupting import InterruptAt
from tests.raising import refuses
from tests.running import REPOSITORY, train

Write = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("registry")

HEADER = """
from typing import ClassVar
from pydantic import Field
from finetune.techniques import StepView, Technique
"""
HALVES = '''
class HalvesGradients(Technique):
    """Halve every gradient."""

    family: ClassVar[str] = "constraint"
    source: ClassVar[str] = "test 2020"

    factor: float = Field(0.5, gt=0, description="What is left.")

    def before_optimizer_step(self, step: StepView) -> None:
        scale(step, self.factor)
'''
SCALE = """
def scale(step, factor):
    for parameter in step.parameters.values():
        if parameter.grad is not None:
            parameter.grad.mul_(factor)
"""


class Notebook:
    """Cells that run in one namespace, as IPython does it: no file, the text of each cell is in `linecache`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._module = ModuleType("__main__")
        monkeypatch.setitem(sys.modules, "__main__", self._module)
        self._cells = 0

    def run(self, *texts: str) -> None:
        for text in texts:
            self._cells += 1
            name = f"<ipython-input-{self._cells}-{abs(hash(text))}>"
            linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
            exec(compile(text, name, "exec"), vars(self._module))

    def __getitem__(self, name: str) -> Any:
        return vars(self._module)[name]


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    started = Notebook(monkeypatch)
    started.run(HEADER, SCALE, HALVES)
    return started


class DoublesGradients(Technique, OptimizerSteps):
    """Double every gradient."""

    family: ClassVar[str] = "constraint"
    source: ClassVar[str] = "test 2020"

    factor: float = Field(2.0, gt=0, description="What is left.")

    def before_optimizer_step(self, step: StepView) -> None:
        for parameter in step.parameters.values():
            if parameter.grad is not None:
                parameter.grad.mul_(self.factor)


# --- joining ------------------------------------------------------------------------------------------------


def test_a_class_joins_under_its_name_and_is_set_from_a_recipe(write_recipe: Write) -> None:
    assert use_technique(DoublesGradients) == "doubles_gradients"
    assert use_technique(DoublesGradients) == "doubles_gradients"
    recipe = resolve(str(write_recipe(techniques={"doubles_gradients": {"factor": 3.0}}))).recipe
    assert recipe.techniques == {"doubles_gradients": DoublesGradients(factor=3.0)}


def test_a_class_of_a_cell_trains_and_its_digest_is_in_the_record(
    notebook: Notebook, write_recipe: Write, tmp_path: Path
) -> None:
    use_technique(notebook["HalvesGradients"])
    record = train(write_recipe(techniques={"halves_gradients": {}}), tmp_path / "run")
    assert record.code.techniques == {"halves_gradients": source_digest(notebook["HalvesGradients"])}
    plain = train(write_recipe("plain"), tmp_path / "plain")
    assert record.history != plain.history


def test_a_cell_that_runs_again_replaces_the_class(notebook: Notebook) -> None:
    use_technique(notebook["HalvesGradients"])
    first = notebook["HalvesGradients"]
    notebook.run(HALVES)
    assert use_technique(notebook["HalvesGradients"]) == "halves_gradients"
    assert TECHNIQUES["halves_gradients"] is notebook["HalvesGradients"] is not first


def test_another_class_of_the_name_is_refused() -> None:
    use_technique(DoublesGradients)

    class Inner:
        class DoublesGradients(DoublesGradients):
            """Another one."""

    with refuses(RecipeError, r"class .*Inner\.DoublesGradients of .*: a technique is called 'doubles_gradients'"):
        use_technique(Inner.DoublesGradients)


def test_a_built_in_name_is_refused_and_the_built_in_class_is_there_already() -> None:
    class L1(Technique):
        """Not ours."""

        family: ClassVar[str] = "penalty"
        source: ClassVar[str] = "me 2020"

    with refuses(RecipeError, "a technique is called 'l1' already; give the class another name"):
        use_technique(L1)
    assert use_technique(TECHNIQUES["l1"]) == "l1"


def test_what_breaks_the_contract_is_refused() -> None:
    class Mine(Technique):
        """No hook."""

        family: ClassVar[str] = "penalty"
        source: ClassVar[str] = "me 2020"

        def before_step(self, step: StepView) -> None: ...

    with refuses(RecipeError, "class .*Mine of tests.*: Mine.before_step: is not a hook. Did you mean"):
        use_technique(Mine)
    with refuses(RecipeError, "is not a subclass of finetune.techniques.Technique"):
        use_technique(int)  # type: ignore[arg-type]


# --- digests ------------------------------------------------------------------------------------------------


def test_the_digest_is_that_of_the_text_not_of_the_moment(notebook: Notebook) -> None:
    first = source_digest(notebook["HalvesGradients"])
    notebook.run(HALVES)
    assert source_digest(notebook["HalvesGradients"]) == first


@pytest.mark.parametrize(
    "cells",
    [
        (HALVES.replace("scale(step, self.factor)", "scale(step, 0.9 * self.factor)"),),
        (SCALE.replace("mul_(factor)", "mul_(factor / 2)"),),
        ("LIMIT = 3\n" + SCALE.replace("mul_(factor)", "mul_(min(factor, LIMIT))"), "LIMIT = 4\n"),
        (HALVES.replace("HalvesGradients(Technique)", "Base(Technique)"), HALVES.replace("(Technique)", "(Base)")),
    ],
    ids=["method", "helper", "constant", "base"],
)
def test_the_digest_changes_with_all_that_the_class_uses(notebook: Notebook, cells: tuple[str, ...]) -> None:
    digests = [source_digest(notebook["HalvesGradients"])]
    for cell in cells:
        notebook.run(cell)
        digests.append(source_digest(notebook["HalvesGradients"]))
    assert digests[-1] != digests[-2]


def test_a_subclass_without_methods_is_found_in_its_cell(notebook: Notebook) -> None:
    cell = '''
        class Strong(HalvesGradients):
            """Stronger."""

            factor: float = Field(0.1, gt=0, description="What is left.")
    '''
    notebook.run(textwrap.dedent(cell))
    first = source_digest(notebook["Strong"])
    notebook.run(textwrap.dedent(cell).replace("0.1", "0.2"))
    assert source_digest(notebook["Strong"]) != first


def test_a_digest_is_the_same_in_another_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    program = "from finetune.techniques.registry import source_digest\nprint(source_digest(HalvesGradients))\n"
    script.write_text(HEADER + SCALE + "NAMES = frozenset('abc')\n" + HALVES + program, encoding="utf-8")
    digests = {
        subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout
        for _ in range(2)
    }
    assert len(digests) == 1


def test_a_class_without_source_is_refused() -> None:
    namespace: dict[str, Any] = {"__name__": "nowhere"}
    exec(HEADER + SCALE + HALVES, namespace)
    with refuses(RecipeError, r"class HalvesGradients of nowhere: has no source text .*Put the class into a file"):
        use_technique(namespace["HalvesGradients"])


def test_a_run_is_not_resumed_with_a_changed_class(notebook: Notebook, write_recipe: Write, tmp_path: Path) -> None:
    use_technique(notebook["HalvesGradients"])
    path = write_recipe(training={"epochs": 2}, techniques={"halves_gradients": {}})
    with pytest.raises(KeyboardInterrupt):
        train(path, tmp_path / "run", callbacks=[InterruptAt(8)])
    notebook.run(HALVES.replace("scale(step, self.factor)", "scale(step, 0.9 * self.factor)"))
    use_technique(notebook["HalvesGradients"])
    with refuses(OutputError, "techniques.halves_gradients: the source of this technique has changed"):
        train(path, tmp_path / "run", resume=True)
    notebook.run(HALVES)
    use_technique(notebook["HalvesGradients"])
    assert train(path, tmp_path / "run", resume=True).status == "finished"


# --- workers ------------------------------------------------------------------------------------------------


def test_what_cannot_be_pickled_is_refused_by_name(notebook: Notebook, tmp_path: Path) -> None:
    (tmp_path / "log.txt").touch()
    notebook.run(f"log = open({str(tmp_path / 'log.txt')!r}, 'a')\n")
    notebook.run(HALVES.replace("scale(step, self.factor)", "log.write('step')"))
    with refuses(
        RecipeError,
        r"class HalvesGradients of __main__: cannot be sent to worker processes: PicklingError: Cannot pickle .*"
        r"Put the class into a file and pass it as \"FILE.py:CLASS\"",
    ):
        use_technique(notebook["HalvesGradients"])
    assert "halves_gradients" not in TECHNIQUES
    notebook["log"].close()


def test_an_instance_is_pickled_by_its_name() -> None:
    use_technique(DoublesGradients)
    written = pickle.dumps(DoublesGradients(factor=3.0))
    assert b"tests.techniques" not in written
    assert pickle.loads(written) == DoublesGradients(factor=3.0)


def test_a_recipe_read_before_the_class_was_defined_anew_is_refused(notebook: Notebook) -> None:
    use_technique(notebook["HalvesGradients"])
    earlier = notebook["HalvesGradients"]()
    notebook.run(HALVES)
    use_technique(notebook["HalvesGradients"])
    with refuses(RecipeError, "was redefined after this recipe was read. Read the recipe again"):
        pickle.dumps(earlier)


def test_an_unknown_name_is_refused_where_it_is_read() -> None:
    use_technique(DoublesGradients)
    written = pickle.dumps(DoublesGradients())
    del TECHNIQUES["doubles_gradients"]
    with refuses(RecipeError, "techniques.doubles_gradients is not known in this process"):
        pickle.loads(written)


def test_what_was_carried_joins_again() -> None:
    use_technique(DoublesGradients)
    carried = carry_techniques()
    del TECHNIQUES["doubles_gradients"]
    receive_techniques(carried)
    assert TECHNIQUES["doubles_gradients"] is DoublesGradients  # the same process: the same class


SCRIPT = '''
import json
import multiprocessing
import pickle
import sys
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from finetune.techniques import StepView, Technique


class HalvesGradients(Technique):
    """Halve every gradient."""

    family: ClassVar[str] = "constraint"
    source: ClassVar[str] = "test 2020"

    factor: float = Field(0.5, gt=0, description="What is left.")
    unused: list[int] = Field(default_factory=lambda: [1], description="A default that is a lambda.")

    def before_optimizer_step(self, step: StepView) -> None:
        scale(step, self.factor)


def scale(step, factor):
    for parameter in step.parameters.values():
        if parameter.grad is not None:
            parameter.grad.mul_(factor)


def train_in_worker(carried: bytes, recipes: dict[str, bytes], folder: str) -> None:
    from finetune.records.store import RunFolder
    from finetune.techniques import receive_techniques
    from finetune.training.prepare import prepare
    from finetune.training.runner import run_seed

    receive_techniques(carried)
    for name, recipe in recipes.items():
        run_seed(prepare(pickle.loads(recipe)), 0, RunFolder(Path(folder) / name))


if __name__ == "__main__":
    from finetune.recipe import resolve
    from finetune.techniques import carry_techniques, use_technique

    recipe, file, folder = sys.argv[1:]
    names = [use_technique(HalvesGradients), use_technique(f"{file}:FromFile")]
    recipes = {name: pickle.dumps(resolve(recipe, overrides=[f"techniques.{name}={{}}"]).recipe) for name in names}
    spawn = multiprocessing.get_context("spawn")
    worker = spawn.Process(target=train_in_worker, args=(carry_techniques(), recipes, folder))
    worker.start()
    worker.join()
    sys.exit(worker.exitcode)
'''
FROM_FILE = HEADER + SCALE + HALVES.replace("HalvesGradients", "FromFile")


def test_a_class_of_a_script_and_one_of_a_file_travel_to_a_spawned_process(write_recipe: Write, tmp_path: Path) -> None:
    """The same arithmetic, once as a class of `__main__` and once of a file that is gone when the worker starts."""
    script, file = tmp_path / "script.py", tmp_path / "from_file.py"
    script.write_text(SCRIPT, encoding="utf-8")
    file.write_text(FROM_FILE, encoding="utf-8")
    recipe = write_recipe(training={"epochs": 1})
    done = subprocess.run(
        [sys.executable, script, recipe, file, tmp_path], capture_output=True, text=True, cwd=REPOSITORY, check=False
    )
    assert done.returncode == 0, done.stderr
    records = [
        json.loads((tmp_path / name / "run.json").read_text(encoding="utf-8"))
        for name in ("halves_gradients", "from_file")
    ]
    assert [record["status"] for record in records] == ["finished", "finished"]
    assert records[0]["history"] == records[1]["history"]
    assert all(len(record["code"]["techniques"]) == 1 for record in records)
