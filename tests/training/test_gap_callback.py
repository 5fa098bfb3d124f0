"""`GapCallback` in a Trainer that knows nothing of this package: it measures, writes, and changes nothing."""

import json
import random
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from finetune.errors import DataError, ModelError, OutputError
from finetune.measurement.scores import compute_scores
from finetune.records.schema import FinishedRecord
from finetune.records.store import RunFolder
from finetune.training.gap_callback import GapCallback
from tests.conftest import labelled_texts
from tests.raising import refuses
from tests.running import run_in_two_processes

Items = list[dict[str, Any]]
LABELS: dict[str, Callable[[int], Any]] = {
    "single_label_classification": lambda row: row % 2,
    "multi_label_classification": lambda row: [float(row % 2), float(row % 3 == 0), 1.0],
    "regression": lambda row: float(row % 5),
}
OUTPUTS = {"single_label_classification": 2, "multi_label_classification": 3, "regression": 1}


def items(model: Path, rows: int, start: int = 0, problem: str = "single_label_classification") -> Items:
    tokenizer = AutoTokenizer.from_pretrained(model)
    texts = [text for text, _ in labelled_texts(rows, start)]
    return [{**tokenizer(text), "labels": LABELS[problem](start + row)} for row, text in enumerate(texts)]


def own_trainer(
    model: Path, folder: Path, problem: str = "single_label_classification", data: Any = None, **arguments: Any
) -> Trainer:
    """A stock Trainer: 40 training rows, 16 of validation, five steps per epoch."""
    train, validation = data or (items(model, 40, 0, problem), items(model, 16, 40, problem))
    set_seed(1)
    classifier = AutoModelForSequenceClassification.from_pretrained(
        model, num_labels=OUTPUTS[problem], problem_type=problem
    )
    settings: dict[str, Any] = {
        "output_dir": str(folder / "trainer"),
        "num_train_epochs": 2,
        "per_device_train_batch_size": 8,
        "learning_rate": 0.01,
        "eval_strategy": "epoch",
        "save_strategy": "no",
        "logging_steps": 1,
        "seed": 1,
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
    }
    collator = DataCollatorWithPadding(AutoTokenizer.from_pretrained(model))
    return Trainer(
        classifier,
        TrainingArguments(**{**settings, **arguments}),
        train_dataset=train,
        eval_dataset=validation,
        data_collator=collator,
    )


def trained(trainer: Trainer, folder: Path, **settings: Any) -> FinishedRecord:
    trainer.add_callback(GapCallback(trainer, folder, **settings))
    trainer.train()
    record = RunFolder(folder).read()
    assert isinstance(record, FinishedRecord)
    return record


def gap_logs(trainer: Trainer) -> list[dict[str, float]]:
    return [entry for entry in trainer.state.log_history if any(key.startswith("gap_") for key in entry)]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"eval_strategy": "no", "logging_strategy": "epoch"},
        {"eval_strategy": "steps", "eval_steps": 3},
        {"gradient_accumulation_steps": 2},
    ],
    ids=["epochs", "no evaluation", "steps", "accumulation"],
)
def test_training_is_bit_for_bit_the_same_with_and_without_it(
    tiny_model: Path, tmp_path: Path, arguments: dict[str, Any]
) -> None:
    plain, watched = (own_trainer(tiny_model, tmp_path / name, **arguments) for name in ("plain", "watched"))
    set_seed(1)
    plain.train()
    drawn = [random.random(), float(np.random.rand()), float(torch.rand(1))]
    set_seed(1)
    watched.add_callback(GapCallback(watched, tmp_path / "run"))  # draws its sample: that too changes no stream
    watched.train()
    assert drawn == [random.random(), float(np.random.rand()), float(torch.rand(1))]
    ours = watched.model.state_dict()
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, ours[name]), name
    assert _learned(plain) == _learned(watched)


def _learned(trainer: Trainer) -> list[dict[str, Any]]:
    """The trainer's own logs, times aside."""
    kept = ("loss", "grad_norm", "learning_rate", "eval_loss", "epoch", "step")
    own = [entry for entry in trainer.state.log_history if not any(key.startswith("gap_") for key in entry)]
    return [{key: entry[key] for key in kept if key in entry} for entry in own]


