"""ONNX: one file, run by ONNX Runtime.

int8 is ONNX Runtime's dynamic quantization:
https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html. Weights become 8-bit integers when they
are written, with one scale per channel. Activations become 8-bit integers at every call, with one scale for the whole
batch: the output for a text depends a little on the other texts of its batch. Weights are unsigned, because products of
unsigned and signed bytes overflow on x86 CPUs without VNNI.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from finetune.exports.base import Format, Run

FILE = "model.onnx"
QUIET = 3  # severity from which ONNX Runtime speaks: errors


def _write(graph: Path, folder: Path) -> None:
    for file in graph.parent.glob(f"{graph.name}*"):  # weights of more than 2 GB are in a file beside it
        shutil.copyfile(file, folder / file.name)


def _quantize(graph: Path, folder: Path) -> str:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    target = folder / FILE
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises to optimise the graph first, which torch's exporter has done
    try:
        quantize_dynamic(graph, target, per_channel=True, weight_type=QuantType.QUInt8)
    finally:
        root.setLevel(level)
    counts = Counter(node.op_type for node in onnx.load(target, load_external_data=False).graph.node)
    before = Counter(node.op_type for node in onnx.load(graph, load_external_data=False).graph.node)
    products = counts["MatMulInteger"] + counts["DynamicQuantizeMatMul"]
    tables = counts["DequantizeLinear"]
    all_products = before["MatMul"] + before["Gemm"]
    return (
        f"{products} of {all_products} matrix products have 8-bit integer weights, with one scale per channel, and "
        f"integer activations, with one scale per batch (ONNX Runtime, dynamic); {tables} embedding tables have 8-bit "
        "integers; products of two activations, biases and normalisations stay fp32"
    )


def _open(folder: Path, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = QUIET
    session = onnxruntime.InferenceSession(folder / FILE, options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def run(inputs: Any) -> Any:
        return session.run(["logits"], {name: inputs[name] for name in names})[0]

    return run


ONNX = Format(
    name="onnx",
    title="ONNX",
    file=FILE,
    to_write={"onnx": "onnx", "onnxscript": "onnxscript", "onnxruntime": "onnxruntime"},
    to_open={"onnxruntime": "onnxruntime"},
    extra="onnx",
    write=_write,
    quantize=_quantize,
    open=_open,
)
