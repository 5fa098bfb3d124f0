#!/usr/bin/env bash
# iterative-stratification 0.1.9 (stratified splits of multi-label data) installs a top-level package `tests`.
#
# Guess, written down first: the wheel installs its package `iterstrat` and nothing else, so that a project's own
#   `tests` package is the only one of that name.
# Behaviour: the wheel has two top-level packages, `iterstrat` and `tests`. A program that lies outside the project,
#   such as a script that a test writes to a temporary folder, gets site-packages' `tests` from `import tests`, also
#   when the project is the working directory; `tests.helpers` of the project is then a ModuleNotFoundError.
# Output seen (Python 3.11.7): see `expected` below.
# It cost us one failed CI run: a script that a test wrote imported a helper of the suite from `tests`.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps iterative-stratification==0.1.9

mkdir -p "$folder/project/tests" "$folder/elsewhere"
touch "$folder/project/tests/__init__.py"
echo 'NAME = "helpers of the project"' > "$folder/project/tests/helpers.py"
cat > "$folder/elsewhere/script.py" <<'EOF'
import importlib
from importlib import metadata

print("top level:", *sorted(metadata.distribution("iterative-stratification").read_text("top_level.txt").split()))
print("tests lies in site-packages:", "site-packages" in importlib.import_module("tests").__path__[0])
try:
    importlib.import_module("tests.helpers")
except ModuleNotFoundError as error:
    print(f"{type(error).__name__}: {error}")
EOF
seen=$(cd "$folder/project" && "$folder/venv/bin/python" "$folder/elsewhere/script.py")
expected="top level: iterstrat tests
tests lies in site-packages: True
ModuleNotFoundError: No module named 'tests.helpers'"
echo "$seen"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
