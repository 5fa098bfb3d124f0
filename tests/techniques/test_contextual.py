"""Contextual substitution: which words go, which come, and that it is made once."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForMaskedLM, AutoTokenizer

from finetune.errors import DataError, ModelError
from finetune.techniques import AugmentSources, contextual
from finetune.techniques.contextual import Contextual, choose_words, draw_word
from finetune.techniques.helper_models import load_part, load_weights
from tests.conftest import MARKS, SPECIAL, WORDS, save_tiny_model
from tests.raising import refuses
from tests.running import assert_same_weights, clean_items, train
from tests.techniques.helper_folders import save_masked_model
from tests.techniques.watching import Spy, watch

Write = Callable[..., Path]

TEXTS = [
    "the movie was Good!",
    "THE FILM was NOT very bad, 10/10 😀",
    "a lovely plot http://t.co/movie @scene #actor",
    "sad",
]


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_masked_model(tmp_path_factory.mktemp("masked") / "bert")


def sources(texts: Sequence[str], folder: Path, model: Path) -> AugmentSources:
    return AugmentSources(list(texts), AutoTokenizer.from_pretrained(model), str(model), torch.empty, folder)


def rewritten(technique: Contextual, source: AugmentSources, texts: Sequence[str], seed: int = 0) -> list[str]:
    return technique.augmenter(source)(texts, [random.Random(f"{seed} {row}") for row in range(len(texts))])


class Passes:
    """Counts the forward passes of masked language models, and the rows in them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from transformers import BertForMaskedLM

        self.rows: list[int] = []
        plain = BertForMaskedLM.forward

        def forward(model: Any, *arguments: Any, **named: Any) -> Any:
            assert not model.training
            assert not torch.is_grad_enabled()
            assert model.dtype == torch.float32
            self.rows.append(len(named["input_ids"]))
            return plain(model, *arguments, **named)

        monkeypatch.setattr(BertForMaskedLM, "forward", forward)


# --- the draws ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "expected"), [(0.01, 1), (0.15, 2), (0.5, 5), (1.0, 10)])
def test_share_of_the_words_is_chosen_and_one_at_least(share: float, expected: int) -> None:
    text = " ".join(f"word{'abcdefghij'[number]}" for number in range(10)) + " 12 http://x.de"
    for seed in range(20):
        spans = choose_words(text, share, frozenset(), random.Random(seed))
        assert len(set(spans)) == expected
        assert spans == sorted(spans)
        assert all(text[start:end].startswith("word") for start, end in spans)


def test_every_word_gets_its_turn_but_the_protected() -> None:
    text, rng = "Not good, never bad", random.Random(0)
    found = Counter(choose_words(text, 0.1, frozenset({"not", "never"}), rng)[0] for _ in range(1000))
    assert {text[start:end] for start, end in found} == {"good", "bad"}
    assert all(420 < count < 580 for count in found.values())
    assert choose_words("not never", 1.0, frozenset({"not", "never"}), rng) == []


def test_a_word_is_drawn_by_its_probability_among_the_likeliest_others() -> None:
    """The original, in any case, does not count; of the rest the first three, renormalised to 4/7, 2/7, 1/7."""
    words = ["Good", "fine", "good", "nice", "great", "bad"]
    scores = [0.0, math.log(0.4), -0.5, math.log(0.2), math.log(0.1), math.log(0.05)]
    rng = random.Random(0)
    found = Counter(draw_word(words, scores, "good", 3, rng) for _ in range(7000))
    assert set(found) == {"fine", "nice", "great"}
    for word, expected in (("fine", 4000), ("nice", 2000), ("great", 1000)):
        assert found[word] == pytest.approx(expected, abs=210)  # five standard deviations


def test_no_other_word_is_no_word() -> None:
    assert draw_word(["Good"], [0.0], "good", 3, random.Random(0)) is None


# --- the technique ------------------------------------------------------------------------------------------


def test_only_words_are_replaced_by_words_in_their_case(masked: Path, tmp_path: Path) -> None:
    """All words masked: what stands around them, negations, addresses and numbers stay byte for byte."""
    technique = Contextual(probability=1.0, share=1.0, variants=8)
    source = sources(TEXTS, tmp_path, masked)
    allowed = set(WORDS) - {"a", "not"}
    for seed in range(8):
        one, two, three, four = rewritten(technique, source, TEXTS, seed)
        first = one.split()
        assert len(first) == 4
        assert first[3][0].isupper()
        assert first[3].endswith("!")
        second = two.split()
        assert second[3] == "NOT"
        assert second[0].isupper()
        assert second[1].isupper()
        assert second[5].endswith(",")
        assert two.endswith(", 10/10 😀")
        assert three.endswith(" http://t.co/movie @scene #actor")
        for text, other in zip(TEXTS, (one, two, three, four), strict=True):
            for old, new in zip(text.split(), other.split(), strict=True):
                if old[0] in "@#" or old in ("NOT", "10/10", "😀") or ":" in old:
                    assert new == old
                else:
                    assert new.strip(",!").lower() in allowed
                    assert new.lower() != old.lower()


