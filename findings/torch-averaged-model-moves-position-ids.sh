#!/usr/bin/env bash
# torch 2.13.0 (AveragedModel, exponential average, `use_buffers=True`) with transformers 5.23.0: averaging BERT with itself
#   changes its position ids, and so its answers.
#
# Guess, written down first: buffers that never change, such as BERT's `position_ids` (0, 1, 2, …), are their own average.
#   An average of a model that stands still is that model, bit for bit, whatever the decay and the number of updates.
# Behaviour: d · b + (1 − d) · b is computed in float32 and copied into the integer buffer, which cuts off the fraction.
#   Where rounding leaves the sum just below b, the entry becomes smaller. After 100 averages with d = 0.9999, 99 of 512
#   positions have moved; with 0.9 there are 147, with 0.99 and 0.999 none. Two tokens then share a position, and the
#   averaged model answers differently with equal weights. With `use_buffers=False` nothing moves.
# Output seen (Python 3.11.7): see `expected` below.
# It would have cost us an average that is measured with other positions than the model that was trained, at some decays.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 numpy==2.4.6

cat > "$folder/script.py" <<'EOF'
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import BertConfig, BertForSequenceClassification

torch.manual_seed(0)
config = BertConfig(vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
model = BertForSequenceClassification(config).eval()
tokens = torch.randint(5, 100, (4, 40))
with torch.no_grad():
    logits = model(tokens).logits
    for use_buffers, decay in ((True, 0.9), (True, 0.99), (True, 0.999), (True, 0.9999), (False, 0.9999)):
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=use_buffers)
        for _ in range(100):
            average.update_parameters(model)
        weights = all(map(torch.equal, average.module.parameters(), model.parameters()))
        ids = average.module.bert.embeddings.position_ids[0]
        moved = (ids != torch.arange(512)).nonzero().flatten().tolist()
        same = torch.equal(average.module.eval()(tokens).logits, logits)
        print(f"use_buffers={use_buffers}, decay {decay}: weights equal {weights}, logits equal {same},", end=" ")
        print(f"{len(moved)} of 512 positions moved:", *moved[:4])
EOF
seen=$("$folder/venv/bin/python" "$folder/script.py" 2>"$folder/said") || { cat "$folder/said"; exit 1; }
expected='use_buffers=True, decay 0.9: weights equal True, logits equal False, 147 of 512 positions moved: 3 6 7 9
use_buffers=True, decay 0.99: weights equal True, logits equal True, 0 of 512 positions moved:
use_buffers=True, decay 0.999: weights equal True, logits equal True, 0 of 512 positions moved:
use_buffers=True, decay 0.9999: weights equal True, logits equal False, 99 of 512 positions moved: 11 22 29 31
use_buffers=False, decay 0.9999: weights equal True, logits equal True, 0 of 512 positions moved:'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