@pytest.mark.parametrize("problem", list(LABELS))
def test_the_gap_can_be_computed_again_by_hand(tiny_model: Path, tmp_path: Path, problem: str) -> None:
    """Of the final model, with plain transformers, row by row."""
    trainer = own_trainer(tiny_model, tmp_path, problem)
    record = trained(trainer, tmp_path / "run")
    task = problem.removesuffix("_classification")
    assert record.data.task == task
    assert record.data.rows == {"train": 40, "train_probe": 16, "validation": 16}
    with np.load(tmp_path / "run" / "predictions.npz") as archive:
        arrays = dict(archive)
    model = trainer.model.eval()
    measured = {}
    for split, data in (("train_probe", trainer.train_dataset), ("validation", trainer.eval_dataset)):
        rows = [data[int(number) - 1] for number in arrays[f"{split}_rows"]]
        with torch.no_grad():
            logits = torch.cat([model(**_batch_of_one(row)).logits for row in rows]).numpy()
        np.testing.assert_allclose(arrays[f"selected_{split}_logits"], logits, atol=1e-5)
        measured[split] = compute_scores(task, logits, np.array([row["labels"] for row in rows]))
    loss = "mse" if task == "regression" else "nll"
    gap = record.selected.gap[loss]
    assert gap.value == pytest.approx(measured["validation"][loss] - measured["train_probe"][loss], abs=1e-5)
    assert gap.low is not None
    assert gap.high is not None
    assert gap.low <= gap.value <= gap.high
    assert gap_logs(trainer)[-1][f"gap_{loss}"] == gap.value
    assert gap_logs(trainer)[-1][f"gap_{loss}_low"] == gap.low
    assert record.last == record.selected


def _batch_of_one(row: dict[str, Any]) -> dict[str, Any]:
    return {key: torch.tensor([value]) for key, value in row.items() if key != "labels"}


def test_the_loss_is_the_plain_one_whatever_the_trainer_minimises(tiny_model: Path, tmp_path: Path) -> None:
    trainer = own_trainer(tiny_model, tmp_path, label_smoothing_factor=0.3)
    record = trained(trainer, tmp_path / "run")
    with np.load(tmp_path / "run" / "predictions.npz") as archive:
        logits, targets = archive["selected_validation_logits"], archive["validation_targets"]
    plain = F.cross_entropy(torch.tensor(logits), torch.tensor(targets)).item()
    assert record.selected.validation["nll"] == pytest.approx(plain, abs=1e-6)
    assert record.recipe["techniques"] == {"label_smoothing_factor": {"value": 0.3}}


def test_the_probe_is_stratified_and_the_same_for_every_seed_of_training(tiny_model: Path, tmp_path: Path) -> None:
    train = items(tiny_model, 40)
    for row in train:
        row["labels"] = 0
    for row in train[::8]:  # 5 of 40
        row["labels"] = 1
    drawn = set()
    for seed in (1, 2):
        trainer = own_trainer(tiny_model, tmp_path / str(seed), data=(train, items(tiny_model, 16, 40)), seed=seed)
        callback = GapCallback(trainer)
        facts = callback._record().data
        assert facts.classes["train_probe"] == {"LABEL_0": 14, "LABEL_1": 2}
        assert facts.score == "macro_f1"
        drawn.add(tuple(callback._data.probe))
    assert len(drawn) == 1
    assert tuple(GapCallback(trainer, seed=3)._data.probe) not in drawn
    assert len(GapCallback(trainer, probe_size=6)._data.probe) == 6


def test_the_selected_checkpoint_is_the_one_that_the_trainer_loads_in_the_end(tiny_model: Path, tmp_path: Path) -> None:
    """Trained far too fast: the loss on validation is not lowest at the end."""
    best = {"save_strategy": "epoch", "load_best_model_at_end": True, "metric_for_best_model": "eval_loss"}
    trainer = own_trainer(tiny_model, tmp_path, learning_rate=0.1, num_train_epochs=4, **best)
    record = trained(trainer, tmp_path / "run")
    assert record.selected.step == trainer.state.best_global_step
    assert record.selected.step < record.last.step == record.history[-1].step == 20
    at_best = next(evaluation for evaluation in record.history if evaluation.step == record.selected.step)
    assert record.selected.validation == at_best.validation
    assert record.last.validation == record.history[-1].validation != record.selected.validation


