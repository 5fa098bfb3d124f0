"""What must not change a run: measuring, accumulation, a second time; and what a plain Trainer would do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    Trainer,
    TrainingArguments,
    set_seed,
)

from finetune.recipe import resolve
from finetune.records.schema import RunRecord
from finetune.records.store import RunFolder, read_record
from finetune.training.building import build_model
from finetune.training.phases import Stopwatch
from finetune.training.prepare import prepare
from finetune.training.record import RecordFile
from finetune.training.runner import Run
from finetune.training.trainer import RegularizedTrainer
from tests.running import assert_same_weights, train, weights

Write = Callable[..., Path]


def _plain_trainer(recipe: Path, tiny_model: Path, folder: Path) -> Any:
    """The same recipe by hand with stock transformers: no evaluation, its own batches, its own loss."""
    prepared = prepare(resolve(str(recipe)).recipe)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    items = [
        {**tokenizer(text, truncation=True, max_length=32), "labels": ["bad", "good"].index(label)}
        for text, label in zip(prepared.data.train.texts, prepared.data.train.labels, strict=True)
    ]
    set_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        tiny_model,
        config=AutoConfig.from_pretrained(tiny_model, num_labels=2, problem_type="single_label_classification"),
    )
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=3,
        per_device_train_batch_size=8,
        learning_rate=0.005,
        warmup_steps=0.1,
        seed=0,
        data_seed=0,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, train_dataset=items, processing_class=tokenizer)
    trainer.train()
    return model


def test_preset_none_equals_a_plain_trainer_bit_for_bit(write_recipe: Write, tiny_model: Path, tmp_path: Path) -> None:
    """And another seed gives other weights, so that what is compared moves."""
    recipe, overrides = write_recipe(), ["training.kernels=plain"]
    train(recipe, tmp_path / "ours", preset="none", overrides=overrides)
    plain = _plain_trainer(recipe, tiny_model, tmp_path / "plain").state_dict()
    ours = weights(tmp_path / "ours")
    assert ours.keys() == plain.keys()
    for name, value in plain.items():
        assert torch.equal(ours[name], value), name
    train(recipe, tmp_path / "other", preset="none", overrides=overrides, seed=1)
    assert not torch.equal(weights(tmp_path / "other")["classifier.weight"], plain["classifier.weight"])


@pytest.mark.parametrize("train_size", [48, 45])
def test_accumulation_changes_nothing(write_recipe: Write, still_model: Path, tmp_path: Path, train_size: int) -> None:
    """8 × 1 = 4 × 2, also where the last step of an epoch is incomplete (45 = 5 × 8 + 5)."""
    recipe = write_recipe(model=still_model, data={"train_size": train_size}, training={"learning_rate": 0.001})
    one = train(recipe, tmp_path / "one")
    two = train(recipe, tmp_path / "two", overrides=["training.accumulation=2"])
    assert_same_weights(tmp_path / "one", tmp_path / "two", tolerance=2e-6)
    for a, b in zip(one.history, two.history, strict=True):
        assert a.grad_norm == pytest.approx(b.grad_norm, rel=1e-4)
        assert a.objective == pytest.approx(b.objective, rel=1e-5)


def test_the_same_command_gives_the_same_record_also_after_another_run_in_the_process(
    write_recipe: Write, tmp_path: Path
) -> None:
    recipe = write_recipe(training={"epochs": 5})
    one = train(recipe, tmp_path / "one", preset="strong", seed=3)
    train(recipe, tmp_path / "between", preset="medium", overrides=["training.epochs=4"], seed=1)
    two = train(recipe, tmp_path / "two", preset="strong", seed=3)
    assert _timeless(one) == _timeless(two)
    assert_same_weights(tmp_path / "one", tmp_path / "two")
    first, second = (np.load(tmp_path / name / "predictions.npz") for name in ("one", "two"))
    assert all(np.array_equal(first[key], second[key]) for key in first)


def _timeless(record: RunRecord) -> dict[str, Any]:
    return record.model_dump(exclude={"time"})


def test_the_recorded_gap_can_be_made_again_from_the_shipped_model(write_recipe: Write, tmp_path: Path) -> None:
    """NLL and accuracy of each split, by hand, from the saved folder with plain transformers."""
    recipe = write_recipe(training={"epochs": 4})
    record = train(recipe, tmp_path / "run", preset="medium")
    assert record.selected is not None
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "model")
    prepared = prepare(resolve(str(recipe), "medium", overrides=["training.epochs=4"]).recipe)
    saved = np.load(tmp_path / "run" / "predictions.npz")
    for name, rows in prepared.data.measured_splits().items():
        batch = tokenizer(rows.texts, truncation=True, max_length=32, padding=True, return_tensors="pt")
        with torch.no_grad():
            logits = model(**batch).logits
        targets = torch.tensor([model.config.label2id[label] for label in rows.labels])
        scores = getattr(record.selected, name)
        assert scores["nll"] == pytest.approx(F.cross_entropy(logits, targets).item(), abs=1e-5)
        assert scores["accuracy"] == pytest.approx((logits.argmax(-1) == targets).float().mean().item())
        np.testing.assert_allclose(saved[f"selected_{name}_logits"], logits.numpy(), atol=1e-5)
        np.testing.assert_array_equal(saved[f"{name}_targets"], targets.numpy())
    gap = record.selected.gap["nll"]
    assert gap.value == pytest.approx(record.selected.validation["nll"] - record.selected.train_probe["nll"])
    assert gap.low is not None
    assert gap.high is not None
    assert gap.low <= gap.value <= gap.high
    assert model.config.id2label == {0: "bad", 1: "good"}


def test_the_selected_checkpoint_is_the_best_of_the_history(write_recipe: Write, tmp_path: Path) -> None:
    record = train(write_recipe(training={"epochs": 6}), tmp_path / "run", preset="light")
    assert record.selected is not None
    best = max(record.history, key=lambda e: (e.validation["accuracy"], -e.validation["nll"]))
    assert record.selected.step == best.step
    assert record.selected.validation == best.validation
    assert record.last is not None
    assert record.last.validation == record.history[-1].validation


def test_evaluation_is_the_clean_model_whatever_the_techniques(write_recipe: Write, tmp_path: Path) -> None:
    """Measured before any step, every preset sees the same numbers: those of the untrained model."""
    recipe = write_recipe(training={"epochs": 4})
    seen = []
    for preset in ("none", "medium", "strong"):
        overrides = ["training.epochs=5"]
        prepared = prepare(resolve(str(recipe), preset, overrides=overrides).recipe)
        folder, stopwatch = RunFolder(tmp_path / preset), Stopwatch()
        record = RecordFile(folder, stopwatch, 0.0, None)
        run = Run(prepared, 0, folder, build_model(prepared, 0), [], stopwatch, record)
        outputs = run.trainer.split_outputs(prepared.measured["validation"])
        seen.append(prepared.meter.measure(*outputs))
    assert seen[0] == seen[1] == seen[2]


def test_bf16_trains_and_measures_in_fp32(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe(training={"precision": "bf16"})
    record = train(recipe, tmp_path / "run")
    assert record.budget.precision == "bf16"
    assert all(value.dtype == torch.float32 for value in weights(tmp_path / "run").values())
    fp32 = train(recipe, tmp_path / "fp32", overrides=["training.precision=fp32"])
    assert record.history[-1].objective != fp32.history[-1].objective
    assert record.history[-1].objective == pytest.approx(fp32.history[-1].objective, rel=0.2)


def test_a_bf16_run_measures_what_it_reports_in_fp32(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluations that are compared with each other are in one precision; restored weights are checked in it."""
    measured: list[tuple[str, bool]] = []
    original = RegularizedTrainer.split_outputs

    def watched(self: Any, split: Any, bf16: bool = False) -> Any:
        names = {id(value): name for name, value in self.measured.items()}
        seen: set[bool] = set()
        device = self.args.device.type
        with self.model.register_forward_pre_hook(lambda *_: seen.add(torch.is_autocast_enabled(device))):
            outputs = original(self, split, bf16)
        (in_bf16,) = seen
        measured.append((names.get(id(split), "test"), in_bf16))
        return outputs

    monkeypatch.setattr(RegularizedTrainer, "split_outputs", watched)
    monkeypatch.setattr("finetune.training.building.beats_trivial", lambda *_: True)  # so that patience counts
    techniques = {"early_stopping": {"patience": 1, "min_delta": 0.5, "metric": "nll"}}
    training = {"precision": "bf16", "epochs": 3, "learning_rate": 0.02}
    recipe = write_recipe(training=training, techniques=techniques)
    record = train(recipe, tmp_path / "run")
    assert record.selected is not None
    assert record.last is not None
    assert (record.selected.epoch, record.last.epoch) == (1, 2)
    splits = ("train_probe", "validation")
    in_training = [(name, True) for _ in range(2) for name in splits]
    at_the_end = [(name, False) for name in splits]
    assert measured == [*in_training, *at_the_end, *at_the_end, ("validation", True), ("test", False)]


