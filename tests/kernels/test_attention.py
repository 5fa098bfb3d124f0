"""Attention against its formula: values, gradients, masks, and what is left to transformers."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from finetune.kernels import attention as kernel
from finetune.kernels.attention import LONGEST, attention
from finetune.kernels.masks import apply_mask, draw_mask

BATCH, HEADS, TOKENS, WIDTH = 3, 2, 7, 4


class Encoder(nn.Module):
    is_causal = False


Parts = tuple[Tensor, Tensor, Tensor]  # query, key, value


def parts(queries: int = TOKENS, tokens: int = TOKENS, kind: torch.dtype = torch.float32) -> Parts:
    stream = torch.Generator().manual_seed(0)

    def part(count: int) -> Tensor:
        return torch.randn((BATCH, HEADS, count, WIDTH), generator=stream).to(kind).requires_grad_()

    return part(queries), part(tokens), part(tokens)


def visible(queries: int = TOKENS, tokens: int = TOKENS) -> Tensor:
    """The last tokens of the second and third text are padding."""
    mask = torch.ones(BATCH, 1, queries, tokens, dtype=torch.bool)
    mask[1, ..., -2:] = False
    mask[2, ..., -5:] = False
    return mask


def by_formula(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, used: Any) -> Tensor:
    scores = query @ key.transpose(-1, -2) * scale
    scores = scores if mask is None else scores.masked_fill(~mask, float("-inf"))
    return (used(scores.softmax(-1)) @ value).transpose(1, 2)


@pytest.mark.parametrize("queries", [TOKENS, 1])
@pytest.mark.parametrize("masked", [True, False])
def test_values_and_gradients_are_those_of_the_formula(queries: int, masked: bool) -> None:
    mask = visible(queries) if masked else None
    ours, theirs = parts(queries), parts(queries)
    found, weights = attention(Encoder(), *ours, mask, dropout=0.0, scaling=0.3)
    expected = by_formula(*theirs, mask, 0.3, lambda share: share)
    assert weights is None
    torch.testing.assert_close(found, expected)
    outside = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    found.backward(outside)
    expected.backward(outside)
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, two.grad)


def test_with_dropout_the_weights_are_masked_and_so_is_their_gradient() -> None:
    ours, theirs = parts(), parts()
    torch.manual_seed(5)
    found, _ = attention(Encoder(), *ours, visible(), dropout=0.4)
    torch.manual_seed(5)
    kept = draw_mask((BATCH * HEADS, TOKENS, TOKENS), 0.4).view(BATCH, HEADS, TOKENS, TOKENS)
    factors = apply_mask(torch.ones(kept.shape), kept, 0.4)
    assert (factors == 0).any()
    expected = by_formula(*theirs, visible(), WIDTH**-0.5, lambda share: share * factors)
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-5, atol=1e-5)


def test_in_bf16_values_and_gradients_are_exact_up_to_rounding() -> None:
    """bf16 in and out, the softmax between in fp32: no further from the exact result than rounding of the inputs."""
    ours, exact = parts(kind=torch.bfloat16), parts(kind=torch.bfloat16)
    found, _ = attention(Encoder(), *ours, visible())
    expected = by_formula(
        exact[0].double(), exact[1].double(), exact[2].double(), visible(), WIDTH**-0.5, lambda share: share
    )
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), expected, rtol=0.02, atol=0.02)
    found.float().sum().backward()
    expected.sum().backward()
    for one, two in zip(ours, exact, strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=0.05, atol=0.05)


def test_the_same_masks_are_drawn_with_and_without_gradients() -> None:
    torch.manual_seed(5)
    with_gradients = attention(Encoder(), *parts(), visible(), dropout=0.4)[0]
    torch.manual_seed(5)
    with torch.no_grad():
        assert torch.equal(attention(Encoder(), *parts(), visible(), dropout=0.4)[0], with_gradients)


def test_under_autocast_fp32_inputs_are_cast_as_torchs_own_attention_does() -> None:
    ours, theirs = parts(), parts()
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = attention(Encoder(), *ours, visible())
        expected, _ = sdpa_attention_forward(Encoder(), *theirs, visible())
    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)
    found.float().square().sum().backward()
    expected.float().square().sum().backward()
    for one, two in zip(ours, theirs, strict=True):
        assert one.grad is not None
        assert one.grad.dtype == torch.float32
        torch.testing.assert_close(one.grad, two.grad, rtol=0.05, atol=0.05)


def test_second_derivatives_are_refused_instead_of_wrong() -> None:
    query, key, value = parts()
    found = attention(Encoder(), query, key, value, None)[0].square().sum()
    (gradient,) = torch.autograd.grad(found, query, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_padding_gets_no_weight_and_no_gradient() -> None:
    query, key, value = parts()
    attention(Encoder(), query, key, value, visible())[0].sum().backward()
    assert key.grad is not None
    assert value.grad is not None
    assert (key.grad[2, :, -5:] == 0).all()
    assert (value.grad[2, :, -5:] == 0).all()
    assert (value.grad[2, :, :2] != 0).all()


class Causal(nn.Module):
    is_causal = True


@pytest.mark.parametrize(
    ("module", "tokens", "grad", "mask", "dropout"),
    [
        (Encoder().eval(), TOKENS, False, visible(), 0.0),
        (Encoder(), LONGEST + 1, True, None, 0.0),
        (Causal(), TOKENS, True, None, 0.0),
        (Encoder(), TOKENS, True, torch.zeros(BATCH, 1, TOKENS, TOKENS), 0.0),
        (Encoder(), TOKENS, True, None, 5e-5),
        (Encoder(), TOKENS, True, None, 0.99999),
    ],
    ids=["evaluation", "long", "causal", "additive mask", "rare dropout", "nearly all dropped"],
)
def test_the_rest_is_left_to_transformers_bit_for_bit(
    module: nn.Module,
    tokens: int,
    grad: bool,
    mask: Tensor | None,
    dropout: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernel, "_Attention", None)  # it would fail if it were used
    with torch.set_grad_enabled(grad):
        given = parts(tokens, tokens)
        torch.manual_seed(0)
        found = attention(module, *given, mask, dropout)[0]
        torch.manual_seed(0)
        assert torch.equal(found, sdpa_attention_forward(module, *given, mask, dropout)[0])
