"""Head start: the head begins where scikit-learn's answer is, softened; nothing else of the run changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import PrivateAttr, ValidationError
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression, Ridge
from transformers import AutoConfig

from finetune.errors import ModelError, RecipeError
from finetune.kernels.head import output_map
from finetune.models import head as model_head
from finetune.models.load import build_without_weights
from finetune.models.pooling_layer import HEADS
from finetune.recipe import resolve
from finetune.techniques import Budget, TrainingRows, TrainStep
from finetune.techniques.head_start import (
    STRENGTHS,
    HeadStart,
    closed_form_head,
    dealt_folds,
    fit_head,
    fitting_temperature,
    held_out_logits,
    mean_loss,
    softened,
    spread_rows,
)
from finetune.training.head import described_head, refuse_unknown_head
from tests.conftest import WORDS, write_csv
from tests.interrupting import interrupted_and_resumed
from tests.raising import typed
from tests.running import clean_items
from tests.techniques.models import loaded, tiny_folder, without_weights
from tests.techniques.watching import Spy, watch

Write = Callable[..., Path]
Array = NDArray[Any]


class StartSpy(Spy):
    """Keeps the head before the first step, and the rows and random numbers of every pass."""

    _start: dict[str, torch.Tensor] = PrivateAttr(default_factory=dict)
    _streams: list[torch.Tensor] = PrivateAttr(default_factory=list)

    @property
    def start(self) -> dict[str, torch.Tensor]:
        return self._start

    @property
    def streams(self) -> list[torch.Tensor]:
        return self._streams

    def train_loss(self, loss: torch.Tensor, step: TrainStep) -> torch.Tensor:
        if not self._start:
            self._start |= {name: value.detach().clone() for name, value in step.model.named_parameters()}
        self._streams.append(torch.get_rng_state())
        return super().train_loss(loss, step)


def drawn(rows: int, classes: int, apart: float, width: int = 8, seed: int = 0) -> tuple[Array, Array]:
    """Features around a centre for each class, and the classes."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, rows)
    targets[:classes] = np.arange(classes)
    centres = rng.normal(size=(classes, width)) * apart
    return (centres[targets] + rng.normal(size=(rows, width))).astype(np.float32), targets


def head_logits(head: Any, features: Array) -> Array:
    found: Array = features @ head.weight.T + head.bias
    return found


# --- the fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 4])
def test_the_fit_is_scikit_learns_on_features_as_they_are(classes: int) -> None:
    """C / s² on unscaled, uncentred features is the same problem."""
    features, targets = drawn(60, classes, 0.7)
    features = features * 0.3 + 2
    weights = np.where(targets == 0, 2.0, 0.5)
    head = fit_head("single_label", features, targets, classes, 0.1, weights)
    reference = LogisticRegression(C=0.1 / features.var(axis=0).mean(), tol=1e-8, max_iter=10_000)
    reference.fit(features.astype(np.float64), targets, sample_weight=weights)
    logs = log_softmax(head_logits(head, features), axis=1)
    np.testing.assert_allclose(logs, reference.predict_log_proba(features.astype(np.float64)), atol=2e-3)


def test_features_that_hardly_vary_get_no_huge_weights() -> None:
    """As from an untrained pooler; where they vary enough the scale changes nothing."""
    features, targets = drawn(60, 2, 1.0)
    small, large = (closed_form_head("single_label", features * size, targets, 2) for size in (1e-3, 10.0))
    assert np.abs(small.weight).max() < 20, "and not hundreds"
    plain = head_logits(closed_form_head("single_label", features, targets, 2), features)
    np.testing.assert_allclose(head_logits(large, features * 10), plain, atol=1e-3)


