"""Mixup: who is mixed with whom, what enters the layer, and that every loss of a pass is mixed alike."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from scipy.integrate import quad
from scipy.stats import beta
from torch import Tensor

from finetune.errors import ModelError
from finetune.models.layers import encoder_layers
from finetune.recipe import resolve
from finetune.techniques import Budget
from finetune.techniques.mixup import Mix, Mixup, draw_mix, expected_weight, mix_rows
from finetune.techniques.r_drop import class_divergence
from finetune.training.prepare import prepare
from tests.conftest import ARCHITECTURES, labelled_texts, save_tiny_model, write_csv
from tests.raising import refuses
from tests.running import assert_same_weights, train
from tests.techniques.passes import FREE, PassSpy, plain
from tests.techniques.watching import watch

Write = Callable[..., Path]


def test_rows_are_mixed_by_hand() -> None:
    values = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]]])
    mix = Mix(torch.tensor([0.5, 1.0, 0.75]), torch.tensor([2, 0, 1]))
    assert mix_rows(values, mix).tolist() == [[[3.0, 4.0]], [[3.0, 4.0]], [[4.5, 5.5]]]
    assert mix_rows(torch.tensor([1.0, 3.0, 5.0]), mix).tolist() == [3.0, 3.0, 4.5]
    assert mix_rows(values.bfloat16(), mix).dtype == torch.bfloat16


@pytest.mark.parametrize("rows", [2, 3, 8])
def test_every_row_is_the_partner_of_another_one(rows: int) -> None:
    torch.manual_seed(0)
    seen = set()
    for _ in range(50):
        mix = draw_mix(rows, 0.4)
        assert sorted(mix.partner.tolist()) == list(range(rows))
        assert all(partner != row for row, partner in enumerate(mix.partner.tolist()))
        assert bool(((mix.weight >= 0.5) & (mix.weight <= 1)).all())
        seen.add(tuple(mix.partner.tolist()))
    assert len(seen) > 1 or rows == 2


@pytest.mark.parametrize("alpha", [0.05, 0.4, 1.0, 16.0])
def test_shares_follow_the_larger_part_of_a_beta(alpha: float) -> None:
    torch.manual_seed(0)
    shares = draw_mix(20_000, alpha).weight.double().numpy()
    for share in (0.55, 0.75, 0.95):  # P(max(l, 1 − l) ≤ s) = F(s) − F(1 − s)
        expected = beta.cdf(share, alpha, alpha) - beta.cdf(1 - share, alpha, alpha)
        assert (shares <= share).mean() == pytest.approx(expected, abs=0.015)
    assert shares.mean() == pytest.approx(expected_weight(alpha), abs=0.005)


@pytest.mark.parametrize("alpha", [0.4, 1.0, 16.0])
def test_the_mean_share_is_the_integral(alpha: float) -> None:
    upper, _ = quad(lambda share: share * 2 * beta.pdf(share, alpha, alpha), 0.5, 1.0)
    assert expected_weight(alpha) == pytest.approx(upper, rel=1e-6)


def test_the_same_random_state_draws_the_same_mix() -> None:
    torch.manual_seed(3)
    first = draw_mix(8, 0.4)
    torch.manual_seed(3)
    second = draw_mix(8, 0.4)
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.partner, second.partner)


def test_a_single_row_is_its_own_partner() -> None:
    assert draw_mix(1, 0.4).partner.tolist() == [0]


def test_its_effect_is_said_in_numbers() -> None:
    assert Mixup(alpha=1.0).effect(Budget(None, 3, 5e-5, None, 0.1)) == "a row keeps 75 % of itself on average"


# --- in a run ---------------------------------------------------------------------------------------------


class _Layer:
    """Keeps what reaches a layer: hooked before the technique is, and after it."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.entered: list[Tensor] = []

    def __call__(self, model: Any) -> None:
        list(encoder_layers(model).values())[self.index].register_forward_pre_hook(self._keep, with_kwargs=True)

    def _keep(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if module.training:
            self.entered.append((args[0] if args else kwargs["hidden_states"]).detach())


def mix_of(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Shares and partners, found by trying every pair: h̃_i − h_i = (1 − λ)(h_j − h_i)."""
    shares, partners = [], []
    for row in range(len(before)):
        moved, ways = after[row] - before[row], before - before[row]
        lengths = (ways * moved).sum(dim=(1, 2)) / (ways**2).sum(dim=(1, 2)).clamp(min=1e-12)
        left = [(moved - length * way).norm().item() for length, way in zip(lengths, ways, strict=True)]
        left[row] = np.inf
        partners.append(int(np.argmin(left)))
        assert min(left) < 1e-4, "no other row explains what the technique did"
        shares.append(1 - lengths[partners[-1]])
    return torch.stack(shares), torch.tensor(partners)


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "albert"])
def test_a_run_mixes_states_and_losses_alike(write_recipe: Write, tmp_path: Path, architecture: str) -> None:
    """The mix is read off the states, and must explain the objective. depth 0.75 of two layers is the second."""
    entering, mixed = _Layer(1), _Layer(1)
    first, last = PassSpy.on(entering), PassSpy.on(mixed)
    recipe = write_recipe(
        model=save_tiny_model(tmp_path / "model", architecture),
        training={"epochs": 1},
        techniques={"mixup": {"alpha": 2.0}},
    )
    watch(recipe, tmp_path / "run", first=first, last=last)
    assert len(entering.entered) == len(last.losses) == 6
    for before, after, seen in zip(entering.entered, mixed.entered, last.losses, strict=True):
        share, partner = mix_of(before, after)
        own, others = (plain(seen.logits, labels) for labels in (seen.labels, seen.labels[partner]))
        expected = (share * own + (1 - share) * others).mean()
        assert seen.objective.item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize(("depth", "index"), [(0.0, 0), (0.49, 0), (0.5, 1), (0.99, 1)])
def test_depth_chooses_the_layer(write_recipe: Write, tmp_path: Path, depth: float, index: int) -> None:
    watched = [(_Layer(layer), _Layer(layer)) for layer in (0, 1)]
    first = PassSpy.on(*(before for before, _ in watched))
    last = PassSpy.on(*(after for _, after in watched))
    recipe = write_recipe(training={"epochs": 1}, techniques={"mixup": {"depth": depth}})
    watch(recipe, tmp_path / "run", first=first, last=last)
    for layer, (before, after) in enumerate(watched):
        assert torch.equal(before.entered[0], after.entered[0]) == (layer != index)


def test_what_is_measured_is_not_mixed(write_recipe: Write, tmp_path: Path) -> None:
    """The shipped model, which has no hook, gives the measured numbers."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    recipe = write_recipe(training={"epochs": 1}, techniques={"mixup": {}})
    run = watch(recipe, tmp_path / "run")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "model")
    texts = run.prepared.data.validation.texts
    with torch.no_grad():
        logits = model(**tokenizer(list(texts), return_tensors="pt", padding=True)).logits
    stored = np.load(tmp_path / "run" / "predictions.npz")["selected_validation_logits"]
    np.testing.assert_allclose(stored, logits, atol=1e-5)


def test_smoothed_targets_class_weights_and_samples_of_the_head_are_mixed(write_recipe: Write, tmp_path: Path) -> None:
    """balanced weights of 36 good and 12 bad: 2/3 and 2, each with its own target, whatever comes first."""
    texts = [text for text, _ in labelled_texts(80)]
    rows = [(text, "bad" if index % 4 == 0 else "good") for index, text in enumerate(texts)]
    source = write_csv(tmp_path / "uneven.csv", ["text", "label"], rows)
    heads: list[Tensor] = []

    def keep_heads(model: Any) -> None:
        model.classifier.register_forward_hook(
            lambda module, _args, output: heads.append(output.detach()) if module.training else None
        )

    techniques: dict[str, Any] = {"mixup": {}, "multi_sample_dropout": {"samples": 2}, "label_smoothing": {}}
    for order in (list(techniques), list(reversed(techniques))):
        heads.clear()
        entering, mixed = _Layer(1), _Layer(1)
        last = PassSpy.on(mixed, keep_heads)
        recipe = write_recipe(
            data={"source": str(source)},
            training={"epochs": 1, "class_weights": "balanced"},
            techniques={name: techniques[name] for name in order},
        )
        watch(recipe, tmp_path / order[0], first=PassSpy.on(entering), last=last)
        for index, seen in enumerate(last.losses):
            share, partner = mix_of(entering.entered[index], mixed.entered[index])
            losses = []
            for logits in heads[2 * index : 2 * index + 2]:
                for part, labels in ((share, seen.labels), (1 - share, seen.labels[partner])):
                    weights = torch.tensor([2.0, 2 / 3])[labels]
                    smoothed = F.cross_entropy(logits, labels, reduction="none", label_smoothing=0.1)
                    losses.append(part * weights * smoothed)
            assert seen.objective.item() == pytest.approx(torch.stack(losses).sum(0).mean().item() / 2, rel=1e-4)


@pytest.mark.parametrize("other", ["r_drop", "sam", "fgm"])
def test_further_passes_over_the_same_rows_use_the_same_mix(write_recipe: Write, tmp_path: Path, other: str) -> None:
    """fgm and sam move what is mixed, or the weights: by so little here that the mix can still be read off."""
    settings = {} if other == "r_drop" else {"radius": 1e-7}
    entering, mixed = _Layer(1), _Layer(1)
    last = PassSpy.on(mixed)
    recipe = write_recipe(training={"epochs": 1}, techniques={other: settings, "mixup": {"alpha": 2.0}})
    watch(recipe, tmp_path / "run", first=PassSpy.on(entering), last=last)
    mixes = [mix_of(*pair) for pair in zip(entering.entered, mixed.entered, strict=True)]
    assert len(mixes) == 12
    for (share, partner), (again, same) in zip(mixes[::2], mixes[1::2], strict=True):
        torch.testing.assert_close(share, again, rtol=0, atol=1e-4)
        assert torch.equal(partner, same)
    assert not torch.equal(mixes[0][0], mixes[2][0])
    if other == "r_drop":
        for index, seen in enumerate(last.losses):
            share, partner = mixes[2 * index]
            one, two = (step.logits.detach() for step in last.passes[2 * index : 2 * index + 2])
            own, others = (0.5 * (plain(one, of) + plain(two, of)) for of in (seen.labels, seen.labels[partner]))
            expected = share * own + (1 - share) * others + 4.0 * class_divergence(one, two)
            assert seen.objective.item() == pytest.approx(expected.mean().item(), rel=1e-4)


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_other_tasks_follow_the_gradient_of_mixed_targets(write_recipe: Write, tmp_path: Path, task: str) -> None:
    """dL/d(bias of the head) of the mixed target: mean over rows of (prediction − target) times a constant."""
    cells = ("a|b", "b", "c") if task == "multi_label" else ("0.5", "1.25", "-2.0")
    rows = [(text, cells[index % 3]) for index, (text, _) in enumerate(labelled_texts(80))]
    source = write_csv(tmp_path / "other.csv", ["text", "label"], rows)
    entering, mixed = _Layer(1), _Layer(1)
    last = PassSpy.on(mixed)
    recipe = write_recipe(
        data={"source": str(source), "task": task}, training={"epochs": 1, **FREE}, techniques={"mixup": {}}
    )
    watch(recipe, tmp_path / "run", first=PassSpy.on(entering), last=last)
    for index, seen in enumerate(last.losses):
        share, partner = mix_of(entering.entered[index], mixed.entered[index])
        labels = seen.labels.reshape(len(partner), -1)
        target = share[:, None] * labels + (1 - share[:, None]) * labels[partner]
        if task == "multi_label":
            expected = ((seen.logits.sigmoid() - target) / labels.shape[1]).mean(dim=0)
        else:
            expected = 2 * (seen.logits - target).mean(dim=0)
        torch.testing.assert_close(last.before[index].gradients["classifier.bias"], expected, rtol=1e-3, atol=1e-5)


def test_single_rows_are_trained_on_as_they_are(write_recipe: Write, still_model: Path, tmp_path: Path) -> None:
    settings: dict[str, dict[str, Any]] = {"plain": {}, "mixup": {"mixup": {}}}
    for name, techniques in settings.items():
        recipe = write_recipe(
            model=still_model,
            data={"train_size": 8},
            training={"epochs": 1, "batch_size": 2, "accumulation": 2, "learning_rate": 0.001},
            techniques=techniques,
        )
        train(recipe, tmp_path / name)
    assert_same_weights(tmp_path / "plain", tmp_path / "mixup", tolerance=1e-4)


def test_it_runs_in_bf16(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(training={"epochs": 1, "precision": "bf16"}, techniques={"mixup": {}})
    assert train(recipe, tmp_path / "run").status == "finished"


# --- refusals ---------------------------------------------------------------------------------------------


def test_albert_is_refused_before_training(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(model=save_tiny_model(tmp_path / "model", "albert"), techniques={"mixup": {}})
    expected = re.escape("techniques.mixup: architecture 'albert' shares one set of weights")
    with refuses(ModelError, match=rf"{expected}.*--set techniques\.mixup=off"):
        prepare(resolve(str(recipe)).recipe)


@pytest.mark.parametrize("settings", [{"alpha": 0.0}, {"alpha": 101.0}, {"depth": 1.0}, {"depth": -0.1}])
def test_settings_outside_their_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        Mixup(**settings)
