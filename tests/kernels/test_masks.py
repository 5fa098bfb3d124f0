"""Dropout masks: their probability, their independence, their random stream."""

import math

import pytest
import torch

from finetune.kernels.masks import STEPS, apply_mask, draw_mask, drawn_probability

MANY = (1000, 1001)  # elements enough to see a probability; not a multiple of four


@pytest.mark.parametrize("probability", [0.002, 0.1, 0.3, 0.5, 0.9, 0.998])
def test_elements_are_dropped_with_the_probability_that_is_said(probability: float) -> None:
    torch.manual_seed(0)
    mask = draw_mask(MANY, probability)
    assert mask.shape == MANY
    assert set(mask.unique().tolist()) <= {0, -1}
    expected, count = drawn_probability(probability), math.prod(MANY)
    dropped = int((mask == 0).sum())
    assert abs(dropped - expected * count) < 5 * math.sqrt(count * expected * (1 - expected))


@pytest.mark.parametrize("probability", [0.0, 0.001, 0.1, 1 / 3, 0.5, 0.99])
def test_probabilities_are_rounded_by_half_a_step_at_most(probability: float) -> None:
    assert abs(drawn_probability(probability) - probability) <= 0.5 / STEPS


def test_the_four_elements_of_a_random_word_are_independent() -> None:
    """Also the fourth, whose highest bit is always 0 in the word."""
    torch.manual_seed(1)
    kept = (draw_mask((4_000_000,), 0.5) == -1).view(-1, 4).double()
    correlation = torch.corrcoef(kept.T)
    assert torch.allclose(kept.mean(0), torch.full((4,), 0.5).double(), atol=5 * 0.5 / 1000)
    assert (correlation - torch.eye(4)).abs().max() < 5 / 1000


def test_neighbouring_rows_and_calls_are_independent() -> None:
    torch.manual_seed(2)
    one, two = ((draw_mask((1000, 1000), 0.5) == -1).double() for _ in range(2))
    assert abs(torch.corrcoef(torch.stack([one.flatten(), two.flatten()]))[0, 1]) < 5 / 1000
    assert abs(torch.corrcoef(torch.stack([one[:-1].flatten(), one[1:].flatten()]))[0, 1]) < 5 / 1000


def test_masks_follow_torchs_seed_and_saved_state() -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, second = draw_mask((50, 7), 0.3), draw_mask((50, 7), 0.3)
    torch.set_rng_state(state)
    assert torch.equal(draw_mask((50, 7), 0.3), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_what_is_kept_is_scaled_so_that_the_mean_stays(kind: torch.dtype) -> None:
    torch.manual_seed(4)
    values = torch.randn(40, 30).to(kind)
    mask = draw_mask(values.shape, 0.25)
    expected = torch.where(mask == -1, values * (1 / 0.75), torch.zeros((), dtype=kind))
    assert torch.equal(apply_mask(values, mask, 0.25), expected)


def test_values_in_any_memory_order_are_masked_where_they_are() -> None:
    torch.manual_seed(5)
    values = torch.randn(6, 5).t()
    mask = draw_mask(values.shape, 0.5)
    assert torch.equal(apply_mask(values, mask, 0.5), torch.where(mask == -1, values * 2, 0.0))
