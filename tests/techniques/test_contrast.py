"""Contrast: pairs are balanced and bounded, the loss is that of the paper, and the stage can be killed and repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune.data.train_set import Collator
from finetune.errors import DataError, ModelError, RecipeError, RunFailed
from finetune.models.load import load_config, load_model
from finetune.recipe import resolve
from finetune.techniques import Budget
from finetune.techniques import contrast as contrast_module
from finetune.techniques.contrast import Contrast, pair_loss, sampled_pairs
from finetune.training import stage as stage_module
from finetune.training.building import build_model
from finetune.training.prepare import prepare
from finetune.training.stage import embeddings, rate_at, run_stages
from tests.conftest import ARCHITECTURES, name_pooling, save_tiny_model, write_csv
from tests.interrupting import interrupted_and_resumed, timeless
from tests.raising import refuses
from tests.running import assert_same_weights, train

Write = Callable[..., Path]
CPU = torch.device("cpu")
CLASSES = np.array([0, 0, 0, 1, 1, 2, 0, 1, 2, 3])  # one row alone has class 3
SEVERAL = np.array([[1, 0], [1, 1], [0, 1], [0, 0], [1, 0], [0, 0]], dtype=float)
SPREAD = {"initializer_range": 0.4, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
SMALL = {"contrast": {"most": 24, "batch_size": 4, "learning_rate": 0.005}}


# --- the loss --------------------------------------------------------------------------------------------------


def test_the_loss_is_the_squared_error_of_the_cosine() -> None:
    stream = np.random.default_rng(0)
    first, second = stream.normal(size=(2, 7, 5))
    alike = stream.integers(0, 2, 7).astype(float)
    cosines = [float(u @ v / np.sqrt((u @ u) * (v @ v))) for u, v in zip(first, second, strict=True)]
    expected = sum((cosine - y) ** 2 for cosine, y in zip(cosines, alike, strict=True)) / 7
    found = pair_loss(*(torch.tensor(each) for each in (first, second, alike)))
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_the_loss_is_zero_where_classes_are_apart_already() -> None:
    same, other = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    assert float(pair_loss(same, 5 * same, torch.ones(1))) == pytest.approx(0, abs=1e-12)
    assert float(pair_loss(same, other, torch.zeros(1))) == 0
    assert float(pair_loss(same, other, torch.ones(1))) == 1


# --- pairs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 10, 36, 200])
def test_pairs_are_balanced_bounded_and_what_they_say(count: int) -> None:
    pairs = sampled_pairs(CLASSES, count, seed=3)
    assert len(pairs) == count
    assert [pair.alike for pair in pairs] == [True, False] * (count // 2)
    for first, second, alike in pairs:
        assert first != second
        assert (CLASSES[first] == CLASSES[second]) == alike


def test_every_row_leads_as_many_pairs_as_any_other() -> None:
    pairs = sampled_pairs(CLASSES, 150, seed=0)
    led = Counter(pair.first for pair in pairs if pair.alike)
    assert set(led) == set(range(9)), "the only row of its class has no partner"
    assert max(led.values()) - min(led.values()) <= 1
    apart = Counter(pair.first for pair in pairs if not pair.alike)
    assert set(apart) == set(range(10))
    assert max(apart.values()) - min(apart.values()) <= 1


def test_a_seed_draws_its_pairs_again_and_another_draws_others() -> None:
    assert sampled_pairs(CLASSES, 60, seed=1) == sampled_pairs(CLASSES, 60, seed=1)
    assert sampled_pairs(CLASSES, 60, seed=1) != sampled_pairs(CLASSES, 60, seed=2)


def test_texts_with_several_labels_are_alike_if_they_share_one() -> None:
    pairs = sampled_pairs(SEVERAL, 400, seed=0)
    alike = {frozenset(pair[:2]) for pair in pairs if pair.alike}
    apart = {frozenset(pair[:2]) for pair in pairs if not pair.alike}
    assert alike == {frozenset(each) for each in ((0, 1), (0, 4), (1, 2), (1, 4))}
    unlabelled = {frozenset((labelled, row)) for labelled in (0, 1, 2, 4) for row in (3, 5)}
    assert apart == {frozenset(each) for each in ((0, 2), (2, 4))} | unlabelled
    assert frozenset((3, 5)) not in apart, "two rows without a label are neither"


@pytest.mark.parametrize(
    ("targets", "why"),
    [([0, 0, 0], "all have a class in common"), ([0, 1, 2], "no two training rows have a class in common")],
)
def test_without_pairs_of_a_kind_it_says_so(targets: list[int], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        sampled_pairs(np.array(targets), 4, seed=0)


# --- the stage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_embeddings_have_a_gradient_down_to_the_words(architecture: str, tmp_path: Path) -> None:
    recipe = resolve({"model": {"id": str(save_tiny_model(tmp_path / "m", architecture))}, "data": {"source": "x.csv"}})
    model = load_model(recipe.recipe.model, load_config(recipe.recipe.model, "single_label", ["a", "b"]), 0).eval()
    inputs = {"input_ids": torch.tensor([[2, 8, 9, 3], [2, 7, 3, 0]]), "attention_mask": torch.ones(2, 4).long()}
    inputs["attention_mask"][1, 3] = 0
    found = embeddings(model, inputs)
    assert found.shape == (2, 16)
    pair_loss(found[:1], found[1:], torch.ones(1)).backward()
    gradient = model.get_input_embeddings().weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_embeddings_are_what_the_head_reads(pooling: str, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "m")
    if pooling == "mean":
        name_pooling(folder)
    section = resolve({"model": {"id": str(folder)}, "data": {"source": "x.csv"}}).recipe.model
    model = load_model(section, load_config(section, "single_label", ["a", "b"]), 0).eval()
    inputs = {"input_ids": torch.tensor([[2, 8, 9, 3, 0]]), "attention_mask": torch.tensor([[1, 1, 1, 1, 0]])}
    with torch.no_grad():
        found = embeddings(model, inputs)[0]
        states = model.base_model(**inputs, output_hidden_states=True).hidden_states
    if pooling == "cls":
        torch.testing.assert_close(found, states[-1][0, 0])
    else:
        mean = states[-2][0, :4].mean(dim=0)  # what enters the layer that pools
        assert torch.cosine_similarity(found, mean - mean.mean(), dim=0) > 0.999


def distances(prepared: Any, model: Any) -> tuple[float, float]:
    """Mean cosine of training texts of one class, and of two."""
    tokens = prepared.encoder.encode(prepared.data.train.texts, None)
    width = max(len(tokens[row]["input_ids"]) for row in range(len(prepared.data.train)))
    rows = [tokens[row]["input_ids"] for row in range(len(prepared.data.train))]
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    with torch.no_grad():
        found = torch.nn.functional.normalize(embeddings(model.eval(), {"input_ids": ids, "attention_mask": mask}))
    labels = np.array(prepared.data.train.labels)
    same = torch.tensor(labels[:, None] == labels[None]) & ~torch.eye(len(rows), dtype=torch.bool)
    cosines = found @ found.T
    return float(cosines[same].mean()), float(cosines[torch.tensor(labels[:, None] != labels[None])].mean())


@pytest.fixture(scope="module")
def spread_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT whose embeddings differ from text to text, without dropout."""
    return save_tiny_model(tmp_path_factory.mktemp("spread") / "bert", **SPREAD)


