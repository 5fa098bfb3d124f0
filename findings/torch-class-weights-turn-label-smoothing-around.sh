#!/usr/bin/env bash
# torch 2.13.0 (CrossEntropyLoss, `weight` and `label_smoothing`): together they can teach a wrong answer that each alone
#   does not, on rows that a model can tell apart without an error.
#
# Guess, written down first: `label_smoothing=0.1` makes the target of a row 0.95 for its class and 0.05 for the other, and
#   `weight` multiplies the loss of a row by the weight of its class. Neither moves the best answer to the other class, so
#   on rows that are easy to separate the model with both is right everywhere, only less sure.
# Behaviour: the weights are applied inside the row, to each class of the smoothed target. A row of the frequent class then
#   pays (1 − ε + ε/K) · w_frequent for its own class and ε/K · w_rare for the other; its best answer is the other class as
#   soon as w_rare / w_frequent > (1 − ε) · K/ε + 1, which is 19 for two classes and ε = 0.1. With the usual balanced
#   weights that is an imbalance of more than 19 to 1, for which class weights are made. No warning; the loss falls and
#   converges. With the weight of the row's own class outside (cross entropy with reduction="none", times the weight), the
#   guess holds.
# Output seen (Python 3.11.7): see `expected` below.
# It would have cost us the frequent class in every comparison with class weights where a preset adds label smoothing.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

cat > "$folder/script.py" <<'EOF'
import torch
from torch.nn.functional import cross_entropy

frequent, rare = 300, 10
labels = torch.tensor([0] * frequent + [1] * rare)
rows = torch.eye(2)[labels]  # the class can be read off
weight = len(labels) / (2 * torch.bincount(labels))  # balanced: 0.52 and 15.5


def outside(logits, labels):
    return (weight[labels] * cross_entropy(logits, labels, label_smoothing=0.1, reduction="none")).sum() / weight[labels].sum()


losses = {
    "weight": lambda logits, labels: cross_entropy(logits, labels, weight),
    "label_smoothing": lambda logits, labels: cross_entropy(logits, labels, label_smoothing=0.1),
    "both": lambda logits, labels: cross_entropy(logits, labels, weight, label_smoothing=0.1),
    "both, the weight outside": outside,
}
for name, loss in losses.items():
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(1000):
        optimizer.zero_grad()
        loss(model(rows), labels).backward()
        optimizer.step()
    right = model(rows).argmax(1) == labels
    shown = [f"{int(right[labels == each].sum())} of {count}" for each, count in enumerate((frequent, rare))]
    print(f"{name}: right on {shown[0]} frequent rows, {shown[1]} rare ones")
EOF
seen=$("$folder/venv/bin/python" "$folder/script.py")
expected='weight: right on 300 of 300 frequent rows, 10 of 10 rare ones
label_smoothing: right on 300 of 300 frequent rows, 10 of 10 rare ones
both: right on 0 of 300 frequent rows, 10 of 10 rare ones
both, the weight outside: right on 300 of 300 frequent rows, 10 of 10 rare ones'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