def test_what_comes_in_is_what_the_model_expects(masked: Path, tmp_path: Path) -> None:
    """top_k 1: the likeliest whole word at the mask that is not the original, worked out here one text at a time."""
    tokenizer, model = AutoTokenizer.from_pretrained(masked), AutoModelForMaskedLM.from_pretrained(masked).eval()
    texts = [f"the movie was {word}" for word in WORDS[:10]]
    technique = Contextual(probability=1.0, share=0.1, top_k=1, variants=1)
    out = rewritten(technique, sources(texts, tmp_path, masked), texts)
    for text, other in zip(texts, out, strict=True):
        old, new = text.split(), other.split()
        (place,) = (index for index in range(4) if old[index] != new[index])
        ids = tokenizer(" ".join([*old[:place], "[MASK]", *old[place + 1 :]]), return_tensors="pt")
        with torch.no_grad():
            scores = model(**ids).logits[0, place + 1]
        ranked = [tokenizer.convert_ids_to_tokens(int(number)) for number in scores[:33].argsort(descending=True)]
        expected = [word for word in ranked if word not in (*SPECIAL, *MARKS, "a", "not", old[place])]
        assert new[place] == expected[0]


def test_top_k_widens_what_comes_in(masked: Path, tmp_path: Path) -> None:
    found = {}
    for top_k in (1, 2, 10):
        technique = Contextual(probability=1.0, share=1.0, top_k=top_k, variants=30)
        source = sources(["movie"], tmp_path, masked)
        found[top_k] = {rewritten(technique, source, ["movie"], seed)[0] for seed in range(100)}
    assert len(found[1]) == 1
    assert len(found[2]) == 2
    assert found[1] < found[2] < found[10]


def test_the_texts_do_not_depend_on_what_else_is_rewritten(masked: Path, tmp_path: Path) -> None:
    technique = Contextual(probability=1.0, variants=1)
    together = rewritten(technique, sources(TEXTS, tmp_path / "a", masked), TEXTS)
    for number, text in enumerate(TEXTS):
        alone = technique.augmenter(sources([text], tmp_path / str(number), masked))
        assert alone([text], [random.Random(0)]) == [together[number]]


def test_two_processes_without_a_common_cache_write_the_same(masked: Path, tmp_path: Path) -> None:
    technique = Contextual()
    one, two = (rewritten(technique, sources(TEXTS, tmp_path / name, masked), TEXTS) for name in "ab")
    assert one == two


