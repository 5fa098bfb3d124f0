#!/usr/bin/env bash
# datasets 5.2.0 (`Dataset.map`): after an edit of a function in a module of your own, the rows of the old one come back.
#
# Guess, written down first: the documentation of the cache says that the function given to `map` is hashed together with
#   everything it uses, so that any change of those changes the hash. So if `clean` in prepare.py, which train.py imports,
#   is edited between two runs, the second run computes the rows again.
# Behaviour: a function of an imported module enters the hash as its name. The second run finds the cache file of the
#   first one and returns its rows, whether `clean` itself is given to `map` or a lambda in train.py that calls it. Only
#   what stands in the script (`__main__`) is hashed with its code. Nothing is said.
# Output seen (Python 3.11.7): see `expected` below.
# It would have cost us a training on texts that the current code does not make, and a record that names that code.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0

mkdir "$folder/project"
printf 'text\nHELLO\n' > "$folder/project/texts.csv"
cat > "$folder/project/train.py" <<'EOF'
import datasets
import prepare

datasets.disable_progress_bars()
texts = datasets.load_dataset("csv", data_files="texts.csv", split="train", cache_dir="cache")


def here(row):
    return {"text": "<" + row["text"].lower() + ">"}


print("called", prepare.clean(texts[0])["text"], end=", ")
print("map of it", texts.map(prepare.clean)[0]["text"], end=", ")
print("map of a lambda that calls it", texts.map(lambda row: prepare.clean(row))[0]["text"], end=", ")
print("map of a function of the script", texts.map(here)[0]["text"])
EOF
run() { (cd "$folder/project" && HF_HOME="$folder/hf" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" -B train.py 2>"$folder/said") || cat "$folder/said"; }
clean() { printf 'def clean(row):\n    return {"text": %s}\n' "$1" > "$folder/project/prepare.py"; }
clean 'row["text"].lower()'
first=$(run)
clean '"<" + row["text"].lower() + ">"'
sed -i 's/"<" + row/"[" + row/; s/+ ">"}/+ "]"}/' "$folder/project/train.py"
seen="before: $first
after: $(run)"
expected='before: called hello, map of it hello, map of a lambda that calls it hello, map of a function of the script <hello>
after: called <hello>, map of it hello, map of a lambda that calls it hello, map of a function of the script [hello]'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
