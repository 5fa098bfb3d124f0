"""`finetune check --models`: features, folds, scores and intervals against references, and what users see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit, StratifiedKFold, cross_val_predict
from transformers import AutoModel, AutoTokenizer, GPT2Config, GPT2Model

import finetune
from finetune.checks.out_of_fold import STRENGTHS, FoldedRows
from finetune.data.load import load_data
from finetune.data.rows import Data
from finetune.errors import DataError, ModelError, RecipeError, RunFailed
from finetune.models.features import FrozenEncoder
from finetune.recipe import ModelSection, Recipe
from finetune.reports.encoders import render_encoders
from finetune.training.encoders import compare_encoders, frozen_features
from finetune.workflows.asking import Request
from tests.cli.invoking import invoke
from tests.conftest import labelled_texts, save_tiny_model, write_csv, write_jsonl


def loaded(source: Path, model: Path, **overrides: Any) -> tuple[Recipe, Data]:
    settings = {"data.max_length": 32, **overrides}
    recipe = Request(None, model, source, settings).options().resolve(None)
    return recipe, load_data(recipe.data)


def reference(model: Path, texts: list[str], averages: bool) -> np.ndarray[Any, Any]:
    """One text at a time, so that there is no padding."""
    encoder, tokenizer = AutoModel.from_pretrained(model).eval(), AutoTokenizer.from_pretrained(model)
    found = []
    for text in texts:
        with torch.no_grad():
            hidden = encoder(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        vector = hidden.mean(dim=0) if averages else hidden[0]
        found.append((vector / vector.norm()).numpy())
    return np.stack(found)


@pytest.mark.parametrize("averages", [False, True])
def test_features_are_what_the_head_reads_whatever_the_batch(
    reviews: Path, tiny_model: Path, pooled_model: Path, averages: bool
) -> None:
    model = pooled_model if averages else tiny_model
    recipe, data = loaded(reviews, model)
    features, entry = frozen_features(recipe, data, FoldedRows(data, data.train, 0), str(model))
    assert features == pytest.approx(reference(model, data.train.texts, averages), abs=1e-5)
    assert entry.pooling == ("mean" if averages else "cls")
    assert (entry.dimension, entry.max_tokens, entry.truncated) == (16, 64, 0.0)
    turned = FoldedRows(data, data.train.take(range(len(data.train))[::-1]), 0)
    assert frozen_features(recipe, data, turned, str(model))[0][::-1] == pytest.approx(features, abs=1e-5)


def test_pairs_are_read_together(tmp_path: Path, tiny_model: Path) -> None:
    rows = [{"a": text, "b": f"{label} film", "label": label} for text, label in labelled_texts(40)]
    source = write_jsonl(tmp_path / "pairs.jsonl", rows)
    recipe, data = loaded(source, tiny_model, **{"data.text": "a", "data.text_pair": "b"})
    features, _ = frozen_features(recipe, data, FoldedRows(data, data.train, 0), str(tiny_model))
    assert data.train.pairs is not None
    encoder, tokenizer = AutoModel.from_pretrained(tiny_model).eval(), AutoTokenizer.from_pretrained(tiny_model)
    with torch.no_grad():
        both = tokenizer(data.train.texts[0], data.train.pairs[0], return_tensors="pt")
        first = encoder(**both).last_hidden_state[0, 0]
    assert features[0] == pytest.approx((first / first.norm()).numpy(), abs=1e-5)


def test_predictions_are_those_of_scikit_learn_in_the_same_folds(reviews: Path, tiny_model: Path) -> None:
    _, data = loaded(reviews, tiny_model)
    folded = FoldedRows(data, data.train, 0)
    shift = np.outer(folded.targets, np.linspace(0, 1, 8))
    features = (np.random.default_rng(0).normal(size=(len(data.train), 8)) + shift).astype(np.float32)
    fold_of = np.zeros(len(data.train), dtype=int)
    for number, rows in enumerate(folded.folds):
        fold_of[rows] = number
    search = GridSearchCV(
        LogisticRegression(tol=1e-3, max_iter=200),
        {"C": STRENGTHS},
        scoring="neg_log_loss",
        cv=StratifiedKFold(3, shuffle=True, random_state=0),
    )
    expected = cross_val_predict(
        search, features * np.sqrt(8), folded.targets, cv=PredefinedSplit(fold_of), method="predict_log_proba"
    )
    assert folded.predict_with(features) == pytest.approx(expected, abs=0.02)


def test_groups_stay_in_one_fold_and_are_drawn_whole(tmp_path: Path, tiny_model: Path) -> None:
    rows = [(text, label, f"g{index // 4}") for index, (text, label) in enumerate(labelled_texts(80))]
    source = write_csv(tmp_path / "groups.csv", ["text", "label", "who"], rows)
    _, data = loaded(source, tiny_model, **{"data.group": "who"})
    folded = FoldedRows(data, data.train, 0)
    assert data.train.groups is not None
    parts = [{data.train.groups[row] for row in fold} for fold in folded.folds]
    assert sum(map(len, parts)) == len(set(data.train.groups))
    right = np.array([index // 8 % 2 == 0 for index in range(len(data.train))])  # whole groups right or wrong
    logits = np.where((np.eye(2)[folded.targets] > 0) == right[:, None], 3.0, -3.0)
    grouped = folded.draws(logits, "accuracy").std()
    alone = FoldedRows(data, type(data.train)(**{**vars(data.train), "groups": None}), 0).draws(logits, "accuracy")
    assert grouped > 1.3 * alone.std()


def test_the_interval_covers_the_true_score_as_often_as_it_says(reviews: Path, tiny_model: Path) -> None:
    _, data = loaded(reviews, tiny_model)
    folded = FoldedRows(data, data.train, 0)
    covered = 0
    for seed in range(60):
        right = np.random.default_rng(seed).random(len(data.train)) < 0.7
        logits = np.where((np.eye(2)[folded.targets] > 0) == right[:, None], 3.0, -3.0)
        low, high = np.percentile(folded.draws(logits, "accuracy"), [2.5, 97.5])
        covered += low <= 0.7 <= high
    assert covered >= 52


def test_several_labels_and_numbers(tmp_path: Path, tiny_model: Path) -> None:
    texts = labelled_texts(60)
    several = [{"text": text, "label": [label] + ["film"] * ("film" in text)} for text, label in texts]
    numbers = [{"text": text, "label": len(text) + 0.5} for text, _ in texts]
    for name, rows, score in (("several", several, "micro_f1"), ("numbers", numbers, "r2")):
        source = write_jsonl(tmp_path / f"{name}.jsonl", rows)
        recipe, data = loaded(source, tiny_model)
        compared = compare_encoders(recipe, data, [str(tiny_model)], lambda _: None)
        assert compared.score == score
        found = compared.models[0].score
        assert found.mean is not None
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.mean <= found.high


def test_validation_and_test_are_not_read(reviews: Path, tiny_model: Path) -> None:
    recipe, data = loaded(reviews, tiny_model)

    def scores(data: Data) -> list[Any]:
        compared = compare_encoders(recipe, data, [str(tiny_model)], lambda _: None)
        return [(entry.score, entry.scores) for entry in [*compared.models, compared.tfidf]]

    closed = type(data)(**{**vars(data), "validation": None, "test": None, "probe": []})
    assert scores(closed) == scores(data)


def test_a_class_of_one_row_is_refused_by_name(tmp_path: Path, tiny_model: Path) -> None:
    source = write_csv(tmp_path / "one.csv", ["text", "label"], [*labelled_texts(40), ("a lovely plot", "odd")])
    recipe, data = loaded(source, tiny_model)
    with pytest.raises(DataError, match="these classes have one: odd"):
        compare_encoders(recipe, data, [str(tiny_model)], lambda _: None)


def test_decoders_and_models_without_a_tokenizer_are_refused(tmp_path: Path, reviews: Path, tiny_model: Path) -> None:
    decoder = tmp_path / "decoder"
    GPT2Model(GPT2Config(vocab_size=64, n_embd=16, n_layer=1, n_head=2, n_positions=64)).save_pretrained(decoder)
    with pytest.raises(ModelError, match=r"decoder\. Name an encoder"):
        FrozenEncoder(ModelSection(id=str(decoder)))
    bare = save_tiny_model(tmp_path / "bare")
    for path in bare.glob("*token*"):
        path.unlink()
    recipe, data = loaded(reviews, tiny_model)
    compared = compare_encoders(recipe, data, [str(bare), str(tiny_model)], lambda _: None)
    assert [entry.error is None for entry in compared.models] == [True, False]
    assert "tokenizer" in str(compared.models[1].error)


def test_what_a_user_sees_when_one_model_is_missing(
    reviews: Path, tiny_model: Path, pooled_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    models = f"{tiny_model},./missing,{pooled_model}"
    options = ["check", reviews, "--model", tiny_model, "--set", "data.max_length=32", "--models", models]
    shown = invoke(*options)
    assert shown.exit_code == 1
    table = shown.stdout[shown.stdout.index("Frozen encoders") :]
    assert f"{tiny_model} (cls, the recipe's)\n" in table
    assert f"\n{pooled_model} (mean)\n" in table
    assert "\nTF-IDF\n" in table
    assert "./missing  no score: model.id: no folder './missing'." in table
    assert "another encoder is another model" in " ".join(table.split())
    assert all(len(line) <= 80 or "/" in line for line in table.splitlines())
    assert "error: --models: no score for ./missing" in shown.stderr
    written = invoke(*options, "--json")
    assert [entry["error"] is None for entry in json.loads(written.stdout)["encoders"]["models"]] == [True, True, False]


def test_from_python(reviews: Path, tiny_model: Path, pooled_model: Path) -> None:
    settings = {"data.max_length": 32}
    plain = finetune.check(reviews, model=tiny_model, overrides=settings)
    assert plain.encoders is None
    assert "encoders" not in json.loads(plain.to_json())
    result = finetune.check(reviews, model=tiny_model, overrides=settings, models=[pooled_model, tiny_model])
    assert result.encoders is not None
    result.raise_failures()
    best, other = result.encoders.models
    assert best.difference is None
    assert other.difference is not None
    assert {best.model, other.model} == {str(pooled_model), str(tiny_model)}
    assert "Frozen encoders" in result._repr_html_()
    assert "Frozen encoders" not in plain._repr_html_()
    assert "distinguishable" in render_encoders(result.encoders) or "better than" in render_encoders(result.encoders)
    for models, why in (([tiny_model, tiny_model], "named twice"), ([], "names no model")):
        with pytest.raises(RecipeError, match=why):
            finetune.check(reviews, models=models)
    failing = finetune.check(reviews, model=tiny_model, overrides=settings, models="./missing")
    with pytest.raises(RunFailed, match=r"no score for \./missing"):
        failing.raise_failures()
