"""`finetune sweep` as users type it: what is run, kept, chosen, drawn and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import finetune
from tests.cli.invoking import error_lines, invoke
from tests.cli.test_compare import write_recipe
from tests.experiments.inline import RecordingExecutor

pytestmark = pytest.mark.usefixtures("workers")

VARIED = ("--vary", "techniques.l1.strength=1000,0,0.5")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep")
    write_recipe(path, epochs=3)
    return path


def command(output: str, *more: object) -> tuple[object, ...]:
    return ("sweep", "small.yaml", "--seeds", "2", "-o", output, *more)


@pytest.fixture(scope="module")
def made(place: Path, workers: type[RecordingExecutor]) -> Any:
    """Stopped after two runs, and continued by the same command."""
    workers.stops_after = 2
    stopped = invoke(*command("made", *VARIED))
    assert stopped.exit_code == 130
    workers.stops_after, workers.folders = None, []
    done = invoke(*command("made", *VARIED, "--resume"))
    assert done.exit_code == 0, done.stderr
    assert len(workers.folders) == 4
    return done


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    return found


def points_of(place: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = report(place / "made")["points"]
    return found


def test_strengths_ascend_from_the_baseline_to_zeros_everywhere(place: Path, made: Any) -> None:
    found = report(place / "made")
    points = found["points"]
    assert (found["axis"], found["keys"], found["baseline"]) == ("log", ["techniques.l1.strength"], "l1.strength=0")
    assert [point["values"]["techniques.l1.strength"] for point in points] == [0, 0.5, 1000]
    assert [point["techniques"] for point in points[:2]] == [{}, {"l1": {"strength": 0.5, "target": "head"}}]
    assert points[0]["weights"]["head"]["zero_share"] == 0
    assert points[-1]["weights"]["head"]["zero_share"] > 0.9  # all but biases
    assert points[-1]["verdict"] in ("underfits", "did not learn")
    assert points[0]["differences"] == {}
    assert len(points[-1]["differences"]["validation"]["accuracy"]["values"]) == 2


def test_only_the_choice_by_validation_is_measured_on_test(place: Path, made: Any) -> None:
    found = report(place / "made")
    best = max(found["points"], key=lambda point: point["validation"]["accuracy"]["mean"])
    chosen = next(point for point in found["points"] if point["name"] == found["chosen"]["name"])
    assert chosen["validation"]["accuracy"]["mean"] == best["validation"]["accuracy"]["mean"]
    assert found["chosen"]["test"]["accuracy"]["mean"] is not None
    assert all("test" not in point and "test" not in point["differences"] for point in found["points"])
    assert "measured once, after the choice" in made.stdout


def test_the_picture_and_the_table_show_the_path(place: Path, made: Any) -> None:
    page = (place / "made" / "sweep.html").read_text(encoding="utf-8")
    assert page.count("<svg") >= 4
    assert "log scale; 0 apart" in page
    assert (place / "made" / "figures" / "path.png").stat().st_size > 10_000
    assert "techniques.l1.strength" in (place / "made" / "sweep.md").read_text(encoding="utf-8")
    lines = [line for line in made.stdout.splitlines() if "← chosen" in line]
    assert len(lines) == 1
    assert "Zeros" in made.stdout
    assert "Effect      l1.strength=1000  l1: 32 of 32 head weights are exactly 0" in made.stdout
    assert points_of(place)[-1]["outcomes"] == ["l1: 32 of 32 head weights are exactly 0 (seed 0)"]
    assert not list((place / "made").glob("cells/*/model"))


def test_another_value_trains_only_its_own_runs_and_python_names_the_choice(
    place: Path, made: Any, workers: type[RecordingExecutor]
) -> None:
    workers.folders = []
    values = [0, 0.5, 2.0]
    result = finetune.sweep("small.yaml", vary={"techniques.l1.strength": values}, seeds=2, output="made")
    assert [folder.rpartition("-seed")[0] for folder in workers.folders] == ["l1.strength-2", "l1.strength-2"]
    assert result.chosen is not None
    assert result.chosen["techniques.l1.strength"] in values
    assert "The path of techniques.l1.strength" in result._repr_html_()
    again = invoke("report", "made", "--baseline", "l1.strength=2", "-o", "elsewhere")
    assert again.exit_code == 0, again.stderr
    assert report(place / "elsewhere")["baseline"] == "l1.strength=2"


def test_two_keys_are_a_grid_with_a_line_for_each_value_of_the_second(
    place: Path, workers: type[RecordingExecutor]
) -> None:
    varied = ("--vary", "data.subset=12,40", "--vary", "training.class_weights=none,balanced", "--seeds", "1")
    done = invoke(*command("grid", *varied, "--set", "training.epochs=1", "--preset", "light"))
    assert done.exit_code == 0, done.stderr
    found = report(place / "grid")
    assert [(point["line"], point["values"]["data.subset"]) for point in found["points"]] == [
        (f"training.class_weights={weights}", rows) for weights in ("balanced", "none") for rows in (12, 40)
    ]
    assert found["preset"] == "light"
    assert any(text.startswith("One seed: no intervals") for text in found["caveats"])
    assert found["chosen"]["reason"].endswith("with these runs no difference can be tested.")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ([], "--vary '': gives nothing to vary. Try: --vary techniques.l1.strength=0,0.1,1,10"),
        (["--vary", "techniques.l1.strength"], "--vary techniques.l1.strength: expected KEY=VALUE,VALUE,… Try: --vary"),
        (["--vary", "techniques.l1.strength=1"], "--vary techniques.l1.strength: a sweep needs two or more values"),
        (["--vary", "techniques.l1.strength=1,1"], "gives a value twice among 1,1: the same runs twice."),
        (
            ["--vary", "techniques.l1.strenght=1,2"],
            "--vary techniques.l1.strenght: unknown key. Did you mean strength?",
        ),
        (["--vary", "techniques.l3.strength=1,2"], "'l3' is not a technique. Known: "),
        (["--vary", "l1.strength=1,2"], "is not a section of a recipe. Did you mean techniques.l1.strength?"),
        (["--vary", "techniques.l1=1,2"], "--vary techniques.l1: is not a single setting."),
        (["--vary", "techniques.l1.strength=-1,2"], "--vary techniques.l1.strength: "),
        (["--vary", "training.epochs=1,many"], "--vary training.epochs: "),
        (["--vary", "training.epochs=1,2", "--vary", "training.epochs=3,4"], "is varied twice."),
        (["--vary", "training.seeds=1,2"], "--vary training.seeds: an experiment takes its seeds from an argument."),
        (["--vary", "data.train_size=10,20"], "data.subset leaves those rows as they are."),
        (["--vary", "data.split_seed=1,2"], "--vary data.split_seed: decides what is measured"),
        (["--vary", "data.subset=10,1000"], "asks for 1000 of 48 training rows. Try: --set data.subset=48"),
        (["--vary", "data.overlap=8,16"], "data.overlap"),  # without windows it cannot act
        (["--vary", "training.min_steps=0,1"], "is exactly what min_steps=0 is: the same runs twice."),
    ],
)
def test_what_cannot_be_swept_is_refused_before_anything_is_written(place: Path, more: list[str], told: str) -> None:
    result = invoke(*command("refused", *more))
    assert result.exit_code == 2, result.stderr
    lines = error_lines(result.stderr)
    assert told in "\n".join(lines)
    assert len(set(lines)) == len(lines), "a fault of a key is said once, not for each of its values"
    assert not (place / "refused").exists()


def test_a_grid_of_ten_thousand_runs_is_refused_with_its_number_and_time(place: Path) -> None:
    rates = ",".join(f"{rate}e-6" for rate in range(1, 51))
    strengths = ",".join(str(strength / 10) for strength in range(1, 101))
    more = ("--vary", f"training.learning_rate={rates}", "--vary", f"techniques.l1.strength={strengths}")
    told = error_lines(invoke(*command("refused", *more)).stderr)[0]
    assert "50 × 100 × 2 seeds are 10,000 runs, about " in told
    assert "Try: --yes, or name fewer values" in told
    assert not (place / "refused").exists()


def test_it_is_listed_among_the_runs(place: Path, made: Any) -> None:
    listed = {entry["path"]: entry for entry in json.loads(invoke("runs", ".", "--json").stdout)}
    assert (listed["made"]["kind"], listed["made"]["status"]) == ("sweep", "finished")
    table = invoke("runs", ".", "--kind", "sweep", "--contains", "made").stdout
    assert "0 runs and 1 experiment" in table