def test_the_stage_brings_classes_together_and_apart_and_puts_random_streams_back(
    write_recipe: Write, spread_model: Path
) -> None:
    stage = {"contrast": {"learning_rate": 0.003}}
    prepared = prepare(resolve(str(write_recipe(model=spread_model, techniques=stage))).recipe)
    section = prepared.recipe.model
    model = load_model(section, load_config(section, "single_label", prepared.data.labels), 0)
    head = {name: value.clone() for name, value in model.classifier.state_dict().items()}
    near, far = distances(prepared, model)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run_stages(prepared, model, 0, CPU)
    assert torch.equal(torch.get_rng_state(), before)
    nearer, farther = distances(prepared, model)
    assert nearer - farther > near - far + 0.3
    assert all(torch.equal(value, head[name]) for name, value in model.classifier.state_dict().items())


def test_the_learning_rate_rises_and_falls_and_is_never_zero() -> None:
    rates = [rate_at(step, 10, 0.2) for step in range(10)]
    assert rates == pytest.approx([1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    assert rate_at(0, 1, 0.1) == 1


def test_a_run_starts_from_the_stage_and_records_its_cost(write_recipe: Write, tmp_path: Path) -> None:
    plain = train(write_recipe(), tmp_path / "plain")
    with_stage = train(write_recipe(techniques=SMALL), tmp_path / "with")
    assert with_stage.history[0].validation["nll"] != plain.history[0].validation["nll"]
    assert with_stage.time.phases["first_stage"] > plain.time.phases["first_stage"]
    assert with_stage.budget.cost == round(1 + 2 * 24 / (48 * 3), 2)
    assert with_stage.techniques["contrast"].effect == "24 pairs in 6 steps before fine-tuning"
    assert with_stage.budget.steps == plain.budget.steps
    assert any("embeddings this similar have nearly no gradient" in text for text in with_stage.warnings)


def test_the_head_starts_on_the_features_of_the_stage(write_recipe: Write, tmp_path: Path) -> None:
    order: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        from finetune.techniques.head_start import HeadStart

        own, start = Contrast.before_training, HeadStart.start_head
        patch.setattr(Contrast, "before_training", lambda self, stage: order.append("stage") or own(self, stage))
        patch.setattr(HeadStart, "start_head", lambda self, rows: order.append("head") or start(self, rows))
        train(write_recipe(techniques={"head_start": {}, **SMALL}, training={"epochs": 1}), tmp_path / "run")
    assert order == ["stage", "head"]


@pytest.mark.parametrize(
    ("other", "moved"),
    [
        ({"freeze": {"layers": 1}}, "layer.1."),
        ({"lora": {"dropout": 0.0}}, "lora_"),
        ({"train_only": {}}, "bias"),
    ],
)
def test_weights_that_do_not_train_stay_in_the_stage_too(
    other: dict[str, Any], moved: str, write_recipe: Write, spread_model: Path
) -> None:
    prepared = prepare(resolve(str(write_recipe(model=spread_model, techniques={**other, **SMALL}))).recipe)
    model = build_model(prepared, 0).model
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    run_stages(prepared, model, 0, CPU)
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert any(moved in name for name in changed)
    assert changed <= {name for name, value in model.named_parameters() if value.requires_grad}


def test_noise_and_mixtures_of_other_techniques_do_not_act_in_the_stage(
    write_recipe: Write, spread_model: Path
) -> None:
    others: dict[str, Any] = {"mixup": {}, "fgm": {}, "neftune": {}, "hidden_noise": {}, "layer_drop": {}}
    found = []
    for techniques in (SMALL, {**others, **SMALL}):
        prepared = prepare(resolve(str(write_recipe(model=spread_model, techniques=techniques))).recipe)
        model = build_model(prepared, 0).model
        hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
        run_stages(prepared, model, 0, CPU)
        after = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
        assert after == hooks
        found.append(model.state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


# --- resume and processes --------------------------------------------------------------------------------------


def test_a_run_that_is_stopped_in_the_stage_repeats_it_and_later_does_not(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(techniques=SMALL)
    whole = train(recipe, tmp_path / "whole")
    steps: list[int] = []

    def stop(*given: Any) -> Any:
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return pair_loss(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contrast_module, "pair_loss", stop)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "cut")
    again = train(recipe, tmp_path / "cut", resume=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "cut")
    assert timeless(again) == timeless(whole)
    interrupted_and_resumed(recipe, tmp_path / "later", step=9)
    assert_same_weights(tmp_path / "whole", tmp_path / "later")


@pytest.mark.parametrize("pairs", [1, 2, 5])
def test_processes_share_the_pairs_of_a_step(
    pairs: int, write_recipe: Write, spread_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their gradients sum to that of one; of a single pair the second has none. Real processes: the contract tests."""
    prepared = prepare(resolve(str(write_recipe(model=spread_model, techniques=SMALL))).recipe)
    tokens = prepared.encoder.encode(["good movie", "bad plot", "nice film", "poor actor", "fine scene"], None)
    inputs = Collator(prepared.tokenizer)([{**tokens[row], "labels": 0} for row in range(5)])
    del inputs["labels"]

    def gradient(world: int) -> list[torch.Tensor]:
        model = build_model(prepared, 0).model
        trainer = stage_module._StageTrainer(prepared, model, "contrast", CPU)

        def loss(part: Any) -> torch.Tensor:
            found = embeddings(model, inputs)
            return pair_loss(found[list(part)], found[[(row + 1) % 5 for row in part]], torch.ones(len(part)))

        monkeypatch.setattr(stage_module, "world_size", lambda: world)
        for rank in range(world):
            monkeypatch.setattr(stage_module, "rank", lambda rank=rank: rank)
            trainer._backward(range(pairs), loss)
        return [value.grad for value in model.parameters() if value.grad is not None]

    for one, two in zip(gradient(1), gradient(2), strict=True):
        torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-7)


# --- bad input -------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_ends_the_run(write_recipe: Write, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contrast_module, "pair_loss", lambda first, second, alike: (first * float("nan")).sum())
        with refuses(RunFailed, r"techniques\.contrast: the loss of the stage before fine-tuning is nan in its step 1"):
            train(write_recipe(techniques=SMALL), tmp_path / "run")


def test_regression_is_refused_by_name(write_recipe: Write, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "numbers.csv", ["text", "label"], [(f"text {row}", row / 7) for row in range(60)])
    recipe = write_recipe(data={"source": str(rows)}, techniques={"contrast": {}})
    with refuses(RecipeError, r"techniques\.contrast: has no meaning for regression.* --set techniques\.contrast=off"):
        prepare(resolve(str(recipe)).recipe)


def test_classes_of_one_row_each_are_refused(write_recipe: Write, tmp_path: Path) -> None:
    rows = [(f"text {row}", f"class {row % 2}") for row in range(40)]
    source = write_csv(tmp_path / "two.csv", ["text", "label"], rows)
    prepared = prepare(resolve(str(write_recipe(data={"source": str(source)}, techniques=SMALL))).recipe)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contrast_module, "sampled_pairs", lambda *_: sampled_pairs(np.arange(5), 4, 0))
        with refuses(DataError, r"techniques\.contrast: there are no pairs to learn from: no two training rows"):
            run_stages(prepared, torch.nn.Linear(1, 1), 0, CPU)


@pytest.mark.parametrize(
    ("techniques", "error", "why"),
    [
        ({"contrast": {}, "reinit": {}}, RecipeError, "cannot be used with .*random values"),
        ({"contrast": {}, "freeze": {"layers": 1.0}}, ModelError, "techniques.contrast: would have no effect"),
    ],
)
def test_what_leaves_nothing_to_train_is_refused_by_name(
    techniques: dict[str, Any], error: Any, why: str, write_recipe: Write
) -> None:
    with refuses(error, why):
        prepare(resolve(str(write_recipe(techniques=techniques))).recipe)


def test_cost_and_warning_go_by_the_rows() -> None:
    def budget(rows: int | None) -> Budget:
        return Budget("single_label", 10, 5e-5, None, 0.1, rows=rows)

    costs = {rows: Contrast().training_cost(budget(rows)) for rows in (16, 50, 1000, None)}
    assert costs == {16: 9.0, 50: 9.0, 1000: 1.4, None: Contrast.cost}
    assert Contrast().warnings(budget(2000)) == []
    [warning] = Contrast().warnings(budget(2001))
    assert warning.changes[0].settings == {".most": 4002}
    assert Contrast(per_row=20).warnings(budget(100)) == []
    [bound] = Contrast(per_row=20).warnings(budget(1000))
    assert (bound.key, bound.found, bound.changes[0].settings) == (".per_row", 20, {".most": 20_000})
    assert "20 pairs per training row are 20,000 of 1,000 rows, and most keeps 2,000 of them, 2 per row" in bound.why
    assert Contrast(per_row=20, most=20_000).warnings(budget(1000)) == []
    assert Contrast(most=3).effect(budget(50)) == "2 pairs in 1 steps before fine-tuning"
