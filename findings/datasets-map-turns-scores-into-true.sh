#!/usr/bin/env bash
# datasets 5.2.0 (`Dataset.map`): numbers that are written over a boolean column become True and False.
#
# Guess, written down first: a column that `map` returns has the type of the values returned. Integers over which
#   fractions are written become float64, and they do: `map` tries the old type and leaves it when values do not fit.
# Behaviour: for a boolean column the old type always fits. Every number is cast to it, and what is not 0 becomes
#   True: probabilities 0.3 and 0.9, the classes 1 and 2. Nothing is said, and the rows keep their number. Here the column
#   comes from `True` and `False` in a CSV file. Under a new name the numbers stay.
# Output seen (Python 3.11.7): see `expected` below.
# It would have cost us soft labels that are all True, in rows where the label was a yes or no of one annotator.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0

printf 'text,spam\na,True\nb,False\nc,True\n' > "$folder/rows.csv"
cat > "$folder/script.py" <<'EOF'
import sys

import datasets

datasets.disable_progress_bars()
folder = sys.argv[1]
rows = datasets.load_dataset("csv", data_files=f"{folder}/rows.csv", split="train", cache_dir=f"{folder}/cache")
rows = rows.add_column("count", [1, 0, 1])
scores, classes = [0.9, 0.3, 0.6], [2, 1, 2]
for column in ("count", "spam", "new"):
    found = rows.map(lambda row, number: {column: scores[number]}, with_indices=True)
    print(f"scores over {column}:", found.features[column].dtype, list(found[column]))
for column in ("count", "spam"):
    found = rows.map(lambda row, number: {column: classes[number]}, with_indices=True)
    print(f"classes over {column}:", found.features[column].dtype, list(found[column]))
EOF
seen=$(HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" "$folder/script.py" "$folder" 2>"$folder/said") || { cat "$folder/said"; exit 1; }
expected='scores over count: float64 [0.9, 0.3, 0.6]
scores over spam: bool [True, True, True]
scores over new: float64 [0.9, 0.3, 0.6]
classes over count: int64 [2, 1, 2]
classes over spam: bool [True, True, True]'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
