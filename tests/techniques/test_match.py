"""AdaMatch: alignment and threshold by hand, which texts a step sees, and what training makes of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from finetune.data.rows import Rows
from finetune.data.tokens import Item
from finetune.data.train_set import Collator
from finetune.data.views import TextViews
from finetune.errors import ModelError, RecipeError
from finetune.models.outputs import model_outputs
from finetune.recipe import load_recipe, resolve
from finetune.records.store import RunFolder
from finetune.techniques import Budget, UnlabelledStep
from finetune.techniques.aeda import AEDA
from finetune.techniques.contract import contract_problems
from finetune.techniques.eda import EDA
from finetune.techniques.hooks.augmentation import BatchAugment
from finetune.techniques.match import WINDOW, Match, aligned, learned, moved, ramp
from finetune.training.prepare import prepare
from finetune.training.runner import run_seed
from finetune.training.unlabelled import UnlabelledTexts
from tests.conftest import WORDS, labelled_texts, save_tiny_model, write_csv
from tests.data.test_tokens import make_encoder, make_tokenizer
from tests.raising import refuses
from tests.running import train

Write = Callable[..., Path]
POOL = [text for text, _ in labelled_texts(12, start=500)]


def rows_of(texts: Sequence[str], pairs: list[str] | None = None) -> Rows:
    return Rows(list(texts), pairs, [None] * len(texts), [str(row + 1) for row in range(len(texts))])


# --- the formulas -------------------------------------------------------------------------------------------


def test_alignment_by_hand() -> None:
    """Predicted 3 : 1 where 1 : 1 is expected: the first class counts a third of the second, row by row."""
    probabilities = torch.tensor([[0.6, 0.4], [0.9, 0.1], [0.5, 0.5]], dtype=torch.float64)
    expected, found = torch.tensor([0.5, 0.5]).double(), torch.tensor([0.75, 0.25]).double()
    by_hand = torch.tensor([[1 / 3, 2 / 3], [3 / 4, 1 / 4], [1 / 4, 3 / 4]], dtype=torch.float64)
    torch.testing.assert_close(aligned(probabilities, expected, found), by_hand, rtol=0, atol=1e-5)
    same = aligned(probabilities, found, found)
    torch.testing.assert_close(same, probabilities, rtol=0, atol=1e-12)


def test_the_running_mean_is_over_all_values_first_and_then_over_the_window() -> None:
    values = np.random.default_rng(0).random((WINDOW + 40, 3))
    mean: Tensor | None = None
    for count, value in enumerate(values, 1):
        mean = moved(mean, torch.tensor(value), count)
        if count <= WINDOW:
            np.testing.assert_allclose(mean, values[:count].mean(axis=0))
    reference = values[:WINDOW].mean(axis=0)
    for value in values[WINDOW:]:
        reference = (1 - 1 / WINDOW) * reference + value / WINDOW
    np.testing.assert_allclose(mean, reference)


def test_the_weight_rises_from_start_to_full_and_stays() -> None:
    assert [ramp(progress, 0.1, 0.5) for progress in (0.0, 0.05, 0.1)] == [0.0, 0.0, 0.0]
    assert ramp(0.3, 0.1, 0.5) == pytest.approx(0.5)
    assert ramp(0.2, 0.1, 0.5) == pytest.approx(0.5 - 0.5 * math.cos(math.pi / 4))
    assert [ramp(progress, 0.1, 0.5) for progress in (0.5, 0.8, 1.0)] == [1.0, 1.0, 1.0]


def test_what_is_learned_by_hand() -> None:
    frequencies = torch.tensor([0.75, 0.25])
    assert learned(torch.tensor([0.75, 0.75, 0.75, 0.25]), frequencies) == 0, "constant predictions: 10 / 16"
    assert learned(torch.ones(4), frequencies) == 1
    assert float(learned(torch.tensor([0.8125]), frequencies)) == pytest.approx(0.5)
    assert learned(torch.tensor([0.1]), frequencies) == 0


def made_step(memory: dict[str, Tensor], **changes: Any) -> UnlabelledStep:
    """Three texts; the training rows are of two classes, 1 : 1, and the right ones have 0.8 and 0.6: γ is 0.4."""
    given: dict[str, Any] = {
        "logits": torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.75, 0.25]]).log(),
        "labelled": torch.tensor([[0.8, 0.2], [0.4, 0.6]]).log(),
        "labels": torch.tensor([0, 1]),
        "frequencies": torch.tensor([0.5, 0.5]),
        "memory": memory,
        "step": 50,
        "steps": 100,
    }
    return UnlabelledStep(**(given | changes))


def test_targets_and_weights_by_hand() -> None:
    """Mean prediction (0.75, 0.25). Aligned, the texts are 3/4 : 1/4, 1/3 : 2/3 and 1/2 : 1/2; the training rows have
    confidence 0.7 on average, of which 0.9 is 0.63."""
    memory: dict[str, Tensor] = {}
    targets, found = Match().unlabelled_targets(made_step(memory))
    assert targets[:2].tolist() == [0, 1]
    assert found.tolist() == pytest.approx([0.4, 0.4, 0.0])
    np.testing.assert_allclose(memory["mean"], [0.75, 0.25], atol=1e-7)
    targets, found = Match(align=False).unlabelled_targets(made_step({}))
    assert targets.tolist() == [0, 0, 0]
    assert found.tolist() == pytest.approx([0.4, 0.0, 0.4]), "0.9, 0.6 and 0.75 against 0.63"


def test_weight_threshold_and_ramp_multiply() -> None:
    _, found = Match(weight=2.0, threshold=1.0).unlabelled_targets(made_step({}, step=30))
    assert found.tolist() == pytest.approx([0.4, 0.0, 0.0]), "half of 2 · 0.4; only 3/4 reaches 0.7"
    _, early = Match().unlabelled_targets(made_step({}, step=10))
    assert early.tolist() == [0.0, 0.0, 0.0]


def test_losses_are_cross_entropy_towards_the_targets() -> None:
    logits, targets = torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])
    losses = Match().unlabelled_losses(logits, targets)
    torch.testing.assert_close(losses, -logits.log_softmax(-1)[range(5), targets])


# --- which texts, and in which parts ------------------------------------------------------------------------


class Shouting:
    """Marks texts that were altered."""

    def __call__(self, texts: Sequence[str], streams: Sequence[Any]) -> list[str]:
        return [f"{text} ! {'!' * stream.randint(0, 2)}".strip() for text, stream in zip(texts, streams, strict=True)]


def made_texts(rank: int = 0, world: int = 1, **settings: Any) -> UnlabelledTexts:
    technique = Match(**({"ratio": 2, "threshold": 0.1} | settings))
    encoder, augment = make_encoder("head"), Shouting()
    return UnlabelledTexts(
        "match",
        technique,
        texts=TextViews(rows_of(POOL), encoder, {"shouting": augment}, {}, seed=0),
        rows=TextViews(rows_of(POOL[:5]), encoder, {}, {}, seed=0),
        collate=Collator(make_tokenizer()),
        labels=torch.tensor([0, 1, 0, 1, 0]),
        frequencies=torch.tensor([0.5, 0.5]),
        batch_size=4,
        start=2,
        steps=20,
        seed=0,
        rank=rank,
        world=world,
    )


def predict(items: Sequence[Item]) -> Tensor:
    """Made up, of the length of a text and its first word."""
    return torch.tensor([[len(item["input_ids"]) / 10, item["input_ids"][1] / 20] for item in items])


def parts_of(texts: UnlabelledTexts, step: int, micro: int) -> list[Any]:
    batches: list[dict[str, Any]] = [{} for _ in range(micro)]
    texts.add_to(batches, step, predict)
    return [batch.get("unlabelled") for batch in batches]


def test_before_the_start_nothing_is_read() -> None:
    texts = made_texts()
    assert parts_of(texts, 0, 2) == parts_of(texts, 1, 2) == [None, None]
    assert texts.to_dict() == {"memory": {}, "seen": 0, "used": 0}
    assert all(parts_of(texts, 2, 2))


def content(part: Any) -> list[tuple[Any, ...]]:
    """Tokens without padding, target and weight of each text."""
    mask = part["attention_mask"].bool()
    tokens = [tuple(ids[kept].tolist()) for ids, kept in zip(part["input_ids"], mask, strict=True)]
    return list(zip(tokens, part["targets"].tolist(), strict=True))


@pytest.mark.parametrize(("world", "micro"), [(1, 1), (1, 3), (2, 1), (3, 2)])
def test_parts_of_processes_and_micro_batches_are_those_of_one(world: int, micro: int) -> None:
    [whole] = parts_of(made_texts(), 7, 1)
    assert len(content(whole)) == 8
    parts = [parts_of(made_texts(rank, world), 7, micro) for rank in range(world)]
    joined = [text for turn in zip(*parts, strict=True) for part in turn for text in content(part)]
    assert joined == content(whole)
    # Trainer divides by the micro-batches, the exchange of gradients by the processes.
    total = sum(float(part["weights"].sum()) for turn in parts for part in turn) / (world * micro)
    assert total == pytest.approx(float(whole["weights"].sum()))


def test_each_text_comes_once_before_any_comes_again() -> None:
    """Twelve texts, eight in a step: three steps are two passes."""
    texts = made_texts()
    views = texts._views["texts"]
    drawn = [draw for step in range(3) for draw in texts._draws["texts"].part(step * 8, 8)]
    assert Counter(row for _, row in drawn) == dict.fromkeys(range(len(views)), 2)
    assert [cycle for cycle, _ in drawn] == [0] * 12 + [1] * 12
    assert [row for _, row in drawn[:12]] != [row for _, row in drawn[12:]]


def test_a_step_does_not_depend_on_those_before_it_but_for_the_memory() -> None:
    resumed, whole = made_texts(), made_texts()
    for step in range(5):
        parts_of(whole, step, 1)
    resumed.restore(whole.to_dict())
    [one], [two] = parts_of(whole, 5, 1), parts_of(resumed, 5, 1)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert resumed.to_dict() == whole.to_dict()
    fresh = made_texts()
    parts_of(fresh, 5, 1)
    assert fresh.to_dict() != whole.to_dict()


def test_the_altered_text_is_trained_on_and_the_text_as_written_predicted() -> None:
    asked: list[Item] = []

    def watch(items: Sequence[Item]) -> Tensor:
        asked.extend(items)
        return predict(items)

    batches: list[dict[str, Any]] = [{}]
    made_texts().add_to(batches, 4, watch)
    mark = make_tokenizer().convert_tokens_to_ids("!")
    assert len(asked) == 8 + 4, "texts, and as many training rows as a batch has"
    assert not any(mark in item["input_ids"] for item in asked)
    assert all(mark in ids for ids in batches[0]["unlabelled"]["input_ids"].tolist())


def test_views_of_windows_and_pairs() -> None:
    long = " ".join([*WORDS, *WORDS[::3]])
    views = TextViews(rows_of([long, "good"]), make_encoder("windows"), {}, {}, seed=3)
    seen = set()
    for times in range(30):
        (one, short), (two, _) = views.as_written([(times, 0), (times, 1)]), views.altered([(times, 0), (times, 1)])
        assert one == two, "the same window"
        assert len(short["input_ids"]) == 3
        seen.add(tuple(one["input_ids"]))
    assert len(seen) > 2
    shout: BatchAugment = Shouting()
    pairs = TextViews(rows_of(["good", "bad"], ["plot", "film"]), make_encoder("head", pairs=True), {"a": shout}, {}, 0)
    mark = make_tokenizer().convert_tokens_to_ids("!")
    for item in pairs.altered([(0, 0), (0, 1)]):
        kinds = [kind for token, kind in zip(item["input_ids"], item["token_type_ids"], strict=True) if token == mark]
        assert set(kinds) == {0, 1}, "both texts of a pair"


def test_what_alters_the_texts_is_our_own_augmentation() -> None:
    view = Match(altered=["aeda", "eda"], amount=0.2).altered_view()
    assert list(view.items()) == [
        ("aeda", AEDA(probability=1.0, ratio=0.2)),
        ("eda", EDA(probability=1.0, swap=0.2, delete=0.2)),
    ]


# --- in training --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def confidences(
    tmp_path_factory: pytest.TempPathFactory, still_model: Path
) -> Callable[[int, dict[str, Any]], list[float]]:
    """(epochs, techniques) -> the largest probability of each of 40 unlabelled texts after training."""
    root = tmp_path_factory.mktemp("effect")
    source = write_csv(root / "reviews.csv", ["text", "label"], labelled_texts(64))
    texts = [text for text, _ in labelled_texts(40, start=1000)]
    pool = write_csv(root / "pool.csv", ["text"], [[text] for text in texts])

    def run(epochs: int, techniques: dict[str, Any]) -> list[float]:
        sizes = {"validation_size": 8, "test_size": 8, "max_length": 32}
        recipe = {
            "model": {"id": str(still_model)},
            "data": {"source": str(source), "unlabelled": str(pool), **sizes},
            "training": {"epochs": epochs, "batch_size": 8, "learning_rate": 0.005, "precision": "fp32"},
            "techniques": techniques,
        }
        prepared = prepare(load_recipe(recipe))
        folder = RunFolder(root / f"{epochs}-{len(techniques)}")
        run_seed(prepared, 0, folder)
        model = AutoModelForSequenceClassification.from_pretrained(folder.model)
        items = [{**item, "labels": 0} for item in prepared.encoder.encode(texts, None)]
        outputs = model_outputs(model, items, Collator(prepared.tokenizer), batch_size=8, device=torch.device("cpu"))
        return F.softmax(torch.tensor(outputs.logits), dim=-1).amax(dim=-1).tolist()

    return run


STRONG = {"threshold": 0.8, "start": 0.3, "full": 0.4, "ratio": 2, "weight": 4.0}


def test_the_model_becomes_surer_of_unlabelled_texts(confidences: Any) -> None:
    plain, ours = confidences(9, {}), confidences(9, {"match": STRONG | {"weight": 40.0}})
    assert np.mean(ours) > np.mean(plain) + 0.005


def test_a_model_that_has_learned_nothing_yet_is_left_alone(confidences: Any) -> None:
    """Without γ this run ends in a model that says one class of every text."""
    plain, ours = confidences(5, {}), confidences(5, {"match": STRONG})
    np.testing.assert_allclose(ours, plain, atol=0.01)


def test_the_record_counts_the_texts_and_says_what_they_cost(write_recipe: Write, tmp_path: Path) -> None:
    record = train(write_recipe(techniques={"match": {}}), tmp_path / "run")
    assert record.data.rows["unlabelled"] == 40
    assert record.techniques["match"].effect == "from step 3, in full from step 10"
    assert record.budget.cost == pytest.approx(1 + 0.9 * (3 + 4 / 3), abs=0.01)
    assert not any("does nothing" in warning for warning in record.warnings)


def test_texts_that_change_nothing_are_a_warning(write_recipe: Write, tmp_path: Path, monkeypatch: Any) -> None:
    def none_is_sure(self: Match, step: UnlabelledStep) -> Any:
        return super(Match, self).unlabelled_targets(step)

    monkeypatch.setattr(Match, "unlabelled_targets", none_is_sure)
    record = train(write_recipe(techniques={"match": {}}, training={"epochs": 1}), tmp_path / "run")
    [said] = [warning for warning in record.warnings if "unlabelled texts" in warning]
    assert said.startswith("techniques.match: of 120 unlabelled texts in 6 steps 0 had a weight")


# --- what is refused ----------------------------------------------------------------------------------------


def test_it_needs_texts(write_recipe: Write) -> None:
    recipe = write_recipe(techniques={"match": {}})
    with refuses(RecipeError, r"techniques\.match: learns from unlabelled texts.*--set data\.unlabelled=FILE"):
        resolve(str(recipe), overrides=["data.unlabelled=null"])


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_other_tasks_are_refused_by_name(task: str, tmp_path: Path, write_recipe: Write) -> None:
    labels = {"multi_label": ["a|b", "b"], "regression": [0.5, 1.25]}[task]
    rows = [(text, labels[row % 2]) for row, (text, _) in enumerate(labelled_texts(80))]
    source = write_csv(tmp_path / "data.csv", ["text", "label"], rows)
    with refuses(RecipeError, rf"techniques\.match: has no meaning for {task}: .*--set techniques\.match=off"):
        prepare(resolve(str(write_recipe(techniques={"match": {}}, data={"source": str(source)}))).recipe)


def test_settings_that_could_not_act_are_refused(write_recipe: Write) -> None:
    with pytest.raises(ValueError, match="is not before full"):
        Match(start=0.5, full=0.5)
    with pytest.raises(ValueError, match="one kind twice"):
        Match(altered=["eda", "eda"])
    [problem] = Match(start=0.9, full=1.0).problems(Budget("single_label", 2, 1e-4, 3, 0.1))
    assert (problem.key, problem.changes[0].settings) == (".start", {".start": 0.0})
    with refuses(RecipeError, r"techniques\.match: cannot be used with mixup: it would mix unlabelled texts"):
        resolve(str(write_recipe(techniques={"mixup": {}, "match": {}})))


def test_a_tokenizer_without_a_mask_is_refused_in_the_name_of_match(write_recipe: Write, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = save_tiny_model(tmp_path / "maskless")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.mask_token = None
    tokenizer.save_pretrained(folder)
    with refuses(ModelError, r"^techniques\.match: the tokenizer .* no mask token.*--set techniques\.match=off"):
        prepare(resolve(str(write_recipe(model=folder, techniques={"match": {}}))).recipe)
    prepare(resolve(str(write_recipe(model=folder, techniques={"match": {"altered": ["eda"]}}))).recipe)


def test_a_technique_that_makes_targets_says_that_it_needs_texts() -> None:
    class Silent(Match):
        """Does not say so."""

        unlabelled = "ignored"

    assert contract_problems(Match) == []
    assert any("must be 'needed'" in problem for problem in contract_problems(Silent))
