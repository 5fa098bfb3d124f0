"""Kinds of operations, and the matrix products among them, in the records of torch's profiler."""

from __future__ import annotations

import math
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch

OTHER_OPERATIONS = "other"
# What an operation is part of decides before what it is: the first that fits the operation or one around it.
_PURPOSES = {
    "optimizer and clipping": r"^Optimizer\.|_foreach_|fused_adam|linalg_vector_norm",
    "exchange between processes": r"^c10d::|^gloo:|^nccl:",
    "loss": r"log_softmax|LogSoftmax|nll_loss|cross_entropy|mse_loss",
    "dropout": r"dropout|bernoulli|random_|_Dropped",
    "attention": r"scaled_dot_product|flash_attention|efficient_attention|bmm|aten::_?softmax|_Attention",
    "normalisation": r"layer_norm|LayerNorm|rms_norm|RMSNorm",
    "embedding": r"embedding|Embedding",
}
# Then what it is, or else the innermost one around it.
_KINDS = {
    "matrix products": r"^aten::(mm|addmm|matmul|linear|mkldnn_linear|_addmm_activation)$",
    "copies and casts": r"^aten::(copy_|to|_to_copy|clone|contiguous|cat|stack|index_select|fill_|zero_|zeros.*|ones.*"
    r"|empty.*|new_.*|full.*|item|_local_scalar_dense|pin_memory)$|^Memcpy|^Memset",
    "element-wise": r"^aten::(add|sub|rsub|mul|div|neg|pow|sqrt|rsqrt|exp|tanh|sigmoid|gelu|relu|silu|where|masked_fill"
    r"|sum|mean|eq|ne|lt|gt|le|ge|logical_\w+|bitwise_\w+|isfinite|abs|any|all|tanh_backward|gelu_backward"
    r"|threshold_backward|silu_backward|sigmoid_backward)_?$",
}


def kind_of(names: Sequence[str]) -> str:
    """The kind of an operation.

    Args:
        names: The name of the operation, then those of the operations that contain it, innermost first.
    """
    for kind, pattern in _PURPOSES.items():
        if any(re.search(pattern, name) for name in names):
            return kind
    for name in names:
        for kind, pattern in _KINDS.items():
            if re.search(pattern, name):
                return kind
    return OTHER_OPERATIONS


def time_by_kind(events: Iterable[Any], on_gpu: bool) -> dict[str, float]:
    """Milliseconds by kind of operation, longest first. The time of nested operations counts for them alone.

    Args:
        events: From `torch.profiler.profile.events()`.
        on_gpu: Count the time of each operation on the GPU, not the time to launch it.
    """
    spent: Counter[str] = Counter()
    kinds: dict[tuple[str, ...], str] = {}
    for event in _operations(events):
        names = tuple(_names(event))
        if names not in kinds:
            kinds[names] = kind_of(names)
        spent[kinds[names]] += (event.self_device_time_total if on_gpu else event.self_cpu_time_total) / 1000
    return {kind: milliseconds for kind, milliseconds in spent.most_common() if milliseconds > 0}


def _operations(events: Iterable[Any]) -> Iterator[Any]:
    """Without a GPU's own events, which those that ordered them hold already."""
    return (event for event in events if event.device_type == torch.autograd.DeviceType.CPU)


def _names(event: Any) -> Iterator[str]:
    while event is not None:
        yield event.name
        event = event.cpu_parent


class Product(NamedTuple):
    """`batch` matrix products of (rows, inner) and (inner, columns)."""

    batch: int
    rows: int
    inner: int
    columns: int

    @property
    def multiply_adds(self) -> int:
        return math.prod(self)


def products_in(events: Iterable[Any]) -> Counter[Product]:
    """Number of times each matrix product was computed; `events` must be recorded with shapes."""
    return Counter(
        product for event in _operations(events) for product in products_of(event.name, event.input_shapes or [])
    )


def products_of(name: str, shapes: Sequence[Sequence[int]]) -> list[Product]:
    """The matrix products of one operation; none for an operation that delegates them to others.

    Args:
        name: Such as aten::mm.
        shapes: Shapes of its inputs; empty for an input that is not a tensor.
    """
    first = {"aten::mm": 0, "aten::bmm": 0, "aten::addmm": 1, "aten::baddbmm": 1}.get(name)
    if first is not None:
        *batch, rows, inner = shapes[first]
        return [Product(math.prod(batch), rows, inner, shapes[first + 1][-1])]
    if name.startswith("aten::_scaled_dot_product_") and "math" not in name:
        is_backward = name.endswith("_backward")
        query, key = shapes[is_backward], shapes[is_backward + 1]
        return _attention_products(query, key, is_backward)
    return []


def _attention_products(query: Sequence[int], key: Sequence[int], is_backward: bool) -> list[Product]:
    """Of fused attention: (batch, heads, queries, width) and (batch, heads, tokens, width)."""
    batch, queries, tokens, width = math.prod(query[:2]), query[2], key[2], query[3]
    scores, mixed = Product(batch, queries, width, tokens), Product(batch, queries, tokens, width)
    of_token = Product(batch, tokens, queries, width)
    # Backwards the scores are computed again; then gradients of weights, queries, keys and values.
    return [scores, scores, mixed, of_token, of_token] if is_backward else [scores, mixed]


def time_alone(products: Counter[Product], dtype: torch.dtype, device: torch.device) -> float:
    """Milliseconds for these matrix products alone on this machine.

    Uses a random stream of its own.
    """
    generator = torch.Generator(device).manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=device).to(dtype)

    total = 0.0
    for (batch, rows, inner, columns), times in products.items():
        shape = (batch,) if batch > 1 else ()
        left, right = drawn(*shape, rows, inner), drawn(*shape, inner, columns)
        total += times * _median_seconds(left, right)
    return 1000 * total


def _median_seconds(left: torch.Tensor, right: torch.Tensor) -> float:
    seconds = []
    for _ in range(4):
        wait_for(left.device)
        before = time.perf_counter()
        torch.matmul(left, right)
        wait_for(left.device)
        seconds.append(time.perf_counter() - before)
    return statistics.median(seconds[1:])  # the first finds cold caches and kernels that are not chosen yet


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has finished its queued work; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