def test_it_is_made_once_and_kept(masked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = Passes(monkeypatch)
    technique = Contextual(probability=1.0, variants=3)
    first = rewritten(technique, sources(TEXTS, tmp_path, masked), TEXTS)
    assert sum(passes.rows) == 3 * len(TEXTS)
    assert rewritten(technique, sources(TEXTS, tmp_path, masked), TEXTS) == first
    assert sum(passes.rows) == 3 * len(TEXTS)
    rewritten(technique, sources([*TEXTS, "new movie"], tmp_path, masked), TEXTS)
    assert sum(passes.rows) == 3 * len(TEXTS) + 3


@pytest.mark.parametrize("change", [{"share": 0.9}, {"top_k": 3}, {"protected": ["movie"]}])
def test_other_settings_find_no_old_texts(
    masked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    passes = Passes(monkeypatch)
    rewritten(Contextual(variants=1), sources(TEXTS, tmp_path, masked), TEXTS)
    rewritten(Contextual(variants=1, **change), sources(TEXTS, tmp_path, masked), TEXTS)
    assert sum(passes.rows) == 2 * len(TEXTS)


def test_another_model_finds_no_old_texts(masked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = save_masked_model(tmp_path / "other", intermediate_size=48)
    passes = Passes(monkeypatch)
    for model in (masked, other):
        rewritten(Contextual(variants=1, model=str(model)), sources(TEXTS, tmp_path, masked), TEXTS)
    assert sum(passes.rows) == 2 * len(TEXTS)


def test_probability_and_variants_of_other_size_use_what_is_there(
    masked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = Passes(monkeypatch)
    rewritten(Contextual(variants=2), sources(TEXTS, tmp_path, masked), TEXTS)
    rewritten(Contextual(variants=1, probability=1.0), sources(TEXTS, tmp_path, masked), TEXTS)
    assert sum(passes.rows) == 2 * len(TEXTS)


def test_batches_hold_texts_of_about_one_length_and_not_too_many(
    masked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 tokens a pass: 22 texts of 6 tokens, 10 at a time; then 4 of 32, with [CLS] and [SEP]."""
    monkeypatch.setattr(contextual, "BATCH_TOKENS", 64)
    passes = Passes(monkeypatch)
    texts = [*(f"the movie was {word}" for word in WORDS), *(" ".join([word] * 30) for word in WORDS[:4])]
    rewritten(Contextual(variants=1), sources(texts, tmp_path, masked), texts)
    assert passes.rows == [10, 10, 2, 2, 2]


def test_long_empty_and_odd_texts_come_through(masked: Path, tmp_path: Path) -> None:
    """The model has 66 positions: words behind them stay. A text that holds the mask token itself stays whole."""
    long = " ".join(["movie"] * 300)
    texts = ["", " \n", "😀", "12 34", "is [MASK] good", long, "good"]
    out = rewritten(Contextual(probability=1.0, share=1.0), sources(texts, tmp_path, masked), texts)
    assert out[:5] == texts[:5]
    words = out[5].split()
    assert len(words) == 300
    assert "movie" not in words[:50]
    assert words[64:] == ["movie"] * 236


@pytest.mark.parametrize(
    "architecture", ["roberta", "distilbert", "electra", "deberta-v2", "modernbert", "mpnet", "albert"]
)
def test_masked_language_models_of_other_architectures(architecture: str, tmp_path: Path) -> None:
    model = save_masked_model(tmp_path / architecture, architecture)
    out = rewritten(Contextual(probability=1.0, share=1.0), sources(TEXTS, tmp_path, model), TEXTS)
    assert all(text != other for text, other in zip(TEXTS, out, strict=True))


# --- refusals -----------------------------------------------------------------------------------------------


def test_a_checkpoint_without_a_trained_head_is_refused(tmp_path: Path) -> None:
    """As every sentence encoder is: what a random head says is noise."""
    with refuses(ModelError, match=r"no trained weights for cls\..*--set techniques\.contextual\.model=NAME"):
        Contextual().augmenter(sources(TEXTS, tmp_path, save_tiny_model(tmp_path / "headless")))


@pytest.mark.parametrize("model", ["no/such-model", "/no/such/folder"])
def test_a_model_that_is_not_there_is_refused_with_what_to_type(model: str, masked: Path, tmp_path: Path) -> None:
    with refuses(ModelError, match=rf"techniques\.contextual\.model: '{model}' cannot be loaded: .*NAME_OR_FOLDER"):
        Contextual(model=model).augmenter(sources(TEXTS, tmp_path, masked))


@pytest.mark.parametrize("load", [partial(load_part, "AutoConfig"), partial(load_weights, "AutoModelForMaskedLM")])
def test_code_of_a_checkpoint_is_never_run_nor_asked_for(
    load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers asks at the terminal whether to run it, unless it is told not to."""
    settings = {"model_type": "own", "auto_map": {name: f"own.Own{name}" for name in ("AutoConfig", "AutoModel")}}
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w').close()\n", encoding="utf-8")
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "y")
    with refuses(ModelError, match="cannot be loaded"):
        load(str(tmp_path), "techniques.contextual.model", contextual.ANOTHER_MODEL)
    assert not asked
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("texts", [[""], ["😀 12", "not never"]])
def test_texts_without_words_are_refused(texts: list[str], masked: Path, tmp_path: Path) -> None:
    with refuses(DataError, match=r"no training text has a word.*techniques\.contextual=off"):
        Contextual().augmenter(sources(texts, tmp_path, masked))


@pytest.mark.parametrize(
    "settings", [{"probability": 0.0}, {"share": 0.0}, {"share": 1.1}, {"top_k": 0}, {"variants": 0}]
)
def test_settings_outside_their_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        Contextual(**settings)


# --- real runs ----------------------------------------------------------------------------------------------


def test_a_run_with_its_own_checkpoint(
    write_recipe: Write, masked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """model is left out: the run's own folder has a head. Every epoch draws anew; what is measured stays clean."""
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path / "cache"))
    spy = Spy()
    recipe = write_recipe(model=masked, techniques={"contextual": {"probability": 0.5}})
    run = watch(recipe, tmp_path / "run", last=spy)
    clean = run.prepared.data.train.texts
    rows = len(clean)
    epochs = [spy.texts[start : start + rows] for start in range(0, 3 * rows, rows)]
    for epoch in epochs:
        changed = sum(text != other for text, other in zip(clean, epoch, strict=True))
        assert 0.2 * rows < changed < 0.8 * rows
    assert epochs[0] != epochs[1] != epochs[2]
    for name, split in run.prepared.data.measured_splits().items():
        items = sorted(clean_items(run.prepared.encoder, split), key=lambda item: len(item["input_ids"]))
        measured = run.prepared.measured[name]
        assert [measured[row] for row in range(len(measured))] == items
    assert (tmp_path / "cache" / "contextual" / "texts.sqlite3").is_file()


def test_a_run_is_the_same_whether_the_texts_were_kept_or_made(
    write_recipe: Write, masked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making them must not move the random state that dropout draws from, in whatever order techniques stand."""
    techniques = {"aeda": {"probability": 1.0}, "contextual": {"probability": 1.0, "model": str(masked)}}
    recipe = write_recipe(techniques=techniques, training={"epochs": 2})
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path / "cache"))
    passes = Passes(monkeypatch)
    train(recipe, tmp_path / "made")
    made = sum(passes.rows)
    train(recipe, tmp_path / "kept")
    assert sum(passes.rows) == made > 0
    assert_same_weights(tmp_path / "made", tmp_path / "kept")