def test_numbers_are_ridge_regression() -> None:
    features, _ = drawn(40, 2, 0.5)
    targets = features[:, 0] * 3 + 7
    head = fit_head("regression", features, targets, 1, 0.1)
    reference = Ridge(alpha=features.var(axis=0).mean() * 5).fit(features.astype(np.float64), targets)
    np.testing.assert_allclose(head_logits(head, features)[:, 0], reference.predict(features), atol=1e-4)


def test_several_labels_are_one_fit_each_and_a_constant_one_is_its_frequency() -> None:
    features, classes = drawn(40, 3, 0.7)
    targets = np.eye(4)[classes]
    targets[:, 3] = 0
    head = fit_head("multi_label", features, targets, 4, 0.1)
    for label in range(3):
        two = fit_head("single_label", features, targets[:, label].astype(int), 2, 0.1)
        one = head_logits(two, features) @ [-1, 1]
        np.testing.assert_allclose(head_logits(head, features)[:, label], one, atol=1e-6)
    assert not head.weight[3].any()
    assert head.bias[3] == pytest.approx(np.log(0.5 / 40.5))


def test_a_class_without_rows_is_the_least_likely() -> None:
    features, targets = drawn(30, 3, 0.7)
    head = fit_head("single_label", features, np.where(targets == 1, 0, targets), 3, 0.1)
    assert set(head_logits(head, features).argmax(axis=1)) == {0, 2}
    assert not head.weight[1].any()
    assert head.bias[1] == pytest.approx(head.bias.min())


# --- folds and rows -----------------------------------------------------------------------------------------


def test_folds_hold_out_rows_of_every_class_and_never_all_of_one() -> None:
    targets = np.array([0] * 9 + [1] * 2 + [2])
    folds = dealt_folds(targets, 5)
    assert folds[-1] == -1
    assert set(folds[:-1]) == set(range(5))
    for fold in range(5):
        assert set(targets[folds != fold]) == {0, 1, 2}
    assert len(set(folds[:9][:5])) == 5


@pytest.mark.parametrize("targets", [[0, 1], [0, 1, 2], [0, 0, 1], [0, 0, 1, 1, 2], [0, 0, 0]])
def test_a_few_rows_are_enough_for_a_head_that_is_finite(targets: list[int]) -> None:
    features, _ = drawn(len(targets), 1, 0.0)
    head = closed_form_head("single_label", features, np.array(targets), 3)
    assert np.isfinite(head.weight).all()
    assert np.isfinite(head.bias).all()
    assert softmax(head_logits(head, features), axis=1).max() < 1


@pytest.mark.parametrize("rows", [1, 2])
def test_a_few_numbers_are_enough_too(rows: int) -> None:
    features, _ = drawn(rows, 1, 0.0)
    head = closed_form_head("regression", features, np.arange(rows) + 5.0, 1)
    assert head_logits(head, features).mean() == pytest.approx(4.5 + rows / 2)


def test_rows_are_spread_over_classes_and_leave_none_out() -> None:
    targets = np.array([0] * 90 + [1] * 9 + [2])
    chosen = spread_rows(targets, 10)
    assert np.bincount(targets[chosen]).tolist() == [9, 1, 1]
    assert spread_rows(targets, 100).tolist() == list(range(100))
    assert np.ptp(np.linspace(9, 0, 50)[spread_rows(np.linspace(9, 0, 50), 5)]) > 6


# --- temperature --------------------------------------------------------------------------------------------


def test_the_temperature_has_the_least_out_of_fold_loss_of_a_grid() -> None:
    features, targets = drawn(60, 3, 0.4)
    folds = dealt_folds(targets, 5)
    logits, out = held_out_logits(
        targets, folds, lambda rows: fit_head("single_label", features[rows], targets[rows], 3, 1.0), features
    )
    assert sorted(out) == list(range(60))
    found = fitting_temperature("single_label", logits, targets[out])
    sure = 61 / 62
    smoothed = np.full((60, 3), (1 - sure) / 2)
    smoothed[np.arange(60), targets[out]] = sure
    grid = np.geomspace(1, 100, 4000)
    losses = [-(smoothed * log_softmax(logits / each, axis=1)).sum(axis=1).mean() for each in grid]
    assert 1.05 < found < 50, "the test needs a fit that is too sure"
    assert found == pytest.approx(grid[int(np.argmin(losses))], rel=5e-3)


