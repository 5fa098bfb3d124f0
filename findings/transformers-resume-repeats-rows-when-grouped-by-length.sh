#!/usr/bin/env bash
# transformers 5.23.0 (Trainer, `train_sampling_strategy="group_by_length"`): a training that is resumed within an epoch
#   repeats some rows of that epoch and leaves out as many others.
#
# Guess, written down first: a training that resumes skips the batches it has done and goes on with the others; the
#   documentation of `ignore_data_skip` promises the same stage of the data unless that is set. With dropout and optimizer
#   state restored, the result is that of a training that was never interrupted, whatever the order of the rows is made of.
# Behaviour: that holds for the default, "random", whose order follows from seed and epoch. The order of "group_by_length"
#   is drawn from torch's global generator when an epoch begins. A resumed training draws it before the state of that
#   generator is restored, and so gets the order of the first epoch, skips the number of batches it has done from that, and
#   trains on what is left. In the first epoch this is right by chance; in every later one rows are trained on twice and
#   others not at all. Nothing is said.
# Output seen (Python 3.11.7): see `expected` below.
# It would have cost us runs on preemptible machines that differ from undisturbed ones, in a setting that is only for speed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6

cat > "$folder/script.py" <<'EOF'
import sys

import torch
from torch.nn.functional import pad
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

ROWS, BATCH = 64, 4  # 16 steps per epoch
rows = [{"input_ids": torch.arange(1, 3 + row), "labels": row % 2, "row": row} for row in range(ROWS)]
seen = []


def collate(batch):
    seen.extend(row["row"] for row in batch)
    length = max(len(row["input_ids"]) for row in batch)
    texts = torch.stack([pad(row["input_ids"], (0, length - len(row["input_ids"]))) for row in batch])
    return {"input_ids": texts, "attention_mask": (texts > 0).long(), "labels": torch.tensor([row["labels"] for row in batch])}


def train(strategy, checkpoint=None):
    torch.manual_seed(0)
    seen.clear()
    config = BertConfig(vocab_size=80, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    model = BertForSequenceClassification(config)
    arguments = TrainingArguments(
        f"{sys.argv[1]}/{strategy}", train_sampling_strategy=strategy, per_device_train_batch_size=BATCH, num_train_epochs=2,
        save_steps=8, seed=0, use_cpu=True, report_to="none", disable_tqdm=True, remove_unused_columns=False,
    )
    Trainer(model, arguments, train_dataset=rows, data_collator=collate).train(resume_from_checkpoint=checkpoint)
    return list(seen), {name: value.clone() for name, value in model.state_dict().items()}


for strategy in ("random", "group_by_length"):
    order, weights = train(strategy)
    for step in (8, 24):
        after, resumed = train(strategy, f"{sys.argv[1]}/{strategy}/checkpoint-{step}")
        epoch = step // 16
        in_epoch = order[epoch * ROWS : step * BATCH] + after[: (epoch + 1) * ROWS - step * BATCH]
        once = "once" if sorted(in_epoch) == list(range(ROWS)) else "not once"
        same = all(torch.equal(weights[name], resumed[name]) for name in weights)
        print(f"seen: {strategy}, resumed in epoch {epoch + 1}: each row {once} in that epoch, final weights equal {same}")
        print(f"{strategy} {step}: left out {ROWS - len(set(in_epoch))} of {ROWS}", file=sys.stderr)
EOF
seen=$(HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" "$folder/script.py" "$folder" 2>"$folder/said" | grep ^seen:) || { cat "$folder/said"; exit 1; }
expected='seen: random, resumed in epoch 1: each row once in that epoch, final weights equal True
seen: random, resumed in epoch 2: each row once in that epoch, final weights equal True
seen: group_by_length, resumed in epoch 1: each row once in that epoch, final weights equal True
seen: group_by_length, resumed in epoch 2: each row not once in that epoch, final weights equal False'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
