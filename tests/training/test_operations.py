"""Kinds of operations, and matrix products, as torch's own profiler and counter see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from finetune.training.operations import Product, kind_of, products_in, products_of, time_alone, time_by_kind


def recorded(run: Callable[[], Any]) -> Any:
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        run()
    return profiler.events()


def counted(run: Callable[[], Any]) -> int:
    """Floating point operations by torch's counter."""
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def linear_maps() -> Callable[[], None]:
    torch.manual_seed(0)
    values, weight = torch.randn(2, 5, 8, requires_grad=True), torch.randn(6, 8, requires_grad=True)
    bias = torch.randn(6, requires_grad=True)
    return lambda: F.linear(F.linear(values, weight, bias), weight.T).sum().backward()


def batched() -> Callable[[], None]:
    left, right = torch.randn(3, 4, 5, requires_grad=True), torch.randn(3, 5, 7, requires_grad=True)
    return lambda: torch.baddbmm(torch.zeros(3, 4, 7), left, right).sum().backward()


def plain_attention() -> Callable[[], None]:
    """With dropout torch has no fused kernel on a CPU."""
    parts = [torch.randn(2, 3, 11, 4, requires_grad=True) for _ in range(3)]
    return lambda: F.scaled_dot_product_attention(*parts, dropout_p=0.1).sum().backward()


@pytest.mark.parametrize("make", [linear_maps, batched, plain_attention])
def test_multiply_adds_are_half_of_what_torch_counts(make: Callable[[], Callable[[], None]]) -> None:
    products = products_in(recorded(make()))
    ours = sum(product.multiply_adds * times for product, times in products.items())
    assert ours > 0
    assert 2 * ours == counted(make())


def test_multiply_adds_of_fused_attention_are_those_of_torchs_formulas() -> None:
    """Its counter leaves out the kernel for CPUs. Queries and keys of different number tell them apart."""
    query, key = torch.randn(2, 3, 16, 8, requires_grad=True), torch.randn(2, 3, 11, 8, requires_grad=True)
    value = torch.randn(2, 3, 11, 8, requires_grad=True)
    products = products_in(recorded(lambda: F.scaled_dot_product_attention(query, key, value).sum().backward()))
    forward = sdpa_flop_count(query.shape, key.shape, value.shape)
    backward = sdpa_backward_flop_count(query.shape, query.shape, key.shape, value.shape)
    assert 2 * sum(product.multiply_adds * times for product, times in products.items()) == forward + backward


def test_an_operation_that_leaves_products_to_others_has_none() -> None:
    assert products_of("aten::linear", [[2, 3], [4, 3], []]) == []
    assert products_of("aten::_scaled_dot_product_attention_math", [[1, 1, 2, 3]] * 3) == []


def test_the_products_of_one_addmm() -> None:
    assert products_of("aten::addmm", [[6], [10, 8], [8, 6], [], []]) == [Product(1, 10, 8, 6)]


def test_products_are_timed_without_touching_the_random_state() -> None:
    before = torch.get_rng_state()
    spent = time_alone(Counter({Product(1, 8, 8, 8): 2, Product(3, 4, 5, 6): 1}), torch.bfloat16, torch.device("cpu"))
    assert spent > 0
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["aten::addmm", "aten::linear"], "matrix products"),
        (["aten::mm", "MmBackward0", "autograd::engine::evaluate_function: MmBackward0"], "matrix products"),
        (["aten::t", "aten::linear"], "matrix products"),
        (["aten::copy_", "aten::_to_copy", "aten::to", "aten::linear"], "copies and casts"),
        (["aten::bmm", "aten::matmul", "aten::scaled_dot_product_attention"], "attention"),
        (["aten::bernoulli_", "aten::dropout", "aten::scaled_dot_product_attention"], "dropout"),
        (["aten::mul", "aten::dropout"], "dropout"),
        (["aten::random_", "_Attention"], "dropout"),
        (["aten::_softmax", "aten::softmax"], "attention"),
        (["aten::_log_softmax", "aten::log_softmax", "aten::cross_entropy_loss"], "loss"),
        (["aten::native_layer_norm_backward", "NativeLayerNormBackward0"], "normalisation"),
        (["aten::index_select", "aten::embedding"], "embedding"),
        (["aten::gelu"], "element-wise"),
        (["aten::gelu_backward", "GeluBackward0"], "element-wise"),
        (["aten::add_", "torch::autograd::AccumulateGrad"], "element-wise"),
        (["aten::_fused_adamw_", "Optimizer.step#AdamW.step"], "optimizer and clipping"),
        (["aten::mul_", "Optimizer.step#SGD.step"], "optimizer and clipping"),
        (["aten::_foreach_norm"], "optimizer and clipping"),
        (["c10d::allreduce_"], "exchange between processes"),
        (["aten::view"], "other"),
    ],
)
def test_the_kind_of_an_operation(names: list[str], kind: str) -> None:
    assert kind_of(names) == kind


def _event(name: str, host: float, gpu: float, parent: Any = None, device: str = "CPU") -> Any:
    """Times in microseconds, without what is inside."""
    return SimpleNamespace(
        name=name,
        cpu_parent=parent,
        device_type=getattr(torch.autograd.DeviceType, device),
        self_cpu_time_total=host,
        self_device_time_total=gpu,
    )


def test_time_counts_by_kind_on_the_host_or_on_the_gpu() -> None:
    outer = _event("aten::linear", 100, 0)
    events = [
        outer,
        _event("aten::addmm", 1000, 7000, outer),
        _event("aten::gelu", 3000, 2000),
        _event("sgemm_kernel", 0, 7000, device="CUDA"),  # what addmm ordered: it holds that time already
    ]
    assert time_by_kind(events, on_gpu=False) == {"element-wise": 3.0, "matrix products": 1.1}
    assert time_by_kind(events, on_gpu=True) == {"matrix products": 7.0, "element-wise": 2.0}
