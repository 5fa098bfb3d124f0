#!/usr/bin/env bash
# Optuna 5.0.0 (WilcoxonPruner): the pruner for cross-validation never stops a trial that has three folds.
#
# Guess, written down first: WilcoxonPruner with its defaults (p_threshold=0.1, n_startup_steps=2) is made for folds, so a
#   trial that is 30 points worse than the best on the first two of three folds, or on all three, is stopped.
# Behaviour: it never is. Its test is a one-sided signed-rank test of the folds so far; with three folds the smallest p
#   that this test can have is 1/8 = 0.125, above the threshold. So in 3-fold cross-validation the pruner does nothing,
#   without a word, and in 5-fold cross-validation it can spare no more than the last fold.
# Output seen (Python 3.11.7): see `expected` below.
# It would have cost us a tune that says "hopeless settings are stopped early" and stops none.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check optuna==5.0.0 scipy==1.17.1

cat > "$folder/script.py" <<'EOF'
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(direction="maximize", pruner=optuna.pruners.WilcoxonPruner())
best = study.ask()
for fold in range(5):
    best.report(0.90 + 0.001 * fold, fold)
study.tell(best, 0.902)
worse = study.ask()
for fold in range(5):
    worse.report(0.60 + 0.002 * fold, fold)
    print(f"30 points worse on {fold + 1} of {fold + 1} folds: pruned", worse.should_prune())
EOF
seen=$("$folder/venv/bin/python" "$folder/script.py" 2>/dev/null)
expected='30 points worse on 1 of 1 folds: pruned False
30 points worse on 2 of 2 folds: pruned False
30 points worse on 3 of 3 folds: pruned False
30 points worse on 4 of 4 folds: pruned True
30 points worse on 5 of 5 folds: pruned True'
echo "$seen"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:"; echo "$expected"; exit 1; }
