"""OpenVINO's intermediate representation: a file with the graph and one with the weights, for Intel's and other CPUs.

int8 is NNCF's compression of weights: 8-bit integers with one scale and one offset per channel, embeddings included. A
CPU with instructions for it (VNNI) also converts the activations to integers, with one scale for every few numbers: the
output for a text hardly depends on the other texts of its batch.

Source: https://docs.openvino.ai (save_model, compress_weights, precision of inference).
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from pathlib import Path
from typing import Any

from finetune.exports.base import Format, Run

FILE = "openvino_model.xml"
ARITHMETIC = "f32"  # a CPU that can would compute in bf16 otherwise, and predict other labels than the next one


def _openvino() -> Any:
    """The library, without the statistics of use that it would send to its makers when it is imported."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: an import of it fails
    import openvino

    return openvino


def _write(graph: Path, folder: Path) -> None:
    openvino = _openvino()
    openvino.save_model(openvino.Core().read_model(graph), folder / FILE, compress_to_fp16=False)


def _quantize(graph: Path, folder: Path) -> str:
    openvino = _openvino()
    import nncf

    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):  # a progress bar, where results belong
        model = nncf.compress_weights(openvino.Core().read_model(graph), mode=nncf.CompressWeightsMode.INT8_ASYM)
    openvino.save_model(model, folder / FILE, compress_to_fp16=False)
    kinds = ("i8", "u8")
    compressed = [
        node
        for node in model.get_ops()
        if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() in kinds and node.shape
    ]
    tables = [node for node in compressed if len(node.shape) > 1 and 1 not in node.shape]
    return (
        f"{len(tables)} weight matrices, embeddings included, are 8-bit integers, with one scale and one offset per "
        "channel (NNCF); a CPU with VNNI also converts the activations to integers, with one scale for every few "
        "numbers; biases and normalisations stay fp32"
    )


def _open(folder: Path, threads: int) -> Run:
    openvino = _openvino()
    settings = {"INFERENCE_PRECISION_HINT": ARITHMETIC, "INFERENCE_NUM_THREADS": threads}
    model = openvino.Core().compile_model(folder / FILE, "CPU", settings)
    names = [entry.get_any_name() for entry in model.inputs]

    def run(inputs: Any) -> Any:
        return model({name: inputs[name] for name in names})["logits"].copy()

    return run


OPENVINO = Format(
    name="openvino",
    title="OpenVINO",
    file=FILE,
    to_write={"onnx": "onnx", "onnxscript": "onnxscript", "openvino": "openvino", "nncf": "nncf"},
    to_open={"openvino": "openvino"},
    extra="openvino",
    write=_write,
    quantize=_quantize,
    open=_open,
)
