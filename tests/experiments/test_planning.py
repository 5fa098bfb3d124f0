"""What to run: each cell is named by everything that decides its figures, and by nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import finetune.experiments.keys as keys_module
from finetune.data import loader
from finetune.errors import DataError, RecipeError
from finetune.experiments.jobs import Job
from finetune.experiments.keys import DECIDES_NUMBERS, code_digest
from finetune.experiments.options import Options
from finetune.experiments.planning import plan_runs
from finetune.experiments.variants import Variant, ablation_variants, preset_variants
from finetune.own_code import allow
from tests.conftest import name_pooling
from tests.raising import refusal, refuses

Write = Callable[..., Path]


def variants(recipe: Path, presets: str = "none,light", *overrides: str, baseline: str = "none") -> list[Variant]:
    options = Options(recipe=str(recipe), overrides=("training.epochs=6", *overrides))
    return preset_variants(presets.split(","), baseline, options)


def cells(
    recipe: Path, *overrides: str, presets: str = "none,light", seeds: Any = (0, 1), folds: Any = None
) -> list[Job]:
    return plan_runs(variants(recipe, presets, *overrides), list(seeds), folds, loader.Loader())


def keys(recipe: Path, *overrides: str, **changes: Any) -> dict[tuple[str, int, int | None], str]:
    return {
        (cell.entry.variant, cell.entry.seed, cell.entry.fold): cell.entry.key
        for cell in cells(recipe, *overrides, **changes)
    }


# --- keys ------------------------------------------------------------------------------------------------------


def test_every_cell_has_a_key_and_a_folder_of_its_own(write_recipe: Write) -> None:
    found = cells(write_recipe(), presets="none,light,strong", seeds=(0, 1, 7), folds=3)
    assert len(found) == 27
    assert len({cell.entry.key for cell in found}) == 27
    assert len({cell.entry.folder for cell in found}) == 27
    assert all(cell.entry.key[:8] in cell.entry.folder for cell in found)


@pytest.mark.parametrize(
    "override",
    [
        "training.learning_rate=0.001",
        "training.epochs=7",
        "data.max_length=16",
        "data.split_seed=1",
        "data.probe_size=9",
    ],
)
def test_a_value_of_the_recipe_changes_all_keys(write_recipe: Write, override: str) -> None:
    before, after = keys(write_recipe()), keys(write_recipe(), override)
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())


def test_a_changed_preset_changes_its_own_keys_only(write_recipe: Write, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    found = []
    for smoothing in (0.1, 0.2):
        mine.write_text(json.dumps({"label_smoothing": {"smoothing": smoothing}}), encoding="utf-8")
        found.append(keys(write_recipe(), presets=f"none,{mine}"))
    for cell in found[0]:
        assert (found[0][cell] == found[1][cell]) == (cell[0] == "none")


def test_changed_data_change_all_keys(write_recipe: Write, reviews: Path) -> None:
    before = keys(write_recipe())
    reviews.write_text(reviews.read_text(encoding="utf-8").replace("movie", "film"), encoding="utf-8")
    assert not set(before.values()) & set(keys(write_recipe()).values())


def test_other_weights_change_all_keys(write_recipe: Write, tiny_model: Path, tmp_path: Path) -> None:
    other = shutil.copytree(tiny_model, tmp_path / "other")
    same = keys(write_recipe(model=other))
    assert same == keys(write_recipe())
    content = bytearray((other / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (other / "model.safetensors").write_bytes(content)
    assert not set(same.values()) & set(keys(write_recipe(model=other)).values())


def test_what_the_encoder_was_trained_to_pool_changes_all_keys(
    write_recipe: Write, tiny_model: Path, tmp_path: Path
) -> None:
    """It is said below the folder of the model, and decides what the head reads; so does the recipe."""
    pooled = name_pooling(Path(shutil.copytree(tiny_model, tmp_path / "pooled")))
    found = [keys(write_recipe(model=pooled))]
    found += [keys(write_recipe(model=pooled), f"model.pooling={kind}") for kind in ("cls", "attention")]
    found.append(keys(write_recipe(model=name_pooling(pooled, "cls_token"))))
    assert len({key for one in found for key in one.values()}) == sum(map(len, found))


def test_the_version_of_the_algorithms_changes_all_keys_and_other_code_none(
    write_recipe: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys(write_recipe())
    monkeypatch.setattr("finetune.experiments.planning.code_digest", lambda: "other")
    assert keys(write_recipe()) == before
    assert {cell.entry.code for cell in cells(write_recipe())} == {"other"}
    monkeypatch.setattr(keys_module, "ALGORITHM_VERSION", keys_module.ALGORITHM_VERSION + 1)
    assert not set(before.values()) & set(keys(write_recipe()).values())


def test_neither_the_recipes_name_nor_its_place_nor_that_of_the_data_count(
    write_recipe: Write, reviews: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere" / "moved.csv"
    moved.parent.mkdir()
    shutil.copy(reviews, moved)
    other = write_recipe("another-name", data={"source": str(moved)})
    assert keys(other) == keys(write_recipe())


def test_more_presets_and_seeds_leave_the_other_keys_as_they_are(write_recipe: Write) -> None:
    few = keys(write_recipe())
    many = keys(write_recipe(), presets="strong,light,none", seeds=(5, 1, 0))
    assert few.items() <= many.items()
    assert len(many) == 9


def test_the_seeds_that_the_recipe_lists_do_not_count(write_recipe: Write) -> None:
    assert keys(write_recipe(training={"seeds": [3, 4]})) == keys(write_recipe())


def test_folds_change_all_keys_and_their_number_does_too(write_recipe: Write) -> None:
    found = [keys(write_recipe(), folds=folds) for folds in (None, 3, 4)]
    assert len({key for of in found for key in of.values()}) == sum(map(len, found)) == 4 + 12 + 16


def test_an_edited_metric_changes_all_keys(write_recipe: Write, tmp_path: Path) -> None:
    module = tmp_path / "lengths.py"
    found = []
    for number in (1, 2):
        module.write_text(METRIC.format(number=number), encoding="utf-8")
        allow([str(module)])
        found.append(keys(write_recipe(f"r{number}", training={"metrics": [str(module)]})))
    assert not set(found[0].values()) & set(found[1].values())


METRIC = """
import datasets
import evaluate


