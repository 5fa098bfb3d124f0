"""`finetune compare --variant` and `--set PRESET:key=value`: settings under a name beside presets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import finetune
from finetune.experiments.asked import separate
from tests.cli.invoking import error_lines, invoke
from tests.cli.test_compare import write_recipe
from tests.experiments.inline import RecordingExecutor

pytestmark = pytest.mark.usefixtures("workers", "without_plots")

L1 = "l1=techniques.l1.strength=0.5"
LONG = "long=strong:training.epochs=3, techniques.label_smoothing.smoothing=0.3"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("variants")
    write_recipe(path, epochs=2)
    return path


def command(output: str, *more: object) -> tuple[object, ...]:
    return ("compare", "small.yaml", "--seeds", "2", "--final", "best", "-o", output, *more)


ASKED = ("--presets", "none,light", "--variant", L1, "--variant", LONG, "--set", "light:training.learning_rate=0.002")


@pytest.fixture(scope="module")
def made(place: Path, workers: type[RecordingExecutor]) -> Any:
    done = invoke(*command("made", *ASKED))
    assert done.exit_code == 0, done.stderr
    return done


def group(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))["groups"][0]
    return found


def test_variants_stand_beside_presets_with_what_they_are_made_of(place: Path, made: Any) -> None:
    variants = {variant["name"]: variant for variant in group(place / "made")["variants"]}
    assert list(variants) == ["none", "light-changed", "l1", "long"]
    assert variants["l1"]["techniques"] == {"l1": {"strength": 0.5, "target": "head"}}
    assert variants["l1"]["baseline"] == "none"
    assert (variants["l1"]["preset"], variants["l1"]["settings"]) == ("none", {"techniques.l1.strength": 0.5})
    assert variants["long"]["techniques"]["label_smoothing"]["smoothing"] == 0.3
    assert len(variants["long"]["techniques"]) > 3  # those of strong
    assert variants["light-changed"]["settings"] == {"training.learning_rate": 0.002}
    assert variants["none"]["settings"] == {}
    assert "l1 = none with techniques.l1.strength=0.5" in made.stdout
    assert "l1 = none with techniques.l1.strength=0.5" in (place / "made" / "report.md").read_text()


def test_what_differs_beside_techniques_is_a_caveat(place: Path, made: Any) -> None:
    caveats = [text for text in group(place / "made")["caveats"] if "of its own" in text]
    assert [text.partition(":")[0] for text in caveats] == [
        "light-changed has training.learning_rate=0.002 of its own",
        "long has training.epochs=3 of its own",
    ]


def test_the_same_command_trains_nothing_and_report_takes_such_runs(
    place: Path, made: Any, workers: type[RecordingExecutor]
) -> None:
    workers.folders = []
    asked = {
        "presets": ["none"],
        "variants": {"l1": {"techniques.l1.strength": 0.5}, "longer": {"preset": "light", "training.epochs": 3}},
    }
    result = finetune.compare("small.yaml", seeds=2, final="best", output="made", **asked)
    assert [folder.partition("-")[0] for folder in workers.folders] == ["longer", "longer"]  # l1 is there already
    assert [variant.name for variant in result.group.variants] == ["none", "l1", "longer"]
    again = invoke("report", "made", "--baseline", "l1", "--fail-on", "longer.gap.accuracy > 2")
    assert again.exit_code == 0, again.stderr
    assert group(place / "made")["baseline"] == "l1"


def test_one_variant_alone_is_cross_validated(place: Path) -> None:
    done = invoke(
        *command("folds", "--presets", "", "--variant", "data=data.subset=12", "--folds", "3", "--seeds", "1")
    )
    assert done.exit_code == 0, done.stderr
    found = group(place / "folds")
    assert [variant["name"] for variant in found["variants"]] == ["data"]
    assert (found["folds"], found["rows"]["train"]) == (3, 12)
    assert found["recommendation"]["variant"] == "data"
    assert [run["fold"] for run in found["variants"][0]["runs"]] == [0, 1, 2]
    assert found["variants"][0]["test"]["accuracy"]["mean"] is not None


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--variant", "l1"], "--variant l1: expected NAME=KEY=VALUE. Try: --variant l1=techniques.l1.strength=0.5"),
        (["--variant", "a/b=training.epochs=3"], "--variant a/b: a name begins with a letter or digit"),
        (
            ["--variant", "strong=training.epochs=3"],
            "--variant strong: is the name of a preset, which this variant is not.",
        ),
        (["--variant", "none=training.epochs=3"], "--variant none: is the name of a preset in this comparison."),
        (["--variant", L1, "--variant", L1], "a second variant of this name."),
        (["--variant", "a=techniques.l1.strenght=1"], "--variant a techniques.l1.strenght: unknown key. Did you mean"),
        (["--variant", "a=techniques.l1.strength=-1"], "--variant a techniques.l1.strength: "),
        (["--variant", "a=training.seeds=[1]"], "training.seeds: an experiment takes its seeds from an argument."),
        (["--variant", "a=data.folds=3"], "data.folds: a comparison takes its folds from an argument. Try: --folds 5"),
        (["--variant", "a=data.train_size=20"], "data.train_size: would make it measured on other rows"),
        (["--variant", "a=data.text=body"], "data.text: decides what is measured, which must be the same for all."),
        (["--variant", "a=training.epochs=2"], "a: is exactly what none is: the same runs twice."),
        (["--variant", L1, "--variant", L1.replace("l1=", "b=", 1)], "b: is exactly what l1 is: the same runs twice."),
        (["--variant", "a=techniques.l1=off"], "is not on, so it cannot be turned off."),
        (["--variant", "a=strng:training.epochs=3"], "'strng' is not a preset. Did you mean strong?"),
        (["--set", "strong:training.epochs=3"], "'strong' is not among the presets and variants compared."),
        (["--set", "light:techniques.l1.strenght=3"], "unknown key. Did you mean strength?"),
        (["--presets", "strong"], "a comparison needs two or more. Try: --presets none,strong, or --folds 5"),
        (
            ["--presets", "none,strong", "--set", "techniques.l1.strength=1"],
            "Try: --set strong:techniques.l1.strength=VALUE (for strong alone), or "
            "--variant mine=techniques.l1.strength=VALUE (beside the presets)",
        ),
    ],
)
def test_what_cannot_be_a_variant_is_refused_before_anything_is_written(
    place: Path, more: list[str], told: str
) -> None:
    base = [] if "--presets" in more or "--variant" in more else ["--presets", "none,light"]
    result = invoke(*command("refused", *base, *more))
    assert result.exit_code == 2
    assert told in "\n".join(error_lines(result.stderr))
    assert not (place / "refused").exists()


def test_a_name_before_a_key_is_told_from_a_key_with_a_colon() -> None:
    given = {"training.epochs": 3, "strong:techniques.dropout.hidden": 0.3, "data.keep.a:b": "yes"}
    shared = {"training.epochs": 3, "data.keep.a:b": "yes"}
    assert separate(given) == (shared, {"strong": [{"techniques.dropout.hidden": 0.3}]})
    texts = ["training.epochs=3", "mine.yaml:training.epochs=4", "data.template={a}: {b}"]
    assert separate(texts) == ([texts[0], texts[2]], {"mine": ["training.epochs=4"]})


def test_a_run_refuses_settings_of_a_preset_and_says_what_to_type(place: Path) -> None:
    result = invoke("run", "small.yaml", "--set", "strong:training.epochs=3", "-o", "refused")
    assert "only a comparison can have settings of one preset (strong:). Try: --set training.epochs=3" in result.stderr