def test_numbers_are_drawn_to_their_mean_by_least_squares() -> None:
    rng = np.random.default_rng(0)
    guesses = rng.normal(size=(50, 1)) * 4
    targets = guesses[:, 0] / 3 + rng.normal(size=50) * 0.1
    best = (guesses[:, 0] @ guesses[:, 0]) / (guesses[:, 0] @ targets)
    assert fitting_temperature("regression", guesses, targets) == pytest.approx(best, rel=1e-3)


def test_the_strength_is_the_one_with_the_least_out_of_fold_loss() -> None:
    features, targets = drawn(60, 3, 0.4)
    folds = dealt_folds(targets, 5)
    losses = []
    for strength in STRENGTHS:
        logits = np.zeros((60, 3))
        for fold in range(5):
            train_rows = folds != fold
            head = fit_head("single_label", features[train_rows], targets[train_rows], 3, strength)
            logits[~train_rows] = head_logits(head, features[~train_rows])
        temperature = fitting_temperature("single_label", logits, targets)
        losses.append((mean_loss("single_label", logits / temperature, targets, None), strength, temperature))
    _, strength, temperature = min(losses)
    expected = softened(fit_head("single_label", features, targets, 3, strength), 1 / temperature)
    found = closed_form_head("single_label", features, targets, 3)
    np.testing.assert_allclose(found.weight, expected.weight, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found.bias, expected.bias, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("apart", [5.0, 100.0])
def test_classes_that_lie_far_apart_leave_a_gradient(apart: float) -> None:
    features, targets = drawn(60, 2, apart)
    probabilities = softmax(head_logits(closed_form_head("single_label", features, targets, 2), features), axis=1)
    assert (probabilities.argmax(axis=1) == targets).all()
    assert probabilities.max() < 0.999
    assert 1 - probabilities[np.arange(60), targets].mean() > 0.005


# --- in a run -----------------------------------------------------------------------------------------------


def features_of(folder: Path, prepared: Any) -> Array:
    """What the classifier of a tiny BERT that pools reads of the clean training texts, one text at a time."""
    model = loaded(folder).eval()
    found = []
    with torch.no_grad():
        for item in clean_items(prepared.encoder, prepared.data.train):
            batch = {name: torch.tensor([value]) for name, value in item.items() if name != "labels"}
            found.append(model.bert(**batch).pooler_output[0].numpy())
    return np.stack(found)


@pytest.fixture
def ragged(write_recipe: Write, pooled_model: Path) -> Callable[..., Path]:
    """A recipe of a short run whose head reads the mean of the tokens."""

    def write(techniques: dict[str, Any], **training: Any) -> Path:
        return write_recipe(model=pooled_model, techniques=techniques, training={"epochs": 1, **training})

    return write


def test_the_first_step_starts_at_the_fit_of_the_clean_training_texts(
    ragged: Callable[..., Path], pooled_model: Path, tmp_path: Path
) -> None:
    spy = StartSpy()
    recipe = ragged({"head_start": {"scale": 0.5}, "eda": {}, "dropout": {"classifier": 0.4}})
    run = watch(recipe, tmp_path / "run", first=spy)
    features = features_of(pooled_model, run.prepared)
    targets = np.array([run.prepared.encoder.target(label) for label in run.prepared.data.train.labels])
    expected = softened(closed_form_head("single_label", features, targets, 2), 0.5)
    weight, bias = (spy.start[f"classifier.{name}"].numpy() for name in ("weight", "bias"))
    np.testing.assert_allclose(weight, expected.weight, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(bias, expected.bias, rtol=1e-3, atol=1e-4)
    started = (features @ weight.T + bias).argmax(axis=1)
    assert (started == head_logits(expected, features).argmax(axis=1)).all()
    assert (started == targets).mean() > 0.6
    assert run.record.time.phases["head"] > 0


def test_batches_and_dropout_are_those_of_a_run_without_it(ragged: Callable[..., Path], tmp_path: Path) -> None:
    one, two = StartSpy(), StartSpy()
    watch(ragged({"head_start": {}}), tmp_path / "with", last=one)
    watch(ragged({}), tmp_path / "without", last=two)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(one.streams, two.streams, strict=True))
    labels = [[each.labels.tolist() for each in spy.losses] for spy in (one, two)]
    assert labels[0] == labels[1]
    encoder = [name for name in one.start if name.startswith("bert.")]
    assert encoder
    assert all(torch.equal(one.start[name], two.start[name]) for name in encoder)
    assert not torch.equal(one.start["classifier.weight"], two.start["classifier.weight"])


def test_a_resumed_run_does_not_start_the_head_again(
    ragged: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    own = HeadStart.start_head
    monkeypatch.setattr(HeadStart, "start_head", lambda self, rows: calls.append(1) or own(self, rows))
    recipe = ragged({"head_start": {}}, epochs=2)
    assert interrupted_and_resumed(recipe, tmp_path / "cut", 8).status == "finished"  # exactly: the contract tests
    assert len(calls) == 1


@pytest.mark.parametrize("task", ["regression", "multi_label"])
def test_other_tasks_start_there_too(task: str, write_recipe: Write, pooled_model: Path, tmp_path: Path) -> None:
    rows = [(f"{WORDS[n % 10]} film {n}", str(n % 10 + 40.0) if task == "regression" else names(n)) for n in range(60)]
    source = write_csv(tmp_path / "other.csv", ["text", "label"], rows)
    spy = StartSpy()
    separator = {} if task == "regression" else {"label_separator": ";"}
    recipe = write_recipe(
        model=pooled_model,
        data={"source": str(source), "task": task, "validation_size": 10, "test_size": 10, **separator},
        training={"epochs": 1},
        techniques={"head_start": {}},
    )
    run = watch(recipe, tmp_path / "run", first=spy)
    targets = np.array([run.prepared.encoder.target(label) for label in run.prepared.data.train.labels], dtype=float)
    if run.prepared.scale is not None:
        targets = run.prepared.scale.scaled(targets)
    features = features_of(pooled_model, run.prepared)
    outputs = 1 if task == "regression" else targets.shape[1]
    expected = closed_form_head(run.prepared.data.task, features, targets, outputs)
    weight, bias = (spy.start[f"classifier.{name}"].numpy() for name in ("weight", "bias"))
    logits = features @ weight.T + bias
    np.testing.assert_allclose(logits, head_logits(expected, features), rtol=1e-3, atol=1e-2)


def names(number: int) -> str:
    return ";".join(name for name, period in {"a": 2, "b": 3, "c": 5}.items() if number % period == 0) or "a"


def test_class_weights_weight_the_fit() -> None:
    features, targets = drawn(40, 2, 0.5)
    seen = TrainingRows("single_label", targets, 2, np.array([0.5, 2.0]), lambda rows: features[rows])
    expected = closed_form_head("single_label", features, targets, 2, weights=np.array([0.5, 2.0])[targets])
    found = HeadStart().start_head(seen)
    np.testing.assert_array_equal(found.weight, expected.weight)
    plain = closed_form_head("single_label", features, targets, 2)
    assert head_logits(found, features)[:, 1].mean() > head_logits(plain, features)[:, 1].mean()


def test_weights_of_labels_weight_the_fit_of_each() -> None:
    features, classes = drawn(60, 2, 0.5)
    targets = np.column_stack([classes, 1 - classes]).astype(np.float64)
    weights = np.array([[0.5, 1.0], [2.0, 1.0]])
    seen = TrainingRows("multi_label", targets, 2, weights, lambda rows: features[rows])
    found = HeadStart().start_head(seen)
    own = np.where(targets > 0, weights[1], weights[0])
    fitted = fit_head("multi_label", features, targets, 2, 1.0, own)
    alone = fit_head("multi_label", features, targets[:, :1], 1, 1.0, own[:, :1])
    np.testing.assert_allclose(fitted.weight[0], alone.weight[0])
    plain = HeadStart().start_head(TrainingRows("multi_label", targets, 2, None, lambda rows: features[rows]))
    shift = (head_logits(found, features) - head_logits(plain, features)).mean(axis=0)
    assert shift[0] > 0.1, "rows with the label count more"


def test_no_more_rows_than_asked_for_pass_through_the_encoder() -> None:
    features, targets = drawn(100, 2, 0.5)
    passed: list[int] = []

    def read(rows: Any) -> Array:
        passed.extend(rows)
        found: Array = features[rows]
        return found

    HeadStart(rows=20).start_head(TrainingRows("single_label", targets, 2, None, read))
    assert len(passed) == 20


# --- where it can act ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", list(HEADS))
def test_the_map_that_is_started_is_the_one_that_pooling_knows(architecture: str) -> None:
    model = without_weights(tiny_folder(architecture))
    assert output_map(model) is model.get_submodule(HEADS[architecture].output)
    refuse_unknown_head({"head_start": HeadStart()}, model)


def test_a_head_without_a_bias_is_refused_by_name() -> None:
    config = AutoConfig.for_model("gpt2", n_layer=1, n_head=2, n_embd=8, vocab_size=20)
    model = build_without_weights(config)
    refuse_unknown_head({}, model)
    with pytest.raises(ModelError, match=r"techniques\.head_start: the head of architecture 'gpt2'"):
        refuse_unknown_head({"head_start": HeadStart()}, model)


def test_head_first_does_the_same_in_another_way(write_recipe: Write) -> None:
    with pytest.raises(RecipeError, match="cannot be used with head_first: both fit the head to the frozen encoder"):
        resolve(str(write_recipe(techniques={"head_first": {}, "head_start": {}})))


def test_what_is_told_of_a_kept_head_says_that_it_is_replaced() -> None:
    kept, new = model_head.HeadStart((1, 0), "as set"), model_head.HeadStart(None, "as set")
    assert described_head({}, kept) == kept
    assert described_head({"head_start": HeadStart()}, new) == new
    told = described_head({"head_start": HeadStart()}, kept)
    assert told.notes == ["model.head: reordered: as set; techniques.head_start then replaces the outputs"]
    assert told.rows == kept.rows


def test_a_head_that_is_to_be_kept_cannot_be_replaced(write_recipe: Write) -> None:
    recipe, overrides = write_recipe(techniques={"head_start": {}}), ["model.head=kept"]
    with pytest.raises(RecipeError, match=r"model\.head: does nothing beside techniques\.head_start") as refused:
        resolve(str(recipe), overrides=overrides)
    assert "Try: --set model.head=auto, or --set techniques.head_start=off" in typed(refused.value)
    resolve(str(recipe), overrides=[*overrides, "techniques.head_start=off"])
    resolve(str(recipe), overrides=["model.head=auto"])


@pytest.mark.parametrize("settings", [{"scale": 0.0}, {"scale": 1.1}, {"rows": 9}, {"folds": 1}, {"folds": 21}])
def test_settings_outside_their_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        HeadStart(**settings)


def test_the_cost_is_a_third_of_an_epoch_and_a_tiny_scale_is_named() -> None:
    budget = Budget(None, 10, 1e-4, None, 0.1)
    assert round(HeadStart().training_cost(budget), 2) == HeadStart.cost
    assert not HeadStart().warnings(budget)
    assert HeadStart(scale=0.001).warnings(budget)[0].key == ".scale"
