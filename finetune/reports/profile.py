"""What `finetune run --profile` prints after a run."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from finetune.measurement.units import count_text, percent_text
from finetune.records.profile import Products, RunProfile, Watched
from finetune.records.schema import RunRecord

# Phase of the record -> its name in the table; in the order of a run.
PHASES = {
    "start": "start-up: Python, libraries, recipe, tokenizer",
    "data": "reading and splitting the data",
    "tokens": "tokenizing",
    "checks": "checking the data",
    "model": "loading the model and setting up training",
    "learning_rate": "choosing the learning rate",
    "adaptation": "masked-language modelling on the texts",
    "first_stage": "a stage before fine-tuning",
    "head": "starting the head",
    "batches": "training: assembling batches",
    "forward_backward": "training: forward and backward passes",
    "optimizer": "training: optimizer steps",
    "evaluation": "evaluation during training",
    "checkpoints": "waiting for checkpoints",
    "measurement": "measuring the selected checkpoint, including test",
    "weight_statistics": "weight statistics",
    "saving": "saving model, predictions and record",
    "trackers": "reporting to trackers (training.report_to)",
    "profiling": "profiling (--profile)",
    "other": "everything else",
}
SHORT = 0.0005  # fraction below which a line is not shown


def phases_table(record: RunRecord) -> Table:
    """Seconds and percentage of each phase of a run, all segments of a resumed one together."""
    phases = record.time.phases
    total = sum(phases.values())
    rows = [(text, f"{phases[name]:.1f}", phases[name] / total) for name, text in PHASES.items() if name in phases]
    table = _table(f"Where the time went: {total:.1f} s", "seconds", rows)
    table.add_section()
    table.add_row(_evaluations(record), "", "", style="dim")
    return table


def _evaluations(record: RunRecord) -> str:
    rows, count = record.data.rows, len(record.history)
    return (
        f"{count_text(count, 'evaluation')} of {rows['train_probe']:,} + {count_text(rows['validation'], 'row')} "
        "(train sample + validation)"
    )


def watched_table(what: str, watched: Watched) -> Table:
    """Milliseconds and percentage of each kind of operation in one step or batch."""
    parts = {**watched.groups, "between operations (Python)": watched.between}
    rows = [(name, f"{spent:.1f}", spent / watched.milliseconds) for name, spent in parts.items()]
    last = watched.first + watched.count - 1
    span = f"{watched.first}" if watched.count == 1 else f"{watched.first} to {last}"
    return _table(f"Inside one {what}: {watched.milliseconds:.1f} ms while profiled (no. {span})", "ms", rows)


def floor_line(what: str, watched: Watched) -> str:
    """Time of one step or batch against that of its matrix products alone; empty if it has none."""
    products = watched.products
    if products.milliseconds <= 0:
        return ""
    return (
        f"Its matrix products alone ({products.multiply_adds / 1e9:.2f} billion multiply-adds in {watched.precision}) "
        f"take {products.milliseconds:.1f} ms on this machine ({_speed(products)}). The {what} took "
        f"{watched.milliseconds / products.milliseconds:.1f} times as long."
    )


def _speed(products: Products) -> str:
    """A multiply-add is two operations."""
    return f"{2 * products.multiply_adds / products.milliseconds / 1e9:.2f} TFLOP/s, just measured"


def padding_line(profile: RunProfile) -> str:
    return f"{percent_text(profile.padding.present)} of the tokens in training batches are padding."


def _table(title: str, unit: str, rows: Sequence[tuple[str, str, float]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    table.add_column("")
    table.add_column(unit, justify="right")
    table.add_column("time", justify="right")
    for text, spent, fraction in rows:
        if fraction > SHORT:
            table.add_row(text, spent, percent_text(fraction))
    return table