def test_every_evaluation_is_measured_once_and_the_end_too(tiny_model: Path, tmp_path: Path) -> None:
    trainer = own_trainer(tiny_model, tmp_path, eval_strategy="steps", eval_steps=4)
    record = trained(trainer, tmp_path / "run")
    assert [evaluation.step for evaluation in record.history] == [4, 8, 10]
    assert [entry["step"] for entry in gap_logs(trainer)] == [4, 8, 10]
    losses = {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}
    assert record.history[0].objective == losses[4]
    assert record.budget.steps_done == record.budget.steps == 10


def test_modules_keep_their_own_mode(tiny_model: Path, tmp_path: Path) -> None:
    """Who freezes a dropout by putting it into eval mode finds it there again."""
    trainer = own_trainer(tiny_model, tmp_path)
    trainer.model.train()
    trainer.model.bert.embeddings.eval()
    before = {name: module.training for name, module in trainer.model.named_modules()}
    GapCallback(trainer)._measure_splits()
    assert {name: module.training for name, module in trainer.model.named_modules()} == before


def test_datasets_with_other_columns_are_read_as_the_trainer_reads_them(tiny_model: Path, tmp_path: Path) -> None:
    def dataset(rows: Items) -> datasets.Dataset:
        renamed = [{**row, "label": row["labels"], "text": "unused"} for row in rows]
        return datasets.Dataset.from_list([{k: v for k, v in row.items() if k != "labels"} for row in renamed])

    data = items(tiny_model, 40), items(tiny_model, 16, 40)
    lists = trained(own_trainer(tiny_model, tmp_path / "a", data=data), tmp_path / "lists")
    tables = trained(own_trainer(tiny_model, tmp_path / "b", data=tuple(map(dataset, data))), tmp_path / "tables")
    assert tables.history == lists.history
    assert tables.selected == lists.selected


def test_an_interrupted_training_leaves_a_record_and_goes_on_in_it(tiny_model: Path, tmp_path: Path) -> None:
    saving = {"save_strategy": "epoch", "num_train_epochs": 3}
    whole = trained(own_trainer(tiny_model, tmp_path / "whole", **saving), tmp_path / "uncut")
    trainer = own_trainer(tiny_model, tmp_path / "cut", **saving)
    trainer.add_callback(GapCallback(trainer, tmp_path / "run"))
    step = trainer.training_step
    trainer.training_step = lambda *given: step(*given) if trainer.state.global_step < 12 else _stop()
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    left = RunFolder(tmp_path / "run").read()
    assert left is not None
    assert (left.status, len(left.history)) == ("running", 2)
    again = own_trainer(tiny_model, tmp_path / "cut", **saving)
    again.add_callback(GapCallback(again, tmp_path / "run"))
    again.train(resume_from_checkpoint=True)
    record = RunFolder(tmp_path / "run").read()
    assert record is not None
    assert record.history == whole.history
    assert record.selected == whole.selected
    assert record.time.resumed == 1
    assert record.time.seconds > left.time.seconds  # of both segments


def _stop() -> Any:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("without_plots")
def test_a_report_shows_several_runs_side_by_side(tiny_model: Path, tmp_path: Path) -> None:
    from tests.cli.invoking import invoke

    for preset, smoothing in (("none", 0.0), ("smoothed", 0.2)):
        for seed in (1, 2):
            folder = tmp_path / "runs" / f"{preset}-{seed}"
            trainer = own_trainer(tiny_model, tmp_path / "t", seed=seed, label_smoothing_factor=smoothing)
            trained(trainer, folder, preset=preset)
    shown = invoke("report", tmp_path / "runs", "--output", tmp_path / "report", "--json")
    assert shown.exit_code == 0, shown.stderr
    (group,) = json.loads(shown.stdout)["groups"]
    assert [variant["name"] for variant in group["variants"]] == ["none", "smoothed"]
    assert group["seeds"] == [1, 2]
    assert "LABEL_1" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


DISTRIBUTED = """
    import sys
    from pathlib import Path
    from finetune.training.gap_callback import GapCallback
    from tests.training.test_gap_callback import items, own_trainer

    model, folder = Path(sys.argv[1]), Path(sys.argv[2])
    sizes = {"per_device_train_batch_size": 4, "per_device_eval_batch_size": 5}
    trainer = own_trainer(model, folder, ddp_backend="gloo", **sizes)
    trainer.add_callback(GapCallback(trainer, folder / "run"))
    trainer.train()
    trainer.save_model(str(folder / "model"))
"""


