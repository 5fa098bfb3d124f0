#!/usr/bin/env bash
# spaCy 3.8.18 (ConsoleLogger.v2 and v3, `output_file`): one JSON line holds the same score in percent and as a fraction.
#
# Guess, written down first: the JSON lines hold what was measured, as `nlp.evaluate` returns it and as everything else
#   in spaCy counts: fractions. Only the table on the screen shows percent.
# Behaviour: the file holds what the screen shows. Every entry of "scores" is multiplied by 100 except `speed`, so texts
#   per second and percent stand in one object; "score", which is the weighted mean of these very entries, stays a
#   fraction. With a single weight of 1.0 the line reads "cats_score": 70.0 ... "score": 0.7.
# Output seen (Python 3.11.7): see `expected` below.
# It would have cost us a reader of training logs that calls a macro-F1 of 0.70 impossible, or one that divides the
# final score by 100 once more.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check spacy==3.8.18

cat > "$folder/script.py" <<'EOF'
import json
import pathlib
import sys

import spacy
from spacy.training.loggers import console_logger

nlp = spacy.blank("en")
nlp.add_pipe("textcat")
weights = {"cats_score": 1.0, "speed": 0.0}


class Pipeline:  # what the logger reads of a pipeline, with the settings that `spacy train` fills in
    pipeline = nlp.pipeline
    config = {"training": {"max_steps": 400, "eval_frequency": 200, "score_weights": weights}}


file = pathlib.Path(sys.argv[1]) / "log.jsonl"
log, finish = console_logger(console_output=False, output_file=file)(Pipeline, sys.stderr, sys.stderr)
scores = {"cats_score": 0.7, "speed": 9000.0}
log({"epoch": 0, "step": 200, "losses": {"textcat": 1.5}, "other_scores": scores, "score": 0.7})
finish()
line = json.loads(file.read_text())
print("measured:", json.dumps(scores))
print("scores:", json.dumps(line["scores"]))
print("score:", line["score"])
EOF
seen=$("$folder/venv/bin/python" "$folder/script.py" "$folder" 2>/dev/null)
expected='measured: {"cats_score": 0.7, "speed": 9000.0}
scores: {"cats_score": 70.0, "speed": 9000.0}
score: 0.7'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