def test_class_weights_make_rare_classes_count(write_recipe: Write, tmp_path: Path, reviews: Path) -> None:
    """With the rare class at 1 in 5, balanced weights must raise its predicted share on the train sample."""
    lines = reviews.read_text(encoding="utf-8").splitlines()
    kept = [
        lines[0],
        *(line for index, line in enumerate(lines[1:]) if line.endswith("good") or index % 8 == 1),
    ]
    reviews.write_text("\n".join(kept) + "\n", encoding="utf-8")
    recipe = write_recipe(data={"validation_size": 10, "test_size": 10}, training={"epochs": 4, "learning_rate": 0.003})
    shares = {}
    for weighting in ("none", "balanced"):
        train(recipe, tmp_path / weighting, overrides=[f"training.class_weights={weighting}"])
        logits = np.load(tmp_path / weighting / "predictions.npz")["selected_train_probe_logits"]
        shares[weighting] = (logits[:, 0] - logits[:, 1]).mean()
    assert shares["balanced"] > shares["none"] + 0.1


def test_a_finished_run_leaves_record_model_and_predictions_and_nothing_else(
    write_recipe: Write, tmp_path: Path
) -> None:
    record = train(write_recipe(), tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "model",
        "predictions.npz",
        "run.json",
        "split.json",
    ]
    assert read_record(tmp_path / "run" / "run.json") == record
    assert record.status == "finished"
