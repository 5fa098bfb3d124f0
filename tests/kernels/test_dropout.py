"""Dropout as modules see it: the same in both directions, nothing in evaluation."""

import pytest
import torch
from torch import nn

from finetune.kernels.dropout import FastDropout, can_mask


def test_the_gradient_goes_where_the_values_went() -> None:
    torch.manual_seed(0)
    values = torch.ones(200, 30, requires_grad=True)
    dropped = FastDropout(0.4)(values)
    dropped.backward(torch.full_like(dropped, 3.0))
    assert values.grad is not None
    assert torch.equal(values.grad, 3 * dropped.detach())
    assert 0.3 < float((dropped == 0).float().mean()) < 0.5


def test_second_derivatives_are_refused_instead_of_wrong() -> None:
    values = torch.ones(5, 5, requires_grad=True)
    (gradient,) = torch.autograd.grad(FastDropout(0.4)(values).square().sum(), values, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_evaluation_and_probability_zero_leave_the_values_and_the_random_state_alone() -> None:
    state = torch.get_rng_state()
    values = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert FastDropout(0.5).eval()(values) is values
    assert torch.equal(FastDropout(0.0)(values), values)
    assert torch.equal(torch.get_rng_state(), state)


def test_probability_one_drops_everything_as_torch_does() -> None:
    values = torch.ones(5, 5)
    assert torch.equal(FastDropout(1.0)(values), nn.Dropout(1.0)(values))
    assert not FastDropout(0.999999)(values).isnan().any()


@pytest.mark.parametrize("probability", [0.002, 0.1, 0.3, 0.9, 0.998])
def test_usual_probabilities_have_fast_masks(probability: float) -> None:
    assert can_mask(torch.ones(1), probability)


@pytest.mark.parametrize(
    ("kind", "probability"),
    [(torch.float64, 0.5), (torch.float32, 1e-12), (torch.float32, 5e-5), (torch.float32, 0.9999)],
    ids=["fp64", "never", "rare", "nearly all"],
)
def test_what_has_no_fast_mask_goes_through_torch(kind: torch.dtype, probability: float) -> None:
    values = torch.ones(50_000, dtype=kind)
    torch.manual_seed(0)
    expected = nn.Dropout(probability)(values)
    torch.manual_seed(0)
    assert torch.equal(FastDropout(probability)(values), expected)
