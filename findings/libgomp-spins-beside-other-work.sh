#!/usr/bin/env bash
# torch 2.13.0 (CPU, Linux): training with two threads beside other work is many times slower than with one.
#
# Guess, written down first: on two processors that two other programs keep busy, a training with two threads gets half
#   of each processor. It takes about as long as with one thread, or up to twice as long.
# Behaviour: torch's libgomp lets a thread that has finished its part of an operation spin for 300,000 rounds
#   (milliseconds). Beside other work, the last thread of an operation waits for a processor on which its own
#   siblings do nothing; a step of a small encoder has thousands of operations. With GOMP_SPINCOUNT=1000, set before
#   torch is imported, the same training takes a fraction of the time. OMP_NUM_THREADS equals the number of
#   processors, so that libgomp does not shorten the spinning itself (it does for more threads than processors).
# Output seen (Python 3.11, two processors of an AMD EPYC, two busy loops, and other programs: a load of 12):
#   seconds: one thread 3.8, two threads 72.0, two threads with GOMP_SPINCOUNT=1000 0.9
#   The check is that the default takes at least twice as long as the last one.
set -euo pipefail

folder=$(mktemp -d)
busy=()
trap 'kill "${busy[@]}" 2>/dev/null || true; rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy

cat > "$folder/train.py" <<'EOF'
import time

import torch

torch.manual_seed(0)
layer = torch.nn.TransformerEncoderLayer(128, 4, 512, batch_first=True)
model = torch.nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
optimizer = torch.optim.AdamW(model.parameters())
texts = torch.randn(16, 24, 128)
started = time.perf_counter()
for _ in range(6):
    model(texts).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
print(f"{time.perf_counter() - started:.1f}")
EOF
processors=0,1
train() { env -u GOMP_SPINCOUNT -u OMP_WAIT_POLICY "$@" taskset -c "$processors" "$folder/venv/bin/python" "$folder/train.py"; }
for _ in 1 2; do
  taskset -c "$processors" "$folder/venv/bin/python" -c "while True: pass" & busy+=($!)
done
one=$(train OMP_NUM_THREADS=1)
two=$(train OMP_NUM_THREADS=2)
yielding=$(train OMP_NUM_THREADS=2 GOMP_SPINCOUNT=1000)
echo "seconds: one thread $one, two threads $two, two threads with GOMP_SPINCOUNT=1000 $yielding"
awk "BEGIN {exit !($two >= 2 * $yielding)}" || { echo "this has changed: the default is not twice as slow"; exit 1; }