class Own(evaluate.Metric):
    def _info(self):
        features = datasets.Features({{"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)
    def _compute(self, predictions, references):
        return {{"own": {number}.0}}
"""


# --- code ------------------------------------------------------------------------------------------------------


def test_the_digest_covers_what_decides_figures_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Path(keys_module.finetune.__file__).parent
    copy = shutil.copytree(package, tmp_path / "finetune", ignore=shutil.ignore_patterns("__pycache__"))
    before = code_digest()
    monkeypatch.setattr(keys_module.finetune, "__file__", str(copy / "__init__.py"))
    assert code_digest() == before
    for folder in ("reports", "cli", "analysis", "advice"):
        next((copy / folder).glob("*.py")).write_text("changed = 1\n", encoding="utf-8")
    assert code_digest() == before
    for folder in DECIDES_NUMBERS:
        path = sorted((copy / folder).glob("*.py"))[-1]
        path.write_text(path.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
        changed = code_digest()
        assert changed != before, folder
        before = changed


@pytest.mark.parametrize(
    "module", ["training/trainer", "techniques/l2", "data/splits", "models/load", "measurement/scores", "recipe/schema"]
)
def test_what_computes_is_in_a_folder_that_decides_figures(module: str) -> None:
    assert module.split("/")[0] in DECIDES_NUMBERS
    assert (Path(keys_module.finetune.__file__).parent / f"{module}.py").is_file()


# --- the matrix ------------------------------------------------------------------------------------------------


def test_cells_go_seed_by_seed_with_the_baseline_first(write_recipe: Write) -> None:
    found = cells(write_recipe(), presets="light,none", seeds=(3, 1))
    assert [(cell.entry.variant, cell.entry.seed) for cell in found] == [
        ("none", 3),
        ("light", 3),
        ("none", 1),
        ("light", 1),
    ]
    assert [cell.recipe.training.seeds for cell in found] == [[3], [3], [1], [1]]


def test_all_variants_of_a_fold_share_its_rows(write_recipe: Write) -> None:
    found = cells(write_recipe(), seeds=(0,), folds=3)
    assert [(cell.recipe.data.folds, cell.recipe.data.fold) for cell in found] == [(3, f) for f in (0, 0, 1, 1, 2, 2)]


def test_data_are_loaded_once_for_each_split(write_recipe: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    split = []
    really = loader.split_source
    monkeypatch.setattr(loader, "split_source", lambda section, of: split.append(section.fold) or really(section, of))
    cells(write_recipe(), seeds=(0, 1, 2), folds=2)
    assert split == [0, 1]


def test_own_stands_for_the_techniques_of_the_recipe(write_recipe: Write) -> None:
    recipe = write_recipe(techniques={"label_smoothing": {"smoothing": 0.2}})
    found = {variant.name: variant.recipe for variant in variants(recipe, "none,own")}
    assert list(found["none"].techniques) == []
    assert list(found["own"].techniques) == ["label_smoothing"]
    assert found["own"].preset == "own"


# --- what is refused -------------------------------------------------------------------------------------------


def refused(recipe: Path, presets: str, *overrides: str, baseline: str = "none") -> str:
    return refusal(RecipeError, variants, recipe, presets, *overrides, baseline=baseline)


@pytest.mark.parametrize(
    ("presets", "baseline", "told"),
    [
        ("none,light,none", "none", "two are called 'none'"),
        ("none", "none", "needs two or more"),
        ("light,strong", "none", "--baseline none: is not among the presets light,strong."),
        ("light,strong", "strng", "Did you mean strong?"),
        ("none,lihgt", "none", "'lihgt' is not a preset. Did you mean light?"),
        ("none,missing.yaml", "none", "missing.yaml: no such preset file"),
    ],
)
def test_a_wrong_list_of_presets_is_refused(write_recipe: Write, presets: str, baseline: str, told: str) -> None:
    assert told in refused(write_recipe(), presets, baseline=baseline)


def test_all_problems_of_all_presets_are_told_and_each_once(write_recipe: Write) -> None:
    told = refused(write_recipe(), "none,lihgt,stron", "training.epoch=3").splitlines()
    assert len(told) == len(set(told)) == 3


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("techniques.dropout.hidden=0.3", "finetune cp strong mine.yaml"),
        ("techniques.dropout=off", "would change every preset, the baseline too"),
        ("training.seeds=[1]", "--seeds"),
        ("data.folds=3", "--folds"),
        ("data.fold=1", "--folds"),
    ],
)
def test_what_a_comparison_decides_itself_cannot_be_set(write_recipe: Write, override: str, told: str) -> None:
    assert told in refused(write_recipe(), "none,light", override)


def test_a_space_before_a_key_does_not_let_it_through(write_recipe: Write) -> None:
    assert "every preset" in refused(write_recipe(), "none,light", " techniques.label_smoothing.smoothing=0.3")


def test_a_baseline_may_be_named_as_in_the_list(write_recipe: Write, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(json.dumps({"label_smoothing": {}}), encoding="utf-8")
    assert variants(write_recipe(), f"light,{mine}", baseline=str(mine))[0].name == "mine"


def test_what_the_data_forbid_is_told_with_the_preset(write_recipe: Write, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(json.dumps({"early_stopping": {"metric": "acuracy"}}), encoding="utf-8")
    with refuses(RecipeError, r"^mine: .*'acuracy' is not measured"):
        cells(write_recipe(), presets=f"none,{mine}")


def test_folds_of_data_with_a_test_file_are_refused(write_recipe: Write, reviews: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("text,label\nfine film,good\npoor plot,bad\n", encoding="utf-8")
    recipe = write_recipe(data={"test": str(other), "test_size": None})
    with refuses(DataError, r"^data\.folds: .* its own test split.* Run without folds.* --data FILE"):
        cells(recipe, folds=3)


# --- ablation --------------------------------------------------------------------------------------------------


def ablate(recipe: Path, preset: str | Path) -> tuple[list[Variant], list[str]]:
    return ablation_variants(
        str(preset), Options(recipe=str(recipe), overrides=("training.epochs=6",)), None, loader.Loader()
    )


def test_an_ablation_has_the_preset_and_each_part_left_out_and_alone(write_recipe: Write, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        json.dumps({"weight_decay": {"total_shrink": 0.02}, "label_smoothing": {}, "dropout": {"hidden": 0.2}}),
        encoding="utf-8",
    )
    found, left_out = ablate(write_recipe(), mine)
    assert left_out == []
    assert [(variant.name, variant.baseline, variant.technique) for variant in found[:2]] == [
        ("none", None, None),
        ("mine", "none", None),
    ]
    whole = {"weight_decay", "label_smoothing", "dropout"}
    by_name = {variant.name: variant for variant in found}
    assert len(by_name) == 8
    for part in whole:
        without, alone = by_name[f"mine without {part}"], by_name[f"{part} alone"]
        assert (without.baseline, without.technique, set(without.recipe.techniques)) == ("mine", part, whole - {part})
        assert (alone.baseline, alone.technique, set(alone.recipe.techniques)) == ("none", part, {part})


def test_a_part_keeps_its_settings(write_recipe: Write, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        json.dumps({"weight_decay": {"total_shrink": 0.02}, "label_smoothing": {"smoothing": 0.23}}), encoding="utf-8"
    )
    found, _ = ablate(write_recipe(), mine)
    alone = next(variant for variant in found if variant.name == "label_smoothing alone")
    assert alone.recipe.to_dict()["techniques"]["label_smoothing"]["smoothing"] == 0.23


@pytest.mark.parametrize("content", [{}, {"dropout": {"hidden": 0.2}}])
def test_fewer_than_two_techniques_cannot_be_taken_apart(
    write_recipe: Write, tmp_path: Path, content: dict[str, Any]
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(json.dumps(content), encoding="utf-8")
    with refuses(RecipeError, match=f"has {len(content)} technique.*needs two or more"):
        ablate(write_recipe(), mine)


def test_the_parts_of_the_strong_preset_make_cells(write_recipe: Write) -> None:
    found, _ = ablate(write_recipe(), "strong")
    assert len(plan_runs(found, [0], None, loader.Loader())) == len(found)


def test_an_ablation_of_the_recipes_own_techniques_is_called_own(write_recipe: Write) -> None:
    found, _ = ablate(write_recipe(techniques={"weight_decay": {"total_shrink": 0.02}, "label_smoothing": {}}), "own")
    assert [variant.name for variant in found[:2]] == ["none", "own"]
    assert "own without weight_decay" in [variant.name for variant in found]
