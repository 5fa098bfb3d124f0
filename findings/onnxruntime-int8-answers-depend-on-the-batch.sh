#!/usr/bin/env bash
# ONNX Runtime 1.32.0 (`quantize_dynamic`, int8): the answer to a row depends on the other rows of its batch.
#
# Guess, written down first: "dynamic" means that the scale of the activations is found for each row (or token) when it
#   comes, since `per_channel=True` asks for fine scales and a model at inference treats rows apart. So a row's logits are
#   the same alone and in a batch, as they are in fp32, and a test that compares batch sizes may ask for equality.
# Behaviour: DynamicQuantizeLinear finds one scale for the whole tensor, all rows and padding included; `per_channel` is
#   about weights alone. A row that stands beside one with a large value is rounded to that row's steps. Below, a row
#   loses its whole margin between two classes to its neighbour; in fp32 it does not move.
# Output seen (Python 3.11.7): see `expected` below.
# It would have cost us predictions of a file that differ with --batch-size and with the order of rows, without a word
# (our int8 exports measure and say it), and a hunt for a bug in the sorting of texts by length.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0

cat > "$folder/script.py" <<'END'
import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, save
from onnxruntime.quantization import quantize_dynamic

folder = sys.argv[1]
weights = numpy_helper.from_array(np.array([[1, -1], [1, 1]], dtype=np.float32), "weights")  # class 0: a + b, 1: b - a
rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch", 2])
logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])
graph = helper.make_graph([helper.make_node("MatMul", ["rows", "weights"], ["logits"])], "linear", [rows], [logits], [weights])
save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), f"{folder}/fp32.onnx")
quantize_dynamic(f"{folder}/fp32.onnx", f"{folder}/int8.onnx", per_channel=True)

row, neighbour = [0.4, 1.0], [255.0, 0.0]
for name in ("fp32", "int8"):
    session = onnxruntime.InferenceSession(f"{folder}/{name}.onnx", providers=["CPUExecutionProvider"])
    for batch in ([row], [row, neighbour]):
        first = session.run(["logits"], {"rows": np.array(batch, dtype=np.float32)})[0][0]
        margin = float(first[0] - first[1])
        print(name, "alone:" if len(batch) == 1 else "beside:", f"margin of class 0 {margin:.1f}")
END
seen=$("$folder/venv/bin/python" "$folder/script.py" "$folder" 2>/dev/null)
expected='fp32 alone: margin of class 0 0.8
fp32 beside: margin of class 0 0.8
int8 alone: margin of class 0 0.8
int8 beside: margin of class 0 0.0'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
