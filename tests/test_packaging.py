"""The wheel carries the recipes, and works where the repository is not."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(REPOSITORY)],
        check=True,
    )
    return next(folder.glob("finetune-*.whl"))


def test_the_wheel_holds_recipes_and_licence_and_nothing_of_the_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {path.relative_to(REPOSITORY / "recipes").as_posix() for path in (REPOSITORY / "recipes").rglob("*.yaml")}
    assert shipped
    assert {f"finetune/recipes/{name}" for name in shipped} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "scripts/", "docs/")) for name in names)


def test_the_wheel_alone_lists_and_validates(wheel: Path, tmp_path: Path) -> None:
    """Unpacked in a folder of its own and put first on the path: the repository plays no part."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = (
        "import sys, finetune; assert finetune.__file__.startswith(sys.argv[1]), finetune.__file__;"
        "from finetune.cli.app import app; app(args=sys.argv[2:], prog_name='finetune')"
    )
    for arguments, expected in ((["ls"], "strong"), (["validate", "--preset", "strong"], "is valid")):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path), *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path), "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
