"""The mean of what several models predict."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, softmax

from finetune.measurement.ensemble import ensemble_logits, mean_predictions


def test_classes_have_the_mean_of_the_members_probabilities() -> None:
    one, two = np.array([[0.0, np.log(3)]]), np.array([[np.log(4), 0.0]])  # (¼, ¾) and (⅘, ⅕)
    assert_allclose(mean_predictions("single_label", [one, two]), [[0.525, 0.475]])


def test_each_of_several_labels_has_the_mean_of_its_own_probability() -> None:
    one, two = np.array([[0.0, np.log(3)]]), np.array([[np.log(4), -np.log(9)]])
    assert_allclose(mean_predictions("multi_label", [one, two]), [[(0.5 + 0.8) / 2, (0.75 + 0.1) / 2]])


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_numbers_are_averaged(shape: tuple[int, ...]) -> None:
    members = [np.array([1.0, 2.0]).reshape(shape), np.array([2.0, 6.0]).reshape(shape)]
    assert_allclose(mean_predictions("regression", members), [1.5, 4.0])
    assert_allclose(ensemble_logits("regression", members), [1.5, 4.0])


@pytest.mark.parametrize(
    ("task", "function"), [("single_label", lambda z: softmax(z, axis=-1)), ("multi_label", expit)]
)
def test_the_logits_of_an_ensemble_have_its_probabilities(task: str, function: object) -> None:
    members = list(np.random.default_rng(0).normal(scale=3, size=(4, 7, 3)))
    means = np.mean([function(each) for each in members], axis=0)  # type: ignore[operator]
    assert_allclose(mean_predictions(task, members), means)
    assert_allclose(function(ensemble_logits(task, members)), means)  # type: ignore[operator]


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_what_all_members_are_certain_of_has_finite_logits(task: str) -> None:
    certain = np.array([[1000.0, -1000.0]])
    assert np.isfinite(ensemble_logits(task, [certain, certain])).all()
