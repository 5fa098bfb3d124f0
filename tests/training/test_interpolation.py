"""The line from pretrained to fine-tuned weights: its points, and which of them a run ships."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from finetune.data.train_set import Collator
from finetune.measurement.scores import measure_of
from finetune.recipe import resolve
from finetune.records.schema import FinishedRecord
from finetune.records.store import RunFolder, read_record
from finetune.techniques import Technique
from finetune.training.final_weights import FinalWeights
from finetune.training.interpolation import PretrainedPath
from finetune.training.prepare import Prepared, prepare
from finetune.training.runner import run_seed
from tests.cli.invoking import invoke
from tests.interrupting import InterruptAt
from tests.running import assert_same_weights, run_in_two_processes, train, weights
from tests.techniques.watching import Spy, pretrained_weights, watch

Write = Callable[..., Path]
SHARES = [0.25, 0.5, 0.75, 1.0]
LEARNING = {"learning_rate": 0.01, "epochs": 10}


# --- the line ---------------------------------------------------------------------------------------------------


@pytest.fixture
def model() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"encoder": nn.Linear(5, 4), "head": nn.Linear(4, 2)})


@pytest.fixture
def pretrained(model: nn.ModuleDict) -> dict[str, Tensor]:
    return {
        name: value.detach() + 0.1 * torch.randn_like(value)
        for name, value in model.named_parameters()
        if name.startswith("encoder.")
    }


def values(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.85, 1.0])
def test_a_share_is_a_point_of_the_line_and_the_head_stays(
    model: nn.ModuleDict, pretrained: dict[str, Tensor], share: float
) -> None:
    tuned = values(model)
    path = PretrainedPath(model, pretrained)
    for elsewhere in (0.3, share):  # wherever one comes from
        path.move_to(elsewhere)
    for name, found in values(model).items():
        if name in pretrained:
            expected = (1 - share) * pretrained[name].double() + share * tuned[name].double()
            torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-7)
        else:
            assert torch.equal(found, tuned[name])


def test_both_ends_are_exact(model: nn.ModuleDict, pretrained: dict[str, Tensor]) -> None:
    """1 gives back w even where w₀ + (w − w₀) would not."""
    with torch.no_grad():
        model.get_parameter("encoder.weight").fill_(1e-9)
    tuned = values(model)
    assert not torch.equal(
        pretrained["encoder.weight"] + (tuned["encoder.weight"] - pretrained["encoder.weight"]), tuned["encoder.weight"]
    )
    path = PretrainedPath(model, pretrained)
    path.move_to(0.0)
    assert all(torch.equal(values(model)[name], value) for name, value in pretrained.items())
    path.move_to(1.0)
    assert all(torch.equal(values(model)[name], value) for name, value in tuned.items())


def test_what_did_not_move_stays_exact(model: nn.ModuleDict) -> None:
    tuned = values(model)
    path = PretrainedPath(model, {name: value.clone() for name, value in tuned.items() if "encoder" in name})
    path.move_to(0.7)
    assert all(torch.equal(values(model)[name], value) for name, value in tuned.items())


@pytest.mark.parametrize(
    ("qualities", "best"),
    [
        ({0.2: (0.5, -1.0), 0.6: (0.9, -1.0), 1.0: (0.7, -0.1)}, 0.6),
        ({0.2: (0.9, -0.5), 0.6: (0.9, -0.2), 1.0: (0.9, -0.4)}, 0.6),  # equal metric: the lower loss
        ({0.2: (0.9, -0.5), 0.6: (0.9, -0.5), 1.0: (0.9, -0.5)}, 1.0),  # all equal: the larger share
        ({0.2: (0.9, -0.5), 0.6: (0.9, -0.5), 1.0: (0.8, -0.5)}, 0.6),
        ({0.2: (-np.inf, -np.inf), 0.6: (-np.inf, -1.0), 1.0: (-np.inf, -np.inf)}, 0.6),
    ],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_the_best_is_chosen_and_the_model_left_there(
    model: nn.ModuleDict,
    pretrained: dict[str, Tensor],
    qualities: dict[float, tuple[float, float]],
    best: float,
    backwards: bool,
) -> None:
    tuned = values(model)
    path = PretrainedPath(model, pretrained)

    def quality() -> tuple[float, float]:
        moved = values(model)["encoder.weight"] - pretrained["encoder.weight"]
        whole = tuned["encoder.weight"] - pretrained["encoder.weight"]
        share = float((moved * whole).sum() / whole.square().sum())
        return next(found for at, found in qualities.items() if abs(at - share) < 1e-3)

    order = sorted(qualities, reverse=backwards)
    assert path.move_to_best(order, quality) == best
    expected = pretrained["encoder.weight"] + best * (tuned["encoder.weight"] - pretrained["encoder.weight"])
    torch.testing.assert_close(values(model)["encoder.weight"], expected, rtol=0, atol=1e-7)


# --- in a run ---------------------------------------------------------------------------------------------------


PLAIN = {"kernels": "plain"}  # a technique that is not ours changes the kernels, and so the dropout masks


class Between(Technique):
    """Offers shares, and nothing else."""

    family = "test"
    source = "test"

    shares: list[float] = SHARES

    def interpolations(self) -> tuple[float, ...]:
        return tuple(self.shares)


def with_techniques(recipe: Path, *overrides: str, **techniques: Technique) -> Prepared:
    resolved = resolve(str(recipe), overrides=overrides).recipe
    return prepare(resolved.model_copy(update={"techniques": {**resolved.techniques, **techniques}}))


def measured(prepared: Prepared, folder: Path, values: dict[str, Tensor], split: str) -> dict[str, float]:
    """Scores of these weights, by plain transformers."""
    model = AutoModelForSequenceClassification.from_pretrained(folder / "model").eval()
    rows = prepared.measured[split]
    batch = Collator(prepared.tokenizer)([rows[index] for index in range(len(rows))])
    labels = batch.pop("labels")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(values[name])
        logits = model(**batch).logits
    return prepared.meter.measure(rows.restore(logits.numpy()), rows.restore(labels.numpy()))


def on_the_line(tuned: dict[str, Tensor], start: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    return {
        name: (start[name].double() + share * (value.double() - start[name].double())).float()
        if name in start
        else value
        for name, value in tuned.items()
    }


@pytest.mark.parametrize("epochs", [4, 5, 10])
def test_the_share_that_is_best_on_validation_ships(
    write_recipe: Write, tiny_model: Path, tmp_path: Path, epochs: int
) -> None:
    """Tried anew by hand, from the weights after the last step."""
    spy = Spy()
    recipe = write_recipe(training={**LEARNING, "epochs": epochs})
    prepared = with_techniques(recipe, between=Between(), last=spy)
    record = run_seed(prepared, 0, RunFolder(tmp_path / "run"))
    tuned, start = spy.after[-1].values, pretrained_weights(tiny_model)
    candidates = {share: on_the_line(tuned, start, share) for share in SHARES}
    scores = {share: measured(prepared, tmp_path / "run", found, "validation") for share, found in candidates.items()}
    assert record.selected is not None
    assert record.last is not None
    share = record.selected.share
    assert share == max(SHARES, key=lambda at: (scores[at]["accuracy"], -scores[at]["nll"], at))
    for name, value in weights(tmp_path / "run").items():
        torch.testing.assert_close(value, candidates[share][name], rtol=0, atol=1e-7)
        if share == 1 or name not in start:
            assert torch.equal(value, tuned[name]), name
    assert record.selected.validation["nll"] == pytest.approx(scores[share]["nll"], rel=1e-4)
    assert record.selected.test is not None
    test = measured(prepared, tmp_path / "run", candidates[share], "test")
    assert record.selected.test["nll"] == pytest.approx(test["nll"], rel=1e-4)
    # What came last is the fine-tuned weights, as every evaluation of the history.
    assert record.last.share is None
    assert record.last.validation == record.history[-1].validation
    assert record.last.validation["nll"] == pytest.approx(scores[1.0]["nll"], rel=1e-4)
    arrays = np.load(tmp_path / "run" / "predictions.npz")
    assert (share == 1) == np.array_equal(arrays["selected_validation_logits"], arrays["last_validation_logits"])


def test_training_is_the_same_as_without_and_a_share_of_one_ships_its_weights_bit_for_bit(
    write_recipe: Write, tmp_path: Path
) -> None:
    recipe = write_recipe(training=PLAIN)
    plain = train(recipe, tmp_path / "plain")
    ours = run_seed(with_techniques(recipe, between=Between()), 0, RunFolder(tmp_path / "ours"))
    assert ours.history == plain.history
    assert ours.last.validation == plain.last.validation
    at_one = run_seed(with_techniques(recipe, between=Between(shares=[1.0])), 0, RunFolder(tmp_path / "one"))
    assert_same_weights(tmp_path / "plain", tmp_path / "one")
    assert at_one.selected == plain.selected.model_copy(update={"share": 1.0})


def test_equal_qualities_ship_the_largest_share(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune.training.final_weights.FinalWeights._validation_quality", lambda _: (0.5, -1.0))
    prepared = with_techniques(write_recipe(), between=Between(shares=[0.75, 0.25, 0.5]))
    record = run_seed(prepared, 0, RunFolder(tmp_path / "run"))
    assert record.selected is not None
    assert record.selected.share == 0.75


def test_a_share_below_one_ships_where_it_is_better(write_recipe: Write, tiny_model: Path, tmp_path: Path) -> None:
    """A run that overfits: every validation text is right half the way, and not all at the end."""
    spy = Spy()
    stopping = {"early_stopping": {"patience": 11}}
    recipe = write_recipe(training={"learning_rate": 0.02, "epochs": 12, **PLAIN}, techniques=stopping)
    prepared = with_techniques(recipe, between=Between(), last=spy)
    record = run_seed(prepared, 0, RunFolder(tmp_path / "run"))
    assert record.selected is not None
    assert record.selected.share == 0.5
    tuned = spy.after[record.selected.step - 1].values
    whole, half = (
        measured(prepared, tmp_path / "run", on_the_line(tuned, pretrained_weights(tiny_model), share), "validation")
        for share in (1.0, 0.5)
    )
    assert whole["accuracy"] < half["accuracy"] == record.selected.validation["accuracy"]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [(None, (0.75, -0.9)), ("nll", (-0.9, -0.9)), ("brier", (-0.4, -0.9)), ("macro_f1", (-np.inf, -0.9))],
)
def test_the_metric_of_the_selection_rule_decides_then_the_loss(
    metric: str | None, expected: tuple[float, float]
) -> None:
    """Higher is better; what is undefined is worst."""
    scores = {"accuracy": 0.75, "nll": 0.9, "brier": 0.4, "macro_f1": float("nan")}
    prepared = SimpleNamespace(
        measure=measure_of("single_label", None),
        meter=SimpleNamespace(measure=lambda logits, targets: scores),
        measured={"validation": "rows"},
        metric=metric,
    )
    trainer = SimpleNamespace(split_outputs=lambda split: {"rows": (None, None)}[split])
    final: Any = SimpleNamespace(_prepared=prepared, _trainer=trainer)
    assert FinalWeights._validation_quality(final) == expected


@pytest.mark.parametrize("average", [{}, {"ema": {"decay": 0.8}}], ids=["plain", "ema"])
def test_it_is_the_selected_weights_that_are_moved(
    write_recipe: Write, tiny_model: Path, tmp_path: Path, average: dict[str, Any]
) -> None:
    """Early stopping goes back to an earlier epoch; with an average, to that of then."""
    stopping = {"early_stopping": {"metric": "loss", "patience": 2, "min_delta": 0.0}}
    training = {"learning_rate": 0.02, "epochs": 12, **PLAIN}
    spy = Spy()
    recipe = write_recipe(techniques={**average, **stopping}, training=training)
    record = run_seed(with_techniques(recipe, between=Between(shares=[0.5]), last=spy), 0, RunFolder(tmp_path / "run"))
    assert record.selected is not None
    assert record.last is not None
    assert record.selected.step < record.last.step
    step = record.selected.step
    beta = 0.8 if average else 1e-300
    shares = torch.tensor([beta ** (step - index) for index in range(1, step + 1)], dtype=torch.float64)
    selected = {
        name: torch.einsum(
            "s,s...->...", shares / shares.sum(), torch.stack([seen.values[name] for seen in spy.after[:step]]).double()
        )
        for name in spy.after[0].values
    }
    expected = on_the_line(selected, pretrained_weights(tiny_model), 0.5)
    for name, value in weights(tmp_path / "run").items():
        torch.testing.assert_close(value.double(), expected[name].double(), rtol=0, atol=5e-7, msg=name)
    assert record.last.validation["nll"] == pytest.approx(record.history[-1].validation["nll"], rel=1e-5)


def test_frozen_encoder_weights_stay_exactly_pretrained(write_recipe: Write, tiny_model: Path, tmp_path: Path) -> None:
    class Freezing(Technique):
        family = "test"
        source = "test"

        def prepare_model(self, model: nn.Module) -> None:
            for name, parameter in model.named_parameters():
                parameter.requires_grad_("embeddings" not in name)

    prepared = with_techniques(write_recipe(), freezing=Freezing(), between=Between(shares=[0.7]))
    run_seed(prepared, 0, RunFolder(tmp_path / "run"))
    start = pretrained_weights(tiny_model)
    for name, value in weights(tmp_path / "run").items():
        if "embeddings" in name:
            assert torch.equal(value, start[name]), name


# --- interruption, processes, records -----------------------------------------------------------------------------


WISE: dict[str, Any] = {"wise_ft": {"shares": [0.5, 0.8]}}


def test_a_resumed_run_moves_along_the_same_line(
    write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pretrained end is what was loaded, not what the checkpoint holds. And the share survives the record."""
    recipe = write_recipe(techniques=WISE)
    whole = train(recipe, tmp_path / "whole")
    assert whole.selected.share in (0.5, 0.8)
    assert read_record(tmp_path / "whole" / "run.json") == whole
    assert FinishedRecord.model_validate_json(whole.model_dump_json()) == whole
    for moment in (3, 15, "measuring"):
        cut = tmp_path / f"cut-{moment}"
        with monkeypatch.context() as patch:
            if moment == "measuring":
                patch.setattr("finetune.training.interpolation.PretrainedPath.move_to_best", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                train(recipe, cut, callbacks=[InterruptAt(moment)] if isinstance(moment, int) else [])
        resumed = train(recipe, cut, resume=True)
        assert resumed.model_dump(exclude={"time"}) == whole.model_dump(exclude={"time"}), moment
        assert_same_weights(cut, tmp_path / "whole")


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_two_processes_measure_average_and_choose_as_one(
    write_recipe: Write, still_model: Path, tmp_path: Path
) -> None:
    """With an average of the weights, which each process keeps for itself."""
    techniques = {"ema": {"horizon": 0.2}, **WISE}
    recipe = write_recipe(model=still_model, techniques=techniques, training={"learning_rate": 0.001})
    one = train(recipe, tmp_path / "one")
    run_in_two_processes(("run", recipe, "--output", tmp_path / "two"))
    two = read_record(tmp_path / "two" / "run.json")
    assert two.budget.processes == 2
    assert one.selected is not None
    assert two.selected is not None
    assert two.selected.share == one.selected.share
    for a, b in zip(one.history, two.history, strict=True):
        assert a.validation["nll"] == pytest.approx(b.validation["nll"], rel=1e-4)
    assert_same_weights(tmp_path / "one", tmp_path / "two", tolerance=5e-6)


def test_a_report_reads_it(write_recipe: Write, tmp_path: Path) -> None:
    recipe = write_recipe()
    train(recipe, tmp_path / "runs" / "none", "none")
    preset = tmp_path / "between.yaml"
    preset.write_text("wise_ft: {shares: [0.5, 0.8]}", encoding="utf-8")
    record = train(recipe, tmp_path / "runs" / "between", str(preset))
    shown = invoke("report", tmp_path / "runs", "--json")
    assert shown.exit_code == 0, shown.stderr
    assert record.selected is not None
    nll = record.selected.validation["nll"]
    assert str(nll) in shown.stdout, "the report is of what ships"


def test_a_watched_run_of_the_technique_is_on_the_line(write_recipe: Write, tiny_model: Path, tmp_path: Path) -> None:
    spy = Spy()
    run = watch(write_recipe(techniques=WISE), tmp_path / "run", last=spy)
    assert run.record.selected is not None
    share = run.record.selected.share
    assert share is not None
    expected = on_the_line(spy.after[-1].values, pretrained_weights(tiny_model), share)
    for name, value in run.weights.items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-7)
