#!/usr/bin/env bash
# SetFit 1.2.0 (multi-label, transformers 5.23.0): a text without labels is trained to be unlike itself.
#
# Guess, written down first: a pair of training texts is positive if they have the same labels (or share one). Texts to
#   which none of the labels applies are alike in that, so they are positive pairs or no pairs; a text paired with itself,
#   which SetFit allows, is positive in any case.
# Behaviour: a pair is positive only if the two share a label that is 1. Rows of zeros share none: all pairs among them
#   are negative (target similarity 0), and so is such a text with itself, whose similarity is 1 whatever the model does.
#   Where most rows have no label, as in toxic comments, these are most of the negative pairs. A third column, "none of
#   them", makes all of these pairs positive.
# Output seen (Python 3.11.7): see `expected` below.
# It would have cost us a comparison in which SetFit loses on multi-label sets for a reason that is no property of it.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check setfit==1.2.0 torch==2.13.0 transformers==5.23.0 \
  sentence-transformers==6.2.0 datasets==5.2.0 scikit-learn==1.9.1 huggingface_hub==2.4.0

cat > "$folder/script.py" <<'EOF'
import sys
from collections import Counter

from setfit import SetFitModel, Trainer, TrainingArguments
from sentence_transformers import SentenceTransformer, models
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from transformers import BertConfig, BertModel, BertTokenizerFast

folder = sys.argv[1]
with open(f"{folder}/vocab.txt", "w") as file:
    file.write("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]))
BertTokenizerFast(f"{folder}/vocab.txt").save_pretrained(f"{folder}/bert")
config = BertConfig(vocab_size=13, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
BertModel(config).save_pretrained(f"{folder}/bert")

texts = list("abcdefgh")  # six without a label, two with one of the two labels
labels = [[0, 0]] * 6 + [[1, 0], [0, 1]]
for name, labels in (("two labels", labels), ("and a column for none", [[*row, int(not any(row))] for row in labels])):
    body = SentenceTransformer(modules=[models.Transformer(f"{folder}/bert"), models.Pooling(32)])
    head = OneVsRestClassifier(LogisticRegression())
    model = SetFitModel(model_body=body, model_head=head, multi_target_strategy="one-vs-rest")
    arguments = TrainingArguments(f"{folder}/out", sampling_strategy="unique", report_to="none")
    pairs = Trainer(model=model, args=arguments).get_dataset(texts, labels, arguments)[0]
    counts = Counter()
    for pair in pairs:
        first, second, target = pair["sentence_1"], pair["sentence_2"], pair["label"]
        both = first in texts[:6] and second in texts[:6]
        counts[target, "all"] += 1
        counts[target, "both without labels"] += both
        counts[target, "one text without labels, with itself"] += both and first == second
    for target, kind in ((0.0, "negative"), (1.0, "positive")):
        print(f"{name}: {kind} pairs:", ", ".join(f"{what} {count}" for (each, what), count in counts.items() if each == target))
EOF
seen=$(cd "$folder" && HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 venv/bin/python script.py "$folder" 2>said | grep pairs:) || { cat "$folder/said"; exit 1; }
expected='two labels: negative pairs: all 34, both without labels 21, one text without labels, with itself 6
two labels: positive pairs: all 2, both without labels 0, one text without labels, with itself 0
and a column for none: negative pairs: all 13, both without labels 0, one text without labels, with itself 0
and a column for none: positive pairs: all 23, both without labels 21, one text without labels, with itself 6'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
