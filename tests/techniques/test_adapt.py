"""Task-adaptive pretraining: what is masked, which texts are used, and that a stage is done once and the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoTokenizer

from finetune.errors import ModelError, RunFailed
from finetune.models.load import encoder_parameters, load_config, load_model
from finetune.recipe import resolve
from finetune.techniques import Adaptation, Budget
from finetune.techniques.adapt import Adapt
from finetune.training import adaptation
from finetune.training.adaptation import MaskedTexts, adapted_encoder
from finetune.training.building import build_model
from finetune.training.phases import ADAPTATION, Stopwatch
from finetune.training.prepare import Prepared, prepare
from tests.conftest import add_masked_head, labelled_texts, save_tiny_model, write_csv
from tests.raising import refuses
from tests.running import assert_same_weights, train

Write = Callable[..., Path]
NEW = [f"lovely scene was it not {row}" for row in range(20)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def prepared(write_recipe: Write, tmp_path: Path) -> Callable[..., Prepared]:
    """Prepare the small recipe with `adapt`; with 20 unlabelled texts, unless told otherwise."""
    pool = write_csv(tmp_path / "pool.csv", ["text"], [[text] for text in NEW])

    def make(unlabelled: bool = True, **settings: Any) -> Prepared:
        data = {"unlabelled": str(pool)} if unlabelled else {}
        recipe = write_recipe(techniques={"adapt": {"steps": 3} | settings}, data=data)
        return prepare(resolve(str(recipe)).recipe)

    return make


def stages(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "adapted").glob("*") if path.is_dir())


# --- the objective ------------------------------------------------------------------------------------------


def test_of_the_chosen_tokens_most_are_masked_and_no_special_one_is_chosen(prepared: Callable[..., Prepared]) -> None:
    texts = [text for text, _ in labelled_texts(60)]
    encoder = prepared().encoder
    masked = MaskedTexts(encoder, texts, None, 30, Adaptation(100, 1e-3, 0.3), seed=0)
    torch.manual_seed(0)
    tokenizer = encoder.tokenizer
    chosen = kept = hidden = words = 0
    for step in range(100):
        batch = masked[step]
        target = batch["labels"]
        is_chosen = target >= 0
        assert not torch.isin(target[is_chosen], torch.tensor(tokenizer.all_special_ids)).any()
        assert (batch["input_ids"][~batch["attention_mask"].bool()] == tokenizer.pad_token_id).all()
        chosen += int(is_chosen.sum())
        kept += int((batch["input_ids"] == target)[is_chosen].sum())
        hidden += int((batch["input_ids"] == tokenizer.mask_token_id)[is_chosen].sum())
        plain = torch.where(is_chosen, target, batch["input_ids"])
        words += int((~torch.isin(plain, torch.tensor(tokenizer.all_special_ids))).sum())
    assert chosen / words == pytest.approx(0.3, abs=0.02)
    assert hidden / chosen == pytest.approx(0.8, abs=0.03)
    assert kept / chosen == pytest.approx(0.1, abs=0.03)


def test_the_stage_is_adamw_on_masked_texts(prepared: Callable[..., Prepared], tiny_model: Path) -> None:
    """Against a loop of its own: cross-entropy of the hidden tokens, warm-up and decay, clipping, decoupled decay."""
    ready = prepared(steps=4, learning_rate=0.01)
    found = adapted_encoder(ready, 5, Stopwatch())
    model = AutoModelForMaskedLM.from_pretrained(tiny_model).train()
    torch.manual_seed(5)
    rows = [ready.data.train.texts, ready.data.unlabelled.texts if ready.data.unlabelled else []]
    batches = MaskedTexts(ready.encoder, [*rows[0], *rows[1]], None, 8, Adaptation(4, 0.01, 0.15), 5)
    moments = {name: (torch.zeros_like(value), torch.zeros_like(value)) for name, value in model.named_parameters()}
    for step in range(4):
        batch = batches[step]
        target = batch.pop("labels")
        logits = model(**batch).logits
        loss = F.cross_entropy(logits[target >= 0], target[target >= 0])
        gradients = dict(
            zip(moments, torch.autograd.grad(loss, list(model.parameters()), allow_unused=True), strict=True)
        )
        used = {name: value for name, value in gradients.items() if value is not None}
        norm = math.sqrt(sum(float(value.square().sum()) for value in used.values()))
        rate = 0.01 * (4 - step) / 4  # 6 % of 4 steps are none
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name not in used:
                    continue
                gradient = used[name] * min(1.0, 1.0 / (norm + 1e-6))
                first, second = moments[name]
                first.mul_(0.9).add_(gradient, alpha=0.1)
                second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
                parameter.mul_(1 - rate * 0.01)
                corrected = first / (1 - 0.9 ** (step + 1))
                parameter -= rate * corrected / ((second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)
    reference = dict(model.base_model.named_parameters())
    assert found.keys() == reference.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, reference[name], rtol=0, atol=2e-4, msg=lambda text, name=name: name + text)


# --- what it learns from, and what it leaves alone ----------------------------------------------------------


def test_texts_of_train_and_without_labels_are_used_and_no_other(
    prepared: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    class Watched(MaskedTexts):
        def __init__(self, encoder: Any, texts: list[str], *others: Any) -> None:
            seen.extend(texts)
            super().__init__(encoder, texts, *others)

    monkeypatch.setattr(adaptation, "MaskedTexts", Watched)
    ready = prepared()
    adapted_encoder(ready, 0, Stopwatch())
    assert sorted(seen) == sorted([*ready.data.train.texts, *NEW])
    assert ready.data.test is not None
    assert not {*ready.data.validation.texts, *ready.data.test.texts} & set(seen)
    seen.clear()
    alone = prepared(unlabelled=False)
    adapted_encoder(alone, 0, Stopwatch())
    assert seen == alone.data.train.texts


def test_the_encoder_starts_adapted_and_the_head_as_without(
    prepared: Callable[..., Prepared], write_recipe: Write
) -> None:
    ready = prepared()
    section = ready.recipe.model
    plain = load_model(section, load_config(section, "single_label", ready.data.labels), seed=0)
    torch.manual_seed(9)
    before = torch.get_rng_state()
    adapted = adapted_encoder(ready, 0, Stopwatch())
    assert torch.equal(torch.get_rng_state(), before), "the streams of the run go on as they were"
    loaded = build_model(ready, 0)
    ours, theirs = dict(loaded.model.named_parameters()), dict(plain.named_parameters())
    for name in ours.keys() - encoder_parameters(loaded.model).keys():
        assert torch.equal(ours[name], theirs[name]), name
    for name, value in adapted.items():
        assert torch.equal(ours[f"bert.{name}"], value)
        assert torch.equal(loaded.pretrained[f"bert.{name}"], value), "where penalties pull back to"
    assert any(not torch.equal(ours[f"bert.{name}"], theirs[f"bert.{name}"]) for name in adapted)


# --- once, and the same -------------------------------------------------------------------------------------


def test_a_stage_is_kept_by_everything_that_decides_it(prepared: Callable[..., Prepared], cache: Path) -> None:
    first = adapted_encoder(prepared(), 0, Stopwatch())
    assert len(stages(cache)) == 1
    again = adapted_encoder(prepared(), 0, Stopwatch())
    assert len(stages(cache)) == 1
    assert all(torch.equal(first[name], again[name]) for name in first)
    others = [(prepared(), 1), (prepared(steps=4), 0), (prepared(probability=0.3), 0), (prepared(unlabelled=False), 0)]
    for ready, seed in others:
        found = adapted_encoder(ready, seed, Stopwatch())
        assert any(not torch.equal(first[name], found[name]) for name in first)
    assert len(stages(cache)) == 1 + len(others)


def test_a_killed_stage_leaves_nothing_and_is_repeated_exactly(
    prepared: Callable[..., Prepared], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = prepared()
    whole = adapted_encoder(ready, 0, Stopwatch())
    monkeypatch.setenv("FINETUNE_CACHE", str(cache.with_name("other")))
    with monkeypatch.context() as patch:
        real = MaskedTexts.__getitem__

        def stop(self: MaskedTexts, step: int) -> Any:
            if step == 2:
                raise KeyboardInterrupt
            return real(self, step)

        patch.setattr(MaskedTexts, "__getitem__", stop)
        with pytest.raises(KeyboardInterrupt):
            adapted_encoder(ready, 0, Stopwatch())
    assert stages(cache.with_name("other")) == []
    again = adapted_encoder(ready, 0, Stopwatch())
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    [folder] = stages(cache.with_name("other"))
    assert load_file(folder / adaptation.WEIGHTS).keys() == whole.keys()


def test_a_run_says_what_it_cost_and_is_the_same_from_the_cache(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(techniques={"adapt": {"steps": 9}})
    record = train(recipe, tmp_path / "one")
    assert record.techniques["adapt"].effect == "9 steps of masked-language modelling first"
    assert record.budget.cost == pytest.approx(1 + 1.3 * 9 / 18)
    assert record.time.phases[ADAPTATION] > 0
    train(recipe, tmp_path / "two")
    assert_same_weights(tmp_path / "one", tmp_path / "two")
    assert not any("data.unlabelled" in warning for warning in record.warnings)
    assert Adapt().training_cost(Budget("single_label", 3, 1e-4, None, 0.1)) == Adapt.cost


# --- what is refused ----------------------------------------------------------------------------------------


def test_a_checkpoint_without_its_head_is_refused_before_training(write_recipe: Write, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "headless")
    with refuses(ModelError, r"^techniques\.adapt: .*no trained weights for cls\..*--set techniques\.adapt=off"):
        prepare(resolve(str(write_recipe(model=folder, techniques={"adapt": {}}))).recipe)


def test_a_tokenizer_without_a_mask_is_refused(write_recipe: Write, tmp_path: Path) -> None:
    folder = add_masked_head(save_tiny_model(tmp_path / "maskless"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.mask_token = None
    tokenizer.save_pretrained(folder)
    with refuses(ModelError, r"^techniques\.adapt: the tokenizer .* no mask token\. Try: --set techniques\.adapt=off"):
        prepare(resolve(str(write_recipe(model=folder, techniques={"adapt": {}}))).recipe)


def test_an_objective_that_is_not_finite_names_the_rate(prepared: Callable[..., Prepared]) -> None:
    with refuses(RunFailed, r"techniques\.adapt\.learning_rate: the objective became (nan|inf) in step"):
        adaptation._refuse_infinite(torch.tensor(math.nan), 3, adaptation.Asked("adapt", Adaptation(9, 0.5, 0.15)))
