#!/usr/bin/env bash
# datasets 5.2.0 (`class_encode_column`): class numbers become other numbers as soon as there are more than ten classes.
#
# Guess, written down first: `train_test_split(stratify_by_column="label")` asks for a ClassLabel column, and
#   `class_encode_column("label")` makes one. Labels that are 0 … K−1 already stay what they are.
# Behaviour: the numbers are turned into texts and sorted as texts: "0", "1", "10", "11", "2", … A row of class 2 gets
#   the number 4, a row of class 10 the number 2. With ten classes or fewer nothing changes, so it works on small sets. The
#   names of the new column are the old numbers as texts, so the answers of a model that is trained on it, read with the
#   list of names that belongs to the labels, are wrong for every class but 0 and 1, and look right for up to ten classes.
# Output seen (Python 3.11.7): see `expected` below.
# It would have cost us 75 wrong names of 77 for intents given as numbers, after a stratified split.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0

cat > "$folder/script.py" <<'EOF'
import datasets

datasets.disable_progress_bars()
for classes in (10, 12, 77):
    labels = [number for number in range(classes) for _ in range(2)]
    rows = datasets.Dataset.from_dict({"label": labels, "before": labels})
    try:
        rows.train_test_split(0.5, stratify_by_column="label", seed=0)
    except ValueError as error:
        print(f"{classes} classes:", error)
    rows = rows.class_encode_column("label")
    split = rows.train_test_split(0.5, stratify_by_column="label", seed=0)
    numbers = {row["before"]: row["label"] for row in split["train"]}
    print("  changed:", sum(new != old for old, new in numbers.items()), {old: numbers[old] for old in (1, 2, 3, 9, 10) if old in numbers})
EOF
seen=$(HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" "$folder/script.py" 2>"$folder/said") || { cat "$folder/said"; exit 1; }
expected='10 classes: Stratifying by column is only supported for ClassLabel column, and column label is Value.
  changed: 0 {1: 1, 2: 2, 3: 3, 9: 9}
12 classes: Stratifying by column is only supported for ClassLabel column, and column label is Value.
  changed: 10 {1: 1, 2: 4, 3: 5, 9: 11, 10: 2}
77 classes: Stratifying by column is only supported for ClassLabel column, and column label is Value.
  changed: 75 {1: 1, 2: 12, 3: 23, 9: 76, 10: 2}'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