def test_two_processes_measure_every_row_once_and_in_order(tiny_model: Path, tmp_path: Path) -> None:
    """16 rows in batches of 5 for two processes: the last turn is not full."""
    script = tmp_path / "distributed.py"
    script.write_text(textwrap.dedent(DISTRIBUTED), encoding="utf-8")
    run_in_two_processes([script, tiny_model, tmp_path])
    record = RunFolder(tmp_path / "run").read()
    assert isinstance(record, FinishedRecord)
    assert record.budget.processes == 2
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    with np.load(tmp_path / "run" / "predictions.npz") as archive:
        for split, rows in (("train_probe", items(tiny_model, 40)), ("validation", items(tiny_model, 16, 40))):
            chosen = [rows[int(number) - 1] for number in archive[f"{split}_rows"]]
            with torch.no_grad():
                logits = torch.cat([model(**_batch_of_one(row)).logits for row in chosen]).numpy()
            np.testing.assert_allclose(archive[f"selected_{split}_logits"], logits, atol=1e-5)
            assert archive[f"{split}_targets"].tolist() == [row["labels"] for row in chosen]


# --- bad input --------------------------------------------------------------------------------------------------


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self) -> Any:
        return iter(())


def without_labels(rows: Items) -> Items:
    return [{key: value for key, value in row.items() if key != "labels"} for row in rows]


def test_what_it_cannot_measure_is_refused_with_what_to_do(tiny_model: Path, tmp_path: Path) -> None:
    rows = items(tiny_model, 8)
    several = {"a": rows, "b": rows}
    cases: list[tuple[Any, Any, str]] = [
        (rows, None, "no eval_dataset.*Pass one"),
        (None, rows, "no train_dataset.*Pass one"),
        (rows, [], "eval_dataset is empty"),
        (Stream(), rows, "train_dataset is a Stream.*Pass a dataset with a length"),
        (without_labels(rows), rows, "items of train_dataset have no labels.*found keys .*input_ids"),
        (rows, without_labels(rows), "items of eval_dataset have no labels"),
        ([(1, 2)], rows, "found a tuple"),
        (rows, several, r"several eval datasets \(a, b\).*validation=trainer.eval_dataset\['a'\]"),
        ([{**row, "labels": 7} for row in rows], rows, "expected an int from 0 to 1"),
        ([{**row, "labels": [1.0]} for row in rows], rows, "label does not fit the task single_label"),
    ]
    trainer = own_trainer(tiny_model, tmp_path)
    for train, validation, message in cases:
        trainer.train_dataset, trainer.eval_dataset = train, validation
        with refuses(DataError, match=message):
            GapCallback(trainer)
    trainer.train_dataset = rows
    assert GapCallback(trainer, validation=several["b"])._data.validation.labels == ["LABEL_0", "LABEL_1"] * 4


def test_a_collator_that_drops_labels_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    trainer = own_trainer(tiny_model, tmp_path)
    trainer.data_collator = lambda rows: {"input_ids": torch.zeros(len(rows), 2)}
    with refuses(DataError, match="without 'labels'"):
        GapCallback(trainer)


def test_a_model_that_is_no_sequence_classifier_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    trainer = own_trainer(tiny_model, tmp_path)
    plain = trainer.model
    trainer.model = torch.nn.Linear(2, 2)
    with refuses(ModelError, match=r"Linear has no config.num_labels"):
        GapCallback(trainer)
    trainer.model = plain
    plain.config.problem_type = "multi_label"
    with refuses(ModelError, match=r"problem_type is 'multi_label', which is none of single_label_classification, "):
        GapCallback(trainer)
    plain.config.problem_type = None
    callback = GapCallback(trainer)
    plain.classifier = torch.nn.Sequential(plain.classifier, torch.nn.Unflatten(-1, (1, -1)))
    with refuses(ModelError, match="one prediction per row"):
        callback._measure_splits()


def test_a_folder_in_use_is_refused_before_training(tiny_model: Path, tmp_path: Path) -> None:
    trainer = own_trainer(tiny_model, tmp_path)
    trained(trainer, tmp_path / "run")
    with refuses(OutputError, match="holds a finished run.*another folder"):
        GapCallback(trainer, tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with refuses(OutputError, match="holds no run"):
        GapCallback(trainer, tmp_path / "other")
